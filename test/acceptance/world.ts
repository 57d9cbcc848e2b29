import { expect } from 'aegir/chai'
import { launch, watch } from './browser.ts'
import { Proxy } from './proxy.ts'
import { killRelays, Relay } from './relays.ts'
import { Site } from './site.ts'
import { PATIENCE, until } from './until.ts'
import type { Browser, Context, Page } from './browser.ts'
import type { Seen, ServicesPage } from './services-page.ts'

/** What all tests of a file share, and what each of them has anew */
export class World {
  readonly errors: string[] = []
  #browser?: Browser
  #site?: Site
  #contexts: Context[] = []
  #proxies: Proxy[] = []

  /** Registers the hooks of mocha */
  static create (): World {
    const world = new World()

    before(async function () {
      this.timeout(PATIENCE * 3)
      world.#site = await Site.start()
      world.#browser = await launch()
    })

    after(async () => {
      await world.#browser?.close()
      world.#site?.stop()
    })

    afterEach(async function () {
      this.timeout(PATIENCE)
      // what pages say while they are closed counts as well
      await Promise.all(world.#contexts.splice(0).map(async context => context.close()))
      await killRelays()
      world.#proxies.splice(0).forEach(proxy => { proxy.stop() })
      expect(world.errors.splice(0), 'the consoles of the pages').to.deep.equal([])
    })

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
    const context = await this.#browser?.newContext() ?? fail()
    this.#contexts.push(context)
    return context
  }

  /** One that the test made: it is closed after the test */
  adopt (context: Context): void {
    this.#contexts.push(context)
  }

  async page (name: string, path: string, context?: Context): Promise<Page> {
    const page = await (context ?? await this.context()).newPage()
    watch(page, name, this.errors)
    await page.goto(`${this.site.url}${path}`)
    return page
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
  readonly proxy: Proxy
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

  async epoch (other: Peer): Promise<number> {
    return (await tell(this.page, 'state', other.id))?.epoch ?? 0
  }
}

export async function meet (a: Peer, b: Peer): Promise<void> {
  await until('they find each other', async () => await a.sees(b) && await b.sees(a))
}

/** Two people who have found each other at a relay, each behind a proxy, and have said hello */
export async function two (world: World, relay: Relay): Promise<[Peer, Peer]> {
  const [a, b] = await Promise.all([Peer.open(world, 'Alice', relay), Peer.open(world, 'Bob', relay)])
  await meet(a, b)
  await Promise.all([a.send(b, 0, 1), b.send(a, 0, 1)])
  await arrived(a, b, 1)
  await arrived(b, a, 1)
  return [a, b]
}

export function range (count: number): number[] {
  return Array.from({ length: count }, (_, i) => i)
}

/** All messages up to this one arrived once, in order, and both sides say so */
export async function arrived (from: Peer, to: Peer, count: number, patience = PATIENCE): Promise<void> {
  let last = ''
  await until(() => `${from.name}'s messages arrive: ${last}`, async () => {
    const [{ delivered, failed }, { heard }] = [await from.seen(), await to.seen()]
    last = `${delivered.length} delivered, ${heard.length} heard of ${count}, ${failed.join()}`
    return delivered.length >= count && heard.length >= count
  }, patience)
  const [{ delivered, failed }, { heard }] = [await from.seen(), await to.seen()]
  expect(heard, `what ${to.name} heard`).to.deep.equal(range(count))
  expect(delivered, `what ${from.name} was told`).to.deep.equal(range(count))
  expect(failed.filter(what => !what.startsWith('rekey')), `what ${from.name} could not send`).to.deep.equal([])
}
