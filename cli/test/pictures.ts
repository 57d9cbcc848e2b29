/**
 * Pictures of the command at a terminal of 80 columns, for the documents:
 * node --conditions=sheaf-source cli/test/pictures.ts docs/images
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { launch } from './chromium.ts'
import { eventually, inPlace, run, start, Terminal } from './terminal.ts'
import type { Browser } from './chromium.ts'

const COLUMNS = 80
/** Gives a command a terminal of its own, as a person has one */
const AT_TERMINAL = `stty cols ${COLUMNS} rows 24 2> /dev/null; exec script -qfec "stty cols ${COLUMNS} rows 24; $(printf "%q " "$0" "$@")" /dev/null`
const LIKE_A_PERSON = { TERM: 'xterm-256color', COLUMNS: `${COLUMNS}`, LINES: '24', npm_command: 'exec' }
const FILE_BYTES = 150_000_000

const require = createRequire(import.meta.url)
const { smaller } = await import(new URL('../../scripts/smaller-png.js', import.meta.url).href)

/** Takes a picture of a terminal that was told `shown`: a real emulator of terminals draws it */
async function draw (browser: Browser, path: string, shown: string): Promise<void> {
  const context = await browser.newContext({ viewport: { width: 760, height: 100 } })
  const page = await context.newPage()
  const [script, style] = await Promise.all(['lib/xterm.js', 'css/xterm.css'].map(async name => {
    return readFile(require.resolve(`@xterm/xterm/${name}`), 'utf8')
  }))
  await page.evaluate(style => {
    document.head.append(Object.assign(document.createElement('style'), { textContent: style }))
    document.body.style.cssText = 'margin: 0; padding: 12px; background: #16181d; width: max-content'
  }, style)
  await page.evaluate(script)
  const { width, height } = await page.evaluate(async ({ shown, columns }) => {
    const theme = { background: '#16181d', foreground: '#e6e6e6', cursor: '#e6e6e6' }
    const rows = 40
    const terminal = new (globalThis as any).Terminal({ cols: columns, rows, fontSize: 14, theme, convertEol: true })
    terminal.open(document.body)
    await new Promise<void>(resolve => terminal.write(shown, resolve))
    const { buffer: { active: { baseY, cursorY } } } = terminal
    terminal.resize(columns, Math.min(rows, baseY + cursorY + 1))
    await new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(resolve)))
    return { width: document.body.offsetWidth, height: document.body.offsetHeight }
  }, { shown, columns: COLUMNS })
  await page.setViewportSize({ width, height })
  await page.screenshot({ path, fullPage: true })
  await writeFile(path, smaller(await readFile(path)))
  await context.close()
}

/** Two people at one log: one of them is typing while a line of the other arrives */
async function talk (dir: string): Promise<string> {
  const other = await start(dir, '--log', 'field notes', '--store', './van')
  const args = ['peer', '--log', 'field notes', '--store', './camp', '--join', other.address]
  const peer = new Terminal(dir, args, LIKE_A_PERSON, AT_TERMINAL)
  await peer.sees(/In a browser:|In another terminal:/)
  await eventually('it reads no keys', () => peer.shown.includes('\u001b['))
  peer.press('the bridge is open again\r')
  await eventually('nobody stored it', () => peer.shown.includes('1 other has stored it'))
  peer.press('the ford is st')
  await eventually('it shows no keys', () => peer.shown.includes('the ford is st'))
  other.terminal.type('we take the ford')
  await eventually('it does not arrive', () => peer.shown.includes('we take the ford'))
  await eventually('it is not drawn anew', () => /we take the ford[^]*the ford is st/.test(peer.shown))
  return `$ sheaf ${quoted(args)}\r\n${peer.shown}`
}

async function sending (dir: string): Promise<string> {
  await mkdir(join(dir, 'inbox'))
  await writeFile(join(dir, 'photos.tar'), Buffer.alloc(FILE_BYTES, 'photos'))
  const taker = new Terminal(dir, ['receive', './inbox'])
  const address = /\/ip4\/\S+/.exec(await taker.sees(/\/ip4\/.*tcp/))?.[0] ?? ''
  const args = ['send', 'photos.tar', address]
  const sender = new Terminal(dir, args, LIKE_A_PERSON, AT_TERMINAL)
  await eventually('it shows no progress', () => /(?<!reading )photos\.tar \[#{6,}-{4,}\] [^\r]*$/.test(sender.shown))
  const { shown } = sender
  await sender.ended()
  return `$ sheaf ${quoted(args)}\r\n${shown}`
}

function quoted (args: string[]): string {
  return args.map(arg => /\s/.test(arg) ? `'${arg}'` : arg).join(' ')
}

const images = resolve(process.argv[2])
const browser = await launch()

try {
  // what a place starts ends with it
  await inPlace(async ({ dir }) => {
    await draw(browser, `${images}/terminal-peer.png`, await talk(dir))
    const args = ['status', '--log', 'field notes', '--store', './camp']
    const { shown } = await run(dir, args, { env: LIKE_A_PERSON, shell: AT_TERMINAL })
    await draw(browser, `${images}/terminal-status.png`, `$ sheaf ${quoted(args)}\r\n${shown.trimEnd()}`)
  })
  await inPlace(async ({ dir }) => {
    await draw(browser, `${images}/terminal-send.png`, await sending(dir))
  })
} finally {
  await browser.close()
}
