import { freeze } from '../sim/surroundings.ts'
import type { Greeting } from '../../src/pubsub/core/pubsub.ts'
import type { Gossip, Key } from '../../src/pubsub/core/types.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import type { SimNode } from '../sim/node.ts'
import type { Wire } from '../sim/surroundings.ts'

type Message = { type: 'hello', greeting: Greeting } | { type: 'gossip', gossip: Gossip }

/** A message on its way over relays, as a parcel is: it knows which of them it crossed */
export interface Parcel {
  origin: Key
  destination: Key
  trace: Key[]
}

/**
 * A link as in the simulator, but for time: each message waits until it is chosen.
 */
export class ModelWire implements Wire {
  readonly ends: [SimNode, SimNode]
  readonly arriving = new Map<SimNode, Message[]>()
  /** What is on its way over relays: in another lane, so that it keeps no order with gossip */
  readonly carrying = new Map<SimNode, Parcel[]>()
  /** Ends that have not heard that the connection is gone */
  readonly unnoticed = new Set<SimNode>()
  /** The life of the other side that each end has been greeted by */
  readonly greeted = new Map<SimNode, number>()
  readonly #clock: Clock
  readonly #up = new Set<SimNode>()
  isConnected = false
  upSince = Infinity

  constructor (clock: Clock, opener: SimNode, acceptor: SimNode) {
    this.#clock = clock
    this.ends = [opener, acceptor]
  }

  connect (): void {
    const [opener, acceptor] = this.ends
    this.isConnected = true
    this.unnoticed.clear()
    opener.links.set(acceptor.key, this)
    acceptor.links.set(opener.key, this)
    this.breakSession()
  }

  other (node: SimNode): SimNode {
    const [opener, acceptor] = this.ends
    return node === opener ? acceptor : opener
  }

  isUp (node: SimNode): boolean {
    return this.#up.has(node)
  }

  send (from: SimNode, gossip: Gossip): void {
    if (this.#up.has(from)) {
      freeze(gossip)
      this.arriving.get(this.other(from))?.push({ type: 'gossip', gossip })
    }
  }

  carry (from: SimNode, parcel: Parcel): void {
    if (this.#up.has(from)) {
      this.carrying.get(this.other(from))?.push(parcel)
    }
  }

  breakSession (): void {
    const [opener, acceptor] = this.ends
    this.#end()

    if (this.isConnected) {
      this.arriving.get(acceptor)?.push({ type: 'hello', greeting: opener.greeting })
    }
  }

  disconnect (): void {
    const [opener, acceptor] = this.ends

    if (this.isConnected) {
      this.isConnected = false
      this.#end()
      this.ends.forEach(end => { this.unnoticed.add(end) })
      opener.links.delete(acceptor.key)
      acceptor.links.delete(opener.key)
    }
  }

  close (): void {
    this.disconnect()
  }

  /** An end hears that it is gone */
  notice (node: SimNode): void {
    this.unnoticed.delete(node)
    node.lost(this.other(node).key, node.life)
  }

  /** What arrives first at `node` */
  deliver (node: SimNode, again: boolean): void {
    const [opener, acceptor] = this.ends
    const waiting = this.arriving.get(node) as Message[]
    const message = waiting[0]

    if (!again) {
      waiting.shift()
    }
    if (message.type === 'gossip') {
      node.receive(this.other(node).key, message.gossip)
      return
    }
    if (node === acceptor) {
      this.arriving.get(opener)?.push({ type: 'hello', greeting: acceptor.greeting })
    } else {
      this.upSince = this.#clock.now()
    }

    this.#up.add(node)
    this.greeted.set(node, message.greeting.epoch)
    node.up(this.other(node).key, message.greeting)
  }

  #end (): void {
    this.upSince = Infinity
    this.#up.clear()
    this.ends.forEach(end => {
      this.arriving.set(end, [])
      this.carrying.set(end, [])
    })
  }
}
