import { Key } from 'interface-datastore'
import { StoreFailedError } from '../runtime/errors.ts'
import type { PageStore } from './pages.ts'
import type { Clock } from '../runtime/clock.ts'
import type { StoreOwner } from '../runtime/store-owner.ts'
import type { Datastore } from 'interface-datastore'

/** Numbers under one prefix, a shelf. Part of the form on disk: with another number nothing would be found */
export const SHELF = 4096
/** Milliseconds that one operation of the datastore may take. A disk that takes longer is broken */
export const DISK_DEADLINE = 120_000
/** Milliseconds on top of the deadline: after a sleep of the machine, timers ring before answers come in */
const DISK_GRACE = 2_000
/** Digits of a number of a shelf, and of a number on it */
const SHELF_DIGITS = 8
const NUMBER_DIGITS = 4
/** Values that are read or written at once */
const AT_ONCE = 64
/** Bytes of a shelf that are read with its keys. A guess: as many as a shelf has that is full of small records */
const SMALL_SHELF = 4 * 1024 * 1024

/** What a number stands for. It is the last letter of the key: so an open need not read pages to find the records */
export type Stored = 'record' | 'page'

/** Numbers of what lies on a shelf, or in all of a store, in order */
export interface Listed extends Record<Stored, number[]> {
  /** By their numbers, the records, where listing was all the same as reading them */
  values?: Map<number, Uint8Array>
}

export interface DiskInit {
  datastore: Datastore
  /** What all keys begin with */
  base: string
  clock: Clock
}

/** Datastores with an operation that was given up, and may still end: nobody else may open what lies in them */
const hung = new WeakMap<Datastore, Set<Promise<unknown>>>()

/** Whether an operation that was given up may still change what lies there */
export function mayStillWrite (datastore: Datastore): boolean {
  return (hung.get(datastore)?.size ?? 0) > 0
}

/** The number with which the shelf of this one begins */
export function shelfOf (seq: number): number {
  return seq - seq % SHELF
}

/** The first number from this one on that begins a shelf */
export function nextShelf (seq: number): number {
  return Math.ceil(seq / SHELF) * SHELF
}

/**
 * Values under ascending numbers in a datastore: records and pages. LevelDB writes keys fastest that ascend.
 */
export class Disk implements PageStore {
  nextSeq = 0
  readonly #datastore: Datastore
  readonly #base: string
  readonly #clock: Clock
  #ownership?: StoreOwner
  #broken?: Error
  /** Why nothing is read any more: what is not there may have been deleted */
  #ended?: Error

  constructor ({ datastore, base, clock }: DiskInit) {
    this.#datastore = datastore
    this.#base = base
    this.#clock = clock
  }

  /** Nothing is written without it */
  own (ownership: StoreOwner): void {
    this.#ownership = ownership
  }

  /** From here on nothing is read, also by who has asked already */
  end (why: Error): void {
    this.#ended ??= why
  }

  /** Throws why nothing can be written any more */
  check (): void {
    if (this.#broken != null) {
      throw this.#broken
    }
    this.#ownership?.check()
  }

  async getRecord (seq: number): Promise<Uint8Array | undefined> {
    return this.getNamed(nameOf(seq, 'record'))
  }

  async putRecord (seq: number, bytes: Uint8Array): Promise<void> {
    await this.putNamed(nameOf(seq, 'record'), bytes)
  }

  async getPage (seq: number): Promise<Uint8Array | undefined> {
    return this.getNamed(nameOf(seq, 'page'))
  }

  async putPage (seq: number, bytes: Uint8Array): Promise<void> {
    await this.putNamed(nameOf(seq, 'page'), bytes)
  }

  async delete (seqs: Iterable<number>, kind: Stored): Promise<void> {
    this.check()
    await this.#deleteAll([...seqs].map(seq => this.#key(nameOf(seq, kind))))
  }

