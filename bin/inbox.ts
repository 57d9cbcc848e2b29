import { TOPIC } from '../src/transfer/constants.ts'
import { Arrival } from './arrival.ts'
import { nameIn, PROTOCOL } from './file-offer.ts'
import { short } from './text.ts'
import type { Node } from './node.ts'
import type { Terminal } from './terminal.ts'
import type { Offer } from '../src/index.ts'

/**
 * A directory that takes the files that others send
 */
export class Inbox {
  readonly #node: Node
  readonly #dir: string
  readonly #terminal: Terminal
  readonly #signal: AbortSignal
  readonly #arrivals = new Set<Arrival>()

  constructor (node: Node, dir: string, terminal: Terminal, signal: AbortSignal) {
    this.#node = node
    this.#dir = dir
    this.#terminal = terminal
    this.#signal = signal
    node.services.transfers.handle(PROTOCOL, async offer => this.#onOffer(offer))
    node.services.pubsub.addEventListener('subscription-change', () => {
      this.#arrivals.forEach(arrival => { this.#giveWay(arrival) })
    })
  }

  /** Resolves when no file is open any more: the signal has ended them */
  async end (): Promise<void> {
    this.#node.services.transfers.unhandle(PROTOCOL)
    await Promise.all([...this.#arrivals].map(async ({ over }) => over))
  }

  async #onOffer (offer: Offer): Promise<void> {
    const { from, size, root, meta } = offer
    const name = nameIn(meta)

    if (name == null || size == null || root == null) {
      offer.reject()
      const why = name == null ? 'its name is none for a file here' : 'it does not say how large it is'
      await this.#terminal.print({ type: 'note', message: `Rejected: a file from ${short(from)}: ${why}` })
      return
    }

    const arrival = new Arrival({
      offer: Object.assign(offer, { size, root }),
      name,
      dir: this.#dir,
      signal: this.#signal,
      isTaken: path => [...this.#arrivals].some(other => other.path === path),
      print: async event => this.#terminal.print(event)
    })

    if (await this.#hasTurn(arrival)) {
      this.#arrivals.add(arrival)
      await arrival.receive()
      this.#arrivals.delete(arrival)
    }
  }

  /** The same bytes under the same name come once at a time: they lie in the same place meanwhile */
  async #hasTurn ({ offer, name, root }: Arrival): Promise<boolean> {
    for (;;) {
      const same = [...this.#arrivals].find(other => other.name === name && other.root === root)

      if (same == null) {
        return offer.isOpen && !this.#signal.aborted
      }
      same.isAwaited = true
      this.#giveWay(same)
      await same.over
    }
  }

  /** Its sender is gone, and another one, or the same one started again, sends it now */
  #giveWay (arrival: Arrival): void {
    const { isAwaited, offer: { from } } = arrival

    if (isAwaited && !this.#node.services.pubsub.getSubscribers(TOPIC).some(peer => peer.equals(from))) {
      arrival.abort()
    }
  }
}
