import { Lane } from '../link/index.ts'
import { Alarm } from '../runtime/alarm.ts'
import { MalformedError } from '../runtime/errors.ts'
import { inOrder } from '../runtime/in-order.ts'
import { allOf, then } from '../runtime/then.ts'
import * as limits from './constants.ts'
import { EnvelopeType, readEnvelope, verifyEnvelope } from './envelope.ts'
import * as wire from './wire.ts'
import type { Context, Peer } from './context.ts'
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

/** An update, and whether all of its announcements were signed by their origin */
interface Checked {
  update: Update
  isTrue: boolean | Promise<boolean>
}

/**
 * The shell around the core of subscriptions: it turns frames, calls and time into its events, and its effects into
 * frames and settled promises.
 */
export class Subscriptions {
  readonly #init: SubscriptionsInit
  readonly #context: Context
  readonly #alarm: Alarm
  readonly #subscribes = new Map<Call, (outcome: SubscribeOutcome) => void>()
  readonly #requests = new Map<Call, () => void>()
  /** Our own announcements as they were signed: once, however many neighbours hear them */
  readonly #signed = new WeakMap<Announcement, Uint8Array | Promise<Uint8Array>>()
  #lastCall = 0

  constructor (init: SubscriptionsInit) {
    this.#init = init
    this.#context = init.context
    this.#alarm = new Alarm(init.context.clock, () => { this.run(this.#context.core.wake(this.#now)) })
  }

  get waiting (): number {
    return this.#subscribes.size + this.#requests.size
  }

