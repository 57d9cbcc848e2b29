import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { LevelDatastore } from 'datastore-level'
import { createLibp2p } from 'libp2p'
import { directSub, sharedLogs } from '../../src/index.ts'
import { need, sharedNow } from '../clock.ts'
import { openAt, someData } from '../log/logs.ts'
import { serve } from '../workers.ts'
import { Traffic } from './traffic.ts'
import type { Said } from './traffic.ts'
import type { DirectSub, SharedLog, SharedLogs, SharedLogsComponents } from '../../src/index.ts'
import type { Place } from '../log/workspace.ts'
import type { Libp2p } from '@libp2p/interface'

/** Entries that are handed to `appendMany` at once */
const AT_ONCE = 100_000

export interface Filled {
  at: number
  said?: Said
}

/** What happened between a dial and the moment when each side knows the other as a replicator, on the shared clock */
export interface Dialled {
  began: number
  open: number
}

let log: SharedLog
let node: Awaited<ReturnType<typeof createNode>>
let traffic: Traffic | undefined
let joinedAt: PromiseWithResolvers<number>
/** When the last entry was added */
let added = 0
/** Called at each entry */
let onAdd = (): void => {}
let stop = async (): Promise<void> => {}

/**
 * One node with one log
 */
serve({
  /** A new node, with another key than the one before, on what lies in a directory */
  async start ({ dir, isCounted }: { dir: string, isCounted: boolean }) {
    await stop()
    const datastore = new LevelDatastore(dir)
    await datastore.open()
    traffic = isCounted ? new Traffic() : undefined
    node = await createNode(datastore, traffic)
    stop = async () => {
      await node.stop()
      await datastore.close()
      stop = async () => {}
    }
    await open()

    return node.getMultiaddrs()[0].toString()
  },

  async stop () {
    await stop()
  },

  /** A log for nodes to start from, made without one */
  async build ({ place, count }: { place: Place, count: number }) {
    const { log, close } = await openAt(place)

    for (let left = count; left > 0; left -= AT_ONCE) {
      await log.appendMany(someData(Math.min(left, AT_ONCE)))
    }
    await close()
  },

  async dial ({ address }: { address: string }): Promise<Dialled> {
    const opened = Promise.withResolvers<number>()
    node.addEventListener('connection:open', () => { opened.resolve(sharedNow()) }, { once: true })
    const began = sharedNow()
    await node.dial(multiaddr(address))

    return { began, open: await opened.promise }
  },

  /** When this node heard that the other is a replicator */
  async joined () {
    return joinedAt.promise
  },

  /** When the last of so many was stored, and what had been said until then */
  async filled ({ length }: { length: number }): Promise<Filled> {
    return new Promise(resolve => {
      onAdd = () => {
        if (log.length >= length) {
          resolve({ at: added, said: traffic?.take() })
          onAdd = () => {}
        }
      }
      onAdd()
    })
  },

  /** When this node has found that nothing differs */
  async equal () {
    await need('a comparison that finds no difference', () => log.synced().isSynced && log.synced().peers.length > 0, 20_000)

    return sharedNow()
  },

  async length () {
    return log.length
  },

  /** As many callers at once. Returns when the first one began */
  async append ({ count, underWay, ack }: { count: number, underWay: number, ack?: 'leaders' }) {
    const data = someData(count)
    const began = sharedNow()
    await Promise.all(Array.from({ length: underWay }, async () => {
      for (let next = data.pop(); next != null; next = data.pop()) {
        await log.append(next, { ack })
      }
    }))

    return { began, rate: count / (sharedNow() - began) * 1_000 }
  },

  async takeTraffic () {
    return traffic?.take()
  }
})

async function open (): Promise<void> {
  joinedAt = Promise.withResolvers()
  onAdd = () => {}
  log = await node.services.logs.open('bench')
  log.addEventListener('entry:add', () => {
    added = sharedNow()
    onAdd()
  })
  log.addEventListener('replicator:join', ({ detail }) => {
    if (!detail.peerId.equals(node.peerId)) {
      joinedAt.resolve(sharedNow())
    }
  })
}

async function createNode (datastore: LevelDatastore, traffic?: Traffic): Promise<Libp2p<{ pubsub: DirectSub, logs: SharedLogs }>> {
  return createLibp2p({
    datastore,
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionProtector: traffic?.protector,
    // its pings are no part of what is measured
    connectionMonitor: { enabled: false },
    services: {
      identify: identify(),
      pubsub: directSub(),
      logs: (components: SharedLogsComponents) => sharedLogs()(traffic?.components(components) ?? components)
    }
  })
}
