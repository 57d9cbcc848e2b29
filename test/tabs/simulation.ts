import { generateKeyPair } from '@libp2p/crypto/keys'
import { toString } from 'uint8arrays/to-string'
import { KeyValue } from '../../src/database/index.ts'
import { encodeString } from '../../src/runtime/codec.ts'
import { randomInt, seededRandom } from '../../src/runtime/random.ts'
import { openProfile, TestBrowser } from './browser.ts'
import type { TestTab } from './browser.ts'
import type { SharedLog } from '../../src/index.ts'
import type { Random } from '../../src/runtime/random.ts'
import type { Profile } from '../../src/tabs/index.ts'
import type { PrivateKey } from '@libp2p/interface'

/** Milliseconds within which all that is asked of living tabs has an answer, once nobody is frozen any more */
const PATIENCE = 20_000
const MAX_FROZEN = 8000
const STEPS = 40

type Action = 'append' | 'appendMany' | 'put' | 'pass' | 'freeze' | 'thaw' | 'crash' | 'stop' | 'open'

/** How often each of them is drawn */
const ACTIONS: Array<[Action, number]> = [
  ['append', 10], ['appendMany', 3], ['put', 4], ['pass', 10], ['freeze', 3], ['thaw', 3], ['crash', 3], ['stop', 1], ['open', 3]
]

/** A tab, and what is to be true of it at the end */
interface User {
  tab: TestTab
  profile: Profile
  log: SharedLog
  users: KeyValue<string>
  /** What its log told, in order, and how much the log had when it was opened */
  told: string[]
  first: number
  pending: Set<string>
}

export interface SimulationReport {
  seed: number
  broken: string[]
  /** So that a test sees that something happened */
  appended: number
  takeovers: number
}

/**
 * Tabs that append, freeze, crash, go and come at random. What has to hold:
 *
 * - T1: one leader writes at a time
 * - T2: each append that was acknowledged is in the log once; none is there twice
 * - T3: no call waits for ever
 * - T4: each tab is told of each entry once, in the order of arrivals
 * - T5: databases of all tabs come to say the same
 */
export async function simulate (seed: number): Promise<SimulationReport> {
  const random = seededRandom(seed)
  const browser = new TestBrowser()
  const simulation = new Simulation(browser, random, await generateKeyPair('Ed25519'))

  try {
    await simulation.run()
  } catch (err: any) {
    simulation.broken.push(`${err.message} ${simulation.states()}`)
  } finally {
    browser.tabs.forEach(tab => { tab.state === 'crashed' || tab.crash() })
  }

  const { broken, acked, takeovers } = simulation
  return { seed, broken: [...broken, ...browser.broken], appended: acked.size, takeovers }
}

class Simulation {
  readonly broken: string[] = []
  readonly acked = new Set<string>()
  takeovers = 0
  readonly #browser: TestBrowser
  readonly #random: Random
  readonly #privateKey: PrivateKey
  #users: User[] = []
  /** Tabs that open, and those that thaw by themselves */
  readonly #opening = new Set<Promise<void>>()
  readonly #puts = new Map<string, Set<string>>()
  #words = 0

  constructor (browser: TestBrowser, random: Random, privateKey: PrivateKey) {
    this.#browser = browser
    this.#random = random
    this.#privateKey = privateKey
  }

  async run (): Promise<void> {
    this.#open()
    this.#open()
    await this.#browser.settled('two tabs open', Promise.all(this.#opening))

    for (let i = 0; i < STEPS; i++) {
      await this.#act(this.#draw())
    }

    this.#browser.tabs.forEach(tab => { tab.state === 'frozen' && tab.thaw() })
    await this.#browser.settled('tabs open', Promise.all(this.#opening), PATIENCE)

    if (this.#users.length === 0) {
      this.#open()
      await this.#browser.settled('a tab opens', Promise.all(this.#opening), PATIENCE)
    }

    await this.#browser.until('T3: what was asked for has no answer', () => this.#users.every(({ pending }) => pending.size === 0), PATIENCE)
    await this.#judge()
  }

