import { chunks } from '../runtime/chunks.ts'
import { MalformedError, orMalformed } from '../runtime/errors.ts'
import { Pacer } from '../runtime/pacer.ts'
import { Packed } from '../runtime/packed.ts'
import { all } from '../storage/core/run.ts'
import * as limits from './constants.ts'
import { Early } from './core/early.ts'
import { readMoment } from './core/entry.ts'
import { compareMoments } from './core/hybrid-clock.ts'
import { FutureEntryError } from './errors.ts'
import { LogEntry } from './log-entry.ts'
import { decodeEntry, Verifier } from './signatures.ts'
import type { Moment } from './core/hybrid-clock.ts'
import type { DecodedEntry, RawEntry, TrueEntry } from './core/types.ts'
import type { Store } from './store.ts'
import type { Admission, Writer } from './writer.ts'
import type { Clock, Timer } from '../runtime/clock.ts'
import type { AbortOptions, Logger } from '@libp2p/interface'

/** What became of one that was handed in; without an id where it is no entry at all */
export interface Joined {
  id?: Uint8Array
  admission: Admission | 'waiting'
}

/** What was handed in, with its moment */
interface Item extends Moment {
  raw: RawEntry
  outcome: Joined
}

interface Decoded {
  entry: DecodedEntry
  outcome: Joined
}

export interface JoinsInit {
  id: string
  clock: Clock
  store: Store
  writer: Writer
  logger: Logger
}

/** Entries that are looked up at once. Few: other threads begin to verify when the first ones were looked up */
const LOOKUPS = 16
/** Entries that are verified before they are stored. Measured: 10,000 make garbage collection take 20 ms */
const MAX_JOINED = 1024
/** Bytes of copies that lie together. An entry that waits keeps all of them in memory. A guess */
const SHARED_BYTES = 8 * 1024
/** Milliseconds until a disk that did not take entries that wait is asked again. A guess */
const RETRY = 1000

/**
 * The door for entries of others: decoded, looked up, verified, and only then let in. Those whose time has not come yet
 * wait here, as clocks differ.
 */
export class Joins {
  readonly #init: JoinsInit
  readonly #pacer: Pacer
  readonly #early = new Early(limits.MAX_EARLY_BYTES)
  #timer?: Timer

  constructor (init: JoinsInit) {
    this.#init = init
    this.#pacer = new Pacer(init.clock, limits.SLICE)
  }

  /** Entries whose time has not come yet */
  get waiting (): number {
    return this.#early.size
  }

  async join (raws: RawEntry[], { signal }: AbortOptions): Promise<Joined[]> {
    // at once: whoever hands bytes in may use them again. Nobody can change those of a LogEntry
    const own = copiesOf(raws)
    const items: Item[] = []

    for (const copy of own) {
      const raw = copy instanceof LogEntry ? copy : rawAt(copy)
      // a LogEntry copies the bytes that somebody asks it for
      const { time, counter } = raw instanceof LogEntry ? raw.clock : readMoment(raw.bytes)
      items.push({ raw, outcome: { admission: 'known' }, time: Number(time), counter })

      if (this.#pacer.isDue) {
        await this.#pacer.yield()
      }
    }

    // parents first, and not so many at once that they fill the memory
    for (const some of chunks(items.toSorted(compareMoments), MAX_JOINED)) {
      await this.#joinSome(some, signal)
    }

    return items.map(({ outcome }) => outcome)
  }

  async #joinSome (items: Item[], signal?: AbortSignal): Promise<void> {
    const { id, clock, writer } = this.#init
    const { changes } = writer
    const verifier = new Verifier(id, this.#pacer)
    const outcomes: Joined[] = []

    for (const some of chunks(items, LOOKUPS)) {
      signal?.throwIfAborted()

      for (const { entry, outcome } of await this.#unknown(some)) {
        verifier.add(entry)
        outcomes.push(outcome)

        if (this.#pacer.isDue) {
          await this.#pacer.yield()
        }
      }
    }

    const verdicts = await verifier.verdicts()
    signal?.throwIfAborted()
    const now = clock.now()
    const due = new Map<TrueEntry, Joined>()

    for (const [i, verdict] of verdicts.entries()) {
      if (verdict instanceof Error) {
        outcomes[i].admission = verdict
      } else if (verdict.time > now + limits.MAX_AHEAD) {
        outcomes[i].admission = this.#wait(verdict, now)
      } else {
        due.set(verdict, outcomes[i])
      }
    }

    if (outcomes.some(({ admission }) => admission === 'waiting')) {
      // once for all of them: it looks at each that waits
      this.#setTimer()
    }
    if (due.size > 0) {
      const admissions = await writer.join([...due.keys()], changes)
      ;[...due.values()].forEach((outcome, i) => { outcome.admission = admissions[i] })
    }
  }

