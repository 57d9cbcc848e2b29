import { multiaddr } from '@multiformats/multiaddr'
import { need, sleep } from '../clock.ts'
import { serve } from '../workers.ts'
import { createNode, pubsubOf } from './contenders.ts'
import type { Kind, Node } from './contenders.ts'

/** Collections until the heap stays as it is: each one may free what the last one made unreachable */
const COLLECTIONS = 20

/** Share of the heap below which a difference between two collections is no difference */
const STILL = 0.0005

let kind: Kind
let hub: Node
let address: string
const neighbours: Node[] = []

/**
 * Either the node with many neighbours, or all of the neighbours, which subscribe to nothing
 */
serve({
  async startHub (params: { kind: Kind }) {
    // V8 remembers numbers as strings in 256 KiB, once there have been some: not what a neighbour costs
    Array.from({ length: 100_000 }, (_, i) => String(i))
    kind = params.kind
    hub = await createNode(kind)

    return hub.getMultiaddrs()[0].toString()
  },

  async startNeighbours (params: { kind: Kind, hub: string }) {
    kind = params.kind
    address = params.hub
  },

  async addNeighbours ({ count }: { count: number }) {
    for (let i = 0; i < count; i++) {
      const node = await createNode(kind, [])
      await node.dial(multiaddr(address))
      neighbours.push(node)
    }
  },

  /**
   * Bytes of the hub's heap once it knows so many neighbours
   */
  async heap ({ count }: { count: number }) {
    await need(`${count} connections`, () => hub.getConnections().length === count)
    await need(`${count} identified`, async () => identified(count))

    if (kind !== 'limit') {
      await need(`${count} neighbours`, () => pubsubOf(hub).getPeers().length === count)
    }

    return settledHeap()
  }
})

async function identified (count: number): Promise<boolean> {
  const peers = await hub.peerStore.all()

  return peers.filter(({ protocols }) => protocols.length > 0).length === count
}

async function settledHeap (): Promise<number> {
  if (globalThis.gc == null) {
    throw new Error('Run with --expose-gc')
  }

  let before = Infinity

  for (let i = 0; i < COLLECTIONS; i++) {
    globalThis.gc()
    const { heapUsed } = process.memoryUsage()

    if (Math.abs(heapUsed - before) < heapUsed * STILL) {
      return heapUsed
    }

    before = heapUsed
    // what is done with a stream or a timer lets go of it in a later turn
    await sleep(20)
  }

  return before
}
