import { Key } from 'interface-datastore'
import { DISK_DEADLINE, DISK_GRACE } from './constants.ts'
import { StoreFailedError } from './errors.ts'
import type { Clock } from '../runtime/clock.ts'
import type { StoreOwner } from '../runtime/store-owner.ts'
import type { Datastore } from 'interface-datastore'

/** Digits of a number of a shelf, and of a number on it */
const SHELF_DIGITS = 8
const NUMBER_DIGITS = 4
/** Values that are read or written at once */
const AT_ONCE = 64

/** What a number stands for. It is the last letter of the key: so an open need not read pages to find the records */
export type Stored = 'record' | 'page'

export interface DiskInit {
  datastore: Datastore
  /** What all keys begin with */
  base: string
  clock: Clock
  shelfKeys: number
}

/** Datastores with an operation that was given up, and may still end: nobody else may open what lies in them */
const hung = new WeakMap<Datastore, Set<Promise<unknown>>>()

/** Whether an operation that was given up may still change what lies there */
export function mayStillWrite (datastore: Datastore): boolean {
  return (hung.get(datastore)?.size ?? 0) > 0
}

/**
 * Where a log lies in a datastore. Records and pages have numbers, which only ever ascend: that is what LevelDB writes fastest.
 */
export class Disk {
  readonly #datastore: Datastore
  readonly #base: string
  readonly #clock: Clock
  /** Numbers under one prefix */
  readonly shelfKeys: number
  #ownership?: StoreOwner
  #broken?: Error

  constructor ({ datastore, base, clock, shelfKeys }: DiskInit) {
    this.#datastore = datastore
    this.#base = base
    this.#clock = clock
    this.shelfKeys = shelfKeys
  }

  /** Nothing is written without it */
  own (ownership: StoreOwner): void {
    this.#ownership = ownership
  }

  /** Throws why nothing can be written any more */
  check (): void {
    if (this.#broken != null) {
      throw this.#broken
    }
    this.#ownership?.check()
  }

  /** The number with which the shelf of this one begins */
  shelfOf (seq: number): number {
    return seq - seq % this.shelfKeys
  }

  /** The first number from this one on that begins a shelf */
  nextShelf (seq: number): number {
    return Math.ceil(seq / this.shelfKeys) * this.shelfKeys
  }

