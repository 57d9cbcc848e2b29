/**
 * A relay in a process of its own, told what to do by lines of JSON, see `RelayOrder`. It keeps all that it can read of
 * what others send, and can die, or lose its connections, at the very frame of a session that a test names.
 */
import { createInterface } from 'node:readline'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { circuitRelayServer } from '@libp2p/circuit-relay-v2'
import { privateKeyFromProtobuf } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import { webSockets } from '@libp2p/websockets'
import { createLibp2p } from 'libp2p'
import { fromString } from 'uint8arrays/from-string'
import { directSub, stayConnected } from '../../src/index.ts'
import { decodeBundle } from '../../src/pubsub/wire.ts'
import { FrameKind } from '../../src/session/core/wire.ts'
import type { Phase, RelayInit, RelayNews, RelayOrder, Trip } from './relays.ts'
import type { ConnectionEncrypter, MessageStream } from '@libp2p/interface'

/** Bytes that are kept of what relays read */
const MAX_KEPT = 64 * 1024 * 1024
const TOPIC = Buffer.from('libp2p-sheaf/session/1')
const PHASES: Partial<Record<number, Phase>> = {
  [FrameKind.PROPOSE]: 'propose', [FrameKind.ACCEPT]: 'accept', [FrameKind.CONFIRM]: 'confirm', [FrameKind.DATA]: 'data'
}

const { privateKey, port }: RelayInit = JSON.parse(process.argv[2])
const kept: Buffer[] = []
const keys = new Set<string>()
let bytes = 0
let trip: Trip | undefined

function say (news: RelayNews): void {
  process.stdout.write(`${JSON.stringify(news)}\n`)
}

/** The phase of a round that a frame of a session is of. Data: the first one under a key */
function phaseOf (frame: Uint8Array): Phase | undefined {
  const phase = frame[0] === 1 ? PHASES[frame[1]] : undefined

  if (phase === 'data') {
    const key = Buffer.from(frame.subarray(2, 10)).toString('hex')
    const isNew = !keys.has(key)
    keys.add(key)
    return isNew ? phase : undefined
  }

  return phase
}

/** Relays can read which frames of sessions pass, and not what is in them */
function phasesIn (chunk: Buffer): Phase[] {
  const phases: Phase[] = []

  for (let at = chunk.indexOf(TOPIC); at >= 0; at = chunk.indexOf(TOPIC, at + 1)) {
    try {
      // flags and a length are before the topic
      for (const { data } of decodeBundle(chunk.subarray(at - 2)).messages) {
        phases.push(...[phaseOf(data) ?? []].flat())
      }
    } catch {
      // the topic of an announcement, or of a receipt
    }
  }

  return phases
}

/** Sees what was decrypted, before anybody else does. Whether it may be handed on */
function inspect (chunk: Buffer): boolean {
  if (bytes < MAX_KEPT) {
    kept.push(chunk)
    bytes += chunk.byteLength
  }

  const phases = phasesIn(chunk)

  if (trip == null || !phases.includes(trip.phase)) {
    return true
  }
  if (trip.how === 'die') {
    process.kill(process.pid, 'SIGKILL')
  }

  say({ type: 'tripped', phase: trip.phase })
  const isLost = trip.how === 'lose'
  trip = undefined

  if (isLost) {
    node.getConnections().forEach(connection => { connection.abort(new Error('reset by the test')) })
  }

  return !isLost
}

function watch (stream: MessageStream): void {
  const dispatch = stream.dispatchEvent.bind(stream)
  stream.dispatchEvent = event => {
    const { data } = event as Event & { data?: Uint8Array | { subarray (): Uint8Array } }
    return event.type === 'message' && data != null && !inspect(Buffer.from(data.subarray())) ? true : dispatch(event)
  }
}

function watchedNoise (): (components: any) => ConnectionEncrypter {
  const create = noise()
  return components => {
    const encrypter = create(components)
    const secure = encrypter.secureInbound.bind(encrypter)
    encrypter.secureInbound = async (...args) => {
      const secured = await secure(...args)
      watch(secured.connection)
      return secured
    }
    return encrypter
  }
}

const node = await createLibp2p({
  privateKey: privateKeyFromProtobuf(fromString(privateKey, 'base64url')),
  addresses: {
    listen: [`/ip4/127.0.0.1/tcp/${port}/ws`],
    // others find it behind proxies only
    announceFilter: () => []
  },
  transports: [webSockets()],
  connectionEncrypters: [watchedNoise()],
  streamMuxers: [yamux()],
  connectionMonitor: { pingInterval: 5000 },
  connectionManager: { inboundConnectionThreshold: 1000 },
  services: { identify: identify(), pubsub: directSub(), relay: circuitRelayServer(), connected: stayConnected() }
})
say({ type: 'ready', peerId: node.peerId.toString() })

for await (const line of createInterface({ input: process.stdin })) {
  const order: RelayOrder = JSON.parse(line)

  switch (order.type) {
    case 'find':
      say({ type: 'found', text: order.text, bytes, count: Buffer.concat(kept).includes(order.text) ? 1 : 0 })
      break
    case 'trip':
      trip = order.trip
      say({ type: 'armed' })
      break
  }
}

await node.stop()
process.exit(0)
