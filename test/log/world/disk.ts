import { BaseDatastore } from 'datastore-core'
import { Key } from 'interface-datastore'
import { randomInt } from '../../../src/runtime/random.ts'
import { DiskError } from '../../fixtures/datastores.ts'
import { turn } from './time.ts'
import type { Random } from '../../../src/runtime/random.ts'
import type { Batch, KeyQuery, Pair, Query } from 'interface-datastore'

/** Keys that a query reads at once */
const READ_AHEAD = 8

/** What outlives every process: one value a key */
export type Disk = Map<string, Uint8Array>

/** The process that asks is dead: nobody ever hears this error but what is left of it */
export class ProcessDiedError extends Error {
  static name = 'ProcessDiedError'
  name = 'ProcessDiedError'
}

export interface DatastoreInit {
  disk: Disk
  random: Random
  /** Answers take some turns of the event loop */
  isSlow?: boolean
  /** A batch is written as one, or not at all */
  isAtomic?: boolean
  /** Values are stored and handed out without copying them, as a MemoryDatastore does */
  isSharing?: boolean
}

/** Operations during which something goes wrong: from this number on, up to that one */
export interface Span {
  from: number
  to: number
}

/** Always the same one: it is thrown so often that its stack is the most expensive thing in a world */
const NOT_FOUND = Object.assign(new Error('there is no such key'), { name: 'NotFoundError' })

const NEVER: Span = { from: Infinity, to: 0 }

interface Change {
  key: string
  value?: Uint8Array
}

/**
 * A process's way to its disk. One put is atomic. A batch is not: its changes are made one by one in any order, and others
 * may come in between. Operations fail while they are told to, and from the one on with which the process dies none returns.
 */
export class HostileDatastore extends BaseDatastore {
  readonly #init: DatastoreInit
  readonly #died = Promise.withResolvers<void>()
  /** Operations so far */
  operations = 0
  /** The operation that the process does not survive */
  diesAt = Infinity
  failingWrites: Span = NEVER
  failingReads: Span = NEVER
  isDead = false
  /** Whether an operation has failed so far */
  hasFailed = false

  constructor (init: DatastoreInit) {
    super()
    this.#init = init
  }

  get died (): Promise<void> {
    return this.#died.promise
  }

  /** Whether no operation is going to fail */
  get isSound (): boolean {
    return !this.isDead && [this.failingWrites, this.failingReads].every(({ to }) => to <= this.operations)
  }

  repair (): void {
    this.failingWrites = this.failingReads = NEVER
    this.diesAt = Infinity
  }

  kill (): void {
    this.isDead = true
    this.#died.resolve()
  }

  async put (key: Key, value: Uint8Array): Promise<Key> {
    await this.#change({ key: key.toString(), value })
    return key
  }

  async delete (key: Key): Promise<void> {
    await this.#change({ key: key.toString() })
  }

  async get (key: Key): Promise<Uint8Array> {
    const value = await this.#operate(() => this.#read(key.toString()))

    if (value == null) {
      throw NOT_FOUND
    }

    return value
  }

  async has (key: Key): Promise<boolean> {
    return this.#operate(() => this.#init.disk.has(key.toString()))
  }

  batch (): Batch {
    const changes: Change[] = []

    return {
      put: (key, value) => { changes.push({ key: key.toString(), value }) },
      delete: key => { changes.push({ key: key.toString() }) },
      commit: async () => { await this.#commit(changes.splice(0)) }
    }
  }

  async * _all (query: Query): AsyncGenerator<Pair> {
    for await (const key of this._allKeys({ prefix: query.prefix })) {
      const value = this.#read(key.toString())

      if (value != null) {
        yield { key, value }
      }
    }
  }

  async * _allKeys ({ prefix = '' }: KeyQuery): AsyncGenerator<Key> {
    const keys = await this.#operate(() => [...this.#init.disk.keys()].filter(key => key.startsWith(prefix)))

    for (const [i, key] of keys.entries()) {
      if (i % READ_AHEAD === READ_AHEAD - 1) {
        await this.#operate(() => {})
      }
      yield new Key(key, false)
    }
  }

  async #commit (changes: Change[]): Promise<void> {
    if (this.#init.isAtomic === true) {
      return this.#write(() => { changes.forEach(change => { this.#apply(change) }) })
    }

    for (const change of shuffled(changes, this.#init.random)) {
      await this.#change(change)
    }
  }

  async #change (change: Change): Promise<void> {
    await this.#write(() => { this.#apply(change) })
  }

  /** A write of which nobody hears whether it was done may have been */
  async #write (act: () => void): Promise<void> {
    const mayAct = (): void => {
      if (randomInt(this.#init.random, 2) === 0) {
        act()
      }
    }
    await this.#operate(act, 'failingWrites', mayAct)
  }

  async #operate <T> (act: () => T, kind: 'failingReads' | 'failingWrites' = 'failingReads', actHalf: () => void = () => {}): Promise<T> {
    await this.#delay()
    this.#mustLive()
    const number = ++this.operations
    const { from, to } = this[kind]

    if (number >= this.diesAt) {
      actHalf()
      this.kill()
    }

    this.#mustLive()

    if (number >= from && number < to) {
      // a disk that fails for ever is full: that one surely did nothing
      if (to < Infinity) {
        actHalf()
      }
      this.hasFailed = true
      throw new DiskError('the disk failed')
    }

    const result = act()
    await this.#delay()
    this.#mustLive()
    return result
  }

  #read (key: string): Uint8Array | undefined {
    const { disk, isSharing } = this.#init
    const value = disk.get(key)
    return isSharing === true || value == null ? value : Uint8Array.from(value)
  }

  #apply ({ key, value }: Change): void {
    const { disk, isSharing } = this.#init

    if (value == null) {
      disk.delete(key)
    } else {
      disk.set(key, isSharing === true ? value : Uint8Array.from(value))
    }
  }

  #mustLive (): void {
    if (this.isDead) {
      throw new ProcessDiedError('this process is dead')
    }
  }

  async #delay (): Promise<void> {
    const { random, isSlow } = this.#init

    if (isSlow !== true) {
      return
    }

    for (let left = randomInt(random, 4); left > 0; left--) {
      await Promise.resolve()
    }
    for (let left = randomInt(random, 8) === 0 ? randomInt(random, 6) : 0; left > 0; left--) {
      await turn()
    }
  }
}

export function shuffled <T> (items: readonly T[], random: Random): T[] {
  const all = items.slice()

  for (let i = all.length - 1; i > 0; i--) {
    const k = randomInt(random, i + 1)
    const item = all[i]
    all[i] = all[k]
    all[k] = item
  }

  return all
}