  async get (seq: number, kind: Stored): Promise<Uint8Array | undefined> {
    return this.getNamed(this.#name(seq, kind))
  }

  async put (seq: number, kind: Stored, bytes: Uint8Array): Promise<void> {
    await this.putNamed(this.#name(seq, kind), bytes)
  }

  async delete (seqs: Iterable<number>, kind: Stored): Promise<void> {
    await inTurns(seqs, async seq => this.deleteNamed(this.#name(seq, kind)))
  }

  /** What lies under a name of its own */
  async getNamed (name: string): Promise<Uint8Array | undefined> {
    try {
      return await this.#within(this.#datastore.get(this.#key(name)))
    } catch (err: any) {
      if (err.name !== 'NotFoundError') {
        throw err
      }
    }
  }

  async putNamed (name: string, bytes: Uint8Array): Promise<void> {
    this.check()
    // IndexedDB stores all of the memory that a view is of
    const own = bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes)
    await this.#within(this.#datastore.put(this.#key(name), own))
  }

  async deleteNamed (name: string): Promise<void> {
    this.check()
    await this.#within(this.#datastore.delete(this.#key(name)))
  }

  /** The numbers of what lies on the shelf that begins with `from`, in order */
  async shelf (from: number): Promise<Record<Stored, number[]>> {
    return this.#seqs(`${this.#shelfName(from)}/`)
  }

  /** The numbers of all there is, in order */
  async all (): Promise<Record<Stored, number[]>> {
    return this.#seqs('')
  }

  /** Many records, in order, those that are not there left out. `isWhole`: they are all that lie on their shelf */
  async * records (seqs: number[], isWhole: boolean): AsyncGenerator<{ seq: number, bytes: Uint8Array }> {
    if (!isWhole || seqs.length < AT_ONCE) {
      for (let i = 0; i < seqs.length; i += AT_ONCE) {
        const some = seqs.slice(i, i + AT_ONCE)
        const values = await Promise.all(some.map(async seq => this.get(seq, 'record')))

        for (const [k, bytes] of values.entries()) {
          if (bytes != null) {
            yield { seq: some[k], bytes }
          }
        }
      }
      return
    }

    const found: Array<{ seq: number, bytes: Uint8Array }> = []

    for await (const { key, value } of this.#datastore.query({ prefix: `${this.#base}/${this.#shelfName(seqs[0])}/` })) {
      const named = this.#seqOf(key)

      if (named?.kind === 'record') {
        found.push({ seq: named.seq, bytes: value })
      }
    }

    yield * found.sort((a, b) => a.seq - b.seq)
  }

  /** Deletes everything but what lies under some names, and last what lies under `last` */
  async clear (last: string, ...kept: string[]): Promise<void> {
    const left = new Set([last, ...kept].map(name => this.#key(name).toString()))
    const keys: Key[] = []

    for await (const key of this.#datastore.queryKeys({ prefix: `${this.#base}/` })) {
      if (!left.has(key.toString())) {
        keys.push(key)
      }
    }

    await inTurns(keys, async key => this.#within(this.#datastore.delete(key)))
    await this.#within(this.#datastore.delete(this.#key(last)))
  }

  async #seqs (prefix: string): Promise<Record<Stored, number[]>> {
    const seqs: Record<Stored, number[]> = { record: [], page: [] }

    for await (const key of this.#datastore.queryKeys({ prefix: `${this.#base}/${prefix}` })) {
      const named = this.#seqOf(key)

      if (named != null) {
        seqs[named.kind].push(named.seq)
      }
    }

    seqs.record.sort((a, b) => a - b)
    seqs.page.sort((a, b) => a - b)
    return seqs
  }

  /** An operation that takes too long is given up, and nothing is written after it: it may end at any time */
  async #within<T> (operation: T | Promise<T>): Promise<T> {
    if (!(operation instanceof Promise)) {
      return operation
    }

    return new Promise<T>((resolve, reject) => {
      const giveUp = (): void => {
        const operations = hung.get(this.#datastore) ?? new Set()
        hung.set(this.#datastore, operations.add(operation))
        operation.catch(() => {}).finally(() => { operations.delete(operation) })
        this.#broken ??= new StoreFailedError(`The datastore took longer than ${DISK_DEADLINE} ms: close the log, and open it again`)
        reject(this.#broken)
      }
      let timer = this.#clock.after(DISK_DEADLINE, () => { timer = this.#clock.after(DISK_GRACE, giveUp) })
      operation.then(resolve, reject).finally(() => { timer.cancel() })
    })
  }

  #shelfName (seq: number): string {
    return Math.floor(seq / this.shelfKeys).toString(36).padStart(SHELF_DIGITS, '0')
  }

  #name (seq: number, kind: Stored): string {
    return `${this.#shelfName(seq)}/${(seq % this.shelfKeys).toString(36).padStart(NUMBER_DIGITS, '0')}${kind === 'record' ? 'r' : 'p'}`
  }

  /** Undefined: it is the key of something else */
  #seqOf (key: Key): { seq: number, kind: Stored } | undefined {
    const match = /\/([0-9a-z]{8})\/([0-9a-z]{4})([rp])$/.exec(key.toString().slice(this.#base.length))

    if (match?.index === 0) {
      return { seq: parseInt(match[1], 36) * this.shelfKeys + parseInt(match[2], 36), kind: match[3] === 'r' ? 'record' : 'page' }
    }
  }

  #key (name: string): Key {
    return new Key(`${this.#base}/${name}`, false)
  }
}

async function inTurns<T> (items: Iterable<T>, run: (item: T) => unknown): Promise<void> {
  const left = [...items].reverse()

  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (let item = left.pop(); item != null; item = left.pop()) {
      await run(item)
    }
  }))
}
