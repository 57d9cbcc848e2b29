import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { expect } from 'aegir/chai'
import { createLibp2p } from 'libp2p'
import { directSub, sessions, sharedLogs, stayConnected, transfers } from 'libp2p-sheaf'
import { Inspector } from '../src/inspector/server.ts'
import { launch } from './chromium.ts'
import { PATIENCE, start, testsInPlaces } from './terminal.ts'
import type { Browser, Context, Page } from './chromium.ts'
import type { Introduced } from './terminal.ts'
import type { Libp2p } from '@libp2p/interface'
import type { DirectSub, Sessions, SharedLogs, StayConnected, Transfers } from 'libp2p-sheaf'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'

const ROOT = new URL(import.meta.url.endsWith('.ts') ? '../../' : '../../../', import.meta.url)
/** Where pictures for the documents go; they are taken only if this is set: INSPECTOR_IMAGES=docs/images */
const IMAGES = process.env.INSPECTOR_IMAGES
const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js')
/** Bytes that may go over the wire before the page is there */
const MAX_WEIGHT = 60_000
const DESKTOP = { width: 1200, height: 900 }
const PHONE = { width: 360, height: 740 }
/** A name that the browser takes for this machine: what a rebound one is */
const REBOUND = 'rebound.example'

/** Peers write what they like */
const MARKUP = '<script>document.title = "taken over"</script><img src=x onerror="document.title = 1">'
const LINES: Array<[number, string]> = [
  [0, 'Camp is set up by the river, all three radios work.'],
  [1, 'Otter tracks 200 m upstream, photos follow tonight.'],
  [2, 'Rain from noon on. Water at 1.42 m, rising 3 cm an hour.'],
  [1, MARKUP],
  [0, 'Battery of the second radio at 40 %, please bring the charger when you come over.']
]

type SessionNode = Libp2p<{
  connected: StayConnected, pubsub: DirectSub, sessions: Sessions, logs: SharedLogs, transfers: Transfers
}>

interface Watched {
  page: Page
  context: Context
  /** What the console shows that is no good */
  complaints: string[]
}

let browser: Browser

async function watch (url: string, size = DESKTOP): Promise<Watched> {
  const context = await browser.newContext({ viewport: size })
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('console', message => {
    if (['error', 'warning'].includes(message.type())) {
      complaints.push(message.text())
    }
  })
  page.on('pageerror', err => { complaints.push(err.message) })
  await page.emulateMedia({ reducedMotion: 'reduce' })
  await page.goto(url)
  return { page, context, complaints }
}

/** All words of a part of the page, once they match */
async function reads (page: Page, selector: string, what: RegExp): Promise<string> {
  const words = async (): Promise<string> => page.evaluate(
    selector => (document.querySelector<HTMLElement>(selector)?.innerText ?? '').replace(/\s+/g, ' ').trim(), selector
  )
  await page.waitForFunction(
    ({ selector, source }) => new RegExp(source)
      .test((document.querySelector<HTMLElement>(selector)?.innerText ?? '').replace(/\s+/g, ' ').trim()),
    { selector, source: what.source }, { timeout: PATIENCE }
  ).catch(async err => { throw new Error(`${what} is not what it reads: ${await words()}`, { cause: err }) })
  return words()
}

/** Rules of axe that the page breaks. What the page may not run, the debugger of the browser may */
async function broken (page: Page): Promise<string[]> {
  await page.evaluate(await readFile(AXE, 'utf8'))
  return page.evaluate(async () => {
    const { violations } = await (globalThis as any).axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })
    return violations.map(({ id, nodes }: any) => `${id}: ${nodes.map(({ html }: any) => html).join(' ')}`)
  })
}

async function picture (page: Page, name: string): Promise<void> {
  if (IMAGES == null) {
    return
  }
  mkdirSync(IMAGES, { recursive: true })
  const path = `${IMAGES}/inspector-${name}.png`
  await page.screenshot({ path, fullPage: true })
  const { smaller } = await import(new URL('scripts/smaller-png.js', ROOT).href)
  await writeFile(path, smaller(await readFile(path)))
}

async function three (dir: string): Promise<Introduced[]> {
  const log = ['--log', 'field notes']
  const a = await start(dir, ...log, '--store', './camp')
  const b = await start(dir, ...log, '--store', './van', '--join', a.address)
  const c = await start(dir, ...log, '--store', './hut', '--join', a.address, '--replicate', '0.5')
  return [a, b, c]
}

