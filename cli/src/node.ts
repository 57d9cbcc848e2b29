import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { webSockets } from '@libp2p/websockets'
import { Key } from 'interface-datastore'
import { createLibp2p } from 'libp2p'
import { directSub, sharedLogs, stayConnected, transfers } from 'libp2p-sheaf'
import { fromString } from 'uint8arrays/from-string'
import { toString } from 'uint8arrays/to-string'
import { FailedError, oneLine, UsageError } from './errors.ts'
import { shared } from './flags.ts'
import { REPLICAS } from './log.ts'
import { openStore } from './store.ts'
import type { Share } from './flags.ts'
import type { Store } from './store.ts'
import type { Libp2p, Metrics } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { DirectSub, SharedLog, SharedLogs, StayConnected, Transfers } from 'libp2p-sheaf'

/** Milliseconds that connecting to another node may take */
const DIAL_TIMEOUT = 10_000

/** Milliseconds that somebody who was joined may take to say what he keeps */
const HELLO_TIMEOUT = 2_000

/** Milliseconds for which it is remembered where others are: they may be off for a while. A guess: a month */
const REMEMBERED = 30 * 24 * 3_600_000

export type Node = Libp2p<{ connected: StayConnected, pubsub: DirectSub, logs: SharedLogs, transfers: Transfers }>

export interface OpenNode {
  node: Node
  store: Store
  close (): Promise<void>
}

export interface NodeInit {
  store: string
  listen: string[]
  /** Connects to nobody, not even to those who were there the last time */
  isOffline?: boolean
  /** Only to look at what the store has: one that is read-only will do */
  isToRead?: boolean
  metrics? (components: any): Metrics
}

export async function openNode (
  { store: dir, listen, isOffline = false, isToRead = false, metrics }: NodeInit
): Promise<OpenNode> {
  const store = await openStore(dir, isToRead)
  const node: Node = await createLibp2p({
    start: false,
    datastore: store.datastore,
    privateKey: store.privateKey,
    metrics,
    addresses: { listen },
    transports: [tcp(), webSockets()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: () => isOffline },
    peerStore: { maxAddressAge: REMEMBERED, maxPeerAge: REMEMBERED },
    services: {
      identify: identify(),
      // nodes that one node leads to each other meet, and find each other again
      connected: stayConnected(),
      pubsub: directSub(),
      logs: sharedLogs(),
      // also where none is taken: who sends a file to such a node hears that at once
      transfers: transfers()
    }
  })
  let closing: Promise<void> | undefined
  const close = async (): Promise<void> => {
    closing ??= stop(node, store)
    await closing
  }

  try {
    await node.start()
    return { node, store, close }
  } catch (err: any) {
    await close()
    throw new FailedError(`This node cannot listen on ${listen.join(' or ')}: ` +
      `end who listens there, or name another place with --listen (${causeOf(err)})`)
  }
}

async function stop (node: Node, store: Store): Promise<void> {
  try {
    await node.stop()
  } finally {
    await store.close()
  }
}

/** Keeps what it is told to, or else what this store kept of it the last time */
export async function openLog (
  { node, store: { dir, datastore } }: Pick<OpenNode, 'node' | 'store'>, id: string, share?: Share
): Promise<SharedLog> {
  const key = new Key(`/command/replicate/${toString(fromString(id), 'base64url')}`, false)
  const { replicate } = share ?? (await datastore.has(key)
    ? shared(toString(await datastore.get(key)))
    : shared('full'))

  try {
    const log = await node.services.logs.open(id, { replicate, replicas: { min: REPLICAS } })

    if (share != null) {
      await datastore.put(key, fromString(share.text))
    }
    return log
  } catch (err: any) {
    if (err.name === 'InvalidLogIdError') {
      throw new UsageError(`--log takes another name: ${oneLine(err)}`)
    }
    throw new FailedError(`The log '${id}'${dir == null ? '' : ` in ${dir}`} cannot be opened: ${oneLine(err)}`)
  }
}

/** Connects to them, and again when a connection is lost */
export async function connect (node: Node, addresses: Multiaddr[], signal: AbortSignal): Promise<void> {
  for (const address of addresses) {
    try {
      await node.dial(address, { signal: AbortSignal.any([signal, AbortSignal.timeout(DIAL_TIMEOUT)]) })
      node.services.connected.add(address)
    } catch (err: any) {
      signal.throwIfAborted()
      throw new FailedError(`Nobody answers at ${address}: is the other node still running? (${causeOf(err)})`)
    }
  }
}

/** Connects to them, and waits for what they keep */
export async function join (node: Node, log: SharedLog, addresses: Multiaddr[], signal: AbortSignal): Promise<void> {
  await connect(node, addresses, signal)

  if (addresses.length > 0) {
    // so that the first line that is typed finds somebody. They may be on other logs, or keep nothing
    const count = log.replicators().some(({ self }) => self) ? 2 : 1
    await log.waitForReplicators({ count, signal: AbortSignal.any([signal, AbortSignal.timeout(HELLO_TIMEOUT)]) })
      .catch(() => { signal.throwIfAborted() })
  }
}

/** The message of libp2p is about all addresses and what to do in a program: of the parts, the last tells why */
export function causeOf (err: any): string {
  const last = err.errors?.at(-1) ?? err
  const [, reason] = /\b(\w+ E[A-Z]+\b[^\n]*|E[A-Z]{5,}[^\n]*)/.exec(last.message) ?? []
  return reason ?? oneLine(last)
}
