import { expect } from 'aegir/chai'
import { crash, launch, watch } from './browser.ts'
import { Proxy } from './proxy.ts'
import { killRelays, Relay } from './relays.ts'
import { Site } from './site.ts'
import { PATIENCE, until } from './until.ts'
import type { Browser, Context, Page } from './browser.ts'
import type { Seen, ServicesPage } from './services-page.ts'
import type { SessionState } from '../../src/index.ts'

/**
 * What the tests of a file share: a browser, the site, and relays. To start them takes longer than most tests, so people
 * go on from one test to the next, as they do elsewhere
 */
export class World {
  /** What went wrong in a page, whether anybody waited for it or not */
  readonly errors: string[] = []
  #browser?: Browser
  #site?: Site
  #proxies: Proxy[] = []

  /** For a file of tests: registers the hooks of mocha, and fails a test when a console has an error */
  static create (): World {
    const world = new World()

    before(async function () {
      this.timeout(PATIENCE * 3)
      await world.begin()
    })

    after(async function () {
      this.timeout(PATIENCE)
      await world.end()
      world.#checkConsoles()
    })

    afterEach(() => { world.#checkConsoles() })

    return world
  }

  /** `args`: what the browser is started with beside the rest */
  async begin (args: string[] = []): Promise<void> {
    this.#site = await Site.start()
    this.#browser = await launch(args)
  }

  async end (): Promise<void> {
    await this.#browser?.close()
    await killRelays()
    this.#proxies.forEach(proxy => { proxy.stop() })
    this.#site?.stop()
  }

  get site (): Site {
    return this.#site ?? fail()
  }

  async relay (): Promise<Relay> {
    return Relay.start()
  }

  async proxy (relay?: Relay): Promise<Proxy> {
    const proxy = await Proxy.start(relay?.port)
    this.#proxies.push(proxy)
    return proxy
  }

  /** A browser profile of its own */
  async context (): Promise<Context> {
    return await this.#browser?.newContext() ?? fail()
  }

  async page (name: string, path: string, context: Context): Promise<Page> {
    const page = await context.newPage()
    watch(page, name, this.errors)
    await page.goto(`${this.site.url}${path}`)
    return page
  }

  #checkConsoles (): void {
    expect(this.errors.splice(0), 'the consoles of the pages').to.deep.equal([])
  }
}

function fail (): never {
  throw new Error('the world has not begun')
}

/** Has a page do something with its services */
export async function tell <Name extends keyof ServicesPage> (
  page: Page, name: Name, ...args: Parameters<ServicesPage[Name]>
): Promise<Awaited<ReturnType<ServicesPage[Name]>>> {
  return page.evaluate(async ([name, args]) => (globalThis as any).page[name](...args), [name, args] as const)
}

/** One person on the page with the services alone */
export class Peer {
  id = ''
  /** Messages so far */
  said = 0
  readonly name: string
  proxy: Proxy
  page: Page
  context: Context
  relays: string[]
  readonly #before: Seen[] = []

  private constructor (name: string, page: Page, context: Context, proxy: Proxy, relays: string[]) {
    this.name = name
    this.context = context
    this.page = page
    this.proxy = proxy
    this.relays = relays
  }

  static async open (world: World, name: string, relay: Relay, context?: Context): Promise<Peer> {
    const proxy = await world.proxy(relay)
    const profile = context ?? await world.context()
    const page = await world.page(name, 'services.html', profile)
    const peer = new Peer(name, page, profile, proxy, [relay.behind(proxy.port)])
    await peer.start()
    return peer
  }

  async start (): Promise<void> {
    await until('the script is there', async () => this.page.evaluate(() => 'page' in globalThis))
    this.id = await tell(this.page, 'open', this.name, this.relays)
  }

