import { identify } from '@libp2p/identify'
import { AbortError, NotFoundError } from '@libp2p/interface'
import { BaseDatastore } from 'datastore-core'
import { Key } from 'interface-datastore'
import { createLibp2p } from 'libp2p'
import { directSub, sharedLogs } from '../../src/index.ts'
import { tabs } from '../../src/tabs/index.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import type { Channel, Locks, Methods, Ports, Profile, TabsInit } from '../../src/tabs/index.ts'
import type { PrivateKey } from '@libp2p/interface'
import type { Batch, KeyQuery, Pair, Query } from 'interface-datastore'

/** Milliseconds of a write to the disk, of a message, and of an answer of the locks */
const DISK = 3
const MESSAGE = 1

/** A lock that somebody has, or waits for */
interface Claim {
  tab: TestTab
  grant (): void
  take (): void
}

/**
 * What the tabs of an origin share, as a browser has it: locks, channels, a disk, and time. Tabs crash and freeze: what
 * happens to a frozen one waits until it goes on, and comes in its order then.
 */
export class TestBrowser {
  readonly clock = new VirtualClock()
  readonly values = new Map<string, Uint8Array>()
  /** Disks whose writes were followed by those of another one: they have to be the last ones */
  readonly #over = new Set<object>()
  #writer?: object
  readonly broken: string[] = []
  /** Locks that were taken from whoever had them */
  readonly stolen: string[] = []
  readonly tabs: TestTab[] = []
  readonly #locks = new Map<string, { holder?: Claim, queue: Claim[] }>()
  readonly channels = new Set<{ tab: TestTab, name: string, onMessage(message: unknown): void }>()

  newTab (): TestTab {
    const tab = new TestTab(this, this.tabs.length)
    this.tabs.push(tab)
    return tab
  }

  /** Lets time go by, and all that happens meanwhile, until something is true */
  async until (what: string, condition: () => boolean, ms = 20_000): Promise<void> {
    const end = this.clock.now() + ms

    while (!condition()) {
      if (this.clock.now() >= end) {
        throw new Error(`${what}: not within ${ms} ms`)
      }
      await this.pass(1)
    }
  }

  async pass (ms: number): Promise<void> {
    for (let i = 0; i < ms; i++) {
      this.clock.advance(1)
      await breathe()
    }
  }

  /** What a promise comes to, as time goes by */
  async settled<T> (what: string, promise: Promise<T>, ms?: number): Promise<T> {
    let isSettled = false
    promise.then(() => { isSettled = true }, () => { isSettled = true })
    await this.until(what, () => isSettled, ms)
    return promise
  }

  request (name: string, steal: boolean, claim: Claim): void {
    const lock = this.#locks.get(name) ?? { queue: [] }
    this.#locks.set(name, lock)

    if (steal) {
      this.stolen.push(name)
      const before = lock.holder
      lock.holder = claim
      before?.take()
      claim.grant()
    } else {
      lock.queue.push(claim)
      this.#next(name)
    }
  }

  drop (name: string, claim: Claim): void {
    const lock = this.#locks.get(name)

    if (lock != null) {
      lock.queue = lock.queue.filter(other => other !== claim)
      lock.holder = lock.holder === claim ? undefined : lock.holder
      this.#next(name)
    }
  }

  /** One leader writes at a time: who was followed by another one never writes again */
  noteWrite (disk: object, tab: number, key: string): void {
    if (this.#over.has(disk)) {
      this.broken.push(`tab ${tab} wrote ${key} after another one had taken over`)
    }
    if (this.#writer != null && this.#writer !== disk) {
      this.#over.add(this.#writer)
    }
    this.#writer = disk
  }