describe('the page of the inspector, in Chromium', function () {
  this.timeout(8 * PATIENCE)

  before(async function () {
    this.timeout(2 * PATIENCE)
    browser = await launch([`--host-resolver-rules=MAP ${REBOUND} 127.0.0.1`])
  })

  after(async () => { await browser?.close() })

  const test = testsInPlaces()

  test('shows a node that is alone: what is missing, and what to do', async ({ dir }) => {
    const { inspector, terminal } = await start(dir, '--store', 'memory')
    const { page, context, complaints } = await watch(inspector)
    await reads(page, '.safety', /Is my data safe\? Yes\. Nothing is in it yet/)
    await reads(page, '.of-ring', /100 % of the entries have fewer than 2 copies.*1 copy of 100 % of the entries/)
    await reads(page, '.of-peers', /this node .*Replicator It is the only one so far\./)
    await reads(page, '.of-entries', /Nothing is in the log yet/)
    await reads(page, '.of-lag', /In the last second [\d.]+ ms in the middle/)
    await picture(page, 'empty')
    terminal.type('the first line')
    await reads(page, '.of-entries', /this node .* 14 B the first line/)
    await reads(page, '.safety', /Is my data safe\? Not yet\. .*1 copy.*Start another node/)
    expect(await broken(page)).to.deep.equal([])

    terminal.signal('SIGKILL')
    await reads(page, 'header', /The node does not answer: this is from/)
    expect(await broken(page)).to.deep.equal([])
    expect(complaints.filter(text => !text.includes('ERR_CONNECTION_REFUSED') && !text.includes('ERR_INCOMPLETE_CHUNKED_ENCODING'))).to.deep.equal([])
    await context.close()
  })

  test('shows three peers, their ring and what they say; text of peers is text; light, dark, and on a phone', async ({ dir }) => {
    const peers = await three(dir)
    const [{ inspector, name }] = peers
    const { page, context, complaints } = await watch(inspector)

    for (const [i, line] of LINES) {
      peers[i].terminal.type(line)
      await peers[(i + 1) % 3].terminal.sees(`${peers[i].name}> ${line}`)
    }

    await reads(page, '.safety', /Yes\. Every entry is kept by at least 3 nodes/)
    await reads(page, '.of-sync', /(.*the same, \d+ s ago.*){2}/)
    await reads(page, '.of-peers', new RegExp(`${name} this node .*Replicator.*(Replicator Others count on what it keeps.*){2}`))
    expect(await reads(page, '.of-entries', /rising 3 cm an hour/)).to.include(MARKUP)
    expect(await page.evaluate(() => document.querySelectorAll('script:not([src]), img').length)).to.equal(0)
    expect(await page.evaluate(() => document.title)).to.equal('field notes · sheaf inspector')
    // a track each, of which one is a half: what it announced, and what it keeps for that
    expect(await page.evaluate(() => [...document.querySelectorAll('svg .track')].map(({ children }) => children.length > 2))).to.deep.equal([true, true, true])
    expect(await page.evaluate(() => document.querySelector('svg.ring')?.getAttribute('aria-label'))).to.include('All entries have at least 3 copies')
    await reads(page, '.of-ring tbody', /(all.*){3}/)

    for (const [colorScheme, size, image] of [['light', DESKTOP, 'three-peers'], ['dark', DESKTOP, 'dark'], ['light', PHONE, '360'], ['dark', PHONE, undefined]] as const) {
      await page.setViewportSize(size)
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
      expect(await broken(page), `${colorScheme}, ${size.width}`).to.deep.equal([])
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).to.equal(size.width)
      image != null && await picture(page, image)
    }

    // all that can be used can be reached and used without a mouse
    const reached: string[] = []
    for (let i = 0; i < 3; i++) {
      await page.keyboard.press('Tab')
      reached.push(await page.evaluate(() => document.activeElement?.textContent?.trim() ?? ''))
      i === 0 && await page.keyboard.press('Enter')
    }
    expect(reached).to.deep.equal(['Dropped and refused: nothing', 'All of this as JSON', 'Metrics for Prometheus'])
    expect(await page.evaluate(() => document.querySelector('details')?.open)).to.equal(true)
    expect(complaints).to.deep.equal([])
    await context.close()
  })

  test('shows where there are too few copies', async ({ dir }) => {
    const a = await start(dir, '--log', 'field notes', '--replicate', '0.25')
    const b = await start(dir, '--log', 'field notes', '--store', './data2', '--join', a.address, '--replicate', 'none')
    const { page, context, complaints } = await watch(a.inspector)
    LINES.forEach(([, line]) => { a.terminal.type(line) })
    await reads(page, '.safety', /No\. Nobody who is here keeps 50 % of the entries/)
    await reads(page, '.of-ring', /100 % of the entries have fewer than 2 copies\. 0 copies of 50 % of the entries 1 copy of 50 % of the entries/)
    await reads(page, '.of-peers', new RegExp(`${b.name} . Not a replicator It says that it keeps nothing\\.`))
    // two each, and one more where the ring begins
    expect(await page.evaluate(() => ['none', 'thin'].map(kind => document.querySelectorAll(`svg .band.${kind}`).length > 1))).to.deep.equal([true, true])
    expect(await page.evaluate(() => document.querySelectorAll('svg .band').length)).to.be.within(4, 5)
    expect(await broken(page)).to.deep.equal([])
    await picture(page, 'under-replicated')
    expect(complaints).to.deep.equal([])
    await context.close()
  })

  it('weighs little', async () => {
    const inspector = await Inspector.serve(0)
    const sizes = await Promise.all([
      '', 'style.css', 'icon.svg', 'main.js', 'app.js', 'sections.js', 'ring.js', 'chart.js', 'tables.js', 'html.js', 'vendor/preact.js', 'vendor/htm.js'
    ].map(async path => {
      const { ok, headers } = await fetch(new URL(path, inspector.url), { headers: { 'accept-encoding': 'gzip' } })
      expect([ok, headers.get('content-encoding')], path).to.deep.equal([true, 'gzip'])
      return Number(headers.get('content-length'))
    }))
    const weight = sizes.reduce((sum, size) => sum + size)
    inspector.close()
    // less would be no page
    expect(weight).to.be.within(5_000, MAX_WEIGHT)
  })

  it('shows sessions with epoch and mode, and never a key; transfers on their way', async () => {
    const [a, b] = await Promise.all([nodeWithSessions(), nodeWithSessions()])
    const inspector = await Inspector.serve(0)

    try {
      const log = await a.services.logs.open('lobby')
      inspector.show({ node: a, log, startedAt: Date.now() })
      await a.dial(b.getMultiaddrs())
      await a.services.sessions.send(b.peerId, Uint8Array.of(1))
      const { epoch, key } = a.services.sessions.state(b.peerId) ?? {}
      expect(key).to.be.a('string')

      // the other side takes half of it, and then no more
      const { promise: isHalf, resolve } = Promise.withResolvers<void>()
      b.services.transfers.handle('photos', async offer => {
        let taken = 0
        for await (const { byteLength } of offer.accept()) {
          taken += byteLength
          if (taken >= 500_000) {
            resolve()
            await once(b, 'stop')
          }
        }
      })
      const transfer = a.services.transfers.send(b.peerId, new Uint8Array(4_000_000), { protocol: 'photos' })
      transfer.done.catch(() => {})
      await isHalf

      const { page, context, complaints } = await watch(inspector.url)
      const name = b.peerId.toString().slice(-6)
      await reads(page, '.of-sessions', new RegExp(`Mode: best-effort\\..*${name} ${epoch} none nothing`))
      await reads(page, '.of-transfers', new RegExp(`to ${name} .* of 4 MB`))
      await reads(page, '.of-peers', new RegExp(`${name} . Not on this log It is connected, and has not subscribed`))
      const state = await (await fetch(new URL('state.json', inspector.url))).text()
      expect(state).to.include(`"epoch":${epoch}`)
      expect(state).not.to.include(key)
      expect(await broken(page)).to.deep.equal([])
      expect(complaints).to.deep.equal([])
      await context.close()
    } finally {
      inspector.close()
      await Promise.all([a.stop(), b.stop()])
    }
  })
})

