import { StoreInUseError } from '../runtime/errors.ts'
import { setFence } from '../runtime/fence.ts'
import { LEASE } from './constants.ts'
import type { Clock } from '../runtime/clock.ts'
import type { AbortOptions } from '@libp2p/interface'
import type { Batch, Datastore, Key, KeyQuery, Pair, Query } from 'interface-datastore'

export interface LeaseInit {
  clock: Clock
  /** Which store it is for: that of the profile */
  name: string
  /** Whether the lock is still ours */
  isHeld (): Promise<boolean>
}

/**
 * That this tab may write, for one reign. Who writes asks first; what the locks said counts for LEASE. A tab that stood
 * still, and was replaced meanwhile, asks the locks before its first write, and finds out. Once over, it stays over.
 */
export class Lease {
  readonly #init: LeaseInit
  /** When the last question was asked that the locks have answered with yes */
  #heldAt = -Infinity
  #asking?: Promise<void>
  #isOver = false

  constructor (init: LeaseInit) {
    this.#init = init
  }

  get isOver (): boolean {
    return this.#isOver
  }

  /** Nothing has to be asked: it was answered just now */
  get isFresh (): boolean {
    return !this.#isOver && this.#init.clock.now() - this.#heldAt < LEASE
  }

  end (): void {
    this.#isOver = true
  }

  /** Throws a StoreInUseError */
  check (): void {
    if (this.#isOver) {
      throw new StoreInUseError(`Another tab leads the profile '${this.#init.name}', and has its store`)
    }
  }

  /** Resolves when this tab may write. Throws a StoreInUseError if it may not any more */
  async confirm (): Promise<void> {
    while (!this.isFresh) {
      this.check()
      this.#asking ??= this.#ask().finally(() => { this.#asking = undefined })
      await this.#asking
    }
  }

  async #ask (): Promise<void> {
    const { clock, isHeld } = this.#init
    const asked = clock.now()

    if (await isHeld()) {
      this.#heldAt = asked
    } else {
      this.#isOver = true
    }
  }

  /**
   * A datastore to which nothing is written once the lease is over. What a node writes as it stops is dropped then: the
   * owners of logs and sessions (runtime/store-owner.ts) ask the fence, and refuse before
   */
  guard (datastore: Datastore): Datastore {
    const guarded = new GuardedDatastore(datastore, this)
    setFence(guarded, { name: this.#init.name, check: () => { this.check() } })
    return guarded
  }
}

type Many<T> = Iterable<T> | AsyncIterable<T>

class GuardedDatastore implements Datastore {
  readonly #datastore: Datastore
  readonly #lease: Lease

  constructor (datastore: Datastore, lease: Lease) {
    this.#datastore = datastore
    this.#lease = lease
  }

  async put (key: Key, value: Uint8Array, options?: AbortOptions): Promise<Key> {
    await this.#write(async () => this.#datastore.put(key, value, options))
    return key
  }

  async get (key: Key, options?: AbortOptions): Promise<Uint8Array> {
    return this.#datastore.get(key, options)
  }

  async has (key: Key, options?: AbortOptions): Promise<boolean> {
    return this.#datastore.has(key, options)
  }

  async delete (key: Key, options?: AbortOptions): Promise<void> {
    await this.#write(async () => this.#datastore.delete(key, options))
  }

  async * putMany (pairs: Many<Pair>, options?: AbortOptions): AsyncGenerator<Key> {
    for await (const { key, value } of pairs) {
      yield this.put(key, value, options)
    }
  }

  async * getMany (keys: Many<Key>, options?: AbortOptions): AsyncGenerator<Pair> {
    yield * this.#datastore.getMany(keys, options)
  }

  async * deleteMany (keys: Many<Key>, options?: AbortOptions): AsyncGenerator<Key> {
    for await (const key of keys) {
      await this.delete(key, options)
      yield key
    }
  }

  batch (): Batch {
    const batch = this.#datastore.batch()
    return {
      put: (key, value) => { batch.put(key, value) },
      delete: key => { batch.delete(key) },
      commit: async options => { await this.#write(async () => batch.commit(options)) }
    }
  }

  async * query (query: Query, options?: AbortOptions): AsyncGenerator<Pair> {
    yield * this.#datastore.query(query, options)
  }

  async * queryKeys (query: KeyQuery, options?: AbortOptions): AsyncGenerator<Key> {
    yield * this.#datastore.queryKeys(query, options)
  }

  async #write (write: () => Promise<unknown>): Promise<void> {
    if (!this.#lease.isOver) {
      await this.#lease.confirm()
      await write()
    }
  }
}
