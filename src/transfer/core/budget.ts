export interface BudgetInit {
  /** Bytes of all, and of one peer */
  node: number
  peer: number
  /** Bytes that each has at least, and at most */
  min: number
  max: number
}

/** How many bytes a transfer may have under way to the program */
export interface Share {
  readonly window: number
  /** Gives them back, once */
  end (): void
}

/**
 * Who holds how much of a memory that all share. Half of it is for the least that each has to have, and the other half
 * for who comes first: so those that take nothing any more slow others down, but do not keep them out.
 */
export class Budget {
  readonly #init: BudgetInit
  readonly #peers = new Map<string, { count: number, extra: number }>()
  #count = 0
  #extra = 0

  constructor (init: BudgetInit) {
    this.#init = init
  }

  get bytes (): number {
    return this.#count * this.#init.min + this.#extra
  }

  get size (): number {
    return this.#count
  }

  /** Undefined: there is no room for one more, of this peer or at all */
  take (peer: string): Share | undefined {
    const { node, peer: ofPeer, min, max } = this.#init
    const row = this.#peers.get(peer) ?? { count: 0, extra: 0 }

    if ((this.#count + 1) * min > node / 2 || (row.count + 1) * min > ofPeer / 2) {
      return
    }

    // half of what is left: who comes next finds some, too
    const left = Math.min(node / 2 - this.#extra, ofPeer / 2 - row.extra)
    const extra = Math.max(0, Math.min(max - min, Math.floor(left / 2)))
    let isOver = false

    this.#add(peer, row, 1, extra)
    return {
      window: min + extra,
      end: () => {
        if (!isOver) {
          isOver = true
          this.#add(peer, row, -1, -extra)
        }
      }
    }
  }

  #add (peer: string, row: { count: number, extra: number }, count: number, extra: number): void {
    row.count += count
    row.extra += extra
    this.#count += count
    this.#extra += extra
    row.count > 0 ? this.#peers.set(peer, row) : this.#peers.delete(peer)
  }
}
