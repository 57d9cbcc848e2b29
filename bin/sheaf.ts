#!/usr/bin/env node
/**
 * A node to try DirectSub with: what you type is published, what others publish is printed.
 */
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { webSockets } from '@libp2p/websockets'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { directSub } from '../src/index.ts'
import type { DirectSub } from '../src/index.ts'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Libp2p } from 'libp2p'

const HELP = `npm start -- [--join ADDRESS ...] [--topic NAME] [--listen ADDRESS ...]

  --join ADDRESS    connect to another node; its terminal shows the address
  --topic NAME      what to listen and publish to (default: lobby)
  --listen ADDRESS  where to listen (default: TCP and WebSocket on this machine only)
  --help            this text

Type a line to publish it. Ctrl-C ends; a second one ends at once.`

/** Milliseconds that connecting to another node may take */
const DIAL_TIMEOUT = 10_000

interface Options {
  join: Multiaddr[]
  topic: string
  listen: string[]
}

class UsageError extends Error {}

function parse (args: string[]): Options | undefined {
  try {
    const { values } = parseArgs({
      args,
      options: {
        join: { type: 'string', multiple: true, default: [] },
        topic: { type: 'string', default: 'lobby' },
        listen: { type: 'string', multiple: true, default: ['/ip4/127.0.0.1/tcp/0', '/ip4/127.0.0.1/tcp/0/ws'] },
        help: { type: 'boolean', default: false }
      }
    })

    if (values.help) {
      return
    }

    values.listen.forEach(address => multiaddr(address))
    return { topic: values.topic, listen: values.listen, join: values.join.map(address => multiaddr(address)) }
  } catch (err: any) {
    throw new UsageError(`${err.message}\nRun it with --help to see what it takes.`)
  }
}

/** The last letters of a peer id tell peers apart; the first ones are all the same */
const short = (peerId: { toString (): string }): string => peerId.toString().slice(-6)

function print (pubsub: DirectSub, topic: string): void {
  pubsub.addEventListener('message', ({ detail }) => {
    console.info(`${short(detail.from)}> ${new TextDecoder().decode(detail.data)}`)
  })
  pubsub.addEventListener('subscription-change', ({ detail: { peerId, subscriptions, reason } }) => {
    for (const { subscribe } of subscriptions.filter(change => change.topic === topic)) {
      console.info(`* ${short(peerId)} ${subscribe ? 'listens' : `is gone (${reason})`}`)
    }
  })
}

async function join (node: Libp2p, addresses: Multiaddr[]): Promise<void> {
  for (const address of addresses) {
    try {
      await node.dial(address, { signal: AbortSignal.timeout(DIAL_TIMEOUT) })
    } catch (err: any) {
      throw new UsageError(`Nobody answers at ${address}: is the other node still running? (${err.message})`)
    }
  }
}

async function publishLines (pubsub: DirectSub, topic: string): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    if (line.trim() === '') {
      continue
    }
    try {
      const { acked } = await pubsub.publish(topic, new TextEncoder().encode(line), { ack: 'all' })
      console.info(acked.length > 0 ? `  (${acked.length} heard it)` : '  (nobody listens yet)')
    } catch (err: any) {
      console.info(`  (not delivered: ${err.message})`)
    }
  }
}

/** Ends cleanly on the first Ctrl-C, at once on the second */
function stopOnSignal (node: Libp2p): void {
  const signals = ['SIGINT', 'SIGTERM'] as const
  const stop = async (): Promise<void> => {
    signals.forEach(signal => {
      process.off(signal, onSignal)
      process.on(signal, () => process.exit(130))
    })
    await node.stop()
    process.exit(0)
  }
  const onSignal = (): void => {
    stop().catch(err => {
      console.error(err)
      process.exit(1)
    })
  }
  signals.forEach(signal => process.on(signal, onSignal))
}

async function main (): Promise<void> {
  const options = parse(process.argv.slice(2))

  if (options == null) {
    console.info(HELP)
    return
  }

  const node = await createLibp2p({
    addresses: { listen: options.listen },
    transports: [tcp(), webSockets()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { identify: identify(), pubsub: directSub() }
  })
  const { pubsub } = node.services
  stopOnSignal(node)
  print(pubsub, options.topic)

  try {
    await pubsub.subscribe(options.topic)
    await join(node, options.join)
  } catch (err) {
    await node.stop()
    throw err
  }

  const addresses = node.getMultiaddrs()
  console.info(`This is ${short(node.peerId)}, listening to '${options.topic}' on`)
  addresses.forEach(address => { console.info(`  ${address}`) })
  console.info(`In another terminal:\n  npm start -- --join ${addresses[0]}${options.topic === 'lobby' ? '' : ` --topic '${options.topic}'`}`)
  await publishLines(pubsub, options.topic)
}

main().catch(err => {
  console.error(err instanceof UsageError ? err.message : err)
  process.exit(1)
})
