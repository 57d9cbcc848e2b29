import { Alarm } from '../runtime/alarm.ts'
import { InvalidOptionsError } from '../runtime/errors.ts'
import * as limits from './constants.ts'
import { segmentsFor, shareOf } from './core/placement.ts'
import { normalize, RING, widthOf } from './core/ring.ts'
import type { ReplicationContext } from './context.ts'
import type { Adapting } from './core/placement.ts'
import type { Segment } from './core/ring.ts'
import type { Replicate } from './index.ts'
import type { Roster } from './roster.ts'

const WHOLE: Segment[] = [{ from: 0, width: RING }]

/** Factors by which a share becomes smaller where there was no room for what came, and larger again. Guesses */
const DENSER = 1.5
const LITTLE = 1.12
const LIGHTER = 1.2
const MAX_DENSITY = 2 ** 20
/** The part of a limit from which on it is reached: what comes in batches leaves some room. A guess */
const NEARLY = 0.9
/** Milliseconds until a share that became smaller is compared, and what lies beside it is not counted. A guess */
const EFFECT = 10_000
/** Looks at which it is waited for those who keep something to say what it weighs. A guess */
const MAX_UNANSWERED = 3
/** Milliseconds until a share that was too large becomes larger again, at most. A guess */
const MAX_PATIENCE = 3_600_000

/** Bytes of the entries that a peer keeps of its share, or this node of its own */
export interface Weighed {
  bytes: number
  /** The share of all entries that it keeps, from 0 to 1 */
  share: number
}

export interface OwnShareInit {
  context: ReplicationContext
  roster: Roster
  /** Copies of each entry that there should be */
  replicas: number
  /** Bytes of the entries here that lie in these segments */
  bytesIn (segments: Segment[]): Promise<number>
  /** Asks replicators that are here what their shares weigh. A replicator that does not answer is left out */
  weighOthers (): Promise<Weighed[]>
  /** The share follows what others do, and has become this one */
  onAdapt (segments: Segment[]): void
}

/**
 * The share that this node is asked to keep. Where it is to follow what the others do, it does so a while after they
 * have changed, and now and then.
 *
 * A limit of bytes is kept in two ways. The share is as wide as goes into it by what all who answer say that their
 * shares weigh: so it is known before anything is fetched, and begins at nothing. And where that was wrong, what is
 * stored is counted, and nothing more is taken once the limit is reached: then the share becomes smaller. What lies
 * here only until others have it does not count.
 */
export class OwnShare {
  readonly #init: OwnShareInit
  readonly #adapting: Alarm
  readonly #controller = new AbortController()
  #replicate: Replicate
  /** Bytes of what this node keeps of its share: looked at when it adapts, and counted since */
  #kept = 0
  /** Bytes that there is room for, and that are being stored: some of them may be here already */
  #taken = 0
  /**
   * By how much what lies in this share is heavier than the average: a large group lies in one place. It grows while
   * there is no room for what comes though the limit is far, and shrinks when there was room for long, and ever longer
   */
  #density = 1
  #refusals = 0
  /** Looks in a row at which nobody said what its share weighs */
  #unanswered = 0
  #denserAt = 0
  #lighterAt = Infinity
  /** There was no room for something since it adapted last */
  #isFull = false

  constructor (init: OwnShareInit, replicate: Replicate) {
    this.#init = init
    this.#replicate = replicate
    this.#adapting = new Alarm(init.context.clock, () => { void this.#adapt() })
  }

  /** The share before this node knows anything of the others. Throws an InvalidOptionsError */
  get first (): Segment[] {
    return this.#segmentsFor(this.#replicate, limitOf(this.#replicate) === Infinity ? 0 : undefined)
  }

  /** Throws an InvalidOptionsError, and then it is as before */
  set (replicate: Replicate): Segment[] {
    const segments = this.#segmentsFor(replicate, undefined)
    this.#replicate = replicate
    // what follows nobody has nothing to adapt
    this.#adapting.set(Infinity)
    this.changed()
    return segments
  }

