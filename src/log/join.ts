import { MalformedError } from '../runtime/errors.ts'
import { Pacer } from '../runtime/pacer.ts'
import * as limits from './constants.ts'
import { Early } from './core/early.ts'
import { FutureEntryError } from './errors.ts'
import { decodeEntry, verifyEntries } from './signatures.ts'
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

export interface JoinsInit {
  id: string
  clock: Clock
  store: Store
  writer: Writer
  logger: Logger
}

/** Entries that are looked up at once */
const LOOKUPS = 64

/**
 * The door for entries of others: decoded, looked up, verified, and only then let in. Those whose time has not come yet wait here,
 * as clocks differ.
 */
export class Joins {
  readonly #init: JoinsInit
  readonly #pacer: Pacer
  readonly #early = new Early(limits.MAX_EARLY_BYTES)
  #timer?: Timer

  constructor (init: JoinsInit) {
    this.#init = init
    this.#pacer = new Pacer(init.clock)
  }

  /** Entries whose time has not come yet */
  get waiting (): number {
    return this.#early.size
  }

  async join (raws: RawEntry[], { signal }: AbortOptions): Promise<Joined[]> {
    const { id, store, writer } = this.#init
    const { changes } = writer
    // our own: whoever hands them in may use its bytes again at once
    const own = raws.map(({ bytes, proof }) => ({ bytes: new Uint8Array(bytes), proof: new Uint8Array(proof) }))
    const joined: Joined[] = []
    const decoded: Array<{ i: number, entry: DecodedEntry }> = []

    for (const [i, raw] of own.entries()) {
      await this.#pause(signal)
      const entry = await decode(raw, this.#pacer)

      if (entry instanceof MalformedError) {
        joined.push({ admission: entry })
      } else {
        joined.push({ id: entry.id, admission: 'known' })
        decoded.push({ i, entry })
      }
    }

    const fresh: typeof decoded = []

    for (let from = 0; from < decoded.length; from += LOOKUPS) {
      const some = decoded.slice(from, from + LOOKUPS)
      const found = await Promise.all(some.map(async ({ entry }) => store.locate(entry.id)))
      fresh.push(...some.filter((_, k) => found[k] == null))
      await this.#pause(signal)
    }

    const verdicts = await verifyEntries(fresh.map(({ entry }) => entry), id, this.#pacer)
    signal?.throwIfAborted()
    const now = this.#init.clock.now()
    const isTrue: Array<{ i: number, entry: TrueEntry }> = []
    fresh.forEach(({ i }, k) => {
      const verdict = verdicts[k]

      if (verdict instanceof Error) {
        joined[i].admission = verdict
      } else if (verdict.time > now + limits.MAX_AHEAD) {
        joined[i].admission = this.#wait(verdict, now)
      } else {
        isTrue.push({ i, entry: verdict })
      }
    })

    const admissions = isTrue.length === 0 ? [] : await writer.join(isTrue.map(({ entry }) => entry), changes)
    isTrue.forEach(({ i }, k) => { joined[i].admission = admissions[k] })
    return joined
  }

  /** Those that wait have to come again */
  stop (): void {
    this.#timer?.cancel()
    this.#early.clear()
  }

  #wait (entry: TrueEntry, now: number): 'waiting' | FutureEntryError {
    const waits = this.#early.add(entry)
    this.#setTimer()
    return waits
      ? 'waiting'
      : new FutureEntryError(`Its clock is ${entry.time - Math.floor(now)} ms ahead of ours, at most ${limits.MAX_AHEAD} are allowed, and there is no room for it to wait: offer it again later`)
  }

  #setTimer (): void {
    const { next } = this.#early
    this.#timer?.cancel()

    if (next != null) {
      // a timer takes 31 bits
      const wait = Math.min(next - limits.MAX_AHEAD - this.#init.clock.now(), 2 ** 30)
      this.#timer = this.#init.clock.after(Math.max(wait, 1), () => { this.#letIn().catch(err => { this.#init.logger.error('entries that had waited could not be stored - %e', err) }) })
    }
  }

  async #letIn (): Promise<void> {
    const due = this.#early.take(this.#init.clock.now() + limits.MAX_AHEAD)
    this.#setTimer()

    if (due.length > 0) {
      // another one may have brought them meanwhile
      await this.#init.writer.join(due, -1)
    }
  }

  async #pause (signal?: AbortSignal): Promise<void> {
    if (this.#pacer.isDue) {
      await this.#pacer.yield()
    }
    signal?.throwIfAborted()
  }
}

async function decode (raw: RawEntry, pacer: Pacer): Promise<DecodedEntry | MalformedError> {
  try {
    return await decodeEntry(raw, pacer)
  } catch (err: any) {
    if (err instanceof MalformedError) {
      return err
    }
    throw err
  }
}
