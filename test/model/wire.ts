import { freeze } from '../sim/surroundings.ts'
import type { Greeting } from '../../src/pubsub/core/pubsub.ts'
import type { Gossip } from '../../src/pubsub/core/types.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import type { SimNode } from '../sim/node.ts'
import type { Wire } from '../sim/surroundings.ts'

type Message = { type: 'hello', greeting: Greeting } | { type: 'gossip', gossip: Gossip }

/**
 * A link as in the simulator, but for time: each message waits until it is chosen.
 */
export class ModelWire implements Wire {
  readonly ends: [SimNode, SimNode]
  readonly arriving = new Map<SimNode, Message[]>()
  readonly #clock: Clock
  readonly #up = new Set<SimNode>()
  isConnected = false
  upSince = Infinity

  constructor (clock: Clock, opener: SimNode, acceptor: SimNode) {
    this.#clock = clock
    this.ends = [opener, acceptor]
    this.connect()
  }

  connect (): void {
    const [opener, acceptor] = this.ends
    this.isConnected = true
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

  breakSession (): void {
    const [opener, acceptor] = this.ends
    this.#end()

    if (this.isConnected) {
      this.arriving.get(acceptor)?.push({ type: 'hello', greeting: opener.greeting })
    }
  }

  disconnect (): void {
    const [opener, acceptor] = this.ends
    this.isConnected = false
    this.#end()
    opener.links.delete(acceptor.key)
    acceptor.links.delete(opener.key)
  }

  close (): void {
    this.disconnect()
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
    node.up(this.other(node).key, message.greeting)
  }

  #end (): void {
    this.upSince = Infinity
    this.#up.clear()
    this.ends.forEach(end => { this.arriving.set(end, []) })
  }
}