  /** Replicators have come, gone, or changed their shares */
  changed (): void {
    if (isAdaptive(this.#replicate) && !this.#controller.signal.aborted) {
      this.#adapting.setIfUnset(this.#init.context.clock.now() + limits.ADAPT_DELAY)
    }
  }

  /**
   * Makes room for so many bytes of what is for this node to keep. False: the limit is reached, or would be if all came
   * that is on its way
   */
  take (bytes: number): boolean {
    const limit = limitOf(this.#replicate)

    if (this.#kept + this.#taken + bytes <= limit) {
      this.#taken += bytes
      return true
    }
    if (this.#kept + bytes > limit) {
      this.#isFull = true
      this.#adapting.set(this.#init.context.clock.now() + limits.ADAPT_DELAY)
    }
    return false
  }

  /** So many bytes were made room for, and so many of them are here now */
  settle (taken: number, added: number): void {
    this.#taken -= taken
    this.#kept += added
  }

  stop (): void {
    this.#controller.abort()
    this.#adapting.set(Infinity)
  }

  async #adapt (): Promise<void> {
    const { context: { clock, logger }, roster, bytesIn, onAdapt } = this.#init
    const replicate = this.#replicate

    try {
      const total = limitOf(replicate) === Infinity ? 0 : await this.#total()

      // the user may have asked for something else meanwhile
      if (total != null && replicate === this.#replicate && !this.#controller.signal.aborted) {
        onAdapt(this.#segmentsFor(replicate, total))
        // what lies in another share is something else, and what there was no room for may have been for the old one
        this.#kept = await bytesIn(roster.kept)
        this.#isFull = false
      }
    } catch (err) {
      logger('the share could not follow the others - %e', err)
    }

    if (isAdaptive(this.#replicate) && !this.#controller.signal.aborted) {
      this.#adapting.setIfUnset(clock.now() + limits.ADAPT_INTERVAL)
    }
  }

  /** Bytes of the whole log, by the best guess. Undefined: others keep some of it, and nobody says how much that is */
  async #total (): Promise<number | undefined> {
    const { roster, replicas, bytesIn, weighOthers } = this.#init
    const segments = roster.kept
    const share = shareOf(roster.segments, replicas)
    const others = (await weighOthers()).filter(({ share }) => share > 0)
    // what came while it was counted is counted twice, for the moment
    const kept = await bytesIn(segments)
    this.#kept = kept

    const isFull = this.#isFull && share > 0
    // this node may lack much of its share, but never has too much of it; and what is full becomes narrower
    const least = share > 0 ? Math.max(kept, isFull ? LITTLE * limitOf(this.#replicate) : 0) / share : 0
    this.#isFull = false

    this.#unanswered = others.length > 0 ? 0 : this.#unanswered + 1

    // where nobody ever says anything, the limit itself is what is left
    if (others.length === 0 && roster.here.length > 0 && this.#unanswered <= MAX_UNANSWERED) {
      return isFull ? least * this.#weighed(isFull) : undefined
    }
    if (others.length === 0 && share === 0) {
      return bytesIn(WHOLE)
    }

    return this.#weighed(isFull) * Math.max(least, middle(others.map(({ bytes, share }) => ({
      value: bytes / share, weight: share
    }))))
  }

  /**
   * The density, after what has happened since it was looked at last. A change of it is given some time to have its
   * effect
   */
  #weighed (isFull: boolean): number {
    const now = this.#init.context.clock.now()
    const limit = limitOf(this.#replicate)

    if (isFull && now >= this.#denserAt) {
      this.#density = Math.min(this.#density * (this.#kept < NEARLY * limit ? DENSER : LITTLE), MAX_DENSITY)
      this.#denserAt = now + EFFECT
      this.#lighterAt = now + Math.min(limits.ADAPT_INTERVAL * 2 ** this.#refusals++, MAX_PATIENCE)
    } else if (!isFull && now >= this.#lighterAt && this.#kept < limit / 2) {
      this.#density = Math.max(1, this.#density / LIGHTER)
      this.#lighterAt = now + limits.ADAPT_INTERVAL
    }

    return this.#density
  }

  #segmentsFor (replicate: Replicate, totalBytes: number | undefined): Segment[] {
    const { context: { self, trust }, roster: { replicators, segments }, replicas } = this.#init

    return segmentsOf(replicate, totalBytes, {
      self: { key: self, segments },
      // what somebody says that it keeps, and does not show, is still to be kept by others
      members: replicators.filter(({ peer }) => !trust.isFailing(peer)).map(({ peer, segments }) => ({
        key: peer, segments
      })),
      replicas
    })
  }
}

