import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import { webSockets } from '@libp2p/websockets'
import { expect } from 'aegir/chai'
import { createLibp2p } from 'libp2p'
import { toString } from 'uint8arrays/to-string'
import { directSub, sessions } from '../../src/index.ts'
import { IS_LONG } from '../fixtures/effort.ts'
import { bundle, launch, serve } from '../fixtures/pages.ts'
import { eventuallyTrue } from '../fixtures/sharedlogs.ts'
import type { TabPage } from './pages.ts'
import type { Browser, Context, Page } from '../fixtures/pages.ts'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'

const ENTRY = new URL(`./pages.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url)
/** Milliseconds that a busy machine may take to start a browser, and to make the bundle */
const PATIENCE = 60_000
/** Milliseconds until another tab leads: a busy machine is given as much again */
const TAKEOVER = 3000 * 2
const ROUNDS = IS_LONG ? 10 : 2
const FREEZES = IS_LONG ? 30 : 4
const WORDS = Array.from({ length: 10 }, (_, i) => `word ${i}`)

/** Has a page do something with its profile */
async function tell <Name extends keyof TabPage> (
  page: Page, name: Name, ...args: Parameters<TabPage[Name]>
): Promise<Awaited<ReturnType<TabPage[Name]>>> {
  return page.evaluate(async ([name, args]) => (globalThis as any).page[name](...args), [name, args] as const)
}

describe('several pages of a browser with one profile', function () {
  this.timeout(IS_LONG ? PATIENCE * 10 : PATIENCE * 2)
  let browser: Browser
  let server: Server
  let context: Context
  const took: number[] = []

  before(async () => {
    server = await serve(await bundle(ENTRY))
    browser = await launch()
  })

  after(async () => {
    await browser?.close()
    server?.closeAllConnections()
    server?.close()
  })

  // an IndexedDB that nobody has used
  beforeEach(async () => { context = await browser.newContext() })

  async function newPage (address?: string): Promise<Page> {
    const page = await context.newPage()
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
    await tell(page, 'open', address)
    return page
  }

  async function leads (page: Page): Promise<void> {
    await eventuallyTrue('it does not lead', async () => await tell(page, 'status') === 'leading')
  }

  async function crash (page: Page): Promise<void> {
    // never loads
    await page.goto('chrome://crash').catch(() => {})
  }

  /** Its scripts stand still, at their next statement. Headless pages are visible, and so are not frozen by the browser */
  async function freeze (page: Page, ms: number): Promise<() => Promise<void>> {
    const session = await context.newCDPSession(page)
    await session.send('Debugger.enable', {})
    await new Promise(resolve => { setTimeout(resolve, ms) })
    await session.send('Debugger.pause', {})
    return async () => {
      await session.send('Debugger.resume', {})
      await session.send('Debugger.disable', {})
    }
  }

  it('elect one of four that open at once', async () => {
    const pages = await Promise.all(WORDS.slice(0, 4).map(async () => newPage()))
    await eventuallyTrue('nobody leads', async () => {
      const all = await Promise.all(pages.map(async page => tell(page, 'status')))
      return all.includes('leading') && !all.includes('electing')
    })
    const statuses = await Promise.all(pages.map(async page => tell(page, 'status')))
    expect(statuses.filter(status => status === 'leading'), statuses.join()).to.have.lengthOf(1)
    await Promise.all(pages.map(async (page, i) => tell(page, 'append', [`${i}`])))
    expect((await tell(pages[3], 'read')).sort()).to.deep.equal(['0', '1', '2', '3'])
  })

  it('go on when the leader is closed', async () => {
    const [first, second] = [await newPage(), await newPage()]
    await tell(second, 'append', ['a'])
    const began = performance.now()
    await first.close()
    await tell(second, 'append', ['b'])
    expect(performance.now() - began).to.be.below(TAKEOVER)
    expect(await tell(second, 'read')).to.deep.equal(['a', 'b'])
    expect(await tell(second, 'status')).to.equal('leading')
  })

  it('append once what waited when the leader was killed', async () => {
    let last = await newPage()
    const all: string[] = []

    for (let round = 0; round < ROUNDS; round++) {
      const next = await newPage()
      await leads(last)
      const words = WORDS.map(word => `${round} ${word}`)
      await tell(next, 'beginToAppend', words)
      const began = performance.now()
      await crash(last)
      expect(await tell(next, 'settled')).to.deep.equal(words.map(() => 'done'))
      expect(performance.now() - began).to.be.below(TAKEOVER)
      all.push(...words)
      expect(await tell(next, 'read')).to.deep.equal(all)
      last = next
    }
  })

  it('go on when the leader is frozen, which follows when it wakes up', async () => {
    const pages = [await newPage(), await newPage()]
    const all: string[] = []

    for (let round = 0; round < FREEZES; round++) {
      const [first, second] = pages
      await leads(first)
      const words = WORDS.map(word => `${round} ${word}`)
      await tell(first, 'beginToAppend', words)
      // in the midst of writing them
      const thaw = await freeze(first, round)
      const began = performance.now()
      await tell(second, 'append', [`${round} meanwhile`])
      took.push(performance.now() - began)
      await leads(second)
      await thaw()
      expect(await tell(first, 'settled')).to.deep.equal(WORDS.map(() => 'done'))
      await eventuallyTrue('it does not follow', async () => await tell(first, 'status') === 'following')
      all.push(...words, `${round} meanwhile`)
      expect(await tell(first, 'read')).to.have.members(all)
      expect(await tell(second, 'read')).to.deep.equal(await tell(first, 'read'))
      pages.reverse()
    }

    expect(Math.max(...took)).to.be.below(TAKEOVER)
  })

  it('go on when the script of the leader does not end, and write nothing over each other when it does', async () => {
    const [first, second] = [await newPage(), await newPage()]
    await leads(first)
    await tell(first, 'append', ['before'])
    await tell(first, 'beginToAppend', WORDS)
    await tell(first, 'block', 10_000)
    const began = performance.now()
    await tell(second, 'append', ['meanwhile'])
    expect(performance.now() - began).to.be.below(TAKEOVER)
    await leads(second)
    expect(await tell(first, 'settled')).to.deep.equal(WORDS.map(() => 'done'))
    await eventuallyTrue('it does not follow', async () => await tell(first, 'status') === 'following')
    await tell(first, 'append', ['after'])
    expect(await tell(first, 'read')).to.have.members(['before', ...WORDS, 'meanwhile', 'after'])
    expect(await tell(second, 'read')).to.deep.equal(await tell(first, 'read'))
  })

  it('have the same databases, also over a change of the leader', async () => {
    const [first, second, third] = [await newPage(), await newPage(), await newPage()]
    await tell(second, 'put', 'ada', 'Ada')
    await tell(third, 'put', 'bob', 'Bob')
    expect(await tell(second, 'get', 'ada')).to.equal('Ada')
    expect(await tell(third, 'get', 'ada')).to.equal('Ada')
    await tell(third, 'putPost', { id: '1', author: 'ada' })
    await tell(second, 'putPost', { id: '2', author: 'ada' })
    expect(await tell(second, 'postsOf', 'ada')).to.deep.equal(['1', '2'])
    await crash(first)
    await tell(third, 'put', 'ada', 'Ada L.')
    await tell(third, 'putPost', { id: '3', author: 'ada' })
    expect(await tell(third, 'postsOf', 'ada')).to.deep.equal(['1', '2', '3'])
    await eventuallyTrue('the other one does not hear of it', async () =>
      await tell(second, 'get', 'ada') === 'Ada L.' && (await tell(second, 'postsOf', 'ada')).length === 3)
  })

  it('send through the leader, each message once, also when it is killed meanwhile', async () => {
    const peer = await createLibp2p({
      addresses: { listen: ['/ip4/127.0.0.1/tcp/0/ws'] },
      transports: [webSockets()],
      connectionEncrypters: [noise()],
      streamMuxers: [yamux()],
      services: { identify: identify(), pubsub: directSub(), sessions: sessions() }
    })
    const heard: string[] = []
    peer.services.sessions.addEventListener('message', ({ detail: { data } }) => {
      heard.push(toString(data))

      // the leader does not hear that they have come
      if (heard.length === 2) {
        peer.getConnections().forEach(connection => { connection.abort(new Error('cut')) })
      }
    })

    try {
      const address = `${peer.getMultiaddrs()[0]}`
      const [first, second] = [await newPage(address), await newPage(address)]
      await tell(second, 'beginToSend', `${peer.peerId}`, ['hello'])
      expect(await tell(second, 'settled')).to.deep.equal(['done'])
      await tell(second, 'beginToSend', `${peer.peerId}`, WORDS)
      // some of them have come, and their sender does not know it
      await eventuallyTrue('nothing comes', async () => heard.length > 1)
      await crash(first)
      expect(await tell(second, 'settled')).to.deep.equal(WORDS.map(() => 'done'))
      expect(heard).to.deep.equal(['hello', ...WORDS])
    } finally {
      await peer.stop()
    }
  })
})