  /** Those that are entries, and are not here. The others are told what became of them */
  async #unknown (items: Item[]): Promise<Decoded[]> {
    const { store } = this.#init
    const decoded: Decoded[] = []
    const unknown: Decoded[] = []

    for (const { raw, outcome } of items) {
      const decoding = orMalformed(() => decodeEntry(raw instanceof LogEntry ? LogEntry.raw(raw) : raw, this.#pacer))
      const entry = decoding instanceof Promise ? await decoding : decoding

      if (entry instanceof MalformedError) {
        outcome.admission = entry
      } else {
        outcome.id = entry.id
        decoded.push({ entry, outcome })
      }
      if (this.#pacer.isDue) {
        await this.#pacer.yield()
      }
    }

    const rows = await store.read(index => all(decoded, ({ entry }) => index.find(entry.id)))

    for (const [i, one] of decoded.entries()) {
      // of one that is found, the record may be damaged
      if (rows[i] == null || await store.locate(one.entry.id) == null) {
        unknown.push(one)
      }
    }

    return unknown
  }

  /** Those that wait have to come again */
  stop (): void {
    this.#timer?.cancel()
    this.#early.clear()
  }

  #wait (entry: TrueEntry, now: number): 'waiting' | FutureEntryError {
    if (this.#early.add(entry)) {
      return 'waiting'
    }

    return new FutureEntryError(`Its clock is ${entry.time - Math.floor(now)} ms ahead of ours, ` +
      `at most ${limits.MAX_AHEAD} are allowed, and there is no room for it to wait: offer it again later`)
  }

  #setTimer (atLeast = 1): void {
    const { next } = this.#early
    this.#timer?.cancel()

    if (next != null) {
      // a timer takes 31 bits
      const wait = Math.min(next - limits.MAX_AHEAD - this.#init.clock.now(), 2 ** 30)
      this.#timer = this.#init.clock.after(Math.max(wait, atLeast), () => {
        this.#letIn().catch(err => { this.#init.logger.error('entries that had waited could not be stored - %e', err) })
      })
    }
  }

  async #letIn (): Promise<void> {
    const { clock, writer } = this.#init
    const next = (): TrueEntry[] => this.#early.due(clock.now() + limits.MAX_AHEAD)
    let wait = RETRY

    try {
      for (let due = next(); due.length > 0; due = next()) {
        // another peer may have brought them meanwhile
        await writer.join(due, -1)
        this.#early.delete(due)
      }

      wait = 1
    } finally {
      this.#setTimer(wait)
    }
  }
}

/** The place of a copy of an entry, and of its proof behind it */
interface Copy {
  packed: Packed
  at: number
}

/** Small ones share memory with others: 10,000 with memory of their own hold the loop for 8 ms */
function copiesOf (raws: RawEntry[]): Array<LogEntry | Copy> {
  let packed = new Packed(0)
  let room = 0

  return raws.map(raw => {
    if (raw instanceof LogEntry) {
      return raw
    }

    const { bytes, proof } = raw
    const size = bytes.byteLength + proof.byteLength

    if (size > room) {
      room = Math.max(size, SHARED_BYTES)
      packed = new Packed(room)
    }

    room -= size
    packed.add(bytes)
    packed.add(proof)
    return { packed, at: packed.length - 2 }
  })
}

function rawAt ({ packed, at }: Copy): RawEntry {
  return { bytes: packed.bytesAt(at), proof: packed.bytesAt(at + 1) }
}
