import { randomInt, seededRandom } from '../../src/runtime/random.ts'
import { sha256 } from '../../src/runtime/sha256.ts'
import { FlightTracker } from '../../src/transfer/core/flight.ts'
import { Incoming } from '../../src/transfer/core/incoming.ts'
import { Layout, LeafChain } from '../../src/transfer/core/leaves.ts'
import { Outgoing } from '../../src/transfer/core/outgoing.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'
import type { Random } from '../../src/runtime/random.ts'
import type { Fragment, Status } from '../../src/transfer/core/outgoing.ts'

const LEAF = 65_536
/** Milliseconds without news after which a sender asks */
const PROBE = 300
/** Milliseconds that a payload may take in its worst network */
const PATIENCE = 600_000

export interface Plan {
  seed: number
  payload: Uint8Array
  isSizeKnown: boolean
  window: number
  /** Bytes that a sender has in flight at most */
  flight: number
  maxFragment: number
  /** What each does: 'liar' changes a byte now and then, 'dies' is gone in the middle, 'silent' takes what it is asked for and sends nothing */
  sources: Array<'honest' | 'liar' | 'dies' | 'silent'>
  /** Chances that a message comes twice, and that the relay that carries it dies with all that it has */
  duplicates: number
  deaths: number
  /** Leaves of the payload that the receiver has */
  have?: number
}

export interface Outcome {
  outcome: 'done' | 'wrong' | 'no source' | 'hangs'
  got: Uint8Array
  /** Bytes of data that were sent, and that the deaths of relays took */
  sent: number
  lost: number
  ms: number
}

export function surveyOf (payload: Uint8Array): { list: Uint8Array, root: Uint8Array } {
  const chain = new LeafChain()
  const hashes: Uint8Array[] = []

  for (let at = 0; at < payload.byteLength; at += LEAF) {
    const hash = sha256(payload.subarray(at, at + LEAF))
    hashes.push(hash)
    chain.add(hash)
  }

  const list = new Uint8Array(hashes.length * 32)
  hashes.forEach((hash, i) => { list.set(hash, i * 32) })
  return { list, root: chain.root(payload.byteLength) }
}

type Word =
  | { type: 'data', offset: number, bytes: Uint8Array }
  | { type: 'probe', question: number, end?: number }
  | { type: 'status', status: Status }

/** What carries words between two, in their order; when its relay dies, all that it has is lost, and another one takes over */
class Way {
  readonly #clock: VirtualClock
  readonly #random: Random
  readonly #plan: Plan
  #relay = 0
  #delay = 5
  #lastAt = 0
  lost = 0

  constructor (clock: VirtualClock, random: Random, plan: Plan) {
    this.#clock = clock
    this.#random = random
    this.#plan = plan
  }

  send (word: Word, arrive: (word: Word) => void): void {
    const { duplicates, deaths } = this.#plan

    if (this.#random() < deaths) {
      this.#relay++
      this.#lastAt = 0
    }
    if (this.#random() < 0.02) {
      // another route, shorter or longer: what goes by it may be earlier than what went before
      this.#delay = 1 + randomInt(this.#random, 80)
      this.#lastAt = 0
    }

    const relay = this.#relay
    this.#lastAt = Math.max(this.#lastAt, this.#clock.now() + this.#delay)

    for (let copies = this.#random() < duplicates ? 2 : 1; copies > 0; copies--) {
      this.#clock.after(this.#lastAt - this.#clock.now(), () => {
        if (relay === this.#relay) {
          arrive(word)
        } else if (word.type === 'data') {
          this.lost += word.bytes.byteLength
        }
      })
    }
  }
}

/** One sender: what the shell does around its Outgoing, and nothing else */
/** Numbers of those whose fragments are in flight */
let owners = 0

class Sender {
  readonly key: string
  readonly outgoing: Outgoing
  readonly way: Way
  readonly #plan: Plan
  readonly #kind: Plan['sources'][number]
  readonly #clock: VirtualClock
  readonly #random: Random
  readonly #flight: FlightTracker<Fragment, number, string>
  readonly #list: Uint8Array
  readonly #deliver: (word: Word) => void
  #askAt: number
  #ended = false
  isGone = false
  sent = 0