  /** In all pages that this person had */
  async seen (): Promise<Seen> {
    const now = await tell(this.page, 'seen')
    return this.#before.reduceRight((all, before) => ({
      heard: [...before.heard, ...all.heard],
      delivered: [...before.delivered, ...all.delivered],
      failed: [...before.failed, ...all.failed],
      resyncs: [...before.resyncs, ...all.resyncs],
      epochs: [...before.epochs, ...all.epochs]
    }), now)
  }

  /** Closes the page, and what it was in if that is a profile of its own */
  async leave (): Promise<void> {
    this.#before.push(await tell(this.page, 'seen'))
    await this.page.close()
  }

  /** The tab crashes: nothing of it says goodbye */
  async kill (): Promise<void> {
    this.#before.push(await tell(this.page, 'seen'))
    await crash(this.page)
  }

  /** Bytes of its heap, after a collection where the browser lets pages ask for one */
  async heap (): Promise<number> {
    return this.page.evaluate(() => {
      (globalThis as any).gc?.()
      return (performance as any).memory.usedJSHeapSize
    })
  }

  /** The page in a new tab */
  async again (world: World, context?: Context): Promise<void> {
    this.context = context ?? this.context
    this.page = await world.page(this.name, 'services.html', this.context)
    await this.start()
  }

  async sees (other: Peer): Promise<boolean> {
    return (await tell(this.page, 'here')).includes(other.id)
  }

  /** So many numbered messages at once, after those that it said before */
  async say (to: Peer, count: number): Promise<void> {
    const from = this.said
    this.said += count
    await tell(this.page, 'send', to.id, from, count)
  }

  async rekey (other: Peer): Promise<void> {
    await tell(this.page, 'rekey', other.id)
  }

  /** Through the conversation of the chat, which remembers it */
  async write (to: Peer, texts: string[]): Promise<void> {
    await tell(this.page, 'write', to.id, texts)
  }

  async read (of: Peer): Promise<{ heard: string[], queued: string[] }> {
    return tell(this.page, 'read', of.id)
  }

  /** From now on these are the relays that there are */
  async useRelays (relays: string[]): Promise<void> {
    this.relays = relays
    await tell(this.page, 'relays', relays)
  }

  /** Whom it looks for: the address, and how that stands */
  async dialled (): Promise<string[][]> {
    return (await tell(this.page, 'dialled')).peers.map(({ name, state }) => [name, state])
  }

  async state (of: Peer): Promise<SessionState> {
    return await tell(this.page, 'state', of.id) ?? fail()
  }
}

export function range (count: number): number[] {
  return Array.from({ length: count }, (_, i) => i)
}

/** Two people who have found each other at a relay, each behind a proxy, and number what they say to each other */
export class Pair {
  readonly a: Peer
  readonly b: Peer
  /** Resyncs that were asked about */
  readonly #told = [0, 0]

  /** `context`: the profile of the first one, if a test wants to lay hands on it */
  static async open (world: World, relay: Relay, context?: Context): Promise<Pair> {
    const pair = new Pair(...await Promise.all([
      Peer.open(world, 'Alice', relay, context), Peer.open(world, 'Bob', relay)
    ]))
    await pair.meet()
    await pair.say(1)
    await pair.arrived()
    return pair
  }

  private constructor (a: Peer, b: Peer) {
    this.a = a
    this.b = b
  }

  get both (): Peer[] {
    return [this.a, this.b]
  }

  async meet (): Promise<void> {
    await until('they find each other', async () => await this.a.sees(this.b) && await this.b.sees(this.a))
  }

  /** Each says so much to the other */
  async say (count: number): Promise<void> {
    await Promise.all([this.a.say(this.b, count), this.b.say(this.a, count)])
  }

  /** All that was said has arrived once and in order, and those who said it know */
  async arrived (patience = PATIENCE): Promise<void> {
    for (const [from, to] of [[this.a, this.b], [this.b, this.a]]) {
      let last = ''
      await until(() => `what ${from.name} says arrives: ${last}`, async () => {
        const [{ delivered, failed }, { heard }] = [await from.seen(), await to.seen()]
        last = `of ${from.said}, ${heard.length} heard, ${delivered.length} delivered, ${failed.join()}`
        return delivered.length >= from.said && heard.length >= from.said
      }, patience)
      const [{ delivered, failed }, { heard }] = [await from.seen(), await to.seen()]
      expect(heard, `what ${to.name} heard`).to.deep.equal(range(from.said))
      expect(delivered, `what ${from.name} was told`).to.deep.equal(range(from.said))
      expect(failed.filter(what => !what.startsWith('rekey')), `what ${from.name} could not send`).to.deep.equal([])
    }
  }

  /** Both have a newer key than this one, and the same */
  async isPast (epoch: number): Promise<void> {
    let last: unknown
    await until(() => `they have a newer key than ${epoch}: ${JSON.stringify(last)}`, async () => {
      const [a, b] = await this.states()
      last = [a, b]
      return a.epoch > epoch && a.key === b.key
    })
  }

  async states (): Promise<[SessionState, SessionState]> {
    return Promise.all([this.a.state(this.b), this.b.state(this.a)])
  }

  /** Those of each since they were asked about before */
  async resyncs (): Promise<string[][]> {
    const all = await Promise.all(this.both.map(async peer => (await peer.seen()).resyncs))
    return all.map((resyncs, i) => {
      const told = this.#told[i]
      this.#told[i] = resyncs.length
      return resyncs.slice(told)
    })
  }
}