  held (): string[] {
    return [...this.#locks].flatMap(([name, { holder }]) => holder == null ? [] : name)
  }

  /** Locks of a tab that is gone */
  forget (tab: TestTab): void {
    for (const [name, lock] of this.#locks) {
      lock.queue = lock.queue.filter(claim => claim.tab !== tab)
      lock.holder = lock.holder?.tab === tab ? undefined : lock.holder
      this.#next(name)
    }
  }

  #next (name: string): void {
    const lock = this.#locks.get(name)

    if (lock != null && lock.holder == null) {
      lock.holder = lock.queue.shift()
      lock.holder?.grant()
    }
  }
}

type TabState = 'running' | 'frozen' | 'crashed'

export class TestTab implements Ports {
  readonly number: number
  readonly locks: Locks
  readonly clock: Clock
  readonly #browser: TestBrowser
  readonly #waiting: Array<() => void> = []
  readonly #crashing: Array<() => Promise<void>> = []
  #state: TabState = 'running'

  constructor (browser: TestBrowser, number: number) {
    this.#browser = browser
    this.number = number
    this.clock = {
      now: () => browser.clock.now(),
      after: (ms, fn) => browser.clock.after(ms, () => { this.enter(fn) }),
      soon: fn => { browser.clock.soon(() => { this.enter(fn) }) }
    }
    this.locks = {
      request: async (name, { steal = false, signal }, hold) => {
        const { promise, resolve, reject } = Promise.withResolvers<void>()
        const claim: Claim = {
          tab: this,
          grant: () => {
            this.after(MESSAGE, () => {
              hold().then(() => {
                browser.drop(name, claim)
                resolve()
              }, reject)
            })
          },
          take: () => { this.after(MESSAGE, () => { reject(new AbortError('stolen')) }) }
        }
        signal?.throwIfAborted()

        if (this.#state !== 'crashed') {
          signal?.addEventListener('abort', () => {
            browser.drop(name, claim)
            reject(new AbortError())
          })
          browser.request(name, steal, claim)
        }
        return promise
      },
      held: async () => new Promise((resolve, reject) => {
        // answered by the browser at once, and heard of when the tab runs
        const held = browser.held()
        this.onCrash(async () => { reject(new Error('the tab is gone')) })
        this.after(MESSAGE, () => { resolve(held) })
      })
    }
  }

  /** What the browser keeps for it */
  get waiting (): number {
    return this.#waiting.length
  }

  get state (): TabState {
    return this.#state
  }

  /** Something comes from outside */
  enter (fn: () => void): void {
    if (this.#state === 'running' && this.#waiting.length === 0) {
      fn()
    } else if (this.#state !== 'crashed') {
      this.#waiting.push(fn)
    }
  }

  after (ms: number, fn: () => void): void {
    this.#browser.clock.after(ms, () => { this.enter(fn) })
  }

  channel (name: string, onMessage: (message: any) => void): Channel {
    const own = { tab: this, name, onMessage }
    this.#browser.channels.add(own)
    return {
      post: message => {
        const copy = structuredClone(message)

        for (const other of this.#state === 'crashed' ? [] : this.#browser.channels) {
          if (other !== own && other.name === name) {
            other.tab.after(MESSAGE, () => { this.#browser.channels.has(other) && other.onMessage(copy) })
          }
        }
      },
      close: () => { this.#browser.channels.delete(own) }
    }
  }

  freeze (): void {
    this.#state = 'frozen'
  }

  thaw (): void {
    this.#state = 'running'
    this.#drain()
  }

  /** What waits comes one by one, each with all that follows from it */
  #drain (): void {
    if (this.#state === 'running' && this.#waiting.length > 0) {
      const [next] = this.#waiting
      // it keeps its place until all that follows from it has happened: what is new comes behind it
      this.#waiting[0] = () => {}
      next()
      this.#browser.clock.after(1, () => {
        if (this.#state === 'running') {
          this.#waiting.shift()
          this.#drain()
        }
      })
    }
  }

  /** Nothing it does is seen any more, and nothing reaches it */
  crash (): void {
    this.#state = 'crashed'
    this.#waiting.length = 0
    this.#browser.channels.forEach(channel => { channel.tab === this && this.#browser.channels.delete(channel) })
    this.#browser.forget(this)
    // only what the test process itself has of it
    this.#crashing.forEach(end => { end().catch(() => {}) })
  }

