import { Packed } from '../runtime/packed.ts'
import { ARRAY_BYTES, COMMIT_BYTES } from './constants.ts'
import { MAX_DATA_BYTES } from './core/entry.ts'
import { InvalidContentError } from './errors.ts'

export type Items = Iterable<Uint8Array> | AsyncIterable<Uint8Array>

/** Callers may use the bytes that they append again at once: a log takes copies */
export function copyOf (item: Uint8Array): Packed {
  const copy = new Packed(checkedItem(item).byteLength)
  copy.add(item)
  return copy
}

/**
 * Copies items, as many together as one record takes: a piece of memory for each would hold the event loop for too
 * long. Of an array, the first `ARRAY_BYTES` are copied before the first `next` returns; the others as they are asked
 * for.
 */
export async function * copiesOf (items: Items, recordEntries: number): AsyncGenerator<Packed> {
  const copies = new Copies(recordEntries)

  if (Array.isArray(items)) {
    // not by `Array.from` with a function: 40,000 items held the loop for 20 ms then, and for 7 ms this way
    const own: Uint8Array[] = [...items]
    // all of them before the first one is stored
    own.forEach(checkedItem)
    let bytes = 0

    for (let i = 0; i < own.length; i++) {
      copies.add(own[i], own.length - i)
      bytes += own[i].byteLength

      if (bytes > ARRAY_BYTES) {
        yield * copies.takeFull()
      }
    }
  } else {
    for await (const item of items) {
      copies.add(checkedItem(item), recordEntries)
      yield * copies.takeFull()
    }
  }

  yield * copies.all
}

/** Programs without types hand over anything */
export function checked (bytes: Uint8Array): Uint8Array {
  if (!(bytes instanceof Uint8Array)) {
    throw new InvalidContentError(`an entry is made of a Uint8Array, not of ${typeof bytes}: encode it`)
  }

  return bytes
}

/** Throws an InvalidContentError for what no entry can hold */
export function checkedItem (item: Uint8Array): Uint8Array {
  if (checked(item).byteLength > MAX_DATA_BYTES) {
    throw new InvalidContentError(`an entry has at most ${MAX_DATA_BYTES} bytes, not ${item.byteLength}: ` +
      'send what is larger as a transfer, and append what names it')
  }

  return item
}

class Copies {
  all: Packed[] = []
  readonly #recordEntries: number

  constructor (recordEntries: number) {
    this.#recordEntries = recordEntries
  }

  /** `expected`: so many items come, with this one: mostly all are of one size */
  add (item: Uint8Array, expected: number): void {
    const { byteLength } = item
    let last: Packed | undefined = this.all[this.all.length - 1]

    if (last == null || last.length === this.#recordEntries || last.byteLength + byteLength > COMMIT_BYTES) {
      const capacity = Math.min(COMMIT_BYTES, byteLength * Math.min(expected, this.#recordEntries))
      last = new Packed(Math.max(capacity, byteLength))
      this.all.push(last)
    }

    last.add(item)
  }

  /** Takes those that become records, whatever comes next */
  takeFull (): Packed[] {
    const isLastFull = this.all.at(-1)?.length === this.#recordEntries
    return this.all.splice(0, isLastFull ? Infinity : this.all.length - 1)
  }
}
