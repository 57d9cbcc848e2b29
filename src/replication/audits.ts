import { equals } from 'uint8arrays/equals'
import { Alarm } from '../runtime/alarm.ts'
import { jitter, randomInt } from '../runtime/random.ts'
import * as limits from './constants.ts'
import { toRange, wrap } from './core/ring.ts'
import type { Segment } from './core/ring.ts'
import type { Key } from './core/types.ts'
import type { Questions } from './questions.ts'
import type { Entry, Log } from '../log/index.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Random } from '../runtime/random.ts'

export interface AuditsInit {
  clock: Clock
  random: Random
  log: Log
  questions: Questions
  /** What both of us say we keep */
  shared (peer: Key): Segment[]
  /** Who has been in for long enough to have what it keeps */
  suspects (): Key[]
}

/**
 * Asks those who say that they keep something for samples of it, now and then. Who could not show some in a row is passed over:
 * it is sent what it says it keeps, but nobody counts on it, until it shows one again.
 */
export class Audits {
  readonly #init: AuditsInit
  readonly #alarm: Alarm
  /** Samples in a row that somebody did not show */
  readonly #strikes = new Map<Key, number>()
  readonly #controller = new AbortController()

  constructor (init: AuditsInit) {
    this.#init = init
    this.#alarm = new Alarm(init.clock, () => { void this.#audit() })
    this.#schedule()
  }

  isFailing (peer: Key): boolean {
    return (this.#strikes.get(peer) ?? 0) >= limits.MAX_STRIKES
  }

  get failing (): Key[] {
    return [...this.#strikes.keys()].filter(peer => this.isFailing(peer))
  }

  gone (peer: Key): void {
    this.#strikes.delete(peer)
  }

  stop (): void {
    this.#controller.abort()
    this.#alarm.set(Infinity)
    this.#strikes.clear()
  }

  async #audit (): Promise<void> {
    const { random, shared } = this.#init
    const suspects = this.#init.suspects().filter(peer => shared(peer).length > 0)
    const peer = suspects[randomInt(random, suspects.length)]

    try {
      const sample = peer == null ? undefined : await this.#sample(shared(peer))

      if (sample != null) {
        this.#judge(peer, await this.#shows(peer, sample))
      }
    } catch {
      // the log was closed, or the peer is gone: then there is nothing to judge
    }

    if (!this.#controller.signal.aborted) {
      this.#schedule()
    }
  }

  /** An entry that it has had time to get */
  async #sample (segments: Segment[]): Promise<Entry | undefined> {
    const { random, log, clock } = this.#init
    const { from, width } = segments[randomInt(random, segments.length)]
    const skip = randomInt(random, width)
    // from anywhere on, or else from the beginning
    const [id] = [
      ...await log.idsInRange(toRange({ from: wrap(from + skip), width: width - skip }), { limit: 1 }),
      ...await log.idsInRange(toRange({ from, width }), { limit: 1 })
    ]
    const entry = id == null ? undefined : await log.get(id)
    return entry != null && Number(entry.clock.time) < clock.now() - limits.AUDIT_AGE ? entry : undefined
  }

  async #shows (peer: Key, { id, bytes }: Entry): Promise<boolean> {
    const { entries } = await this.#init.questions.ask<'have'>(peer, { kind: 'have', ids: [id.bytes] }, { signal: this.#controller.signal })
    return entries.some(shown => equals(shown.bytes, bytes))
  }

  #judge (peer: Key, isShown: boolean): void {
    if (isShown) {
      this.#strikes.delete(peer)
    } else {
      this.#strikes.set(peer, (this.#strikes.get(peer) ?? 0) + 1)
    }
  }

  #schedule (): void {
    const { clock, random } = this.#init
    this.#alarm.set(clock.now() + jitter(random, limits.AUDIT_INTERVAL))
  }
}