  onCrash (end: () => Promise<void>): void {
    this.#crashing.push(end)
  }

  get disk (): TestDisk {
    return new TestDisk(this.#browser, this)
  }
}

/** The disk, as one tab has it: operations are done in the order in which all tabs ask for them */
class TestDisk extends BaseDatastore {
  readonly #browser: TestBrowser
  readonly #tab: TestTab

  constructor (browser: TestBrowser, tab: TestTab) {
    super()
    this.#browser = browser
    this.#tab = tab
  }

  async put (key: Key, value: Uint8Array): Promise<Key> {
    return this.#do(values => {
      this.#browser.noteWrite(this, this.#tab.number, key.toString())
      values.set(key.toString(), value)
      return key
    })
  }

  async get (key: Key): Promise<Uint8Array> {
    const value = await this.#do(values => values.get(key.toString()))

    if (value == null) {
      throw new NotFoundError()
    }
    return value
  }

  async has (key: Key): Promise<boolean> {
    return this.#do(values => values.has(key.toString()))
  }

  async delete (key: Key): Promise<void> {
    await this.#do(values => {
      this.#browser.noteWrite(this, this.#tab.number, key.toString())
      values.delete(key.toString())
    })
  }

  batch (): Batch {
    const changes: Array<(values: Map<string, Uint8Array>) => void> = []
    return {
      put: (key, value) => { changes.push(values => { values.set(key.toString(), value) }) },
      delete: key => { changes.push(values => { values.delete(key.toString()) }) },
      commit: async () => this.#do(values => {
        this.#browser.noteWrite(this, this.#tab.number, 'a batch')
        changes.forEach(change => { change(values) })
      })
    }
  }

  async * query ({ prefix = '' }: Query): AsyncGenerator<Pair> {
    const found = await this.#do(values => [...values].filter(([key]) => key.startsWith(prefix)).sort())

    for (const [key, value] of found) {
      yield { key: new Key(key), value }
    }
  }

  async * queryKeys (query: KeyQuery): AsyncGenerator<Key> {
    for await (const { key } of this.query({ prefix: query.prefix })) {
      yield key
    }
  }

  async #do<T> (operate: (values: Map<string, Uint8Array>) => T): Promise<T> {
    if (this.#tab.state === 'crashed') {
      throw new Error('the tab is gone')
    }

    return new Promise((resolve, reject) => {
      this.#tab.onCrash(async () => { reject(new Error('the tab is gone')) })
      // what was handed to the browser is done, also if the tab is gone by then
      this.#browser.clock.after(DISK, () => {
        const outcome = operate(this.#browser.values)
        this.#tab.enter(() => { resolve(outcome) })
      })
    })
  }
}

/** A tab of a profile, with a node that has no peers */
export async function openProfile<M extends Methods<M> = {}> (
  tab: TestTab, privateKey: PrivateKey, init: Partial<TabsInit<M>> = {}
): Promise<Profile<M>> {
  return tabs<M>({
    name: 'profile',
    ports: tab,
    clock: tab.clock,
    openDatastore: () => tab.disk,
    createNode: async ({ datastore }) => {
      const node = await createLibp2p({
        privateKey,
        services: {
          identify: identify(),
          pubsub: directSub(),
          // all peer stores of one process share a lock: that of a frozen tab would hold up the others
          logs: (components: any) => sharedLogs({ clock: tab.clock })(Object.create(components, { datastore: { value: datastore } }))
        }
      })
      tab.onCrash(async () => node.stop())
      return node
    },
    ...init
  })
}

/** What follows from what was done, as far as no time has to go by */
async function breathe (): Promise<void> {
  for (let i = 0; i < 3; i++) {
    await new Promise<void>(resolve => { setImmediate(resolve) })
  }
}
