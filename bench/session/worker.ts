import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { directSub, sessions } from '../../src/index.ts'
import { need, sharedNow, sleep } from '../clock.ts'
import { withLag } from '../log/lag.ts'
import { serve } from '../workers.ts'
import type { DirectSub, Sessions } from '../../src/index.ts'
import type { Libp2p, PeerId } from '@libp2p/interface'

export type Kind = 'sealed' | 'clear' | 'acked'

/** All that have sessions are on this topic */
const SESSIONS = 'libp2p-sheaf/session/1'
/** Where what is not sealed goes */
const TOPIC = 'clear'
/** Messages of a sender that wait for an answer at once */
const AT_ONCE = 1000
/** Milliseconds between two rounds while the loop is measured */
const CADENCE = 25

type Node = Libp2p<{ pubsub: DirectSub, sessions: Sessions }>

let node: Node
let other: PeerId
const strangers: Node[] = []
let count = 0
let onMessage = (): void => {}

/** One node, and the one that it talks with is in another process */
serve({
  async start () {
    node = await createNode()
    const hear = (): void => {
      count++
      onMessage()
    }
    node.services.sessions.addEventListener('message', hear)
    node.services.pubsub.addEventListener('message', ({ detail }) => { detail.topic === TOPIC && hear() })
    await node.services.pubsub.subscribe(TOPIC)
    return node.getMultiaddrs()[0].toString()
  },

  async dial ({ address }: { address: string }) {
    await node.dial(multiaddr(address))
  },

  async meet () {
    await need('the other one', () => node.services.pubsub.getSubscribers(TOPIC).length === 1)
    other = node.services.pubsub.getSubscribers(TOPIC)[0]
  },

  /** When so many messages have come, on the shared clock, counted from the last call of `forget` */
  async heard ({ messages }: { messages: number }) {
    await new Promise<void>(resolve => {
      onMessage = () => { count >= messages && resolve() }
      onMessage()
    })
    return sharedNow()
  },

  async forget () {
    count = 0
    onMessage = () => {}
  },

  async blast ({ kind, messages, bytes }: { kind: Kind, messages: number, bytes: number }) {
    const began = sharedNow()
    await inParallel(messages, AT_ONCE, async i => send(kind, new Uint8Array(bytes).fill(i)))
    return began
  },

  /** Rounds one after the other */
  async rounds ({ time }: { time: number }) {
    const began = performance.now()
    let rounds = 0

    while (performance.now() - began < time) {
      await node.services.sessions.rekey(other)
      rounds++
    }

    return rounds * 1000 / (performance.now() - began)
  },

  /** The lag of the event loop, in milliseconds */
  async lag ({ time, isRekeying }: { time: number, isRekeying: boolean }) {
    const { lag } = await withLag(async () => {
      const until = performance.now() + time

      while (performance.now() < until) {
        await Promise.all([sleep(CADENCE), isRekeying ? node.services.sessions.rekey(other) : undefined])
      }
    })
    return lag.p99
  },

  /** Milliseconds from send() at a node that nobody knows to the answer that its message has arrived */
  async stranger ({ address, to }: { address: string, to: string }) {
    const stranger = await createNode()
    await stranger.dial(multiaddr(address))
    const find = (): PeerId | undefined => stranger.services.pubsub.getSubscribers(SESSIONS).find(id => `${id}` === to)
    await need('the other one', () => find() != null)
    // what is warmed up at the start is warm
    await sleep(100)
    const began = performance.now()
    await stranger.services.sessions.send(find() as PeerId, new Uint8Array(100))
    const took = performance.now() - began
    await stranger.stop()
    return took
  },

  async id () {
    return `${node.peerId}`
  },

  async heap () {
    let last = Infinity

    for (let i = 0; i < 20; i++) {
      await sleep(50)
      globalThis.gc?.()
      const { heapUsed, arrayBuffers } = process.memoryUsage()
      const now = heapUsed + arrayBuffers

      if (Math.abs(last - now) < now * 0.0005) {
        return now
      }

      last = now
    }

    return last
  },

  /** Nodes of this process that are known to the one at `address`, and have no session with it yet */
  async crowd ({ address, to, many }: { address: string, to: string, many: number }) {
    for (let i = 0; i < many; i++) {
      const one = await createNode()
      strangers.push(one)
      await one.dial(multiaddr(address))
      await need('the other one', () => one.services.pubsub.getSubscribers(SESSIONS).some(id => `${id}` === to))
    }
  },

  async greet ({ to }: { to: string }) {
    for (const one of strangers) {
      const id = one.services.pubsub.getSubscribers(SESSIONS).find(id => `${id}` === to)
      await one.services.sessions.send(id as PeerId, new Uint8Array(10))
    }
  },

  async known () {
    return node.services.sessions.diagnostics().sizes.sessions
  },

  async stop () {
    await Promise.all([node?.stop(), ...strangers.splice(0).map(async one => one.stop())])
  }
})

async function createNode (): Promise<Node> {
  const node = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false },
    connectionManager: { inboundConnectionThreshold: 10_000 },
    services: { identify: identify(), pubsub: directSub(), sessions: sessions() }
  })
  return node as unknown as Node
}

async function send (kind: Kind, data: Uint8Array): Promise<unknown> {
  const { pubsub, sessions } = node.services

  switch (kind) {
    case 'sealed':
      return sessions.send(other, data)
    case 'clear':
      return pubsub.publish(TOPIC, data, { to: [other] })
    case 'acked':
      return pubsub.publish(TOPIC, data, { to: [other], ack: 'all' })
  }
}

async function inParallel (total: number, atOnce: number, work: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0
  await Promise.all(Array.from({ length: atOnce }, async () => {
    while (next < total) {
      await work(next++)
    }
  }))
}
