/**
 * The browser tests want a Chromium. One that the machine has will do; where
 * there is none, one is installed: `node scripts/chromium.js`.
 */
import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { delimiter, dirname, join } from 'node:path'

/** A guess: a download of 110 MB that has not come by then does not come */
const DOWNLOAD_TIMEOUT = 4 * 60_000
/** `apt-get` took 25 s on a fast line; a guess for a slow one */
const APT_TIMEOUT = 5 * 60_000
/** It takes 1 s; a guess for a machine that is busy */
const START_TIMEOUT = 30_000

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
const APPLICATIONS = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe'
]

/** Finds the very playwright-core that playwright-test will load */
const require = createRequire(createRequire(import.meta.url).resolve('playwright-test'))
const playwright = dirname(require.resolve('playwright-core/package.json'))

const { browsers } = JSON.parse(readFileSync(join(playwright, 'browsers.json'), 'utf8'))

/** @typedef {{ name: string, revision: string }} Build */

/** @type {Build[]} */
const builds = browsers.filter((/** @type {Build} */ { name }) => name.startsWith('chromium'))

/**
 * @param {Build} build
 */
function folderOf ({ name, revision }) {
  return `${name.replaceAll('-', '_')}-${revision}`
}

/**
 * @param {string} path
 */
function isExecutable (path) {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false // not there, or not for us: the next place may be better
  }
}

/**
 * A Chromium that is installed outside of playwright, if there is one.
 * CHROMIUM_PATH is taken as it is: it was set for a reason.
 *
 * @returns {string | undefined}
 */
function systemChromium () {
  const chosen = process.env.CHROMIUM_PATH

  if (chosen != null && chosen !== '') {
    return chosen
  }

  const inPath = (process.env.PATH ?? '').split(delimiter)
    .flatMap(folder => NAMES.map(name => join(folder, name)))

  return [...APPLICATIONS, ...inPath].find(isExecutable)
}

/**
 * Whether playwright's own build is there and starts: a bare machine may lack
 * libraries that it needs
 */
function playwrightRuns () {
  // a big file, that is only worth loading where the machine has no Chromium
  const { registry: { registry } } = require('playwright-core/lib/coreBundle')
  const path = registry.findExecutable('chromium-headless-shell').executablePath()

  return path != null && existsSync(path) &&
    spawnSync(path, ['--headless', '--no-sandbox', '--dump-dom', 'about:blank'], { stdio: 'ignore', timeout: START_TIMEOUT }).status === 0
}

/**
 * Options that make playwright start the Chromium of this machine. Playwright
 * insists on its own build unless a marker says that it is there already, so
 * the markers are set in a registry that only this checkout uses.
 *
 * @param {string} registry - a folder of this checkout
 * @returns {{ executablePath?: string }} empty where playwright's own build is to be used
 */
export function installedChromium (registry) {
  const executablePath = systemChromium()

  if (executablePath == null) {
    return {}
  }

  for (const build of builds) {
    const folder = join(registry, folderOf(build))
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'INSTALLATION_COMPLETE'), '')
  }

  process.env.PLAYWRIGHT_BROWSERS_PATH = registry

  return { executablePath }
}

/**
 * Runs a command quietly; what it said is shown only if it failed
 *
 * @param {string} name - for the one who reads
 * @param {string} command
 * @param {string[]} args
 * @param {number} timeout
 */
function attempt (name, command, args, timeout) {
  const { status, error, stdout, stderr } = spawnSync(command, args, {
    encoding: 'utf8',
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout
  })

  if (error == null && status === 0) {
    return true
  }

  const said = `${stderr ?? ''}\n${stdout ?? ''}`.split('\n').map(line => line.trim())
  const reason = error?.message ?? said.find(line => /error|failed|unable/i.test(line)) ?? `exit code ${status}`
  console.error(`chromium: ${name} did not succeed (${reason.slice(0, 160)})`)

  return false
}

function isRoot () {
  return process.getuid?.() === 0
}

/**
 * Finds a Chromium or installs one
 *
 * @throws if there is none and none could be installed
 */
export function ensureChromium () {
  const found = systemChromium()

  if (found != null) {
    if (!isExecutable(found)) {
      throw new Error(`CHROMIUM_PATH is ${found}, which cannot be run: set it to a Chromium's executable, or unset it`)
    }

    console.error(`chromium: using ${found}`)
    return
  }

  if (playwrightRuns()) {
    console.error('chromium: using playwright\'s own build')
    return
  }

  console.error('chromium: none found, asking playwright to download its build')

  if (attempt('the download', process.execPath, [join(playwright, 'cli.js'), 'install', 'chromium-headless-shell'], DOWNLOAD_TIMEOUT)) {
    if (playwrightRuns()) {
      console.error('chromium: playwright\'s own build is installed')
      return
    }

    console.error('chromium: playwright\'s build does not start here, most likely for want of system libraries')
  }

  if (isRoot() && isExecutable('/usr/bin/apt-get')) {
    console.error('chromium: installing the distribution\'s package with apt-get')

    if (
      // stale lists may do, if the mirror cannot be asked for new ones
      [['update'], ['install', '-y', '--no-install-recommends', 'chromium']]
        .map(args => attempt(`apt-get ${args[0]}`, 'apt-get', [...args, '-o', 'DPkg::Lock::Timeout=60'], APT_TIMEOUT))
        .at(-1) === true &&
      systemChromium() != null
    ) {
      console.error(`chromium: using ${systemChromium()}`)
      return
    }
  }

  throw new Error('no Chromium found and none could be installed: install one (Debian: apt-get install chromium), or set CHROMIUM_PATH to its executable')
}

if (import.meta.main) {
  try {
    ensureChromium()
  } catch (/** @type {any} */ error) {
    console.error(`chromium: ${error.message}`)
    process.exitCode = 1
  }
}
