import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { floodsub } from '@libp2p/floodsub'
import { gossipsub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { createLibp2p } from 'libp2p'
import { need } from '../clock.ts'
import type { Libp2p, PeerId, TypedEventTarget } from '@libp2p/interface'

/**
 * `limit` is the same stack without a pubsub: what could be reached if a pubsub cost nothing
 */
export type Kind = 'ours' | 'limit' | 'gossipsub' | 'floodsub'

/**
 * As much as the measurements use, the same of every pubsub
 */
export interface PubSub extends TypedEventTarget<any> {
  subscribe (topic: string): unknown
  unsubscribe (topic: string): unknown
  publish (topic: string, data: Uint8Array, options?: object): Promise<{ recipients: PeerId[], failed?: unknown[] }>
  getPeers (): PeerId[]
  getSubscribers (topic: string): PeerId[]
  waitForSubscribers? (topic: string, options: { count: number, signal: AbortSignal }): Promise<PeerId[]>
  getMeshPeers? (topic: string): string[]
}

export type Node = Libp2p<any>

export async function createNode (kind: Kind, listen: string[] = ['/ip4/127.0.0.1/tcp/0']): Promise<Node> {
  const pubsub = await factory(kind)

  return createLibp2p({
    addresses: { listen },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    // its pings are no part of what is measured
    connectionMonitor: { enabled: false },
    // all of them come from one host here
    connectionManager: { maxConnections: 1_000, inboundConnectionThreshold: 1_000 },
    services: {
      identify: identify(),
      ...(pubsub == null ? {} : { pubsub })
    }
  })
}

async function factory (kind: Kind): Promise<((components: any) => unknown) | undefined> {
  switch (kind) {
    case 'ours': {
      // only here, so that a fault in what is being worked on leaves the others to be measured
      const { directSub } = await import('../../src/index.ts')
      return directSub()
    }
    case 'gossipsub':
      return gossipsub({ emitSelf: false, allowPublishToZeroTopicPeers: true })
    case 'floodsub':
      return floodsub({ emitSelf: false })
    case 'limit':
      return undefined
  }
}

export function pubsubOf (node: Node): PubSub {
  return node.services.pubsub
}

/**
 * Resolves when what is published from here reaches `links` peers: they are known,
 * and where a mesh is what messages take, it stands
 */
export async function ready (node: Node, topic: string, links: number): Promise<void> {
  const pubsub = pubsubOf(node)

  if (pubsub.waitForSubscribers != null) {
    await pubsub.waitForSubscribers(topic, { count: links, signal: AbortSignal.timeout(10_000) })
    return
  }

  await need('subscribers', () => pubsub.getSubscribers(topic).length >= links)
  await need('a mesh', () => (pubsub.getMeshPeers?.(topic).length ?? links) >= links)
}
