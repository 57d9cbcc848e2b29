import { Alarm } from '../runtime/alarm.ts'
import { InvalidOptionsError } from '../runtime/errors.ts'
import * as limits from './constants.ts'
import { segmentsFor, shareOf } from './core/placement.ts'
import { normalize, RING, widthOf } from './core/ring.ts'
import type { Adapting } from './core/placement.ts'
import type { Segment } from './core/ring.ts'
import type { Key } from './core/types.ts'
import type { Replicate } from './index.ts'
import type { Roster } from './roster.ts'
import type { Clock } from '../runtime/clock.ts'

const WHOLE: Segment[] = [{ from: 0, width: RING }]

export interface ShareInit {
  self: Key
  clock: Clock
  roster: Roster
  /** Copies of each entry that there should be */
  replicas: number
  /** Of all entries that are here; undefined: that cannot be said now */
  bytes (): number | undefined
  /** It follows what others do: this is what it comes to now */
  onAdapt (segments: Segment[]): void
}

/**
 * The share that this node is asked to keep. Where it is to follow what the others do, it does so a while after they have changed, and
 * now and then.
 */
export class Share {
  readonly #init: ShareInit
  readonly #adapting: Alarm
  #replicate: Replicate

  constructor (init: ShareInit, replicate: Replicate) {
    this.#init = init
    this.#replicate = replicate
    this.#adapting = new Alarm(init.clock, () => { this.#adapt() })
  }

  /** What it comes to, as things are */
  get segments (): Segment[] {
    return this.#segmentsFor(this.#replicate)
  }

  /** Throws an InvalidOptionsError, and then it is as before */
  set (replicate: Replicate): Segment[] {
    const segments = this.#segmentsFor(replicate)
    this.#replicate = replicate
    // what follows nobody has nothing to adapt
    this.stop()
    return segments
  }

  /** Who keeps what has changed */
  changed (): void {
    if (isAdaptive(this.#replicate)) {
      this.#adapting.setIfUnset(this.#init.clock.now() + limits.ADAPT_DELAY)
    }
  }

  stop (): void {
    this.#adapting.set(Infinity)
  }

  #adapt (): void {
    this.#init.onAdapt(this.segments)
    this.#adapting.set(this.#init.clock.now() + limits.ADAPT_INTERVAL)
  }

  #segmentsFor (replicate: Replicate): Segment[] {
    const { self, roster: { replicators, segments }, replicas, bytes } = this.#init
    const share = shareOf(segments, replicas)

    return segmentsOf(replicate, {
      self: { key: self, segments },
      members: replicators.map(({ peer, segments }) => ({ key: peer, segments })),
      replicas,
      totalBytes: share > 0 ? (bytes() ?? 0) / share : 0
    })
  }
}

/** What a node is to keep, by what its user asked for and, if that follows the others, by what they say. Throws an InvalidOptionsError */
function segmentsOf (replicate: Replicate, adapting: Omit<Adapting, 'limits'>): Segment[] {
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

  // what does not go into a document is the least of it
  return segmentsFor({ ...adapting, limits: replicate.limits }).sort((a, b) => b.width - a.width).slice(0, limits.MAX_SEGMENTS)
}

/** Whether it follows what others do */
function isAdaptive (replicate: Replicate): boolean {
  return typeof replicate === 'object' && 'limits' in replicate
}

function checked (segments: Segment[]): Segment[] {
  for (const { from, width } of segments) {
    if (!Number.isInteger(from) || from < 0 || from >= RING || !Number.isInteger(width) || width < 1 || width > RING) {
      throw new InvalidOptionsError(`A segment from ${from}, ${width} wide, does not lie on the ring: from is a whole number below 2^32, width one from 1 to 2^32`)
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
