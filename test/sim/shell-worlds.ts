import { FrameParser } from '../../src/link/core/frames.ts'
import { Lane } from '../../src/link/index.ts'
import { EnvelopeType } from '../../src/pubsub/envelope.ts'
import * as wire from '../../src/pubsub/wire.ts'
import { seededRandom } from '../../src/runtime/random.ts'
import { SILENCE } from '../fixtures/core.ts'
import { numbered, numbersOf, range } from '../fixtures/directsub.ts'
import { Shells } from './shells.ts'
import type { Report } from './mesh-worlds.ts'
import type { ShellPeer, Stranger } from './shells.ts'
import type { PublishResult } from '../../src/index.ts'
import type { Key } from '../../src/pubsub/core/types.ts'

const TOPIC = 'what the honest say'
const KIB = 1024
const SECOND = 1000
/** Milliseconds between two messages of the honest */
const PAUSE = 50
/** Milliseconds that others may wait longer while a stranger sends all it can over a link of 2 MB/s. A guess: it takes 92 */
const FLOOD_WAIT = 140

/** Messages of one to another, with acks, and the virtual milliseconds that each took to its ack */
class Talk {
  readonly took: number[] = []
  readonly failed: string[] = []
  readonly acked: number[] = []
  readonly #shells: Shells
  readonly #from: ShellPeer
  readonly #to: ShellPeer
  readonly #firstOf: number
  sent = 0

  constructor (shells: Shells, from: ShellPeer, to: ShellPeer, firstOf = 0) {
    this.#shells = shells
    this.#from = from
    this.#to = to
    this.#firstOf = firstOf
  }

  get isSettled (): boolean {
    return this.acked.length + this.failed.length === this.sent
  }

