import type { Key } from './types.ts'

/** Bytes for one destination in one lane */
export interface Flow {
  to: Key
  lane: number
  bytes: number
}

export interface FlowsInit {
  /** Bytes for one destination in one lane that a neighbour may bring before it hears that some have left */
  window: number
  /** Rows that one telling has at most */
  maxRows: number
  /** What all neighbours together brought, and its bound */
  budget: { readonly max: number, held: number }
}

/**
 * What is on its way to destinations behind one neighbour: what we brought it, and what it brought us. A slow
 * destination must not hold up what a neighbour sends to others, so what is held for it does not count against the
 * neighbour's credit. Instead there is a window for each destination in each lane, on both sides of a link:
 *
 * | event             | who brings                             | who is brought                                   |
 * |-------------------|----------------------------------------|--------------------------------------------------|
 * | bring             | counted, or has to wait for the window |                                                  |
 * | hold              |                                        | counted; past the window or the budget: refused  |
 * | letGo             |                                        | to be told, soon if it is a quarter of a window  |
 * | tell              |                                        | what left is counted no longer                   |
 * | told              | what left is counted no longer         |                                                  |
 *
 * A message that is larger than a window goes when nothing else is on its way. A neighbour may hold as much of the
 * budget as is left free: alone half of it, with others as much as each of them.
 *
 * Invariant: what we count as brought is never less than what the other side counts; a row is there while it is not 0.
 */
export class Flows {
  readonly #init: FlowsInit
  readonly #brought = new Ledger()
  readonly #counted = new Ledger()
  readonly #untold = new Ledger()
  #held = 0

  constructor (init: FlowsInit) {
    this.#init = init
  }

  get size (): number {
    return this.#brought.size + this.#counted.size
  }

  get hasUntold (): boolean {
    return this.#untold.size > 0
  }

  /** False: so many bytes are on their way that these have to wait */
  bring ({ to, lane, bytes }: Flow): boolean {
    return this.#fits(this.#brought.get(to, lane), bytes) && this.#brought.add(to, lane, bytes) > 0
  }

  /** The neighbour says, or we know, that these are not on their way any more. False: nothing was */
  told ({ to, lane, bytes }: Flow): boolean {
    const left = Math.min(bytes, this.#brought.get(to, lane))
    this.#brought.add(to, lane, -left)
    return left > 0
  }

  /** False: it is not held, as there is too much. In either case `letGo` has to be called once */
  hold ({ to, lane, bytes }: Flow): boolean {
    const { budget } = this.#init
    const fits = this.#fits(this.#counted.get(to, lane), bytes) && this.#held + bytes <= budget.max - budget.held
    this.#counted.add(to, lane, bytes)
    this.#held += bytes
    budget.held += bytes
    return fits
  }

  /** True: it is time to tell the neighbour */
  letGo ({ to, lane, bytes }: Flow): boolean {
    const { budget, window, maxRows } = this.#init
    this.#held -= bytes
    budget.held -= bytes
    return this.#untold.add(to, lane, bytes) >= window / 4 || this.#untold.size >= maxRows
  }

  /** What to tell the neighbour now */
  tell (): Flow[] {
    const flows = this.#untold.take(this.#init.maxRows)
    flows.forEach(({ to, lane, bytes }) => { this.#counted.add(to, lane, -bytes) })
    return flows
  }

  #fits (used: number, bytes: number): boolean {
    return used === 0 || used + bytes <= this.#init.window
  }
}

/** Bytes by destination and lane. What is 0 has no row, and where there was never one there is no map: most are idle */
class Ledger {
  #rows?: Map<Key, number[]>

  get size (): number {
    return this.#rows?.size ?? 0
  }

  get (to: Key, lane: number): number {
    return this.#rows?.get(to)?.[lane] ?? 0
  }

  add (to: Key, lane: number, bytes: number): number {
    const rows = this.#rows ??= new Map<Key, number[]>()
    const row = rows.get(to) ?? [0, 0, 0, 0]
    row[lane] += bytes
    row.some(bytes => bytes > 0) ? rows.set(to, row) : rows.delete(to)

    return row[lane]
  }

  take (max: number): Flow[] {
    const flows: Flow[] = []

    for (const [to, row] of this.#rows ?? []) {
      if (flows.length + row.length > max) {
        break
      }

      row.forEach((bytes, lane) => { bytes > 0 && flows.push({ to, lane, bytes }) })
      this.#rows?.delete(to)
    }

    return flows
  }
}
