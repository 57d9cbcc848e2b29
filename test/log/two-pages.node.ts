import { existsSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'aegir/chai'
import { launch } from '../fixtures/chromium.ts'
import { IS_LONG } from '../fixtures/effort.ts'
import type { LogPage } from './two-pages.ts'
import type { Browser, Context, Page } from '../fixtures/chromium.ts'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'

type Resolve = (args: { path: string, resolveDir: string }) => { path: string } | undefined

/** What a build of esbuild is told to do with an import */
interface Build {
  onResolve (options: { filter: RegExp }, resolve: Resolve): void
}

type Outcome<Name extends keyof LogPage> = Awaited<ReturnType<LogPage[Name]>>

const IS_SOURCE = import.meta.url.endsWith('.ts')
const ENTRY = fileURLToPath(new URL(`./two-pages.${IS_SOURCE ? 'ts' : 'js'}`, import.meta.url))
/** Milliseconds that a busy machine may take to start a browser, and to make the bundle */
const PATIENCE = 60_000
const ENTRIES = 50
/** Times that all ask at once, and that a page is loaded anew */
const ROUNDS = IS_LONG ? 5 : 1
const RELOADS = IS_LONG ? 10 : 3

/** Has the esbuild with which aegir runs the tests in browsers */
const aegir = createRequire(import.meta.resolve('aegir/chai'))

/** The script of a page. Files for browsers stand in for those for Node, as package.json says for what is published */
async function bundle (): Promise<Uint8Array> {
  const forBrowsers = (build: Build): void => {
    build.onResolve({ filter: /^\..*\.[jt]s$/ }, ({ path, resolveDir }) => {
      const file = join(resolveDir, path.replace(/(\.[jt]s)$/, '.browser$1'))
      return existsSync(file) ? { path: file } : undefined
    })
  }
  const { outputFiles } = await aegir('esbuild').build({
    entryPoints: [ENTRY],
    bundle: true,
    format: 'esm',
    write: false,
    logLevel: 'error',
    plugins: [{ name: 'for browsers', setup: forBrowsers }]
  })
  return outputFiles[0].contents
}

async function serve (script: Uint8Array): Promise<Server> {
  const server = createServer(({ url }, response) => {
    if (url === '/') {
      response.writeHead(200, { 'content-type': 'text/html' })
      response.end('<!doctype html><title>A log</title><script type="module" src="/page.js"></script>')
    } else {
      response.writeHead(url === '/page.js' ? 200 : 404, { 'content-type': 'text/javascript' })
      response.end(script)
    }
  })
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  return server
}

/** Has a page do something with its log */
async function tell <Name extends keyof LogPage> (
  page: Page,
  name: Name,
  ...args: Parameters<LogPage[Name]>
): Promise<Outcome<Name>> {
  return page.evaluate(async ([name, args]) => (globalThis as any).page[name](...args), [name, args] as const)
}

function appended (...prefixes: string[]): string[] {
  return prefixes.flatMap(prefix => Array.from({ length: ENTRIES }, (_, i) => `${prefix}${i}`))
}

describe('two pages of a browser with one log', () => {
  let browser: Browser
  let server: Server
  let context: Context

  before(async function () {
    this.timeout(PATIENCE * 2)
    server = await serve(await bundle())
    browser = await launch()
  })

  after(async () => {
    await browser?.close()
    server?.closeAllConnections()
    server?.close()
  })

  // an IndexedDB that nobody has used
  beforeEach(async () => { context = await browser.newContext() })

  async function newPage (): Promise<Page> {
    const page = await context.newPage()
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
    return page
  }

  it('write it one after the other, and lose nothing', async () => {
    const [first, second] = [await newPage(), await newPage()]
    expect(await tell(first, 'open')).to.equal('open')
    await tell(first, 'append', ENTRIES, 'a')
    expect(await tell(second, 'open'))
      .to.match(/^StoreInUseError: The log 'L' is open in another tab or worker: close it there, or let one tab lead/)

    await first.close()
    expect(await tell(second, 'open')).to.equal('open')
    expect(await tell(second, 'read')).to.deep.equal(appended('a'))
    await tell(second, 'append', ENTRIES, 'b')
    await second.reload()
    expect(await tell(second, 'open')).to.equal('open')
    expect(await tell(second, 'read')).to.deep.equal(appended('a', 'b'))

    await tell(second, 'close')
    const third = await newPage()
    expect([await tell(third, 'open'), (await tell(third, 'read')).length]).to.deep.equal(['open', 2 * ENTRIES])
  }).timeout(PATIENCE)

  it('do not both get it when they ask at the same moment', async () => {
    const pages = [await newPage(), await newPage(), await newPage()]

    for (let round = 0; round < ROUNDS; round++) {
      const outcomes = await Promise.all(pages.map(async page => tell(page, 'open')))
      expect(outcomes.filter(outcome => outcome === 'open'), outcomes.join()).to.have.lengthOf(1)
      expect(outcomes.filter(outcome => outcome.startsWith('StoreInUseError'))).to.have.lengthOf(2)
      await tell(pages[outcomes.indexOf('open')], 'close')
    }
  }).timeout(PATIENCE)

  it('do not get it from each other while one is frozen', async () => {
    const [first, second] = [await newPage(), await newPage()]
    expect(await tell(first, 'open')).to.equal('open')
    const session = await context.newCDPSession(first)
    await session.send('Page.setWebLifecycleState', { state: 'frozen' })
    expect(await tell(second, 'open')).to.match(/^StoreInUseError/)
    await session.send('Page.setWebLifecycleState', { state: 'active' })
    await tell(first, 'append', ENTRIES, 'a')
    expect(await tell(first, 'read')).to.deep.equal(appended('a'))
  }).timeout(PATIENCE)

  it('do not stand in their own way when they are loaded anew', async () => {
    const page = await newPage()

    for (let round = 0; round < RELOADS; round++) {
      expect(await tell(page, 'open')).to.equal('open')
      await tell(page, 'append', 1, 'a')
      await page.reload()
    }

    expect([await tell(page, 'open'), (await tell(page, 'read')).length]).to.deep.equal(['open', RELOADS])
  }).timeout(PATIENCE)

  it('get it when the other one has crashed', async () => {
    const [first, second] = [await newPage(), await newPage()]
    expect(await tell(first, 'open')).to.equal('open')
    await tell(first, 'append', ENTRIES, 'a')
    // never loads
    await first.goto('chrome://crash').catch(() => {})
    expect(await tell(second, 'open')).to.equal('open')
    expect(await tell(second, 'read')).to.deep.equal(appended('a'))
  }).timeout(PATIENCE)
})
