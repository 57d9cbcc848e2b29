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
  /** The last that was said of it */
  readonly window: number
  /** So many bytes are granted and not taken: how many may be. It is never less than that */
  resize (granted: number): number
  /** Gives them back, once */
  end (): void
}

interface Held {
  count: number
  extra: number
}

/**
 * Who holds how much of a memory that all share. Half of it is for the least that each has to have. The other half they
 * share evenly, as they take what they have: so none is slower than others for having come later. Who grows gets half
 * of what is left at most, so those that take nothing any more slow others down, but do not keep them out.
 */
export class Budget {
  readonly #init: BudgetInit
  readonly #peers = new Map<string, Held>()
  readonly #all: Held = { count: 0, extra: 0 }

  constructor (init: BudgetInit) {
    this.#init = init
  }

  get bytes (): number {
    return this.#all.count * this.#init.min + this.#all.extra
  }

  get size (): number {
    return this.#all.count
  }

  /** Undefined: there is no room for one more, of this peer or at all */
  take (peer: string): Share | undefined {
    const { node, peer: ofPeer, min } = this.#init
    const row = this.#peers.get(peer) ?? { count: 0, extra: 0 }

    if ((this.#all.count + 1) * min > node / 2 || (row.count + 1) * min > ofPeer / 2) {
      return
    }

    let extra = 0
    let isOver = false
    const change = (count: number, to: number): void => {
      for (const held of [row, this.#all]) {
        held.count += count
        held.extra += to - extra
      }
      extra = to
    }
    const resize = (granted: number): number => {
      isOver || change(0, Math.max(granted - min, this.#fair(row, extra)))
      return min + extra
    }

    this.#peers.set(peer, row)
    change(1, 0)
    resize(0)

    return {
      get window () { return min + extra },
      resize,
      end: () => {
        if (!isOver) {
          isOver = true
          change(-1, 0)
          row.count === 0 && this.#peers.delete(peer)
        }
      }
    }
  }

  /** What one that has so much may have, beside the least of each */
  #fair (row: Held, extra: number): number {
    const { node, peer, min, max } = this.#init
    const pools: Array<[number, Held]> = [[peer / 2, row], [node / 2, this.#all]]
    const most = pools.map(([pool, held]) => Math.min(pool / held.count, extra + (pool - held.extra) / 2))
    return Math.max(0, Math.floor(Math.min(max - min, ...most)))
  }
}