  constructor (key: string, kind: Plan['sources'][number], plan: Plan, clock: VirtualClock, random: Random, flight: FlightTracker<Fragment, number, string>, deliver: (word: Word) => void) {
    const { payload, isSizeKnown, maxFragment } = plan
    this.key = key
    this.outgoing = new Outgoing({ layout: new Layout(isSizeKnown ? payload.byteLength : undefined), flight, owner: ++owners, maxFragment })
    this.way = new Way(clock, random, plan)
    this.#plan = plan
    this.#kind = kind
    this.#clock = clock
    this.#random = random
    this.#flight = flight
    this.#list = this.outgoing.layout.listBytes > 0 ? surveyOf(payload).list : new Uint8Array()
    this.#deliver = deliver
    this.#askAt = clock.now() + PROBE
    this.#tick()
  }

  hear (status: Status): void {
    if (!this.isGone) {
      const arrived = this.outgoing.onStatus(status) ?? []
      arrived.forEach(fragment => { this.#flight.ack(fragment) })
      this.#askAt = this.#clock.now() + PROBE
      this.check()
      this.pump()
    }
  }

  pump (): void {
    const { outgoing } = this

    while (!this.isGone && this.#kind !== 'silent') {
      const again = outgoing.nextAgain()
      const extent = again == null ? outgoing.nextExtent(this.#random() < 0.3 ? Infinity : this.#random() * 6000) : undefined
      const fragment = again ?? (extent == null ? undefined : this.#cut(extent))

      if (fragment == null || (this.#flight.get(fragment) == null && this.#flight.bytesOn(this.key) > 0 && this.#flight.bytesOn(this.key) + fragment.message.byteLength > this.#plan.flight)) {
        break
      }

      const ticket = this.#flight.beginResend(fragment)
      ticket == null
        ? this.#flight.register(fragment, outgoing.owner, fragment.message.byteLength, this.key, this.#clock.now())
        : this.#flight.commitResend(ticket, this.key, this.#clock.now())
      outgoing.sent(fragment, this.#flight.get(fragment)?.order ?? 0)

      if (this.#random() < 0.01) {
        // the send throws
        this.#flight.abandon(fragment)
        outgoing.unsent(fragment)
      } else {
        this.sent += fragment.message.byteLength
        this.#say({ type: 'data', offset: fragment.from, bytes: this.#kind === 'liar' && this.#random() < 0.05 ? fragment.message.map(byte => byte ^ 1) : fragment.message })
      }
      if (this.#kind === 'dies' && this.#random() < 0.01) {
        this.end()
      }
      this.check()
    }
  }

  /** Everything that is to be released is, in one tick */
  end (): void {
    this.isGone = true
    this.#flight.dropStream(this.outgoing.owner)
    this.outgoing.close()

    if (this.#flight.bytesOn(this.key) !== 0 || this.#flight.sizeOf(this.outgoing.owner) !== 0 || this.outgoing.isOwing) {
      throw new Error('something is in flight for one that has ended')
    }
  }

  check (): void {
    this.#flight.check()
    this.outgoing.check()
  }

  #cut (extent: { from: number, to: number }): Fragment | undefined {
    const { payload, isSizeKnown } = this.#plan
    const { layout } = this.outgoing
    const start = layout.listBytes

    if (extent.to <= start) {
      return { ...extent, message: this.#list.subarray(extent.from, extent.to) }
    }
    if (!isSizeKnown && !this.#ended && layout.startOf(layout.leafAt(extent.from)) + LEAF > payload.byteLength) {
      // the last leaf is read, and is a short one
      this.#ended = true
      layout.ends(payload.byteLength)
      this.outgoing.ended()
      this.#askAt = this.#clock.now()
      const left = this.outgoing.nextExtent(Infinity)
      return left == null ? undefined : this.#cut(left)
    }

    return { ...extent, message: payload.subarray(extent.from - start, extent.to - start) }
  }

  #say (word: Word): void {
    this.way.send(word, word => { this.#deliver(word) })
  }

  #tick (): void {
    if (this.isGone) {
      return
    }
    if (this.#clock.now() >= this.#askAt) {
      this.#askAt = this.#clock.now() + PROBE
      this.#say({ type: 'probe', question: this.outgoing.question(), end: this.#ended ? this.#plan.payload.byteLength : undefined })
    }

    this.pump()
    this.#clock.after(50, () => { this.#tick() })
  }
}

/** One payload, on its way through a network that does its worst, until it is there, or nobody can send it any more */
export function simulate (plan: Plan): Outcome {
  const { seed, payload, isSizeKnown, window, sources, have = 0 } = plan
  const clock = new VirtualClock(0)
  const random = seededRandom(seed)
  const { root } = surveyOf(payload)
  const flight = new FlightTracker<Fragment, number, string>()
  const incoming = new Incoming({ size: isSizeKnown ? payload.byteLength : undefined, root: isSizeKnown ? root : undefined, window: granted => Math.max(granted, window * (0.5 + random())), hasSome: have > 0 })
  const chunks: Uint8Array[] = have > 0 ? [payload.subarray(0, have * LEAF)] : []
  const senders = new Map<string, Sender>()
  const words = new Map<string, { number: number, echo: number, back: Way }>()
  let isOver: Outcome['outcome'] | undefined
  let waits: { from: number, since: number } | undefined
  const gone: Sender[] = []

  const say = (key: string): void => {
    const word = words.get(key)
    const standing = incoming.standing(key)

    if (word != null && standing != null) {
      const status: Status = { number: ++word.number, echo: word.echo, horizon: standing.horizon, wanted: standing.wanted.map(extent => ({ ...extent })) }
      word.back.send({ type: 'status', status }, () => { senders.get(key)?.hear(status) })
    }
  }
  const drop = (key: string): void => {
    const sender = senders.get(key)
    senders.delete(key)
    incoming.dropSource(key)
    incoming.check()

    if (sender != null) {
      sender.end()
      gone.push(sender)
    }
    senders.forEach(({ key }) => { say(key) })
    isOver ??= senders.size === 0 ? 'no source' : undefined
  }
  const arrive = (key: string, word: Word): void => {
    const state = words.get(key)

    if (!senders.has(key) || state == null || isOver != null) {
      return
    }
    if (word.type === 'data') {
      const neededList = incoming.needsList
      const arrival = incoming.data(key, word.offset, word.bytes)

      if (arrival === 'over') {
        throw new Error(`what an honest sender sent is over: ${word.offset} of ${key}`)
      }
      incoming.liars.forEach(drop)
      neededList && !incoming.needsList && have > 0 && incoming.begin(have)
      incoming.check()
      incoming.news(key) === 'now' && say(key)
    } else if (word.type === 'probe') {
      state.echo = word.question

      if (word.end != null && !incoming.end(word.end, root)) {
        throw new Error('the end is not believed')
      }
      incoming.check()
      say(key)
    }
  }
  const read = (): void => {
    for (let count = randomInt(random, 4); count > 0; count--) {
      const leaf = incoming.take()
      leaf != null && chunks.push(leaf)
      incoming.check()
    }
    for (const key of senders.keys()) {
      incoming.news(key) != null && say(key)
    }

    const { awaited } = incoming
    if (awaited == null || awaited.from !== waits?.from) {
      waits = awaited == null ? undefined : { from: awaited.from, since: clock.now() }
    } else if (clock.now() - waits.since > 5000 && senders.size > 1) {
      waits = undefined
      incoming.swap(awaited.key)
      incoming.check()
      senders.forEach(({ key }) => { say(key) })
    }

    isOver ??= incoming.outcome
    // it is known to be gone when nobody has heard of it for a while
    senders.forEach(sender => { sender.isGone && random() < 0.05 && drop(sender.key) })
    isOver == null && clock.after(10, read)
  }

  if (have > 0 && incoming.layout.listBytes === 0) {
    throw new Error('no list tells what of it is right')
  }
  const join = (key: string, kind: Plan['sources'][number]): void => {
    if (isOver == null) {
      senders.set(key, new Sender(key, kind, plan, clock, random, flight, word => { arrive(key, word) }))
      incoming.addSource(key)
      incoming.check()
      say(key)
    }
  }

  for (const [i, kind] of sources.entries()) {
    const key = `${i}`
    words.set(key, { number: 0, echo: 0, back: new Way(clock, random, plan) })
    // one that is honest is there from the beginning: a liar alone leaves nobody
    clock.after(kind === 'honest' ? 0 : randomInt(random, 100), () => { join(key, kind) })
  }

  clock.after(1, read)

  const step = (): boolean => isOver == null && clock.now() < PATIENCE && clock.step()

  for (let isGoing = true; isGoing;) {
    isGoing = step()
  }

  senders.forEach(sender => {
    gone.push(sender)
    sender.end()
  })

  if (flight.bytes !== 0 || flight.size !== 0) {
    throw new Error(`${flight.bytes} bytes are in flight when all have ended`)
  }

  const got = new Uint8Array(chunks.reduce((sum, { byteLength }) => sum + byteLength, 0))
  let at = 0
  for (const chunk of chunks) {
    got.set(chunk, at)
    at += chunk.byteLength
  }
  return {
    outcome: isOver ?? 'hangs',
    got,
    sent: gone.reduce((sum, { sent }) => sum + sent, 0),
    lost: gone.reduce((sum, { way }) => sum + way.lost, 0),
    ms: clock.now()
  }
}
