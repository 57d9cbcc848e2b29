/**
 * A process that does what no honest peer does, to a node that it is told of. A line of JSON names an attack and how many milliseconds it
 * goes on, and a line says what came of it. Who is let be by its victim comes again as somebody else.
 */
import { constants, setPriority } from 'node:os'
import { createInterface } from 'node:readline'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey, peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { concat } from 'uint8arrays/concat'
import { PROTOCOL, RECEIVE_WINDOW } from '../../src/link/constants.ts'
import { encodeFrame, frameOf, Kind } from '../../src/link/core/frames.ts'
import { Lane } from '../../src/link/index.ts'
import { EnvelopeType, Signer } from '../../src/pubsub/envelope.ts'
import { keyOf } from '../../src/pubsub/keys.ts'
import * as wire from '../../src/pubsub/wire.ts'
import { seededRandom } from '../../src/runtime/random.ts'
import { SILENCE } from '../fixtures/core.ts'
import { numbered, range } from '../fixtures/directsub.ts'
import { Attacker } from '../fuzz/attacker.ts'
import { bytesOf, DEADLY, makeCorpus, SOURCES } from '../fuzz/corpus.ts'
import { Mutator } from '../fuzz/mutate.ts'
import type { AttackReport, StrangerInit } from './hostile.ts'
import type { Session } from '../fuzz/attacker.ts'
import type { PrivateKey } from '@libp2p/interface'

/** Bytes that are handed to a stream at once */
const CHUNK = 64 * 1024
/** Frames that are made before others have a turn */
const MAX_CHUNK = 5000
/** Milliseconds after which somebody who was not let in tries again */
const TRY_AGAIN = 100
/** Those that a neighbour claims to have behind it */
const SYBILS = 300
/** Lists of topics that a neighbour is on in turn */
const LISTS = 4

// a stranger has a machine of its own: it must not take the processor from those whose time is measured
setPriority(constants.priority.PRIORITY_LOW)

const { address, victim, honest, topic, open, seed }: StrangerInit = JSON.parse(process.argv[2])
const [victimKey, honestKey] = [victim, honest].map(name => keyOf(peerIdFromString(name)))
const target = { getMultiaddrs: () => [multiaddr(address)] }
const mutator = new Mutator(seed)
const random = seededRandom(seed)
const corpus = await makeCorpus(topic)
let frames = 0
let names = 0

async function turn (): Promise<void> {
  await new Promise<void>(resolve => { setImmediate(resolve) })
}

async function pause (ms: number): Promise<void> {
  await new Promise<void>(resolve => { setTimeout(resolve, ms) })
}

/** Of two neighbours the one with the smaller id opens the streams: it is the one that can do harm */
async function newKey (): Promise<PrivateKey> {
  for (;;) {
    const key = await generateKeyPair('Ed25519')

    if (peerIdFromPrivateKey(key).toString() < victim) {
      return key
    }
  }
}

interface FloodOptions {
  /** Whether its frames take credit */
  isCounted?: boolean
  /** Whether each frame is written by itself, which costs both sides most for a byte */
  isCrumbled?: boolean
}

/** Frames as fast as the victim takes them, within its credit */
async function flood (session: Session, until: number, make: () => Uint8Array | Promise<Uint8Array>, { isCounted = true, isCrumbled = false }: FloodOptions = {}): Promise<void> {
  const chunk: Uint8Array[] = []
  let sent = 0
  let size = 0
  const mayNot = (): boolean => (isCounted && sent + size > session.granted + RECEIVE_WINDOW) || session.stream.writableNeedsDrain

  while (session.isOpen() && session.stream.writeStatus === 'writable' && performance.now() < until) {
    chunk.length = 0
    size = 0

    while (size < CHUNK && chunk.length < MAX_CHUNK) {
      const frame = await make()
      chunk.push(frame)
      size += frame.byteLength
    }
    while (session.isOpen() && performance.now() < until && mayNot()) {
      await turn()
    }
    if (session.isOpen() && session.stream.writeStatus === 'writable' && performance.now() < until) {
      isCrumbled ? chunk.forEach(frame => session.stream.send(frame)) : session.stream.send(concat(chunk))
      sent += isCounted ? size : 0
      frames += chunk.length
    }

    await turn()
  }
}

type Attack = (attacker: Attacker, until: number, epoch: number) => Promise<void>

const int = (below: number): number => Math.floor(random() * below)
const topics = (count: number): string[] => range(count).map(() => `${int(2 ** 32)}`)

/** Those who are claimed to be behind a neighbour, and what they signed */
const sybils = await Promise.all(range(SYBILS).map(async () => {
  const key = await generateKeyPair('Ed25519')
  const origin = keyOf(peerIdFromPrivateKey(key))
  const content = wire.encodeAnnouncement({ origin, epoch: 1, seq: 0, full: true, on: [topic, open, ...topics(5)], off: [] })
  return { origin, epoch: 1, seq: 0, hops: 1, announcements: [await new Signer(key).sign(1, EnvelopeType.ANNOUNCEMENT, content)] }
}))

/** It says again and again that it is on other topics than before, and that others are behind it */
async function announce (attacker: Attacker, until: number, count: number, others: number): Promise<void> {
  const lists = range(LISTS).map(() => topics(count))
  let seq = -1

  await flood(await attacker.open(target), until, async () => {
    const content = wire.encodeAnnouncement({ origin: attacker.key, epoch: 1, seq: ++seq, full: true, on: lists[seq % LISTS], off: [] })
    const own = { origin: attacker.key, epoch: 1, seq, hops: 0, announcements: [await attacker.signer.sign(1, EnvelopeType.ANNOUNCEMENT, content)] }
    return bytesOf(wire.encodeGossip({ ...SILENCE, updates: [own, ...range(others).map(() => sybils[int(SYBILS)])] }))
  })
}

