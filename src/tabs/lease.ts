import { StoreInUseError } from '../runtime/errors.ts'
import { setFence } from '../runtime/fence.ts'
import { LEASE } from './constants.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Datastore } from 'interface-datastore'

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
    const write = async (act: () => unknown): Promise<void> => {
      if (!this.#isOver) {
        await this.confirm()
        await act()
      }
    }
    const writes: Pick<Datastore, 'put' | 'delete' | 'putMany' | 'deleteMany' | 'batch'> = {
      put: async (key, value, options) => {
        await write(async () => datastore.put(key, value, options))
        return key
      },
      delete: async (key, options) => { await write(async () => datastore.delete(key, options)) },
      putMany: async function * (pairs, options) {
        for await (const { key, value } of pairs) {
          yield writes.put(key, value, options)
        }
      },
      deleteMany: async function * (keys, options) {
        for await (const key of keys) {
          await writes.delete(key, options)
          yield key
        }
      },
      batch: () => {
        const batch = datastore.batch()
        return {
          put: (key, value) => { batch.put(key, value) },
          delete: key => { batch.delete(key) },
          commit: async options => { await write(async () => batch.commit(options)) }
        }
      }
    }
    const guarded: Datastore = {
      ...writes,
      get: (key, options) => datastore.get(key, options),
      has: (key, options) => datastore.has(key, options),
      getMany: (keys, options) => datastore.getMany(keys, options),
      query: (query, options) => datastore.query(query, options),
      queryKeys: (query, options) => datastore.queryKeys(query, options)
    }
    setFence(guarded, { name: this.#init.name, check: () => { this.check() } })
    return guarded
  }
}
