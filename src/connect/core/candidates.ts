import { jitter } from '../../runtime/random.ts'
import { FORGET_AFTER, MAX_MET, RETRY_CAP, RETRY_FIRST } from '../constants.ts'
import type { Random } from '../../runtime/random.ts'

/** A peer that may be dialled */
export interface Candidate {
  /** The address of one that the program named; the id of one that others named */
  readonly name: string
  /** The program named it: it is always wanted, and never forgotten */
  readonly isKnown: boolean
  /** The peer, as soon as it is known who that is */
  peer?: string
  state: 'idle' | 'dialling' | 'connected'
  /** Dials in a row that led nowhere */
  failures: number
  /** Not before */
  nextAt: number
}

/**
 * Whom to dial next, and when.
 *
 * | event          | from              | to                                                                |
 * |----------------|-------------------|-------------------------------------------------------------------|
 * | next           | idle, and due     | dialling: what the program named first, others while some are wanted |
 * | connected      | any               | connected; nothing is held against it any more                      |
 * | failed         | dialling          | idle, for twice as long as before; after some, forgotten if others named it |
 * | disconnected   | connected         | idle, due after the first wait                                      |
 * | wake           | idle              | due now                                                             |
 *
 * Invariant: no peer is dialled twice at a time; the waits are capped, and no two nodes wait equally long.
 */
export class Candidates {
  readonly #random: Random
  readonly #self: string
  readonly #all = new Map<string, Candidate>()

  constructor (self: string, random: Random) {
    this.#self = self
    this.#random = random
  }

  get list (): Candidate[] {
    return [...this.#all.values()]
  }

  get connected (): number {
    return new Set(this.list.filter(({ state }) => state === 'connected').map(({ peer }) => peer)).size
  }

  /** The program named it: an address, and the peer if the address says who that is */
  know (name: string, peer: string | undefined, now: number): void {
    if (peer !== this.#self && this.#all.get(name)?.isKnown !== true) {
      this.#all.set(name, { name, isKnown: true, peer, state: 'idle', failures: 0, nextAt: now })
    }
  }

  forget (name: string): void {
    this.#all.delete(name)
  }

  /** Others named it, or it connected to us. The one that failed most makes room */
  met (peer: string, now: number): void {
    if (peer === this.#self || this.list.some(candidate => candidate.peer === peer)) {
      return
    }

    const met = this.list.filter(({ isKnown, state }) => !isKnown && state === 'idle')

    if (met.length >= MAX_MET) {
      this.#all.delete(met.reduce((a, b) => a.failures >= b.failures ? a : b).name)
    }

    this.#all.set(peer, { name: peer, isKnown: false, peer, state: 'idle', failures: 0, nextAt: now })
  }

  /** Whom to dial now. Undefined: nobody is due, or enough are connected */
  next (wanted: number, now: number): Candidate | undefined {
    const due = this.list.filter(({ state, nextAt }) => state === 'idle' && nextAt <= now)
    const dialling = this.list.filter(({ state, isKnown }) => state === 'dialling' && !isKnown).length
    const candidate = due.find(({ isKnown }) => isKnown) ??
      (this.connected + dialling < wanted
        ? due.reduce<Candidate | undefined>((a, b) => a == null || b.failures < a.failures ? b : a, undefined)
        : undefined)

    if (candidate != null) {
      candidate.state = 'dialling'
    }

    return candidate
  }

  /** When somebody is due who would be dialled */
  nextAt (wanted: number): number {
    const isShort = this.connected < wanted
    return this.list.reduce(
      (at, { state, isKnown, nextAt }) => state === 'idle' && (isKnown || isShort) ? Math.min(at, nextAt) : at, Infinity
    )
  }

  connectedTo (peer: string, name?: string): void {
    const known = name == null ? undefined : this.#all.get(name)

    if (known != null) {
      known.peer = peer
    }

    for (const candidate of this.list) {
      if (candidate.peer === peer) {
        candidate.state = 'connected'
        candidate.failures = 0
      }
    }
  }

  failed (name: string, now: number): void {
    const candidate = this.#all.get(name)

    // it may have connected to us meanwhile
    if (candidate?.state !== 'dialling') {
      return
    }
    if (++candidate.failures >= FORGET_AFTER && !candidate.isKnown) {
      this.#all.delete(name)
      return
    }

    candidate.state = 'idle'
    candidate.nextAt = now + jitter(this.#random, Math.min(RETRY_CAP, RETRY_FIRST * 2 ** (candidate.failures - 1)))
  }

  disconnected (peer: string, now: number): void {
    for (const candidate of this.list) {
      if (candidate.peer === peer && candidate.state === 'connected') {
        candidate.state = 'idle'
        candidate.nextAt = now + jitter(this.#random, RETRY_FIRST)
      }
    }
  }

  /** The network, or the machine, is back: what failed before says nothing */
  wake (now: number): void {
    for (const candidate of this.list) {
      candidate.failures = 0
      candidate.nextAt = Math.min(candidate.nextAt, now)
    }
  }
}
