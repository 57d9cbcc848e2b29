import { until } from './until.ts'
import type { Context, Page } from './browser.ts'
import type { Proxy } from './proxy.ts'
import type { Relay } from './relays.ts'
import type { World } from './world.ts'

/** Long enough that chance does not write them into what is sealed */
export const ALICE = 'Alice Liddell'
export const BOB = 'Bob Cratchit'

/** What the page shows of one message */
export interface Shown {
  isMine: boolean
  text: string
  state: string
}

/** Somebody at the chat's page, who sees what it shows and does what a person can do */
export class Person {
  readonly name: string
  readonly path: string
  context: Context
  page: Page
  readonly #proxy?: Proxy

  /** Opens the page in a browser profile, and registers where nobody has */
  static async open (world: World, name: string, relay: Relay, context?: Context): Promise<Person> {
    const proxy = await world.proxy(relay)
    // over the relay, where the test has its hand on everything
    const path = `?direct=no&relay=${encodeURIComponent(relay.behind(proxy.port))}`
    const profile = context ?? await world.context()
    const person = new Person(name, await world.page(name, path, profile), profile, path, proxy)
    await person.enter()
    return person
  }

  /** At a page that is open */
  static async at (name: string, page: Page, context: Context): Promise<Person> {
    const person = new Person(name, page, context)
    await person.enter()
    return person
  }

  private constructor (name: string, page: Page, context: Context, path = '', proxy?: Proxy) {
    this.name = name
    this.page = page
    this.context = context
    this.path = path
    this.#proxy = proxy
  }

  get proxy (): Proxy {
    if (this.#proxy == null) {
      throw new Error('nothing is between this person and the relay')
    }
    return this.#proxy
  }

  /** One more tab of the same person */
  async tab (world: World): Promise<Person> {
    const page = await world.page(this.name, this.path, this.context)
    const person = new Person(this.name, page, this.context, this.path, this.#proxy)
    await person.enter()
    return person
  }

  /** 'leading', 'following' or 'electing' */
  async status (): Promise<string | undefined> {
    return this.page.evaluate(() => document.body.dataset.tab)
  }

  /** Resolves to the milliseconds that it took */
  async leads (patience?: number): Promise<number> {
    return until(`this tab of ${this.name} leads`, async () => await this.status() === 'leading', patience)
  }

  /** Registers if it is asked to, and waits until it is there */
  async enter (): Promise<void> {
    await until('the page is there', async () => await this.#isShown('register') || this.#isShown('chat'))

    if (await this.#isShown('register')) {
      await this.page.fill('#name', this.name)
      await this.page.press('#name', 'Enter')
      await until('the chat is open', async () => this.#isShown('chat'))
    }
  }

  /** 'online', 'away', or undefined: it does not know them */
  async presenceOf (name: string): Promise<string | undefined> {
    return this.page.evaluate(name => Array.from(document.querySelectorAll('#people button'))
      .find(button => button.firstChild?.textContent === name)?.lastChild?.textContent ?? undefined, name)
  }

  async sees (name: string, presence = 'online'): Promise<void> {
    await until(`${this.name} sees ${name} ${presence}`, async () => await this.presenceOf(name) === presence)
  }

  async talkTo (name: string): Promise<void> {
    await this.sees(name)
    await this.lookAt(name)
  }

  /** Whether that one is there or not */
  async lookAt (name: string): Promise<void> {
    await this.page.click(`#people button:has-text("${name}")`)
  }

  async say (text: string): Promise<void> {
    await this.page.fill('#text', text)
    await this.page.press('#text', 'Enter')
  }

  async shown (): Promise<Shown[]> {
    return this.page.evaluate(() => Array.from(document.querySelectorAll('#messages li'), li => ({
      isMine: li.className === 'mine',
      text: (li.querySelector('.file') ?? li.firstChild)?.textContent ?? '',
      state: li.querySelector('small')?.textContent?.split(' · ')[1] ?? ''
    })))
  }

  /** What the other one said, as it is shown */
  async heard (): Promise<string[]> {
    return (await this.shown()).filter(({ isMine }) => !isMine).map(({ text }) => text)
  }

  /** The states of what this person said */
  async states (): Promise<string[]> {
    return (await this.shown()).filter(({ isMine }) => isMine).map(({ state }) => state)
  }

  async hears (texts: string[], patience?: number): Promise<void> {
    let last: string[] = []
    await until(() => `${this.name} hears ${texts.length} messages: ${JSON.stringify(last)}`, async () => {
      last = await this.heard()
      return last.length >= texts.length && texts.every(text => last.includes(text))
    }, patience)
  }

  /** The page shows so many messages */
  async shows (count: number): Promise<void> {
    let last: Shown[] = []
    await until(() => `${this.name} sees ${count} messages: ${last.length}, ${JSON.stringify(last)}`, async () => {
      last = await this.shown()
      return last.length === count
    })
  }

  /** All that this person said is in this state */
  async all (state: string, patience?: number): Promise<void> {
    let last: string[] = []
    await until(() => `all that ${this.name} said is ${state}: ${last.join()}`, async () => {
      last = await this.states()
      return last.length > 0 && last.every(one => one === state)
    }, patience)
  }

  /** The page in a new tab, after the one before is gone */
  async again (world: World, context: Context = this.context): Promise<void> {
    this.context = context
    this.page = await world.page(this.name, this.path, context)
    await this.enter()
  }

  async isConnected (): Promise<boolean> {
    return (await this.page.textContent('#connection'))?.startsWith('connected') === true
  }

  /** How many others the page is connected to */
  async peers (): Promise<number> {
    return Number(/\d+/.exec(await this.page.textContent('#connection') ?? '')?.[0] ?? 0)
  }

  async #isShown (id: string): Promise<boolean> {
    return this.page.evaluate(id => document.getElementById(id)?.hidden === false, id)
  }
}

/** Two people who are registered, have found each other, and look at each other's conversation */
export async function couple (world: World, relay: Relay): Promise<[Person, Person]> {
  const people = await Promise.all([Person.open(world, ALICE, relay), Person.open(world, BOB, relay)])
  const [a, b] = people
  await Promise.all([a.talkTo(BOB), b.talkTo(ALICE)])
  return [a, b]
}