  /** What lies under a name of its own */
  async getNamed (name: string): Promise<Uint8Array | undefined> {
    this.#mustBeThere()
    const bytes = await this.#run('read', async () => {
      try {
        return plain(await this.#datastore.get(this.#key(name)))
      } catch (err: any) {
        if (err?.name !== 'NotFoundError') {
          throw err
        }
      }
    })
    this.#mustBeThere()
    return bytes
  }

  async putNamed (name: string, bytes: Uint8Array): Promise<void> {
    this.check()
    // IndexedDB stores all of the memory that a view is of
    const own = bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes)
    await this.#run('write', async () => this.#datastore.put(this.#key(name), own))
  }

  /** The numbers of what lies on the shelf that begins with `from`; without it, of all there is */
  async seqs (from?: number): Promise<Listed> {
    const listed = (from == null ? undefined : await this.#smallShelf(from)) ?? await this.#list(from)
    listed.record.sort((a, b) => a - b)
    listed.page.sort((a, b) => a - b)
    return listed
  }

  /** Reads records in order, but for missing ones. `values`: records that were read before */
  async * records (
    seqs: number[], values?: Map<number, Uint8Array>
  ): AsyncGenerator<{ seq: number, bytes: Uint8Array }> {
    const read = async (at: number): Promise<Array<{ seq: number, bytes?: Uint8Array }>> => {
      const some = seqs.slice(at, at + AT_ONCE)

      return Promise.all(some.map(async seq => ({ seq, bytes: values?.get(seq) ?? await this.getRecord(seq) })))
    }
    let next = read(0)

    for (let at = AT_ONCE; at < seqs.length + AT_ONCE; at += AT_ONCE) {
      const some = await next
      // the disk reads while these are dealt with
      next = read(at)
      next.catch(() => {})

      for (const { seq, bytes } of some) {
        if (bytes != null) {
          yield { seq, bytes }
        }
      }
    }
  }

  /** Deletes everything but what lies under some names, and last what lies under `last` */
  async clear (last: string, ...kept: string[]): Promise<void> {
    const left = new Set([last, ...kept].map(name => this.#key(name).toString()))
    const keys = await this.#keys(this.#prefixOf())
    await this.#deleteAll(keys.filter(key => !left.has(key.toString())))
    await this.#deleteAll([this.#key(last)])
  }

  async #keys (prefix: string): Promise<Key[]> {
    return this.#run('list', async () => collect(this.#datastore.queryKeys({ prefix })))
  }

  /** All of a shelf, which takes half the time of listing it and then reading each record. Undefined: it is large */
  async #smallShelf (shelf: number): Promise<Listed | undefined> {
    return this.#run('read', async () => {
      const [listed, values]: [Listed, Map<number, Uint8Array>] = [{ record: [], page: [] }, new Map()]
      let bytes = 0

      for await (const { key, value } of this.#datastore.query({ prefix: this.#prefixOf(shelf) })) {
        const { seq, kind } = this.#seqOf(key) ?? {}
        bytes += value.byteLength

        if (bytes > SMALL_SHELF) {
          return undefined
        }
        if (seq != null && kind != null) {
          listed[kind].push(seq)
        }
        if (seq != null && kind === 'record') {
          values.set(seq, plain(value))
        }
      }

      return { ...listed, values }
    })
  }

  async #list (shelf?: number): Promise<Listed> {
    const listed: Listed = { record: [], page: [] }

    for (const key of await this.#keys(this.#prefixOf(shelf))) {
      const { seq, kind } = this.#seqOf(key) ?? {}

      if (seq != null && kind != null) {
        listed[kind].push(seq)
      }
    }

    return listed
  }

  async #deleteAll (keys: Key[]): Promise<void> {
    for (let i = 0; i < keys.length; i += AT_ONCE) {
      const some = keys.slice(i, i + AT_ONCE)
      await Promise.all(some.map(async key => this.#run('delete', async () => this.#datastore.delete(key))))
    }
  }

  /** An operation that takes too long is given up, and nothing is written after it: it may end at any time */
  async #run<T> (what: string, operate: () => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const operation = operate()
      const giveUp = (): void => {
        const operations = hung.get(this.#datastore) ?? new Set()
        hung.set(this.#datastore, operations.add(operation))
        operation.catch(() => {}).finally(() => { operations.delete(operation) })
        const what = `The datastore took longer than ${DISK_DEADLINE} ms`
        this.#broken ??= new StoreFailedError(`${what}: close the log, and open it again`)
        reject(this.#broken)
      }
      let timer = this.#clock.after(DISK_DEADLINE, () => { timer = this.#clock.after(DISK_GRACE, giveUp) })
      operation.then(resolve, (err: any) => {
        // a datastore may reject with anything, or nothing
        const message = `The datastore could not ${what} (${err?.message ?? err}): the log goes on when the disk does`
        reject(new StoreFailedError(message, { cause: err }))
      }).finally(() => { timer.cancel() })
    })
  }

  #mustBeThere (): void {
    if (this.#ended != null) {
      throw this.#ended
    }
  }

  #prefixOf (from?: number): string {
    return `${this.#base}/${from == null ? '' : `${shelfNameOf(from)}/`}`
  }

  /** Undefined: it is the key of something else */
  #seqOf (key: Key): { seq: number, kind: Stored } | undefined {
    const match = /\/([0-9a-z]{8})\/([0-9a-z]{4})([rp])$/.exec(key.toString().slice(this.#base.length))

    if (match?.index === 0) {
      const seq = parseInt(match[1], 36) * SHELF + parseInt(match[2], 36)
      return { seq, kind: match[3] === 'r' ? 'record' : 'page' }
    }
  }

  #key (name: string): Key {
    return new Key(`${this.#base}/${name}`, false)
  }
}

async function collect<T> (source: AsyncIterable<T> | Iterable<T>): Promise<T[]> {
  const items: T[] = []

  for await (const item of source) {
    items.push(item)
  }

  return items
}

/** Views of a Node Buffer are slow to make, and its `slice` makes no copy */
function plain ({ buffer, byteOffset, byteLength }: Uint8Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}

function shelfNameOf (seq: number): string {
  return Math.floor(seq / SHELF).toString(36).padStart(SHELF_DIGITS, '0')
}

function nameOf (seq: number, kind: Stored): string {
  const number = (seq % SHELF).toString(36).padStart(NUMBER_DIGITS, '0')
  return `${shelfNameOf(seq)}/${number}${kind === 'record' ? 'r' : 'p'}`
}
