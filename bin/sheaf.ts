#!/usr/bin/env node
/**
 * A node with a log that it shares with others: what you type is appended, what others append is printed.
 */
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import { KEEP_ALIVE } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { webSockets } from '@libp2p/websockets'
import { createLibp2p } from 'libp2p'
import { directSub, sharedLogs } from '../src/index.ts'
import { Lines, short } from './lines.ts'
import { HELP, joinLine, MEMORY, parse, UsageError } from './options.ts'
import { openStore } from './store.ts'
import type { Options } from './options.ts'
import type { Store } from './store.ts'
import type { DirectSub, SharedLog, SharedLogs } from '../src/index.ts'
import type { Libp2p } from '@libp2p/interface'

/** Milliseconds that connecting to another node may take */
const DIAL_TIMEOUT = 10_000

/** Milliseconds that somebody who was joined may take to say what he keeps */
const HELLO_TIMEOUT = 1_000

type Node = Libp2p<{ pubsub: DirectSub, logs: SharedLogs }>

async function createNode ({ listen }: Options, { datastore, privateKey }: Store): Promise<Node> {
  return createLibp2p({
    start: false,
    datastore,
    privateKey,
    addresses: { listen },
    transports: [tcp(), webSockets()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { identify: identify(), pubsub: directSub(), logs: sharedLogs() }
  })
}

async function start (node: Node, { listen, log, replicate }: Options): Promise<SharedLog> {
  try {
    await node.start()
  } catch (err: any) {
    throw new UsageError(`This node cannot listen on ${listen.join(' or ')}: name another place with --listen (${oneLine(err)})`)
  }

  try {
    return await node.services.logs.open(log, { replicate })
  } catch (err: any) {
    throw err.name === 'InvalidLogIdError' ? new UsageError(`--log: ${oneLine(err)}`) : err
  }
}

async function join (node: Node, log: SharedLog, { join, replicate }: Options): Promise<void> {
  for (const address of join) {
    try {
      const { remotePeer } = await node.dial(address, { signal: AbortSignal.timeout(DIAL_TIMEOUT) })
      // when it is lost, it is looked for again
      await node.peerStore.merge(remotePeer, { tags: { [KEEP_ALIVE]: {} } })
    } catch (err: any) {
      throw new UsageError(`Nobody answers at ${address}: is the other node still running? (${oneLine(err)})`)
    }
  }

  if (join.length > 0) {
    // so that the first line that is typed finds somebody. They may be on other logs, or keep nothing
    await log.waitForReplicators({ count: replicate === false ? 1 : 2, signal: AbortSignal.timeout(HELLO_TIMEOUT) }).catch(() => {})
  }
}

function introduce (node: Node, log: SharedLog, options: Options): void {
  const addresses = node.getMultiaddrs()
  const where = options.store === MEMORY ? 'in memory, and gone when this ends' : `in ${options.store}`
  console.info(`This is ${short(node.peerId)}, with ${log.length} ${log.length === 1 ? 'line' : 'lines'} of '${log.id}' ${where}, listening on`)
  addresses.forEach(address => { console.info(`  ${address}`) })

  if (addresses.length > 0) {
    console.info(`In another terminal:\n  ${joinLine(addresses[0].toString(), options)}`)
  }
}

/** Ends cleanly on the first Ctrl-C, at once on the second */
function stopOnSignal (stop: () => Promise<void>): void {
  let isStopping = false
  const onSignal = (): void => {
    if (isStopping) {
      process.exit(130)
    }

    isStopping = true
    console.info('* closing; Ctrl-C again ends at once')
    stop().then(() => process.exit(0), err => {
      console.error(err)
      process.exit(1)
    })
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
}

const oneLine = ({ message }: Error): string => message.replace(/\s*\n\s*/g, ' ')

async function main (): Promise<void> {
  const options = parse(process.argv.slice(2))

  if (options == null) {
    console.info(HELP)
    return
  }

  const store = await openStore(options.store)
  const node = await createNode(options, store)
  const stop = async (): Promise<void> => {
    await node.stop()
    await store.close()
  }
  stopOnSignal(stop)

  try {
    const log = await start(node, options)
    const lines = new Lines(log, node.peerId)
    await join(node, log, options)
    introduce(node, log, options)
    await lines.showOld()
    await lines.append(process.stdin)
  } catch (err) {
    await stop()
    throw err
  }
}

main().catch(err => {
  console.error(err instanceof UsageError ? err.message : err)
  process.exit(1)
})
