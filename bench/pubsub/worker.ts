import { multiaddr } from '@multiformats/multiaddr'
import { need, sharedNow } from '../clock.ts'
import { serve } from '../workers.ts'
import { blast } from './blast.ts'
import { createNode, pubsubOf, ready } from './contenders.ts'
import { handleEcho, handleForward, handleSink, rawBlast, rawEchoes } from './raw.ts'
import { Tally } from './tally.ts'
import type { Kind, Node } from './contenders.ts'

const TOPIC = 'bench'
/** Topics of the case that publishes beside another topic */
const PROBES = 'probes'
const FLOOD = 'flood'

/** Bytes of a message of the flood */
const FLOOD_MESSAGE = 65_536

const tally = new Tally()
let node: Node
let kind: Kind
let stop = async (): Promise<void> => {}
/** Milliseconds that each probe took to come */
let waits: number[] = []

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
      await handleEcho(node)
    } else {
      pubsubOf(node).addEventListener('message', ({ detail }: CustomEvent<{ topic: string, data: Uint8Array }>) => {
        if (detail.topic === TOPIC) {
          tally.message(detail.data)
        } else if (detail.topic === PROBES) {
          waits.push(sharedNow() - new DataView(detail.data.buffer, detail.data.byteOffset).getFloat64(0))
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
    await Promise.all([TOPIC, PROBES, FLOOD].map(async topic => pubsubOf(node).subscribe(topic)))
  },

  /** Messages a second, each when the last one was acked */
  async acked ({ count }: { count: number }) {
    if (kind === 'limit') {
      return rawEchoes(node, node.getPeers()[0], count)
    }

    const started = sharedNow()

    for (let i = 0; i < count; i++) {
      await pubsubOf(node).publish(TOPIC, new Uint8Array(100), { ack: 'all' })
    }

    return count / (sharedNow() - started) * 1_000
  },

  /** Small messages, each behind so many bytes of another topic */
  async probe ({ count, bytes }: { count: number, bytes: number }) {
    const pubsub = pubsubOf(node)
    await Promise.all([PROBES, FLOOD].map(async topic => ready(node, topic, 1)))

    for (let i = 0; i < count; i++) {
      const flood = Array.from({ length: bytes / FLOOD_MESSAGE }, async () => pubsub.publish(FLOOD, new Uint8Array(FLOOD_MESSAGE)))
      const probe = new Uint8Array(100)
      new DataView(probe.buffer).setFloat64(0, sharedNow())
      await Promise.all([...flood, pubsub.publish(PROBES, probe)])
    }
  },

  /** Milliseconds that 95 % of the probes took at most */
  async waits ({ count }: { count: number }) {
    await need(`${count} probes`, () => waits.length >= count)
    const sorted = waits.sort((a, b) => a - b)
    waits = []
    return sorted[Math.floor(sorted.length * 0.95)]
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