  async subscribe (topic: string, signal?: AbortSignal): Promise<boolean> {
    const { core } = this.#context
    const call = ++this.#lastCall
    const { promise, resolve, reject } = Promise.withResolvers<SubscribeOutcome>()
    const onAbort = (): void => {
      this.#subscribes.delete(call)
      core.abort(topic, call, this.#now)
      this.#arm()
      reject(signal?.reason)
    }
    this.#subscribes.set(call, resolve)
    signal?.addEventListener('abort', onAbort, { once: true })
    this.run(core.subscribe(topic, call, this.#now))

    try {
      return await promise === 'subscribed'
    } finally {
      signal?.removeEventListener('abort', onAbort)
    }
  }

  unsubscribe (topic: string, all: boolean): boolean {
    const { removed, effects } = this.#context.core.unsubscribe(topic, all, this.#now)
    this.run(effects)
    return removed
  }

  /** Resolves when all who were asked have answered, or are gone, or time is over */
  async request (topic: string, from?: Key, signal?: AbortSignal): Promise<void> {
    const { core } = this.#context
    const call = ++this.#lastCall
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const onAbort = (): void => {
      this.#requests.delete(call)
      core.cancelRequest(call)
      reject(signal?.reason)
    }
    this.#requests.set(call, resolve)
    signal?.addEventListener('abort', onAbort, { once: true })
    this.run(core.request(topic, call, this.#now, from))

    try {
      await promise
    } finally {
      signal?.removeEventListener('abort', onAbort)
    }
  }

  up ({ key, epoch, isRelay }: Peer): void {
    this.run(this.#context.core.up(key, { epoch, isRelay }, this.#now))
  }

  down (key: Key): void {
    this.run(this.#context.core.down(key, this.#now))
  }

  /** Throws a MalformedError */
  onGossip (from: Peer, body: Uint8Array): void {
    const { inbound, counters, log } = this.#context
    const { updates, ...gossip } = wire.decodeGossip(body)
    const checked = updates.map(update => this.#check(from, update))

    inOrder(inbound, from.key, allOf(checked.map(({ isTrue }) => isTrue)), verdicts => {
      const believed = checked.filter((_, i) => verdicts[i]).map(({ update }) => update)

      // what one origin did not sign says nothing of the others
      if (believed.length < checked.length) {
        from.neighbour.fault('an announcement whose signature is wrong')
      }

      this.run(this.#context.core.receive(from.key, { ...gossip, updates: believed }, this.#now))
      this.#init.onAnnounced(from)
    }, err => {
      counters.add('gossip that was not dealt with')
      log('gossip of %p was not dealt with - %e', from.peerId, err)
    })
  }

  /** Does what the core says */
  run (effects: Effect[]): void {
    for (const effect of effects) {
      switch (effect.type) {
        case 'gossip':
          this.#send(effect.to, effect.gossip)
          break
        case 'changes':
          this.#init.onChanges(effect.changes)
          break
        case 'subscribe-settled':
          this.#subscribes.get(effect.call)?.(effect.outcome)
          this.#subscribes.delete(effect.call)
          break
        case 'request-settled':
          this.#requests.get(effect.call)?.()
          this.#requests.delete(effect.call)
          break
        case 'outlive':
          this.#init.onOutlive(effect.epoch)
          break
        case 'refused':
          this.#context.refused(effect.what)
          break
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

  #check (from: Peer, { announcements, ...distance }: wire.WireUpdate): Checked {
    const read = announcements.map(bytes => this.#read(from, distance.origin, bytes))
    return {
      update: { ...distance, announcements: read.map(({ announcement }) => announcement) },
      isTrue: then(allOf(read.map(({ isTrue }) => isTrue)), verdicts => verdicts.every(isTrue => isTrue))
    }
  }

  #read (from: Peer, origin: Key, bytes: Uint8Array): { announcement: Announcement, isTrue: boolean | Promise<boolean> } {
    const envelope = readEnvelope(bytes)

    if (envelope.type !== EnvelopeType.ANNOUNCEMENT || envelope.origin !== origin) {
      throw new MalformedError('an update holds something else than announcements of its origin')
    }

    const announcement: Announcement = { origin, epoch: envelope.epoch, bytes, ...wire.decodeAnnouncement(envelope.content) }
    const known = this.#context.core.subscribers.find(origin, announcement)?.bytes

    if (known != null && sameBytes(known, bytes)) {
      return { announcement, isTrue: true }
    }

    from.neighbour.spend(limits.SIGNATURE_COST)
    return { announcement, isTrue: verifyEnvelope(envelope) }
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

    const signed = gossip.updates.map(({ announcements }) => allOf(announcements.map(announcement => this.#sign(announcement))))

    inOrder(outbound, to, allOf(signed), signed => {
      const updates = gossip.updates.map((update, i) => ({ ...update, announcements: signed[i] }))
      split({ ...gossip, updates }).forEach(frame => { peer.neighbour.send({ frame, lane: Lane.CONTROL, isOwn: true }) })
    }, err => { log('gossip to %p was not sent - %e', peer.peerId, err) })
  }

  #sign (announcement: Announcement): Uint8Array | Promise<Uint8Array> {
    let signed = announcement.bytes ?? this.#signed.get(announcement)

    if (signed == null) {
      signed = this.#context.signer.sign(announcement.epoch, EnvelopeType.ANNOUNCEMENT, wire.encodeAnnouncement(announcement))
      this.#signed.set(announcement, signed)
    }

    return signed
  }
}

/** One frame, or more where announcements are so long that one would be too large */
function split (gossip: wire.WireGossip): Frame[] {
  const parts: wire.WireUpdate[][] = [[]]
  let size = 0

  for (const update of gossip.updates) {
    const bytes = update.announcements.reduce((sum, announcement) => sum + announcement.byteLength, 0)
    size += bytes

    if (size > limits.MAX_ANNOUNCEMENT_SIZE && parts[parts.length - 1].length > 0) {
      size = bytes
      parts.push([])
    }

    parts[parts.length - 1].push(update)
  }

  // what answers and acks speak of is to be read before them
  return parts.map((updates, i) => wire.encodeGossip(i < parts.length - 1
    ? { ack: -1, updates, lost: [], wanted: [], requests: [], answers: [] }
    : { ...gossip, updates }))
}

function sameBytes (a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, i) => byte === b[i])
}