describe('a hostile page on the same machine', function () {
  this.timeout(4 * PATIENCE)
  let attacker: Server

  before(async function () {
    this.timeout(2 * PATIENCE)
    browser = await launch([`--host-resolver-rules=MAP ${REBOUND} 127.0.0.1`])
    attacker = createServer((_, response) => {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>Kittens</title>')
    }).listen(0, '127.0.0.1')
    await once(attacker, 'listening')
  })

  after(async () => {
    await browser?.close()
    attacker?.close()
    attacker?.closeAllConnections()
  })

  const test = testsInPlaces()

  test('reads nothing: no fetch, script, style, image, frame, stream, socket, window or beacon', async ({ dir }) => {
    const { inspector, name } = await start(dir, '--store', 'memory')
    const { port } = attacker.address() as AddressInfo

    // another site; the same site on another port; a name that leads here
    await Promise.all([`http://127.0.0.1:${port}`, `http://localhost:${port}`, `http://${REBOUND}:${port}`].map(async origin => {
      const context = await browser.newContext()
      const page = await context.newPage()
      await page.goto(origin)
      const outcomes = await page.evaluate(attack, inspector)
      expect(outcomes, origin).to.deep.equal({
        fetch: 'failed',
        opaque: 'failed',
        script: 'failed',
        module: 'failed',
        state: 'failed',
        style: 'failed',
        image: 'failed',
        frame: 'nothing of it',
        events: 'failed',
        socket: 'failed',
        window: 'nothing of it',
        post: 'failed'
      })
      await context.close()
    }))

    // a rebound name is of the same origin as the page that an attacker served under it, port and all
    const context = await browser.newContext()
    const page = await context.newPage()
    const rebound = inspector.replace('127.0.0.1', REBOUND)

    for (const path of ['', 'state.json', 'metrics', 'main.js']) {
      const response = await page.goto(`${rebound}${path}`)
      expect(response?.status(), path).to.equal(403)
      expect(await page.evaluate(() => document.documentElement.textContent)).to.include('nobody is let in under another name').and.not.to.include(name)
    }
    expect(await page.evaluate(async () => (await fetch('/state.json')).status)).to.equal(403)
    await context.close()
  })
})

