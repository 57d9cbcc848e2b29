import { Fifo } from '../../src/runtime/bounded.ts'
import { freeze } from './surroundings.ts'
import type { SimNetwork } from './network.ts'
import type { SimNode } from './node.ts'
import type { Wire } from './surroundings.ts'
import type { Greeting } from '../../src/pubsub/core/pubsub.ts'
import type { Gossip } from '../../src/pubsub/core/types.ts'

type Message = { type: 'hello', greeting: Greeting } | { type: 'gossip', gossip: Gossip } | { type: 'bye' }

/** One side of a link */
interface End {
  readonly node: SimNode
  /** Whether it has heard the other's greeting in this session: before that, what it sends is lost */
  isUp: boolean
  /** What is on its way to it */
  arriving: Fifo<Message>
  lastArrival: number
}

/**
 * One connection between two nodes, and the session of control that runs over it: in order and without loss, until it
 * breaks; then all that was on its way is lost, and another session begins. As in the real link the side with the smaller
 * name greets first, and the other one answers.
 */
export class SimLink implements Wire {
  readonly #network: SimNetwork
  readonly #opener: End
  readonly #acceptor: End
  #session = 0
  #isConnected = true
  /** When both heard of each other in this session */
  upSince = Infinity

  constructor (network: SimNetwork, one: SimNode, other: SimNode) {
    const [opener, acceptor] = one.key < other.key ? [one, other] : [other, one]
    this.#network = network
    this.#opener = { node: opener, isUp: false, arriving: new Fifo(), lastArrival: 0 }
    this.#acceptor = { node: acceptor, isUp: false, arriving: new Fifo(), lastArrival: 0 }
    this.#begin()
  }

  get isConnected (): boolean {
    return this.#isConnected
  }

  get nodes (): [SimNode, SimNode] {
    return [this.#opener.node, this.#acceptor.node]
  }

  other (node: SimNode): SimNode {
    return this.#otherEnd(node).node
  }

  /** Whether what `node` knows of the other side is of the present session */
  isUp (node: SimNode): boolean {
    return this.#otherEnd(this.#otherEnd(node).node).isUp
  }

  send (from: SimNode, gossip: Gossip): void {
    const to = this.#otherEnd(from)

    if (this.#otherEnd(to.node).isUp) {
      if (this.#network.observe) {
        freeze(gossip)
      }
      this.#transmit(to, { type: 'gossip', gossip })
    }
  }

  /** The session breaks, the connection lives: both open another one */
  breakSession (): void {
    if (this.#isConnected) {
      const session = this.#end()
      this.#network.clock.after(this.#network.delay(), () => {
        if (session === this.#session && this.#isConnected) {
          this.#begin()
        }
      })
    }
  }

  /** The connection is gone, and each side hears so sooner or later */
  disconnect (): void {
    this.#isConnected = false
    this.#end()
    this.#forget()

    for (const [end, other] of [[this.#opener, this.#acceptor], [this.#acceptor, this.#opener]]) {
      const { life } = end.node
      this.#network.clock.after(this.#network.detection(), () => { end.node.lost(other.node.key, life) })
    }
  }

  /** `by` goes after it has said its last words */
  close (by: SimNode): void {
    const to = this.#otherEnd(by)
    const end = this.#otherEnd(to.node)
    this.#isConnected = false
    end.isUp = false
    end.arriving.clear()
    this.#forget()
    this.#transmit(to, { type: 'bye' })
  }

  #begin (): void {
    this.#transmit(this.#acceptor, { type: 'hello', greeting: this.#opener.node.greeting })
  }

  #end (): number {
    this.upSince = Infinity
    for (const end of [this.#opener, this.#acceptor]) {
      end.isUp = false
      end.arriving.clear()
    }
    return ++this.#session
  }

  #forget (): void {
    this.#network.forget(this)
    const [one, other] = this.nodes
    for (const [node, { key }] of [[one, other], [other, one]]) {
      if (node.links.get(key) === this) {
        node.links.delete(key)
      }
    }
  }

  #otherEnd (node: SimNode): End {
    return node === this.#opener.node ? this.#acceptor : this.#opener
  }

  #transmit (to: End, message: Message): void {
    const { clock } = this.#network
    const session = this.#session
    to.arriving.push(message)
    // each alarm delivers whatever is first: what was sent first, however long the delays were
    to.lastArrival = Math.max(to.lastArrival, clock.now() + this.#network.delay())
    clock.after(to.lastArrival - clock.now(), () => {
      if (session === this.#session) {
        this.#arrive(to)
      }
    })
  }

  #arrive (end: End): void {
    const message = end.arriving.shift()
    const other = this.#otherEnd(end.node)
    const current = end.node.links.get(other.node.key) ?? this

    // the last words on a connection are not listened to when there is another one already
    if (message == null || !end.node.isRunning || current !== this) {
      return
    }

    switch (message.type) {
      case 'hello':
        this.#greeted(end, other, message.greeting)
        break
      case 'gossip':
        end.node.receive(other.node.key, message.gossip)
        break
      case 'bye':
        this.#end()
        end.node.lost(other.node.key, end.node.life)
        break
    }
  }

  #greeted (end: End, other: End, greeting: Greeting): void {
    if (end === this.#acceptor) {
      this.#transmit(other, { type: 'hello', greeting: end.node.greeting })
    } else {
      this.upSince = this.#network.clock.now()
    }

    end.isUp = true
    end.node.up(other.node.key, greeting)
  }
}
