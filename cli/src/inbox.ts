import { TRANSFER_TOPIC } from 'libp2p-sheaf'
import { Arrival } from './arrival.ts'
import { nameIn, PROTOCOL } from './file-offer.ts'
import { short } from './text.ts'
import type { Node } from './node.ts'
import type { Terminal } from './terminal.ts'
import type { Offer, SubscriptionChange } from 'libp2p-sheaf'

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
    node.services.pubsub.addEventListener('subscription-change', ({ detail }) => { this.#onChange(detail) })
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

    // the same bytes under the same name come once at a time: they lie in the same place meanwhile
    for (let same = this.#sameAs(arrival); same != null; same = this.#sameAs(arrival)) {
      same.isAwaited = true
      giveWay(same)
      await same.over
    }

    if (offer.isOpen && !this.#signal.aborted) {
      this.#arrivals.add(arrival)
      await arrival.receive()
      this.#arrivals.delete(arrival)
    }
  }

  #sameAs ({ name, root }: Arrival): Arrival | undefined {
    return [...this.#arrivals].find(other => other.name === name && other.root === root)
  }

  #onChange ({ peerId, subscriptions }: SubscriptionChange): void {
    const change = subscriptions.find(({ topic }) => topic === TRANSFER_TOPIC)

    for (const arrival of change == null ? [] : this.#arrivals) {
      if (arrival.offer.from.equals(peerId)) {
        arrival.isOrphaned = change?.subscribe === false
        giveWay(arrival)
      }
    }
  }
}

/** Its sender may come back, but another one, or the same one started again, is here */
function giveWay (arrival: Arrival): void {
  if (arrival.isAwaited && arrival.isOrphaned) {
    arrival.abort()
  }
}
