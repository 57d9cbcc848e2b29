import { multiaddr } from '@multiformats/multiaddr'
import { need } from '../clock.ts'
import { serve } from '../workers.ts'
import { blast } from './blast.ts'
import { createNode, pubsubOf, ready } from './contenders.ts'
import { handleForward, handleSink, rawBlast } from './raw.ts'
import { Tally } from './tally.ts'
import type { Kind, Node } from './contenders.ts'

const TOPIC = 'bench'

const tally = new Tally()
let node: Node
let kind: Kind
let stop = async (): Promise<void> => {}

/**
 * One node of a line of two or three
 */
serve({
  async start (params: { kind: Kind }) {
    await stop()
    kind = params.kind
    node = await createNode(kind)
    stop = async () => node.stop()

    if (kind === 'limit') {
      await handleSink(node, tally)
    } else {
      pubsubOf(node).addEventListener('message', ({ detail }: CustomEvent<{ topic: string, data: Uint8Array }>) => {
        if (detail.topic === TOPIC) {
          tally.message(detail.data)
        }
      })
    }

    return node.getMultiaddrs().map(String)
  },

  async dial ({ address }: { address: string }) {
    const connection = await node.dial(multiaddr(address))

    return connection.remotePeer.toString()
  },

  /**
   * The node in the middle of a line
   */
  async relay ({ subscribe, next }: { subscribe: boolean, next: string }) {
    if (kind === 'limit') {
      const peer = node.getPeers().find(peerId => peerId.toString() === next)

      if (peer == null) {
        throw new Error(`Not connected to ${next}`)
      }

      await handleForward(node, peer)
    } else {
      await need('both ends', () => pubsubOf(node).getPeers().length === 2)

      if (subscribe) {
        await pubsubOf(node).subscribe(TOPIC)
      }
    }
  },

  async subscribe () {
    await need('a neighbour', () => pubsubOf(node).getPeers().length > 0)
    await pubsubOf(node).subscribe(TOPIC)
  },

  async ready ({ links }: { links: number }) {
    await ready(node, TOPIC, links)
  },

  async expect ({ round }: { round: number }) {
    tally.reset(round)
  },

  async collect ({ expected, idle, deadline }: { expected: number, idle: number, deadline: number }) {
    return tally.collect(expected, idle, deadline)
  },

  async blast (params: { hops: number, size: number, round: number, ms: number, max: number, gather: boolean }) {
    if (kind === 'limit') {
      return rawBlast(node, node.getPeers()[0], params.hops, params)
    }

    return blast(pubsubOf(node), { topic: TOPIC, ...params })
  }
})
