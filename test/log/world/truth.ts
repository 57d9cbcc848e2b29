import { equals } from 'uint8arrays/equals'
import { decodeContent } from '../../../src/log/core/entry.ts'
import { expectTrue, LOG_ID } from '../../fixtures/logs.ts'
import { nameOf } from './copies.ts'
import type { Entry } from '../../../src/log/index.ts'

/**
 * Whether what a log serves is true: its bytes have the hash that its id says, its proof is one of its author and stands
 * alone, and all the rest is what the bytes say. What was found to be true once is only compared.
 */
export class Truth {
  readonly #true: Map<string, Entry>

  /** @param known - what was found to be true elsewhere */
  constructor (known: Iterable<[id: string, entry: Entry]> = []) {
    this.#true = new Map(known)
  }

  /** Says what is wrong with these */
  async check (entries: Entry[]): Promise<string[]> {
    const wrong: string[] = []

    for (const entry of entries) {
      const before = this.#true.get(nameOf(entry))

      if (before == null || !isSame(before, entry)) {
        wrong.push(...await falsehoods(entry))
        this.#true.set(nameOf(entry), entry)
      }
    }

    return wrong
  }
}

async function falsehoods (entry: Entry): Promise<string[]> {
  try {
    await expectTrue({ id: LOG_ID } as Parameters<typeof expectTrue>[0], [entry])
    const { previous, parents, group, replicas, data, time, counter } = decodeContent(entry.bytes)
    const said = { previous: idsOf(previous), parents: idsOf(...parents), group, replicas, data, clock: { time: BigInt(time), counter } }
    return isSaid(entry, said) ? [] : [`${nameOf(entry)} is served with something else than its bytes say`]
  } catch (err: any) {
    return [`${nameOf(entry)} is served, and is not true: ${err.message}`]
  }
}

function isSame (a: Entry, b: Entry): boolean {
  return equals(a.bytes, b.bytes) && equals(a.proof, b.proof) && a.author.toString() === b.author.toString() &&
    isSaid(a, { ...b, previous: idsOf(b.previous?.bytes), parents: idsOf(...b.parents.map(({ bytes }) => bytes)) })
}

/** What an entry says beside who says it: the ids as `idsOf` has them */
type Said = Pick<Entry, 'group' | 'replicas' | 'data' | 'clock'> & { previous: Uint8Array[], parents: Uint8Array[] }

function isSaid (entry: Entry, { previous, parents, group, replicas, data, clock }: Said): boolean {
  return equals(entry.data, data) && equals(entry.group, group) && entry.replicas === replicas &&
    entry.clock.time === clock.time && entry.clock.counter === clock.counter &&
    areEqual(idsOf(entry.previous?.bytes), previous) && areEqual(idsOf(...entry.parents.map(({ bytes }) => bytes)), parents)
}

function idsOf (...ids: Array<Uint8Array | undefined>): Uint8Array[] {
  return ids.filter(id => id != null)
}

function areEqual (a: Uint8Array[], b: Uint8Array[]): boolean {
  return a.length === b.length && a.every((id, i) => equals(id, b[i]))
}