/** The value with half of the weight on either side: one that lies counts for no more than its share */
function middle (values: Array<{ value: number, weight: number }>): number {
  const sorted = values.sort((a, b) => a.value - b.value)
  let left = sorted.reduce((sum, { weight }) => sum + weight, 0) / 2

  for (const { value, weight } of sorted) {
    left -= weight

    if (left <= 0) {
      return value
    }
  }

  return 0
}

/**
 * What a node is to keep, by what its user asked for and, if that follows the others, by what they say. Without the
 * bytes of the log what follows them stays as it is. Throws an InvalidOptionsError
 */
function segmentsOf (
  replicate: Replicate, totalBytes: number | undefined, adapting: Omit<Adapting, 'limits' | 'totalBytes'>
): Segment[] {
  if (replicate === true) {
    return WHOLE
  }
  if (replicate === false) {
    return []
  }
  if ('factor' in replicate) {
    const { factor, offset = offsetOf(adapting.self.key) } = replicate
    expectShare('factor', factor)
    expectShare('offset', offset)
    const width = Math.round(factor * RING)
    return width === 0 ? [] : normalize([{ from: Math.floor(offset * RING) % RING, width }])
  }
  if ('segments' in replicate) {
    return checked(replicate.segments)
  }

  const { storage = Infinity, cpu = 1 } = replicate.limits
  expectShare('limits.cpu', cpu)

  if (!(storage >= 0)) {
    throw new InvalidOptionsError(`limits.storage is ${storage}: it is a number of bytes`)
  }

  if (totalBytes == null) {
    return [...adapting.self.segments]
  }

  // what does not go into a document is the least of it
  return segmentsFor({ ...adapting, totalBytes, limits: replicate.limits })
    .sort((a, b) => b.width - a.width).slice(0, limits.MAX_SEGMENTS)
}

/** Whether it follows what others do */
function isAdaptive (replicate: Replicate): replicate is Extract<Replicate, { limits: object }> {
  return typeof replicate === 'object' && 'limits' in replicate
}

function limitOf (replicate: Replicate): number {
  return isAdaptive(replicate) ? replicate.limits.storage ?? Infinity : Infinity
}

function checked (segments: Segment[]): Segment[] {
  for (const { from, width } of segments) {
    if (!Number.isInteger(from) || from < 0 || from >= RING || !Number.isInteger(width) || width < 1 || width > RING) {
      throw new InvalidOptionsError(`A segment from ${from}, ${width} wide, does not lie on the ring: ` +
        'from is a whole number below 2^32, width one from 1 to 2^32')
    }
  }
  if (segments.length > limits.MAX_SEGMENTS) {
    throw new InvalidOptionsError(`${segments.length} segments where at most ${limits.MAX_SEGMENTS} are allowed`)
  }
  if (widthOf(segments) !== segments.reduce((sum, { width }) => sum + width, 0)) {
    throw new InvalidOptionsError('Two segments overlap: name each part of the ring once')
  }

  return normalize(segments)
}

/** The end of a key is as good as chance, and every node has its own */
function offsetOf (key: string): number {
  let offset = 0
  for (let i = 1; i <= 4; i++) {
    offset = (offset + key.charCodeAt(key.length - i)) / 256
  }
  return offset
}

function expectShare (name: string, value: number): void {
  if (!(value >= 0 && value <= 1)) {
    throw new InvalidOptionsError(`${name} is ${value}: it is a share of the whole, from 0 to 1`)
  }
}
