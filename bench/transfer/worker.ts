import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { directSub, sessions, sharedLogs, transfers } from '../../src/index.ts'
import { need, sharedNow, sleep } from '../clock.ts'
import { serve } from '../workers.ts'
import type { DirectSub, OutboundTransfer, Sessions, SharedLogs, Transfers } from '../../src/index.ts'
import type { Libp2p, PeerId, Stream } from '@libp2p/interface'

const RAW = '/bench/raw/1'
const FORWARD = '/bench/forward/1'
const ECHO = 'echo'
const WRITE = 65_536
/** Milliseconds between two small messages */
const BEAT = 2

type Node = Libp2p<{ pubsub: DirectSub, sessions: Sessions, transfers: Transfers, logs: SharedLogs }>

let node: Node
let far: PeerId
const peers = new Map<string, PeerId>()
/** Bytes that came, of raw streams and of transfers, and by transfer */
let came = 0
const byTransfer = new Map<string, number>()
let onCame = (): void => {}
let stalled = 0
let echoed = (): void => {}

const chunk = new Uint8Array(WRITE).map((_, i) => i * 7)

serve({
  async start () {
    node = await createNode()

    await node.handle(RAW, stream => {
      stream.addEventListener('message', ({ data }) => { count(data.byteLength) })
      stream.addEventListener('remoteCloseWrite', () => { stream.close().catch(err => { stream.abort(err) }) })
    })
    await node.handle(FORWARD, async incoming => {
      const outgoing = await node.dialProtocol(far, RAW)
      incoming.maxReadBufferLength = 32 * 1024 * 1024
      incoming.addEventListener('message', ({ data }) => {
        // what comes when nothing is handed on any more is of a round that is over
        if (outgoing.writeStatus === 'writable' && !outgoing.send(data) && incoming.readStatus === 'readable') {
          incoming.pause()
          writable(outgoing).then(() => { incoming.readStatus === 'paused' && incoming.resume() }, err => { incoming.abort(err) })
        }
      })
      incoming.addEventListener('remoteCloseWrite', () => {
        writable(outgoing).then(async () => outgoing.close()).catch(err => { outgoing.abort(err) })
      })
    })
    node.services.transfers.addEventListener('offer', ({ detail: offer }) => {
      const name = new TextDecoder().decode(offer.meta)
      const incoming = offer.accept()

      if (name === 'stalled') {
        stalled++
        return
      }

      void (async () => {
        for await (const { byteLength } of incoming) {
          byTransfer.set(name, (byTransfer.get(name) ?? 0) + byteLength)
          count(byteLength)
        }
      })().catch(() => {})
    })
    node.services.pubsub.addEventListener('message', ({ detail: { topic, from, data } }) => {
      if (topic === ECHO && data[0] === 0) {
        node.services.pubsub.publish(ECHO, Uint8Array.of(1), { to: [from] }).catch(() => {})
      } else if (topic === ECHO) {
        echoed()
      }
    })
    await node.services.pubsub.subscribe(ECHO)
    return { address: node.getMultiaddrs()[0].toString(), id: node.peerId.toString() }
  },

  async dial ({ address }: { address: string }) {
    await node.dial(multiaddr(address))
  },

  /** Waits for the peer, be it a neighbour or behind a relay */
  async meet ({ id, isFar }: { id: string, isFar?: boolean }) {
    const find = (): PeerId | undefined => node.services.pubsub.getSubscribers(ECHO).find(peerId => peerId.toString() === id)
    await need('the other one', () => find() != null)
    peers.set(id, find() as PeerId)
    far = isFar === false ? far : find() as PeerId
  },

  async forget () {
    came = 0
    byTransfer.clear()
    onCame = () => {}
  },

  /** When so many bytes have come, on the shared clock */
  async heard ({ bytes }: { bytes: number }) {
    await new Promise<void>(resolve => {
      onCame = () => { came >= bytes && resolve() }
      onCame()
    })
    return sharedNow()
  },

  /** How much had come of each when the first had all that there is */
  async shares ({ bytes }: { bytes: number }) {
    return new Promise<number[]>(resolve => {
      onCame = () => { Math.max(...byTransfer.values()) >= bytes && resolve([...byTransfer.values()]) }
      onCame()
    })
  },

  async stalled () {
    return stalled
  },

  async cpu () {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1000
  },

  async memory () {
    return process.memoryUsage().rss
  },

  async raw ({ id, bytes, isForwarded }: { id: string, bytes: number, isForwarded?: boolean }) {
    const began = sharedNow()
    const stream = await node.dialProtocol(peers.get(id) as PeerId, isForwarded === true ? FORWARD : RAW)
    await writeAll(stream, bytes)
    return began
  },

  /** Resolves when all are done; at once if nobody waits */
  async send ({ id, bytes, names = ['one'], isWaiting = true }: { id: string, bytes: number, names?: string[], isWaiting?: boolean }) {
    const began = sharedNow()
    const sent = names.map(name => begin(id, bytes, name))

    if (isWaiting) {
      await Promise.all(sent.map(async ({ done }) => done))
    }

    return began
  },

  async abort () {
    running.splice(0).forEach(transfer => { transfer.abort() })
  },

  /** Milliseconds of small messages there and back, while `beside` goes on */
  async echoes ({ id, beside, bytes }: { id: string, beside: 'idle' | 'ours' | 'drain only', bytes: number }) {
    const to = peers.get(id) as PeerId
    const times: number[] = []
    const over = new AbortController()
    const load = beside === 'idle' ? sleep(1000) : send(to, beside, bytes)
    const beat = async (): Promise<void> => new Promise(resolve => { echoed = resolve })
    load.finally(() => { over.abort() }).catch(() => {})

    while (!over.signal.aborted) {
      const back = beat()
      const began = performance.now()
      await node.services.pubsub.publish(ECHO, Uint8Array.of(0), { to: [to] })
      await back
      times.push(performance.now() - began)
      await sleep(BEAT)
    }

    await load
    times.sort((a, b) => a - b)
    return { p50: times[Math.floor(times.length / 2)], p99: times[Math.floor(times.length * 0.99)], count: times.length }
  },

  /** A log with one entry, of so many bytes */
  async append ({ bytes }: { bytes: number }) {
    const log = await node.services.logs.open('large')

    if (log.length === 0) {
      await log.append(new Uint8Array(bytes).fill(1))
    }

    return { address: node.getMultiaddrs()[0].toString() }
  },

  /** Milliseconds that a new node takes to have the entry */
  async join ({ address, bytes }: { address: string, bytes: number }) {
    const late = await createNode()
    const began = performance.now()
    await late.dial(multiaddr(address))
    const log = await late.services.logs.open('large')

    if (log.length === 0) {
      await new Promise(resolve => { log.addEventListener('entry:add', resolve, { once: true }) })
    }

    const took = performance.now() - began

    for await (const { data } of log.entries()) {
      if (data.byteLength !== bytes) {
        throw new Error(`${data.byteLength} bytes came`)
      }
    }

    await late.stop()
    return took
  },

  async stop () {
    await node?.stop()
  }
})

