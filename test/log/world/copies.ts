import { EntryId } from '../../../src/log/entry-id.ts'
import { name } from '../../fixtures/logs.ts'
import type { Entry } from '../../../src/log/index.ts'

/** What callers write over the bytes of others */
const SCRIBBLE = 0xa5

/**
 * When callers change the byte arrays that they handed in or that were handed out to them: never, once the call has settled,
 * or as soon as the call has returned its promise
 */
export type Scribbles = 'never' | 'when settled' | 'at once'

const names = new WeakMap<Entry, string>()

/** The id of a copy in hexadecimal: it is asked for again and again */
export function nameOf (entry: Entry): string {
  let known = names.get(entry)

  if (known == null) {
    known = name(entry)
    names.set(entry, known)
  }

  return known
}

export function scribble (...arrays: Uint8Array[]): void {
  arrays.forEach(bytes => { bytes.fill(SCRIBBLE) })
}

/** Everything of an entry that its log can still reach is a copy */
export function copyOf (entry: Entry): Entry {
  const { author, clock: { time, counter }, previous, parents, group, replicas, data, bytes, proof } = entry

  return {
    id: copyOfId(entry.id),
    author,
    clock: { time, counter },
    previous: previous == null ? undefined : copyOfId(previous),
    parents: parents.map(copyOfId),
    group: Uint8Array.from(group),
    replicas,
    data: Uint8Array.from(data),
    bytes: Uint8Array.from(bytes),
    proof: Uint8Array.from(proof)
  } satisfies Omit<Entry, 'isProved'> as Entry
}

export function copyOfId ({ bytes }: EntryId): EntryId {
  return new EntryId(Uint8Array.from(bytes))
}

/** A copy of an entry that was handed out. The original is a caller's from now on */
export function taken (entry: Entry, scribbles: Scribbles): Entry {
  const copy = copyOf(entry)

  if (scribbles !== 'never') {
    const { id, previous, parents, group, data, bytes, proof } = entry
    scribble(id.bytes, group, data, bytes, proof, ...parents.map(({ bytes }) => bytes))
    scribble(...previous == null ? [] : [previous.bytes])
  }

  return copy
}

/** Calls with bytes that the caller uses again: they are changed at once, or when the call has settled */
export async function lent <T> (arrays: Uint8Array[], scribbles: Scribbles, call: () => Promise<T>): Promise<T> {
  const called = call()

  if (scribbles === 'at once') {
    scribble(...arrays)
  }

  try {
    return await called
  } finally {
    if (scribbles === 'when settled') {
      scribble(...arrays)
    }
  }
}
