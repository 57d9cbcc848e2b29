import { once } from 'node:events'
import { join } from 'node:path'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { multiaddr } from '@multiformats/multiaddr'
import { caughtUp } from './catching-up.ts'
import { openLog, openNode } from './node.ts'
import type { Event } from './events.ts'
import type { OpenNode } from './node.ts'
import type { SharedLog } from 'libp2p-sheaf'

const LOG = 'bench'
const LISTEN = ['/ip4/127.0.0.1/tcp/0']

/**
 * Entries that are appended before it is measured, then at once, one after the other, and while another node is there
 */
const WARM_UP = 5_000
const MANY = 10_000
const SINGLE = 1_000
const LIVE = 1_000
const ACKED = 200

/** Bytes of an entry, and entries that are under way at once */
const SIZE = 100
const UNDER_WAY = 1_000

/** What this machine does: on logs below this directory, alone and with a second node in a thread of its own */
export async function * measure (root: string, signal: AbortSignal): AsyncGenerator<Event> {
  const other = new Worker(new URL(import.meta.url), { workerData: { store: join(root, 'other') } })
  const listening = once(other, 'message', { signal }) as Promise<[address: string]>
  // heard of when it is waited for
  listening.catch(() => {})
  const opened = await openNode({ store: join(root, 'here'), listen: LISTEN })

  try {
    // what starts takes time from what is measured
    const [address] = await listening
    const log = await openLog(opened, LOG)
    // code that has not run yet is slow
    await append(log, WARM_UP, UNDER_WAY, signal)
    yield figure(
      `append, ${UNDER_WAY.toLocaleString('en')} under way`,
      MANY / await seconds(async () => append(log, MANY, UNDER_WAY, signal)), 'entries/s'
    )
    yield figure(
      'append, one after the other', SINGLE / await seconds(async () => append(log, SINGLE, 1, signal)), 'entries/s'
    )

    yield * withOther(opened, log, address, signal)
    const length = log.length
    await opened.close()
    yield await catchUp(join(root, 'late'), address, length, signal)
  } finally {
    await opened.close()
    await other.terminate()
  }
}

async function * withOther (
  { node }: OpenNode, log: SharedLog, address: string, signal: AbortSignal
): AsyncGenerator<Event> {
  await node.dial(multiaddr(address), { signal })
  await log.waitForReplicators({ count: 2, signal })
  // until it has all that was there before
  yield * caughtUp(log, signal)
  yield figure(
    `append, ${LIVE.toLocaleString('en')} at once, until another node has stored them`,
    1_000 * await seconds(async () => append(log, LIVE, UNDER_WAY, signal, 1)), 'ms'
  )
  yield figure(
    'append, one after the other, each stored by another node',
    ACKED / await seconds(async () => append(log, ACKED, 1, signal, 1)), 'entries/s'
  )
}

async function catchUp (store: string, address: string, length: number, signal: AbortSignal): Promise<Event> {
  const opened = await openNode({ store, listen: [] })

  try {
    const log = await openLog(opened, LOG)
    const { promise, resolve } = Promise.withResolvers<void>()
    log.addEventListener('entry:add', () => {
      if (log.length === length) {
        resolve()
      }
    })
    signal.addEventListener('abort', () => { resolve() })
    const took = await seconds(async () => {
      await opened.node.dial(multiaddr(address), { signal })
      await promise
    })
    signal.throwIfAborted()
    return figure(`a new node has ${length.toLocaleString('en')} entries after`, 1_000 * took, 'ms')
  } finally {
    await opened.close()
  }
}

async function seconds (work: () => Promise<void>): Promise<number> {
  const began = performance.now()
  await work()
  return (performance.now() - began) / 1_000
}

async function append (
  log: SharedLog, count: number, underWay: number, signal: AbortSignal, ack?: number
): Promise<void> {
  let left = count
  await Promise.all(Array.from({ length: underWay }, async () => {
    while (left > 0) {
      left--
      await log.append(crypto.getRandomValues(new Uint8Array(SIZE)), { ack, signal })
      signal.throwIfAborted()
    }
  }))
}

const figure = (title: string, value: number, unit: string): Event => ({
  type: 'measured', case: title, value: Number(value.toPrecision(3)), unit
})

/** The other node: it listens, says where, and ends with the thread */
async function serve (store: string): Promise<void> {
  const opened = await openNode({ store, listen: LISTEN })
  await openLog(opened, LOG)
  parentPort?.postMessage(opened.node.getMultiaddrs()[0].toString())
}

if (!isMainThread && workerData?.store != null) {
  await serve(workerData.store)
}
