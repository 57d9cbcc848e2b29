import { met, need, sleep } from '../clock.ts'
import { median } from '../report.ts'
import { serve } from '../workers.ts'
import { createNode, pubsubOf } from './contenders.ts'
import type { Kind, Node } from './contenders.ts'
import type { Stream } from '@libp2p/interface'

const PROBE = '/bench/probe/1'
const PROBE_BYTES = new Uint8Array(64)

let a: Node
let b: Node
let topics = 0
/** From b to a, where there is no pubsub */
let probe: Stream
let onProbe = (): void => {}

/**
 * Two connected nodes in one process: one clock, and one tick in which something can be done at both
 */
serve({
  async start ({ kind }: { kind: Kind }) {
    [a, b] = await Promise.all([createNode(kind), createNode(kind)])
    await a.dial(b.getMultiaddrs())
    await need('a connection', () => b.getConnections().length === 1)

    if (kind !== 'limit') {
      await need('each other', () => pubsubOf(a).getPeers().length === 1 && pubsubOf(b).getPeers().length === 1)
      return
    }

    await a.handle(PROBE, stream => {
      stream.addEventListener('message', () => { onProbe() })
    })
    probe = await b.dialProtocol(a.peerId, PROBE)
    probe.send(PROBE_BYTES)
  },

  async subscribeLatency ({ count }: { count: number }) {
    return measure(count, subscribeToEvent)
  },

  async probeLatency ({ count }: { count: number }) {
    return measure(count, sendToReceipt)
  },

  async lostAfterSubscribe ({ count, idle }: { count: number, idle: number }) {
    return lostAfterSubscribe(count, idle)
  }
})

async function measure (count: number, once: () => Promise<number>): Promise<number> {
  const samples: number[] = []

  for (let i = 0; i < count; i++) {
    samples.push(await once())
    // each one on its own, not in the wake of the last
    await sleep(2)
  }

  return median(samples)
}

/**
 * Milliseconds from b.subscribe() to the event at a
 */
async function subscribeToEvent (): Promise<number> {
  const topic = `latency ${topics++}`
  await pubsubOf(a).subscribe(topic)
  // whatever a's own subscription sets off is no part of it
  await sleep(5)

  const heard = Promise.withResolvers<number>()
  const listener = ({ detail }: CustomEvent<{ subscriptions: Array<{ topic: string, subscribe: boolean }> }>): void => {
    if (detail.subscriptions.some(subscription => subscription.topic === topic && subscription.subscribe)) {
      heard.resolve(performance.now())
    }
  }
  pubsubOf(a).addEventListener('subscription-change', listener)

  const started = performance.now()
  const [at] = await Promise.all([heard.promise, pubsubOf(b).subscribe(topic)])
  pubsubOf(a).removeEventListener('subscription-change', listener)
  await Promise.all([pubsubOf(a).unsubscribe(topic), pubsubOf(b).unsubscribe(topic)])

  return at - started
}

/**
 * Milliseconds that a few bytes take on a stream that is already there
 */
async function sendToReceipt (): Promise<number> {
  const heard = Promise.withResolvers<number>()
  onProbe = () => { heard.resolve(performance.now()) }

  const started = performance.now()
  probe.send(PROBE_BYTES)

  return await heard.promise - started
}

/**
 * How many of those that a publishes in the tick in which b.subscribe() has resolved never come
 */
async function lostAfterSubscribe (count: number, idle: number): Promise<number> {
  const topic = `loss ${topics++}`
  const came = new Set<number>()
  let last = performance.now()
  const listener = ({ detail }: CustomEvent<{ topic: string, data: Uint8Array }>): void => {
    if (detail.topic === topic) {
      came.add(detail.data[0])
      last = performance.now()
    }
  }
  pubsubOf(b).addEventListener('message', listener)
  await pubsubOf(a).subscribe(topic)
  await sleep(50)

  await pubsubOf(b).subscribe(topic)
  const published = Array.from({ length: count }, async (_, i) => pubsubOf(a).publish(topic, new Uint8Array(100).fill(i)))

  await Promise.allSettled(published)
  last = performance.now()
  await met(() => came.size === count || performance.now() - last > idle, idle * 10)
  pubsubOf(b).removeEventListener('message', listener)
  await Promise.all([pubsubOf(a).unsubscribe(topic), pubsubOf(b).unsubscribe(topic)])

  return count - came.size
}
