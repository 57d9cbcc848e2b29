import type { Key } from './types.ts'

export interface FlowsInit {
  /** Bytes for one destination from which on those who bring them are asked to stop */
  stopAt: number
  /** Bytes for one destination that are the most: what was on its way when they were asked has to fit */
  capacity: number
  /** Bytes for all destinations */
  maxBytes: number
}

interface Destination {
  /** Bytes that wait here, or in an outbox */
  held: number
  /** Neighbours that we asked to stop */
  asked: Set<Key>
  /** Neighbours that asked us to stop */
  stoppedBy: Set<Key>
}

/**
 * How much is on its way to each destination behind a neighbour. A slow destination must not hold up what a neighbour
 * sends
 * to others, so what waits for it does not count against the neighbour's credit. Instead each destination has a bound
 * of
 * its own: near it those who bring more are asked to stop, past it the destination is told to be congested.
 *
 * | event             | held below stopAt | held from stopAt on            | held at capacity    |
 * |-------------------|-------------------|--------------------------------|---------------------|
 * | hold              | held              | held; the bringer is to stop   | full: not held      |
 * | release           | held less         | at half of stopAt: all may go on | held less         |
 * | stop(n), go(n)    | nothing goes by n until it says so, whatever is held                     |||
 *
 * Invariant: a destination has a row exactly while something is held for it or somebody was asked to stop.
 */
export class Flows {
  readonly #init: FlowsInit
  readonly #destinations = new Map<Key, Destination>()
  #bytes = 0

  constructor (init: FlowsInit) {
    this.#init = init
  }

  get size (): number {
    return this.#destinations.size
  }

  get bytes (): number {
    return this.#bytes
  }

  isStopped (destination: Key, via: Key): boolean {
    return this.#destinations.get(destination)?.stoppedBy.has(via) === true
  }

  /** 'stop': it is held, and the neighbour `from` that brought it is to be asked to stop */
  hold (key: Key, bytes: number, from: Key): 'held' | 'stop' | 'full' {
    const { stopAt, capacity, maxBytes } = this.#init
    const destination = this.#row(key)

    if (destination.held + bytes > capacity || this.#bytes + bytes > maxBytes) {
      this.#tidy(key, destination)
      return 'full'
    }

    destination.held += bytes
    this.#bytes += bytes

    if (destination.held < stopAt || destination.asked.has(from)) {
      return 'held'
    }

    destination.asked.add(from)
    return 'stop'
  }

  /** Returns the neighbours that may go on */
  release (key: Key, bytes: number): Key[] {
    const destination = this.#destinations.get(key)

    if (destination == null) {
      return []
    }

    destination.held -= bytes
    this.#bytes -= bytes
    const isLow = destination.held <= this.#init.stopAt / 2
    const free = isLow ? [...destination.asked] : []

    if (isLow) {
      destination.asked.clear()
    }

    this.#tidy(key, destination)
    return free
  }

  /** A neighbour asks us to stop, or to go on */
  flow (key: Key, via: Key, isOpen: boolean): void {
    const destination = this.#row(key)
    isOpen ? destination.stoppedBy.delete(via) : destination.stoppedBy.add(via)
    this.#tidy(key, destination)
  }

  /** A neighbour is gone: what it asked for is over. Returns the destinations that it had stopped */
  down (neighbour: Key): Key[] {
    const freed: Key[] = []

    for (const [key, destination] of this.#destinations) {
      destination.asked.delete(neighbour)

      if (destination.stoppedBy.delete(neighbour)) {
        freed.push(key)
      }

      this.#tidy(key, destination)
    }

    return freed
  }

  clear (): void {
    this.#destinations.clear()
    this.#bytes = 0
  }

  #row (key: Key): Destination {
    let destination = this.#destinations.get(key)

    if (destination == null) {
      this.#destinations.set(key, destination = { held: 0, asked: new Set(), stoppedBy: new Set() })
    }

    return destination
  }

  #tidy (key: Key, { held, asked, stoppedBy }: Destination): void {
    if (held === 0 && asked.size === 0 && stoppedBy.size === 0) {
      this.#destinations.delete(key)
    }
  }
}
