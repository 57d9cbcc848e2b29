import { equals } from 'uint8arrays/equals'
import { Lane } from '../link/index.ts'
import { aborted } from '../runtime/aborted.ts'
import { Alarm } from '../runtime/alarm.ts'
import { MalformedError } from '../runtime/errors.ts'
import { inOrder } from '../runtime/in-order.ts'
import { allOf, then } from '../runtime/then.ts'
import * as limits from './constants.ts'
import { EnvelopeType, readEnvelope } from './envelope.ts'
import * as wire from './wire.ts'
import type { Arrived, Context, Peer } from './context.ts'
import type { Announcement, Call, Change, Effect, Gossip, Key, SubscribeOutcome, Update } from './core/types.ts'
import type { Frame } from '../link/index.ts'

export interface SubscriptionsInit {
  context: Context
  onChanges (changes: Change[]): void
  /** A neighbour has said what it listens to */
  onAnnounced (peer: Peer): void
  /** An earlier life of ours is remembered somewhere with a larger epoch */
  onOutlive (epoch: number): void
}

/** How a call of the user ended */
type Outcome = SubscribeOutcome | 'answered'

/**
 * The shell around the core of subscriptions: it turns frames, calls and time into its events, and its effects into
 * frames and settled promises.
 */
export class Subscriptions {
  readonly #init: SubscriptionsInit
  readonly #context: Context
  readonly #alarm: Alarm
  readonly #calls = new Map<Call, (outcome: Outcome) => void>()
  /** Our own announcements as they were signed: once, however many neighbours hear them */
  readonly #signed = new WeakMap<Announcement, Uint8Array | Promise<Uint8Array>>()
  #lastCall = 0

  constructor (init: SubscriptionsInit) {
    this.#init = init
    this.#context = init.context
    this.#alarm = new Alarm(init.context.clock, () => { this.run(this.#context.core.wake(this.#now)) })
  }

  get waiting (): number {
    return this.#calls.size
  }

