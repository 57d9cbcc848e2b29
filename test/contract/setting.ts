import { connect, createNode, until } from '../fixtures/nodes.ts'
import type { TestNode } from '../fixtures/nodes.ts'
import type { PeerId, TypedEventTarget } from '@libp2p/interface'

/**
 * What a 'message' event carries in every service of this shape
 */
export interface ReceivedMessage {
  type: 'signed' | 'unsigned'
  topic: string
  data: Uint8Array
  from?: PeerId
}

export interface SubscriptionChange {
  peerId: PeerId
  subscriptions: Array<{ topic: string, subscribe: boolean }>
}

export interface PubSubEvents {
  message: CustomEvent<ReceivedMessage>
  'subscription-change': CustomEvent<SubscriptionChange>
}

/**
 * The part of GossipSub's face that its users build upon. `subscribe` may give a
 * promise, the rows wait for whatever comes back.
 */
export interface PubSub extends TypedEventTarget<any> {
  topicValidators: Map<string, any>
  getPeers (): PeerId[]
  getTopics (): string[]
  getSubscribers (topic: string): PeerId[]
  subscribe (topic: string): unknown
  unsubscribe (topic: string): unknown
  publish (topic: string, data: Uint8Array): Promise<{ recipients: PeerId[] }>
}

export type PubSubNode = TestNode<PubSub>

export type PubSubFactory = (components: any) => PubSub

export type Row = (setting: Setting) => Promise<void>

/** Sent to see that what was sent before it has come, or will never come */
const FENCE = 'the fence'

/**
 * What a row of the contract has at hand: nodes, and ways to wait for what they do
 */
export class Setting {
  private readonly factory: () => PubSubFactory
  readonly patience: number

  constructor (factory: () => PubSubFactory, patience: number) {
    this.factory = factory
    this.patience = patience
  }

  async nodes (count: number): Promise<PubSubNode[]> {
    return Promise.all(Array.from({ length: count }, async () => createNode({ pubsub: this.factory() })))
  }

  /**
   * Two nodes that are connected, and each knows that the other speaks its protocol
   */
  async pair (): Promise<[PubSubNode, PubSubNode]> {
    const [a, b] = await this.nodes(2)
    await this.meet(a, b)

    return [a, b]
  }

  /**
   * A node in the middle and `leaves` nodes that are connected to it only
   */
  async star (leaves: number): Promise<[PubSubNode, ...PubSubNode[]]> {
    const [hub, ...others] = await this.nodes(leaves + 1)

    for (const other of others) {
      await this.meet(other, hub)
    }

    return [hub, ...others]
  }

  async meet (a: PubSubNode, b: PubSubNode): Promise<void> {
    await connect(a, b)
    await this.until(() => includes(pubsub(a).getPeers(), b) && includes(pubsub(b).getPeers(), a), 'both nodes to know that the other one speaks their protocol')
  }

  async until (condition: () => boolean, what: string): Promise<void> {
    await until(condition, { timeout: this.patience, what })
  }

  /**
   * Subscribes all of the nodes, and waits until those that are `connected` to the first know of each other
   */
  async gather (topic: string, first: PubSubNode, ...others: PubSubNode[]): Promise<void> {
    for (const node of [first, ...others]) {
      await pubsub(node).subscribe(topic)
    }

    for (const other of others) {
      await this.known(topic, first, other)
      await this.known(topic, other, first)
    }
  }

  /**
   * Waits until a node knows that another one is subscribed
   */
  async known (topic: string, at: PubSubNode, subscriber: PubSubNode): Promise<void> {
    await this.until(() => includes(pubsub(at).getSubscribers(topic), subscriber), `a subscriber of '${topic}' to be known`)
  }

  /**
   * Resolves when whatever `from` sent to `to` before this call has had its chance to arrive:
   * what proves that something did not come, without a sleep
   */
  async fence (from: PubSubNode, to: PubSubNode): Promise<void> {
    await this.gather(FENCE, from, to)
    const inbox = new Inbox(to, FENCE)
    await pubsub(from).publish(FENCE, new Uint8Array([1]))
    await this.arrived(inbox, 1)
  }

  /**
   * Waits until at least so many messages have come
   */
  async arrived (inbox: Inbox, count: number): Promise<void> {
    await until(() => inbox.messages.length >= count, {
      timeout: this.patience,
      what: () => `${count} messages, ${inbox.messages.length} have come`
    })
  }
}

/**
 * All messages that a node is told of, in the order in which it is
 */
export class Inbox {
  readonly messages: ReceivedMessage[] = []

  constructor (node: PubSubNode, topic?: string) {
    pubsub(node).addEventListener('message', (event: PubSubEvents['message']) => {
      // the fence is our own business
      if (topic == null ? event.detail.topic !== FENCE : event.detail.topic === topic) {
        this.messages.push(event.detail)
      }
    })
  }

  /**
   * The first byte of every message: the rows number their messages there
   */
  get numbers (): number[] {
    return this.messages.map(({ data }) => data[0])
  }
}

export function pubsub (node: PubSubNode): PubSub {
  return node.services.pubsub
}

export function includes (peers: PeerId[], node: PubSubNode): boolean {
  return peers.some(peerId => peerId.equals(node.peerId))
}

/**
 * All changes of subscriptions that a node is told of
 */
export function changes (node: PubSubNode): SubscriptionChange[] {
  const seen: SubscriptionChange[] = []

  pubsub(node).addEventListener('subscription-change', (event: PubSubEvents['subscription-change']) => {
    seen.push(event.detail)
  })

  return seen
}