/** What a page may try on another origin. It runs in the browser */
async function attack (url: string): Promise<Record<string, string>> {
  /** Milliseconds for what ends in any case, and after which what has not come does not come */
  const PATIENCE = 30_000
  const LONG = 3_000
  const within = async (work: Promise<string>): Promise<string> =>
    Promise.race([work.catch(() => 'failed'), new Promise<string>(resolve => { setTimeout(() => { resolve('no answer') }, PATIENCE) })])
  const element = async (tag: string, about: object): Promise<string> => within(new Promise((resolve, reject) => {
    const element = Object.assign(document.createElement(tag), about, { onload: () => { resolve('loaded') }, onerror: reject })
    document.documentElement.append(element)
  }))
  const opened = async (url: string): Promise<string> => {
    const child = window.open(url)
    await new Promise(resolve => { setTimeout(resolve, LONG) })
    try {
      return child?.document.body.textContent === '' || child?.closed !== false ? 'nothing of it' : 'all of it'
    } catch {
      return 'nothing of it'
    }
  }
  const framed = async (url: string): Promise<string> => {
    const frame = Object.assign(document.createElement('iframe'), { src: url })
    // what says that it was refused is loaded, too: until then there is an empty page of its own origin
    await within(new Promise(resolve => {
      frame.onload = () => { resolve('loaded') }
      document.documentElement.append(frame)
    }))
    try {
      return frame.contentDocument?.body.textContent ?? 'nothing of it'
    } catch {
      return 'nothing of it'
    }
  }

  const attempts: Record<string, Promise<string>> = {
    fetch: within(fetch(`${url}state.json`).then(async response => response.text())),
    opaque: within(fetch(`${url}state.json`, { mode: 'no-cors' }).then(({ type }) => type)),
    script: element('script', { src: `${url}main.js` }),
    module: element('script', { src: `${url}html.js`, type: 'module' }),
    state: element('script', { src: `${url}state.json` }),
    style: element('link', { href: `${url}style.css`, rel: 'stylesheet' }),
    image: element('img', { src: `${url}icon.svg` }),
    frame: framed(url),
    events: within(new Promise((resolve, reject) => {
      const events = new EventSource(`${url}events`)
      events.onmessage = ({ data }) => { resolve(data) }
      events.onerror = reject
    })),
    socket: within(new Promise((resolve, reject) => {
      const socket = new WebSocket(url.replace('http', 'ws'))
      socket.onopen = () => { resolve('open') }
      socket.onerror = reject
    })),
    window: opened(url),
    post: within(fetch(`${url}state.json`, { method: 'POST', body: 'x' }).then(async response => response.text()))
  }
  // all at once: some have to be waited for
  return Object.fromEntries(await Promise.all(Object.entries(attempts).map(async ([name, outcome]) => [name, await outcome] as const)))
}

async function nodeWithSessions (): Promise<SessionNode> {
  const node: SessionNode = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: {
      identify: identify(), connected: stayConnected(), pubsub: directSub(), sessions: sessions(), logs: sharedLogs(), transfers: transfers()
    }
  })
  // a message that nobody takes is not delivered
  node.services.sessions.addEventListener('message', () => {})
  return node
}