const ATTACKS: Record<string, Attack> = {
  'broken frames': async (attacker, until) => {
    let run = int(2 ** 32)
    await flood(await attacker.open(target), until, () => {
      mutator.begin(++run)
      const [kind, source] = mutator.pick(mutator.int(200) === 0 ? DEADLY : SOURCES)
      return bytesOf(frameOf(kind, mutator.mutate(corpus[source])))
    })
  },

  announcements: async (attacker, until) => announce(attacker, until, 50, 5),

  'announcements of 1,000 topics': async (attacker, until) => announce(attacker, until, 1000, 0),

  requests: async (attacker, until, epoch) => {
    await flood(await attacker.open(target), until, () => bytesOf(wire.encodeGossip({
      ...SILENCE,
      updates: [],
      lost: [honestKey],
      wanted: [honestKey, victimKey].map(origin => ({ origin, epoch, seq: int(2 ** 40), hops: 64 })),
      requests: [topic, open, ...topics(50)].map(name => ({ id: int(2 ** 32), topic: name }))
    })))
  },

  receipts: async (attacker, until, epoch) => {
    const statuses = ['acked', 'undecided', 'rejected', 'not-subscribed', 'congested', 'unreachable'] as const
    await flood(await attacker.open(target), until, () => bytesOf(wire.encodeReceiptFrame({
      status: statuses[int(statuses.length)], of: victimKey, epoch, topic, seqs: range(50).map(() => int(100_000)), about: [honestKey]
    })))
  },

  'bundles that nobody signed': async (attacker, until, epoch) => {
    const content = wire.encodeBundle({ topic, to: [], wantsAck: true, messages: [{ seq: int(100_000), data: numbered(666, 1000) }] })
    const envelope = await attacker.signer.sign(epoch, EnvelopeType.BUNDLE, content) as Uint8Array
    await flood(await attacker.open(target), until, () => {
      const forged = Uint8Array.from(envelope)
      // somebody else is to have said it, or something else is to have been said
      int(2) === 0 ? forged.set(Uint8Array.from(honestKey, char => char.charCodeAt(0)), 1) : forged[forged.byteLength - 100 - int(900)] ^= 1
      return bytesOf(wire.encodeParcel({ trace: [], lane: Lane.DATA, destinations: [victimKey, honestKey], envelope: forged }))
    })
  },

  'messages at full rate': async (attacker, until) => {
    let seq = 0
    await flood(await attacker.open(target), until, () => bytesOf(wire.encodeMessage(topic, seq++, numbered(666, int(10) === 0 ? 16_000 : 100), true)))
  },

  'parcels for the other one at full rate': async (attacker, until) => {
    let seq = 0
    await flood(await attacker.open(target), until, async () => {
      const messages = range(4).map(() => ({ seq: seq++, data: numbered(666, 4000) }))
      const envelope = await attacker.signer.sign(1, EnvelopeType.BUNDLE, wire.encodeBundle({ topic, to: [], wantsAck: true, messages }))
      return bytesOf(wire.encodeParcel({ trace: [], lane: Object.values(Lane)[int(4)], destinations: [honestKey], envelope }))
    })
  },

  'frames that no credit counts': async (attacker, until) => {
    const credit = bytesOf(encodeFrame(Kind.CREDIT, 1, (bytes, at) => { bytes[at] = 0 }))
    await flood(await attacker.open(target), until, () => credit, { isCounted: false })
  },

  'crumbs in writes of their own': async (attacker, until) => {
    let seq = 0
    await flood(await attacker.open(target), until, () => bytesOf(wire.encodeMessage(topic, seq++, new Uint8Array(4), false)), { isCrumbled: true })
  },

  'streams that are opened again and again': async (attacker, until) => {
    await attacker.open(target)
    const [connection] = attacker.node.getConnections()

    while (connection.status === 'open' && performance.now() < until) {
      const stream = await connection.newStream(PROTOCOL)
      frames++
      int(2) === 0 ? stream.abort(new Error('once more')) : stream.send(new Uint8Array(1 + int(100)))
      await turn()
    }
  },

  'no credit for what comes': async (attacker, until) => {
    const session = await attacker.open(target)
    await attacker.announce(session, { seq: 0, full: true, on: [open] })

    while (session.isOpen() && performance.now() < until) {
      attacker.send(session, wire.encodeGossip({ ...SILENCE, updates: [], requests: [{ id: int(2 ** 32), topic: open }] }))
      frames++
      await pause(20)
    }
  }
}

async function attack ({ name, ms, epoch }: { name: string, ms: number, epoch: number }): Promise<AttackReport> {
  const until = performance.now() + ms
  frames = 0
  names = 0

  while (performance.now() < until) {
    const attacker = await Attacker.create(await newKey())

    try {
      names++
      await ATTACKS[name](attacker, until, epoch)
    } catch {
      // it may be refused at any moment: that is what it is here for
      await pause(TRY_AGAIN)
    }

    await attacker.stop()
  }

  return { name, frames, names }
}

process.stdout.write(`${JSON.stringify({ attacks: Object.keys(ATTACKS) })}\n`)

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await attack(JSON.parse(line)))}\n`)
}

process.exit(0)