  /** For who reads a failure: how each tab is, and what it waits for */
  states (): string {
    return this.#users.map(({ tab, profile, pending }) =>
      `tab ${tab.number} ${tab.state} ${JSON.stringify(profile.state)} waits for ${[...pending].join('; ')}`).join(', ')
  }

  #draw (): Action {
    let at = randomInt(this.#random, ACTIONS.reduce((sum, [, weight]) => sum + weight, 0))
    return (ACTIONS.find(([, weight]) => (at -= weight) < 0) ?? ACTIONS[0])[0]
  }

  async #act (action: Action): Promise<void> {
    const running = this.#users.filter(({ tab }) => tab.state === 'running')
    const user = running[randomInt(this.#random, running.length)]
    const frozen = this.#users.filter(({ tab }) => tab.state === 'frozen')

    switch (action) {
      case 'append':
        user != null && this.#append(user, 1)
        break
      case 'appendMany':
        user != null && this.#append(user, 3)
        break
      case 'put':
        user != null && this.#put(user)
        break
      case 'pass':
        await this.#browser.pass(randomInt(this.#random, 2) === 0 ? randomInt(this.#random, 12) : randomInt(this.#random, 1500))
        break
      case 'freeze':
        if (user != null && running.length > 1) {
          user.tab.freeze()
          this.#browser.clock.after(randomInt(this.#random, MAX_FROZEN), () => { user.tab.state === 'frozen' && user.tab.thaw() })
        }
        break
      case 'thaw':
        frozen[randomInt(this.#random, frozen.length)]?.tab.thaw()
        break
      case 'crash':
        if (user != null && this.#users.length > 1) {
          this.#users = this.#users.filter(other => other !== user)
          user.tab.crash()
        }
        break
      case 'stop':
        if (user != null && this.#users.length > 1) {
          this.#users = this.#users.filter(other => other !== user)
          await this.#browser.settled('T3: a stop', user.profile.stop(), PATIENCE)
        }
        break
      case 'open':
        if (this.#users.length + this.#opening.size < 4) {
          this.#open()
        }
    }
  }

  #open (): void {
    const tab = this.#browser.newTab()
    const opening = this.#openTab(tab).finally(() => { this.#opening.delete(opening) })
    this.#opening.add(opening)
  }

  async #openTab (tab: TestTab): Promise<void> {
    const profile = await openProfile(tab, this.#privateKey)
    profile.addEventListener('change', ({ detail }) => { this.takeovers += detail.status === 'leading' ? 1 : 0 })
    const log = await profile.logs.open('notes')
    const user: User = {
      tab, profile, log, users: await KeyValue.open(profile.logs, 'users'), told: [], first: log.nextArrival, pending: new Set()
    }
    log.addEventListener('entry:add', ({ detail: { entry } }) => { user.told.push(toString(entry.data)) })
    this.#users.push(user)
  }

  #append (user: User, count: number): void {
    const words = Array.from({ length: count }, () => `word ${this.#words++}`)
    const items = words.map(word => encodeString(word))
    this.#wait(user, words.join(), count === 1 ? user.log.append(items[0]) : user.log.appendMany(items), () => {
      words.forEach(word => { this.acked.add(word) })
    })
  }

  #put (user: User): void {
    const key = `key ${randomInt(this.#random, 3)}`
    const value = `value ${this.#words++}`
    const put = this.#puts.get(key) ?? new Set()
    this.#puts.set(key, put.add(value))
    this.#wait(user, value, user.users.put(key, value), () => {})
  }

  #wait (user: User, what: string, work: Promise<unknown>, done: () => void): void {
    user.pending.add(what)
    work.then(done, (err: Error) => {
      // a tab that has stopped says so
      if (this.#users.includes(user)) {
        this.broken.push(`${what} of tab ${user.tab.number} failed: ${err.name}: ${err.message}`)
      }
    }).finally(() => { user.pending.delete(what) })
  }

  async #judge (): Promise<void> {
    const [{ log }] = this.#users
    const all = await this.#browser.settled('T3: the log is read', arrivalsOf(log), PATIENCE)
    const counts = new Map<string, number>()
    all.forEach(word => { counts.set(word, (counts.get(word) ?? 0) + 1) })
    counts.forEach((count, word) => { count > 1 && this.broken.push(`T2: ${word} is there ${count} times`) })
    this.acked.forEach(word => { counts.has(word) || this.broken.push(`T2: ${word} is lost`) })
    await this.#browser.until('T4: a tab is not told of all', () => this.#users.every(user => user.log.nextArrival >= all.length), PATIENCE)

    for (const { tab, told, first } of this.#users) {
      if (told.join() !== all.slice(first).join()) {
        this.broken.push(`T4: tab ${tab.number} was told ${told.join()} of ${all.slice(first).join()}`)
      }
    }

    const said = async (): Promise<string[]> => this.#browser.settled('T3: databases are read', Promise.all(this.#users.map(async ({ users }) => {
      const values = await Promise.all([...this.#puts.keys()].map(async key => [key, await users.get(key)]))
      return JSON.stringify(values)
    })), PATIENCE)
    await this.#browser.pass(1500)
    const databases = await said()
    new Set(databases).size > 1 && this.broken.push(`T5: databases differ: ${databases.join(' | ')}`)
  }
}

async function arrivalsOf (log: SharedLog): Promise<string[]> {
  const words: string[] = []
  for await (const { entry } of log.arrivals()) {
    words.push(toString(entry.data))
  }
  return words
}