  async subscribe (topic: string, signal?: AbortSignal): Promise<boolean> {
    const { core } = this.#context
    const outcome = await this.#settled(call => core.subscribe(topic, call, this.#now), call => {
      core.abort(topic, call, this.#now)
      this.#arm()
    }, signal)
    return outcome === 'subscribed'
  }

  unsubscribe (topic: string, all: boolean): boolean {
    const { removed, effects } = this.#context.core.unsubscribe(topic, all, this.#now)
    this.run(effects)
    return removed
  }

  /** Resolves when all who were asked have answered, or are gone, or time is over */
  async request (topic: string, from?: Key, signal?: AbortSignal): Promise<void> {
    const { core } = this.#context
    await this.#settled(call => core.request(topic, call, this.#now, from), call => core.cancelRequest(call), signal)
  }

  up ({ key, epoch, isRelay }: Peer): void {
    this.run(this.#context.core.up(key, { epoch, isRelay }, this.#now))
  }

  down (key: Key): void {
    this.run(this.#context.core.down(key, this.#now))
  }

  /** Throws a MalformedError */
  onGossip (arrived: Arrived, body: Uint8Array): void {
    const { from } = arrived
    const gossip = wire.decodeGossip(body)
    const { lost, wanted, requests, answers } = gossip
    from.neighbour.spend(limits.ITEM_COST * (lost.length + wanted.length + requests.length + answers.length))
    const parts = partsOf(gossip, limits.PART_BYTES, limits.PART_ITEMS)
    const total = parts.reduce((sum, part) => sum + countOf(part), 0)
    let [count, granted] = [0, 0]

    // each waits for its turn: between two of them the loop may run
    for (const part of parts) {
      count += countOf(part)
      const upTo = Math.floor(arrived.bytes * count / total)
      const all: Array<[Key, Uint8Array] | undefined> = part.updates
        .flatMap(({ origin, announcements }) => announcements.map((bytes): [Key, Uint8Array] => [origin, bytes]))
      // also a part without announcements takes time
      all.push(undefined)

      this.#context.deal({
        ...arrived, bytes: upTo - granted
      }, all, item => item && this.#check(from, ...item), all => {
        this.#receive(from, part, all)

        if (part === parts.at(-1)) {
          this.#init.onAnnounced(from)
        }
      })
      granted = upTo
    }
  }

  /** Does what the core says */
  run (effects: Effect[]): void {
    for (const effect of effects) {
      switch (effect.type) {
        case 'gossip': this.#send(effect.to, effect.gossip); break
        case 'changes': this.#init.onChanges(effect.changes); break
        case 'subscribe-settled': this.#settle(effect.call, effect.outcome); break
        case 'request-settled': this.#settle(effect.call, 'answered'); break
        case 'outlive': this.#init.onOutlive(effect.epoch); break
        case 'refused': this.#context.refused(effect.what); break
      }
    }

    this.#arm()
  }

  stop (): void {
    this.run(this.#context.core.stop(this.#now))
    this.#alarm.set(Infinity)
  }

  get #now (): number {
    return this.#context.clock.now()
  }

  /** Resolves when the core settles what `begin` asks for; `cancel` is for a signal that aborts before */
  async #settled (
    begin: (call: Call) => Effect[], cancel: (call: Call) => void, signal?: AbortSignal
  ): Promise<Outcome> {
    const call = ++this.#lastCall
    const { promise, resolve } = Promise.withResolvers<Outcome>()
    this.#calls.set(call, resolve)
    this.run(begin(call))

    return aborted(promise, signal, () => {
      this.#calls.delete(call)
      cancel(call)
    })
  }

  #settle (call: Call, outcome: Outcome): void {
    this.#calls.get(call)?.(outcome)
    this.#calls.delete(call)
  }

  /** Undefined: its origin did not sign it. Throws a MalformedError */
  #check (from: Peer, origin: Key, bytes: Uint8Array): Announcement | undefined | Promise<Announcement | undefined> {
    const envelope = readEnvelope(bytes)

    if (envelope.type !== EnvelopeType.ANNOUNCEMENT || envelope.origin !== origin) {
      throw new MalformedError('an update holds something else than announcements of its origin')
    }

    const { epoch, content } = envelope
    const announcement: Announcement = { origin, epoch, bytes, ...wire.decodeAnnouncement(content) }
    const topics = announcement.on.length + announcement.off.length
    from.neighbour.spend(limits.ANNOUNCEMENT_COST + topics * limits.TOPIC_COST)
    const known = this.#context.core.subscribers.find(origin, announcement)?.bytes
    const isKnown = known != null && equals(known, bytes)
    return then(isKnown || this.#context.verify(from, envelope), isTrue => isTrue ? announcement : undefined)
  }

  #receive (from: Peer, { updates, ...gossip }: wire.WireGossip, checked: Array<Announcement | undefined>): void {
    const next = checked.values()
    const believed = updates
      .map(update => ({ ...update, announcements: update.announcements.map(() => next.next().value) }))
      .filter((update): update is Update => update.announcements.every(announcement => announcement != null))

    // what one origin did not sign says nothing of the others
    if (believed.length < updates.length) {
      from.neighbour.fault('an announcement whose signature is wrong')
    }

    this.run(this.#context.core.receive(from.key, { ...gossip, updates: believed }, this.#now))
  }

  #arm (): void {
    this.#alarm.set(this.#context.core.nextWake())
  }

  #send (to: Key, gossip: Gossip): void {
    const { peers, outbound, log } = this.#context
    const peer = peers.get(to)

    if (peer == null) {
      return
    }

    const signed = allOf(gossip.updates.map(({ announcements }) =>
      allOf(announcements.map(announcement => this.#sign(announcement)))))

    inOrder(outbound, to, signed, signed => {
      const updates = gossip.updates.map((update, i) => ({ ...update, announcements: signed[i] }))

      for (const frame of framesOf({ ...gossip, updates })) {
        peer.neighbour.send({ frame, lane: Lane.CONTROL, isOwn: true })
      }
    }, err => { log('gossip to %p was not sent - %e', peer.peerId, err) })
  }

  #sign (announcement: Announcement): Uint8Array | Promise<Uint8Array> {
    const { epoch, bytes } = announcement
    let signed = bytes ?? this.#signed.get(announcement)

    if (signed == null) {
      signed = this.#context.signer.sign(epoch, EnvelopeType.ANNOUNCEMENT, wire.encodeAnnouncement(announcement))
      this.#signed.set(announcement, signed)
    }

    return signed
  }
}

/** One frame, or more where announcements are so long that one would be too large */
function framesOf (gossip: wire.WireGossip): Frame[] {
  return partsOf(gossip, limits.MAX_ANNOUNCEMENT_SIZE, Infinity).map(part => wire.encodeGossip(part))
}

/** The same in parts that hold no more bytes, updates and announcements than this, unless one update alone does */
function partsOf (gossip: wire.WireGossip, maxBytes: number, maxCount: number): wire.WireGossip[] {
  const parts: wire.WireUpdate[][] = [[]]
  let [size, count] = [0, 0]

  for (const update of gossip.updates) {
    const bytes = update.announcements.reduce((sum, announcement) => sum + announcement.byteLength, 0)
    const items = 1 + update.announcements.length
    size += bytes
    count += items

    if ((size > maxBytes || count > maxCount) && parts[parts.length - 1].length > 0) {
      [size, count] = [bytes, items]
      parts.push([])
    }

    parts[parts.length - 1].push(update)
  }

  // what answers and acks speak of is to be read before them
  const nothing = { ack: -1, lost: [], wanted: [], requests: [], answers: [] }
  return parts.map((updates, i) => ({ ...i < parts.length - 1 ? nothing : gossip, updates }))
}

/** Its updates, the announcements in them, and itself */
function countOf ({ updates }: wire.WireGossip): number {
  return updates.reduce((sum, { announcements }) => sum + 1 + announcements.length, 1)
}
