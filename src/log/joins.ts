import { MalformedError } from '../runtime/errors.ts'
import * as limits from './constants.ts'
import { Proofs } from './core/proofs.ts'
import { FutureEntryError } from './errors.ts'
import { decodeEntry, verifyEntries } from './signatures.ts'
import type { Admission } from './admissions.ts'
import type { DecodedEntry, RawEntry, TrueEntry } from './core/types.ts'
import type { Store } from './store.ts'
import type { Writes } from './writes.ts'
import type { Clock } from '../runtime/clock.ts'
import type { AbortOptions } from '@libp2p/interface'

/** What became of one that was handed in; without an id where it is no entry at all */
export interface Joined {
  id?: Uint8Array
  admission: Exclude<Admission, Error> | Error
}

export interface JoinsInit {
  id: string
  clock: Clock
  store: Store
  writes: Writes
}

/**
 * The door for entries of others: decoded, looked up, verified, and only then let in.
 */
export class Joins {
  readonly #init: JoinsInit

  constructor (init: JoinsInit) {
    this.#init = init
  }

  async join (raws: RawEntry[], { signal }: AbortOptions): Promise<Joined[]> {
    const joined: Joined[] = []
    const fresh: Array<{ i: number, entry: DecodedEntry }> = []

    for (const [i, raw] of raws.entries()) {
      if (i > 0 && i % limits.SLICE === 0) {
        await this.#pause(signal)
      }

      const entry = await decode(raw)

      if (entry instanceof MalformedError) {
        joined.push({ admission: entry })
      } else {
        const admission = await this.#lookUp(entry)
        joined.push({ id: entry.id, admission: admission ?? 'known' })

        if (admission == null) {
          fresh.push({ i, entry })
        }
      }
    }

    const verdicts = await verifyEntries(fresh.map(({ entry }) => entry), this.#init.id)
    signal?.throwIfAborted()
    const isTrue: Array<{ i: number, entry: TrueEntry }> = []
    fresh.forEach(({ i, entry }, k) => {
      const verdict = verdicts[k]

      if (verdict instanceof Error) {
        joined[i].admission = verdict
      } else {
        const { proof, ...content } = entry
        isTrue.push({ i, entry: { ...content, proofs: new Proofs(proof), at: 0, isProved: verdict === 'proved' } })
      }
    })

    const admissions = await this.#init.writes.admit(isTrue.map(({ entry }) => entry))
    isTrue.forEach(({ i }, k) => { joined[i].admission = admissions[k] })
    return joined
  }

  /** What can be said without looking at signatures */
  async #lookUp (entry: DecodedEntry): Promise<Joined['admission'] | undefined> {
    const { store, writes, clock } = this.#init
    const ahead = entry.time - Math.floor(clock.now())

    if (writes.waiting.has(entry.id)) {
      return 'waiting'
    }
    if (await store.locate(entry.id) != null) {
      return 'known'
    }
    if (ahead > limits.MAX_AHEAD) {
      return new FutureEntryError(`Its clock is ${ahead} ms ahead of ours, at most ${limits.MAX_AHEAD} are allowed: offer it again later`)
    }
  }

  async #pause (signal?: AbortSignal): Promise<void> {
    await new Promise<void>(resolve => { this.#init.clock.soon(resolve) })
    signal?.throwIfAborted()
  }
}

async function decode (raw: RawEntry): Promise<DecodedEntry | MalformedError> {
  try {
    // our own copy: whoever handed it in may use his bytes again
    return await decodeEntry({ bytes: Uint8Array.from(raw.bytes), proof: Uint8Array.from(raw.proof) })
  } catch (err: any) {
    if (err instanceof MalformedError) {
      return err
    }
    throw err
  }
}
