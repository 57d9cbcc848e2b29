import { Alarm } from '../runtime/alarm.ts'
import { jitter, randomInt } from '../runtime/random.ts'
import * as limits from './constants.ts'
import { toRange, wrap } from './core/ring.ts'
import { provenBy } from './proof.ts'
import { KEY_BYTES } from './wire.ts'
import type { ReplicationContext } from './context.ts'
import type { Segment } from './core/ring.ts'
import type { Key } from './core/types.ts'
import type { Questions } from './questions.ts'
import type { Entry, Log } from '../log/index.ts'

export interface SpotChecksInit {
  context: ReplicationContext
  log: Log
  questions: Questions
  /** What both of us say we keep */
  shared (peer: Key): Segment[]
  /** Replicators that are here and have been in for long enough to have what they say */
  suspects (): Key[]
}

/** One of so many spot checks looks at a peer that fails already: it is to be heard when it is right again */
const SECOND_CHANCES = 2

/**
 * Asks replicators to prove that they have a sample of what they say they keep, one replicator now and then. Whatever
 * is no proof is a strike: see core/trust.ts.
 */
export class SpotChecks {
  readonly #init: SpotChecksInit
  readonly #alarm: Alarm
  readonly #controller = new AbortController()
  /** Spot checks in a row that found nothing wrong */
  #calm = 0

  constructor (init: SpotChecksInit) {
    this.#init = init
    this.#alarm = new Alarm(init.context.clock, () => { void this.#audit() })
    this.#schedule()
  }

  stop (): void {
    this.#controller.abort()
    this.#alarm.set(Infinity)
  }

  async #audit (): Promise<void> {
    const { context: { trust }, shared } = this.#init
    const peer = this.#suspect()
    this.#calm++

    try {
      const sample = peer == null ? undefined : await this.#sample(shared(peer))

      if (peer != null && sample != null) {
        const isProven = await this.#isProven(peer, sample)

        // it may be gone meanwhile, or keep something else by now: then its answer says nothing
        if (!this.#controller.signal.aborted && this.#isSuspect(peer)) {
          isProven ? trust.proved(peer) : trust.unproven(peer)
          this.#calm = isProven ? this.#calm : 0
        }
      }
    } catch (err) {
      // our own log could not be read, or was closed: that says nothing of the peer
      this.#init.context.logger('a spot check failed - %e', err)
    }

    if (!this.#controller.signal.aborted) {
      this.#schedule()
    }
  }

  #suspect (): Key | undefined {
    const { context: { random, trust }, suspects } = this.#init
    const all = suspects().filter(peer => this.#isSuspect(peer))
    const failing = all.filter(peer => trust.isFailing(peer))
    const some = failing.length > 0 && randomInt(random, SECOND_CHANCES) === 0 ? failing : all
    return some[randomInt(random, some.length)]
  }

  #isSuspect (peer: Key): boolean {
    return this.#init.suspects().includes(peer) && this.#init.shared(peer).length > 0
  }

  /** An entry that it has had time to get */
  async #sample (segments: Segment[]): Promise<Entry | undefined> {
    const { context: { random, clock }, log } = this.#init
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

  async #isProven (peer: Key, entry: Entry): Promise<boolean> {
    const { questions, context: { pacer, randomBytes } } = this.#init
    const nonce = randomBytes(KEY_BYTES)

    try {
      const { proofs } = await questions.ask<'keep'>(
        peer, { kind: 'keep', nonce, ids: [entry.id.bytes] }, { signal: this.#controller.signal }
      )
      return (await provenBy(peer, [entry], proofs, nonce, pacer)).length > 0
    } catch {
      // silence and a refusal prove as little as a wrong answer
      return false
    }
  }

  #schedule (): void {
    const { clock, random, resting } = this.#init.context
    const interval = Math.min(limits.AUDIT_INTERVAL * 2 ** Math.max(0, this.#calm - 1), limits.AUDIT_CAP)
    this.#alarm.set(clock.now() + jitter(random, this.#calm > 1 ? resting(interval) : interval))
  }
}