const running: OutboundTransfer[] = []

async function send (to: PeerId, by: 'ours' | 'drain only', bytes: number): Promise<void> {
  await (by === 'ours' ? begin(to.toString(), bytes, 'load').done : writeAll(await node.dialProtocol(to, RAW), bytes))
}

async function createNode (): Promise<Node> {
  return await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false },
    services: { identify: identify(), pubsub: directSub(), sessions: sessions(), transfers: transfers(), logs: sharedLogs() }
  }) as unknown as Node
}

function begin (id: string, bytes: number, name: string): OutboundTransfer {
  const transfer = node.services.transfers.send(peers.get(id) as PeerId, payload(bytes), { meta: new TextEncoder().encode(name) })
  running.push(transfer)
  return transfer
}

/** As a program would read a file: a chunk after the other */
async function * payload (bytes: number): AsyncGenerator<Uint8Array> {
  for (let left = bytes; left > 0; left -= WRITE) {
    yield chunk.subarray(0, left)
  }
}

function count (bytes: number): void {
  came += bytes
  onCame()
}

async function writeAll (stream: Stream, bytes: number): Promise<void> {
  for (let left = bytes; left > 0; left -= WRITE) {
    if (!stream.send(chunk.subarray(0, left))) {
      await writable(stream)
    }
  }

  await stream.close()
}

/** `onDrain` resolves once and for ever */
async function writable (stream: Stream): Promise<void> {
  while (stream.writableNeedsDrain) {
    await new Promise(resolve => { stream.addEventListener('drain', resolve, { once: true }) })
  }
}
