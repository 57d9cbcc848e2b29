import { expect } from 'aegir/chai'
import { launch, watch } from './browser.ts'
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

  /** Registers the hooks of mocha */
  static create (): World {
    const world = new World()

    before(async function () {
      this.timeout(PATIENCE * 3)
      world.#site = await Site.start()
      world.#browser = await launch()
    })

    after(async function () {
      this.timeout(PATIENCE)
      await world.#browser?.close()
      await killRelays()
      world.#proxies.forEach(proxy => { proxy.stop() })
      world.#site?.stop()
      world.#checkConsoles()
    })

    afterEach(() => { world.#checkConsoles() })

    return world
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

  async page (name: string, path: string, context?: Context): Promise<Page> {
    const page = await (context ?? await this.context()).newPage()
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
  readonly name: string
  proxy: Proxy
  page: Page
  relays: string[]

  private constructor (name: string, page: Page, proxy: Proxy, relays: string[]) {
    this.name = name
    this.page = page
    this.proxy = proxy
    this.relays = relays
  }

  static async open (world: World, name: string, relay: Relay, context?: Context): Promise<Peer> {
    const proxy = await world.proxy(relay)
    const page = await world.page(name, 'services.html', context)
    const peer = new Peer(name, page, proxy, [relay.behind(proxy.port)])
    await peer.start()
    return peer
  }

  async start (): Promise<void> {
    await until('the script is there', async () => this.page.evaluate(() => 'page' in globalThis))
    this.id = await tell(this.page, 'open', this.name, this.relays)
  }

  async seen (): Promise<Seen> {
    return tell(this.page, 'seen')
  }

  async sees (other: Peer): Promise<boolean> {
    return (await tell(this.page, 'here')).includes(other.id)
  }

  async send (to: Peer, from: number, count: number): Promise<void> {
    await tell(this.page, 'send', to.id, from, count)
  }

  async rekey (other: Peer): Promise<void> {
    await tell(this.page, 'rekey', other.id)
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
  #said = 0

  static async open (world: World, relay: Relay): Promise<Pair> {
    const pair = new Pair(...await Promise.all([Peer.open(world, 'Alice', relay), Peer.open(world, 'Bob', relay)]))
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
    await Promise.all([this.a.send(this.b, this.#said, count), this.b.send(this.a, this.#said, count)])
    this.#said += count
  }

  /** All that was said has arrived once and in order, and those who said it know */
  async arrived (patience = PATIENCE): Promise<void> {
    for (const [from, to] of [[this.a, this.b], [this.b, this.a]]) {
      let last = ''
      await until(() => `what ${from.name} says arrives: ${last}`, async () => {
        const [{ delivered, failed }, { heard }] = [await from.seen(), await to.seen()]
        last = `of ${this.#said}, ${heard.length} heard, ${delivered.length} delivered, ${failed.join()}`
        return delivered.length >= this.#said && heard.length >= this.#said
      }, patience)
      const [{ delivered, failed }, { heard }] = [await from.seen(), await to.seen()]
      expect(heard, `what ${to.name} heard`).to.deep.equal(range(this.#said))
      expect(delivered, `what ${from.name} was told`).to.deep.equal(range(this.#said))
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

  async resyncs (): Promise<string[]> {
    return (await Promise.all(this.both.map(async peer => peer.seen()))).flatMap(({ resyncs }) => resyncs)
  }
}