  say (): void {
    const number = this.#firstOf + this.sent++
    const began = this.#shells.clock.now()
    const settled = ({ acked, failed }: PublishResult): void => {
      this.took.push(this.#shells.clock.now() - began)
      acked.length > 0 ? this.acked.push(number) : this.failed.push(`${number} ${failed[0].reason}`)
    }
    this.#from.pubsub.publish(TOPIC, numbered(number, 200), { to: [this.#to.peerId], ack: 'all' }).then(settled, err => { settled(err.result) })
  }

  /** Acked and not delivered, delivered twice, or not acked */
  wrong (who: string): string[] {
    const numbers = numbersOf(this.#to.messages.filter(({ from }) => from.equals(this.#from.peerId)))
    const untrue = this.acked.filter(number => !numbers.includes(number))
    return [
      ...untrue.length > 0 ? [`${who}: ${untrue.length} acked, and never delivered`] : [],
      ...new Set(numbers).size < numbers.length ? [`${who}: something was delivered twice`] : [],
      ...this.failed.length > 0 ? [`${who}: ${this.failed.length} of ${this.sent} not acked (${this.failed.slice(0, 3).join(', ')})`] : []
    ]
  }
}

function worst (took: number[]): number {
  return took.reduce((most, ms) => Math.max(most, ms), 0)
}

async function subscribe (shells: Shells, peers: ShellPeer[]): Promise<void> {
  peers.forEach(({ pubsub }) => { void pubsub.subscribe(TOPIC) })
  await shells.until('the honest do not know each other', () => peers.every(peer => peer.knows(TOPIC, ...peers.filter(other => other !== peer))))
}

async function bundle ({ signer }: Stranger, first: number, size: number): Promise<Uint8Array> {
  const messages = range(4).map(i => ({ seq: first * 4 + i, data: numbered(666, size / 4) }))
  return signer.sign(1, EnvelopeType.BUNDLE, wire.encodeBundle({ topic: TOPIC, to: [], wantsAck: true, messages }))
}

/**
 * Over a link of 2 MB/s from a relay to somebody, a stranger sends all that its credit allows, and asks nobody. Meanwhile the relay and one
 * behind it send to the same peer, a little at a time: they wait for their turn, not for the stranger.
 */
export async function flood (seed: number, { isBehind }: { isBehind: boolean }): Promise<Report> {
  const shells = new Shells(seed)
  const [publisher, relay, target] = [await shells.peer(), await shells.peer(), await shells.peer()]
  const stranger = await shells.stranger(relay)
  shells.connect(publisher, relay)
  shells.connect(relay, target, { rate: 2_000_000 })
  await subscribe(shells, [publisher, relay, target])
  shells.connect(stranger, relay, { rate: 6_000_000 })
  await shells.until('the stranger is no neighbour', () => stranger.isUp)
  const honest = isBehind ? publisher : relay
  const [before, during] = [new Talk(shells, honest, target), new Talk(shells, honest, target, 1000)]

  for (let i = 0; i < 20; i++) {
    before.say()
    await shells.clock.run(PAUSE)
  }

  let sent = 0

  for (let i = 0; i < 40; i++) {
    while (stranger.left > 70_000) {
      const parcel = wire.encodeParcel({ trace: [], lane: Lane.DATA, destinations: [target.key], envelope: await bundle(stranger, sent, 60_000) })

      if (!stranger.send(parcel)) {
        break
      }
      sent++
    }

    during.say()
    await shells.clock.run(PAUSE)
  }

  await shells.until('not all is settled', () => before.isSettled && during.isSettled)
  const { flowBytes } = relay.pubsub.diagnostics().sizes
  // one frame of the stranger and one behind it are on their way, for 66 ms
  const bound = worst(before.took) + FLOOD_WAIT
  return {
    lines: [`a flood of ${sent} x 60 kB over 2 MB/s, seed ${seed}; ${isBehind ? 'one behind the relay' : 'the relay'} waits ${worst(before.took).toFixed(0)} ms at most before, ${worst(during.took).toFixed(0)} ms during it`],
    wrong: [
      ...before.wrong('before the flood'),
      ...during.wrong('during the flood'),
      ...worst(during.took) > bound ? [`an ack took ${worst(during.took).toFixed(0)} ms, at most ${bound.toFixed(0)} are allowed`] : [],
      ...flowBytes > 6 * KIB * KIB ? [`the relay holds ${flowBytes} bytes`] : []
    ]
  }
}

/** A relay between two that are honest, which breaks the signatures of what it passes on, once it is told to */
class Framer {
  isOn = false
  /** What it has broken: envelopes of messages, announcements of others */
  parcels = 0
  announcements = 0
  /** Envelopes of messages as they were signed */
  readonly heard: Uint8Array[] = []
  key?: Key

  readonly tamper = (from: Key, bytes: Uint8Array): Uint8Array => {
    if (from === this.key) {
      // what lies within one chunk is a view of it: it is changed in place, and keeps its length
      new FrameParser(2_000_000, (kind, body) => { this.#break(kind, body) }).push(bytes)
    }
    return bytes
  }

  #break (kind: number, body: Uint8Array): void {
    if (kind === wire.Kind.PARCEL) {
      const { envelope } = wire.decodeParcel(body)
      this.heard.push(envelope.slice())

      if (this.isOn) {
        this.parcels++
        envelope[envelope.byteLength - 1] ^= 1
      }
    } else if (kind === wire.Kind.GOSSIP && this.isOn) {
      for (const { origin, announcements } of wire.decodeGossip(body).updates) {
        if (origin !== this.key) {
          this.announcements += announcements.length
          announcements.forEach(bytes => { bytes[bytes.byteLength - 1] ^= 1 })
        }
      }
    }
  }
}

/**
 * Two that are honest, an honest relay between them, and one that breaks signatures of what it passes on. Beside it somebody says again what
 * others signed long ago. Both want the honest to be blamed for it.
 */
export async function framers (seed: number): Promise<Report> {
  const shells = new Shells(seed)
  const framer = new Framer()
  const [a, c, relay, liar] = await Promise.all(range(4).map(async () => shells.peer()))
  framer.key = liar.key
  // the way over the liar is there first, so it is the one in use
  shells.connect(a, liar, { tamper: framer.tamper })
  shells.connect(liar, c, { tamper: framer.tamper })
  await subscribe(shells, [a, c])
  shells.connect(a, relay)
  shells.connect(relay, c)
  await shells.until('the honest relay is no neighbour', () => a.about(relay)?.status === 'up' && c.about(relay)?.status === 'up')
  const stranger = await shells.stranger(a)
  shells.connect(stranger, a)
  await shells.until('the stranger hears nothing', () => stranger.gossips.some(({ updates }) => updates.some(({ origin }) => origin === c.key)))
  const ways = [new Talk(shells, a, c), new Talk(shells, c, a)]
  const wrong: string[] = []
  const talk = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      ways.forEach(way => { way.say() })
      await shells.clock.run(PAUSE)
    }
    await shells.until('not all is settled', () => ways.every(({ isSettled }) => isSettled))
  }

  await talk(20)
  framer.isOn = true
  // something new is said of the subscriptions, which the liar passes on, too
  void c.pubsub.subscribe('another one')
  await talk(60)

  if (framer.parcels === 0) {
    wrong.push('the liar carried nothing, so this shows nothing')
  }

  // c takes back what it said, and lives anew. What it said before that is said again
  const old = stranger.gossips.flatMap(({ updates }) => updates).filter(({ origin, announcements }) => origin === c.key && announcements.length > 0)
  await shells.settle(c.pubsub.unsubscribe(TOPIC))
  await shells.until('c is still taken for a subscriber', () => !a.knows(TOPIC, c))
  await sayAgain(shells, stranger, old)
  wrong.push(...a.knows(TOPIC, c) ? ['what c took back is believed again'] : [])
  await shells.settle(c.pubsub.stop())
  await shells.settle(c.pubsub.start())
  void c.pubsub.subscribe(TOPIC)
  await shells.until('c did not come back', () => a.knows(TOPIC, c))
  void c.pubsub.unsubscribe(TOPIC)
  await shells.until('c is still taken for a subscriber', () => !a.knows(TOPIC, c))
  await sayAgain(shells, stranger, old)
  wrong.push(...a.knows(TOPIC, c) ? ['what c said in an earlier life is believed'] : [])
  void c.pubsub.subscribe(TOPIC)
  await shells.until('c did not come back', () => a.knows(TOPIC, c) && c.knows(TOPIC, a))

  // messages that came before, by somebody who never was on their way
  const count = a.messages.length

  for (const envelope of framer.heard) {
    stranger.send(wire.encodeParcel({ trace: [], lane: Lane.CONTROL, destinations: [a.key, c.key], envelope }))
  }

  await shells.clock.run(SECOND)
  wrong.push(...a.messages.length > count ? [`${a.messages.length - count} messages were delivered again`] : [])
  await talk(20)

  const blamed = [a, c].flatMap(peer => [a, c, relay].filter(other => Number(peer.about(other)?.faults ?? 0) > 0).map(other => `${peer.peerId} blames ${other.peerId}`))
  const ignored = [a, c, relay].flatMap(peer => ['parcel of somebody who broke the protocol', 'malformed envelope'].filter(reason => peer.pubsub.diagnostics().dropped[reason] != null))
  return {
    lines: [`a relay that broke ${framer.parcels} messages and ${framer.announcements} announcements, and ${old.length} old ones said again, seed ${seed}; an ack took ${Math.max(...ways.map(({ took }) => worst(took))).toFixed(0)} ms at most`],
    wrong: [...wrong, ...ways.flatMap((way, i) => way.wrong(i === 0 ? 'one way' : 'the other way')), ...blamed, ...ignored]
  }
}

async function sayAgain (shells: Shells, stranger: Stranger, updates: wire.WireUpdate[]): Promise<void> {
  for (let i = 0; i < 20; i++) {
    // as if it were news, and the stranger close by
    stranger.send(wire.encodeGossip({ ...SILENCE, updates: updates.map(update => ({ ...update, hops: 1 })) }))
    await shells.clock.run(PAUSE)
  }
}

/** Streams of a process that was killed take nothing and bring nothing, though its neighbours notice it later */
function freeze ({ ends }: ShellPeer): void {
  for (const stream of ends.flatMap(({ streams }) => streams)) {
    stream.isStuck = true

    if (stream.other != null) {
      stream.other.other = undefined
      stream.other = undefined
    }
  }
}

/**
 * Three leaves behind two relays, one of which dies, four times, and is replaced each time; its neighbours notice it at different
 * moments. All messages of one leaf to the others are acked: there is always a relay between them that lives.
 */
export async function relaysDie (seed: number): Promise<Report> {
  const shells = new Shells(seed)
  const random = seededRandom(seed)
  const leaves = [await shells.peer({ canRelay: false }), await shells.peer({ canRelay: false }), await shells.peer({ canRelay: false })]
  const [publisher, ...readers] = leaves
  let relays: ShellPeer[] = []
  const join = async (): Promise<void> => {
    const relay = await shells.peer();
    [...relays, ...leaves].forEach(other => { shells.connect(other, relay) })
    relays = [...relays, relay]
    await subscribe(shells, [...leaves, ...relays])
  }
  await join()
  await join()

  const outcomes: Array<Promise<PublishResult>> = []
  const every = 3 + random() * 20
  let isOver = false
  let settled = 0
  const talk = (): void => {
    if (!isOver) {
      const outcome = publisher.pubsub.publish(TOPIC, numbered(outcomes.length), { to: readers.map(({ peerId }) => peerId), ack: 'all' }).catch(err => err.result)
      outcomes.push(outcome)
      void outcome.then(() => { settled++ })
      shells.clock.after(random() * every * 2, talk)
    }
  }
  talk()

  for (let deaths = 0; deaths < 4; deaths++) {
    await shells.clock.run(100 + random() * 300)
    const [victim, other] = relays
    const skew = [0, 5, 50, 400][Math.floor(random() * 4)]
    freeze(victim)
    victim.ends.forEach(end => { shells.clock.after(random() * skew, () => { end.abort() }) })
    await shells.until('a ghost is left', () => [...leaves, other].every(peer => !peer.knows(TOPIC, victim)))
    relays = [other]
    await join()
  }

  isOver = true
  await shells.until('not all is settled', () => settled === outcomes.length)
  const failed = (await Promise.all(outcomes)).flatMap(({ failed }, i) => failed.map(({ reason }) => `${i} ${reason}`))
  const missed = readers.filter(({ messages }) => numbersOf(messages).sort((a, b) => a - b).join() !== range(outcomes.length).join())

  return {
    lines: [`four of five relays die, seed ${seed}: ${failed.length} of ${outcomes.length * 2} are not acked`],
    wrong: [
      ...failed.length > 0 ? [`seed ${seed}: not acked: ${failed.slice(0, 3).join(', ')}`] : [],
      ...missed.length > 0 ? [`seed ${seed}: ${missed.length} did not get each message once`] : []
    ]
  }
}
