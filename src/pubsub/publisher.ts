import { Lane } from '../link/index.ts'
import { aborted } from '../runtime/aborted.ts'
import { Alarm } from '../runtime/alarm.ts'
import * as limits from './constants.ts'
import { PendingAcks } from './core/pending-acks.ts'
import { NotDeliveredError } from './errors.ts'
import { peerOf } from './keys.ts'
import { AllRecipients } from './recipients.ts'
import { Unannounced } from './unannounced.ts'
import * as wire from './wire.ts'
import type { Bundling } from './bundling.ts'
import type { Context, Peer } from './context.ts'
import type { FailureReason, Outcome, PendingEffect } from './core/pending-acks.ts'
import type { Call, Effect, Key } from './core/types.ts'
import type { PublishOptions, PublishResult } from './index.ts'
import type { Fate } from './parcels.ts'
import type { Recipients } from './recipients.ts'
import type { Entry } from '../link/index.ts'
import type { Timer } from '../runtime/clock.ts'

/** What is sent, and sent again */
interface Content {
  data: Uint8Array
  lane: Lane
  to: Key[]
}

/** One copy of a message to some recipients */
interface Copy extends Content {
  recipients: Recipients
  seq: number
  wantsAck: boolean
}

/** Recipients without room at present */
interface Room {
  keys: Key[]
  /** Those that will never get this copy, and why, when it has found room at the others */
  done: Promise<Map<Key, FailureReason>>
  /** They are not waited for any longer */
  giveUp (): void
}

const LANES = { control: Lane.CONTROL, data: Lane.DATA, bulk: Lane.BULK }

export interface PublisherInit {
  context: Context
  bundling: Bundling
  /** Does what the core says */
  run (effects: Effect[]): void
}

/**
 * The shell around what is published: frames to neighbours, bundles to relays, acks.
 */
export class Publisher {
  readonly acks = new PendingAcks<Content>()
  readonly unannounced: Unannounced
  readonly #init: PublisherInit
  readonly #context: Context
  readonly #recipients: AllRecipients
  readonly #alarm: Alarm
  readonly #seqs = new Map<string, number>()
  #firstSeq = 0
  readonly #unacked = new Map<Call, { since: number, resolve (outcome: Outcome): void }>()
  /** Neighbours that others had to wait for: they are not waited for again before they have room */
  readonly #laggards = new Set<Key>()
  #lastCall = 0

  constructor (init: PublisherInit) {
    const { context } = init
    this.#init = init
    this.#context = context
    this.#recipients = new AllRecipients(context)
    this.unannounced = new Unannounced(context.clock)
    this.#alarm = new Alarm(context.clock, () => { this.#run(this.acks.wake(this.#now)) })
  }

  get sizes (): Record<string, number> {
    return {
      unacked: this.acks.size,
      unackedBytes: this.acks.bytes,
      unannounced: this.unannounced.size,
      missed: this.unannounced.missed,
      published: this.#seqs.size
    }
  }

  /** Most messages need no more than this: nobody waits for acks, and all recipients can be reached */
  publish (topic: string, data: Uint8Array, to: Key[], options: PublishOptions): Promise<PublishResult> {
    const recipients = this.#recipients.get(topic, to)
    const lane = LANES[options.priority ?? 'data']
    const wanted = wantedOf(recipients, options.ack)
    this.#context.traffic.publish(lane, data.byteLength)
    const copy: Copy = { recipients, data, lane, to, seq: this.#nextSeq(topic), wantsAck: wanted > 0 }

    if (wanted > 0 || options.signal != null || recipients.unreachable.length > 0) {
      return this.#publishWaiting(copy, wanted, options.signal)
    }

    const rooms = this.#send(copy)
    return rooms.length === 0
      ? Promise.resolve(recipients.result)
      : this.#waitForRoom(copy, rooms).then(failures => resultOf(recipients, failures))
  }

  /** A receipt about our own messages */
  onReceipt ({ status, topic, seqs, about }: wire.Receipt, by: Key): void {
    this.#run(this.acks.receipt(status, topic, seqs, about, by, this.#now))
  }

  /** What was published while it came, and is for it */
  introduce (peer: Peer): void {
    for (const { topic, seq, data, lane } of this.unannounced.introduce(peer.key)) {
      if (this.#context.core.subscribers.isOn(peer.key, topic)) {
        const recipients = this.#recipients.make(topic, [peer.key], [peer.key])
        this.#sendDirect({ recipients, data, lane: lane as Lane, to: [peer.key], seq, wantsAck: false })
      }
    }
  }

  down (key: Key): void {
    this.#laggards.delete(key)
    this.#run(this.acks.gone(key))
  }

  stop (): void {
    this.#run(this.acks.stop())
    this.unannounced.stop()
    this.#seqs.clear()
    this.#laggards.clear()
    this.#alarm.set(Infinity)
  }

  get #now (): number {
    return this.#context.clock.now()
  }

  /**
   * (epoch, topic, number) names a message for ever: a topic whose number was forgotten goes on past all forgotten ones
   */
  #nextSeq (topic: string): number {
    const seq = this.#seqs.get(topic) ?? this.#firstSeq
    this.#seqs.set(topic, seq + 1)

    if (this.#seqs.size > limits.MAX_SEQUENCES) {
      const [oldest, next] = this.#seqs.entries().next().value as [string, number]
      this.#seqs.delete(oldest)
      this.#firstSeq = Math.max(this.#firstSeq, next)
    }

    return seq
  }

  async #publishWaiting (copy: Copy, wanted: number, signal?: AbortSignal): Promise<PublishResult> {
    const { recipients } = copy
    const outcome = wanted > 0 ? this.#track(copy, wanted, signal) : undefined

    // nobody could wait for its acks: so it is not sent
    if (outcome === 'congested') {
      return withAcks(recipients.result, { acked: [], failed: recipients.all.map(key => ({ key, reason: outcome })) })
    }

    const rooms = this.#send(copy, signal)
    const room = this.#waitForRoom(copy, rooms)

    if (outcome != null) {
      try {
        // acks have a deadline, room has none
        return withAcks(recipients.result, await outcome)
      } finally {
        rooms.forEach(room => { room.giveUp() })
      }
    }

    const unreachable = recipients.unreachable.map((key): [Key, FailureReason] => [key, 'unreachable'])
    return resultOf(recipients, new Map([...unreachable, ...await aborted(room, signal)]))
  }

  /** Waits for acks from before the first byte leaves. 'congested': too many wait already */
  #track (
    { recipients: { topic, all }, data, lane, to, seq }: Copy, wanted: number, signal?: AbortSignal
  ): Promise<Outcome> | 'congested' {
    const call = ++this.#lastCall
    const { promise, resolve } = Promise.withResolvers<Outcome>()
    const tracked = this.acks.track(
      { call, topic, seq, content: { data, lane, to }, bytes: data.byteLength, to: all, wanted }, this.#now
    )

    if (tracked === 'congested') {
      return tracked
    }

    this.#unacked.set(call, { since: this.#now, resolve })
    this.#run(tracked)

    return aborted(promise, signal, () => {
      this.#run(this.acks.abort(call))
      this.#unacked.delete(call)
    })
  }

  #send (copy: Copy, signal?: AbortSignal): Room[] {
    const { recipients: { topic, relayed, unreachable }, seq, wantsAck } = copy
    const rooms = this.#sendDirect(copy, signal)

    if (relayed.size > 0) {
      rooms.push(this.#sendRelayed(copy))
    }
    for (const key of wantsAck ? unreachable : []) {
      this.#run(this.acks.failed(topic, seq, key, 'unreachable', undefined, this.#now))
    }

    return rooms
  }

  #sendDirect (copy: Copy, signal?: AbortSignal): Room[] {
    const { recipients: { topic, direct, all }, data, lane, to, seq, wantsAck } = copy

    if (this.unannounced.size > 0 && to.length === 0) {
      this.unannounced.remember(topic, seq, data, lane, all)
    }

    const rooms: Room[] = []
    const frame = direct.length > 0 ? wire.encodeMessage(topic, seq, data, wantsAck) : undefined

    for (const peer of direct) {
      const room = frame == null ? undefined : this.#put(copy, frame, peer, signal)

      if (room != null) {
        rooms.push(room)
      }
    }

    return rooms
  }

  /** Undefined: the neighbour has room for it */
  #put (copy: Copy, frame: Entry['frame'], { key, neighbour }: Peer, signal?: AbortSignal): Room | undefined {
    const { recipients: { topic }, lane, wantsAck } = copy
    const onFate = (fate: Fate): void => { this.#onFate(copy, key, fate) }
    // not at once: the next copy must not go into an outbox that is just being cleared
    const lost = (): void => { this.#context.clock.soon(() => { onFate({ reason: 'unreachable', via: key }) }) }

    if (frame.bytes > neighbour.maxFrame) {
      onFate({ reason: 'too-large' })
      return failed(key, 'too-large')
    }

    const entry: Entry = { frame, lane, flow: topic, item: undefined }

    if (wantsAck) {
      // a slow link takes long to bring what was written: that is not yet the time to send it again
      entry.onSent = () => {
        onFate({ writtenTo: key })
        neighbour.whenTaken(() => { onFate({ via: key }) }, lost)
      }
      entry.onDropped = lost
    }

    const outcome = neighbour.send(entry)

    if (outcome === 'refused') {
      onFate({ reason: 'congested' })
      return failed(key, 'congested')
    }
    if (outcome === 'admitted' && signal == null) {
      return
    }

    const { promise: done, resolve } = Promise.withResolvers<Map<Key, FailureReason>>()
    const end = (reason?: FailureReason): void => {
      signal?.removeEventListener('abort', onAbort)
      resolve(new Map(reason == null ? [] : [[key, reason]]))
    }
    const takeBack = (reason: FailureReason): void => {
      if (neighbour.withdraw(entry)) {
        onFate({ reason })
        end(reason)
      }
    }
    const onAbort = (): void => { takeBack('aborted') }

    signal?.addEventListener('abort', onAbort, { once: true })

    if (outcome === 'admitted') {
      // what was not written yet can be taken back: so long the signal is listened to
      const { onSent } = entry
      entry.onSent = () => {
        onSent?.()
        signal?.removeEventListener('abort', onAbort)
      }
      return
    }

    entry.onAdmitted = () => {
      this.#laggards.delete(key)
      end()
    }
    const { onDropped } = entry
    entry.onDropped = () => {
      onDropped?.()
      end('unreachable')
    }
    return { keys: [key], done, giveUp: () => { takeBack('congested') } }
  }

  #sendRelayed (copy: Copy): Room {
    const { recipients: { topic, relayed, behind }, data, lane, to, seq, wantsAck } = copy
    const handover = this.#init.bundling.send({
      topic,
      to,
      ways: relayed,
      lane,
      wantsAck,
      seq,
      data,
      onFate: wantsAck ? (key, fate) => { this.#onFate(copy, key, fate) } : undefined
    })

    return { keys: behind, done: handover.done, giveUp: () => { handover.giveUp() } }
  }

  #onFate ({ recipients: { topic }, seq, wantsAck }: Copy, key: Key, fate: Fate): void {
    if (!wantsAck) {
      return
    }
    if ('reason' in fate) {
      this.#run(this.acks.failed(topic, seq, key, fate.reason, fate.via, this.#now))
    } else if ('writtenTo' in fate) {
      this.acks.written(topic, seq, key, fate.writtenTo)
    } else {
      this.acks.sent(topic, seq, key, fate.via, this.#now)
      this.#arm()
    }
  }

  /**
   * Who did not get it, and why. While nobody has room the publisher waits: so it sends no faster than the fastest
   * takes it.
   * When some have room the others are waited for a moment longer, and not again before they have room.
   */
  #waitForRoom ({ recipients: { all } }: Copy, rooms: Room[]): Promise<Map<Key, FailureReason>> {
    return all.length === 1 && rooms.length > 0 ? rooms[0].done : this.#waitForAll(all, rooms)
  }

  async #waitForAll (all: Key[], rooms: Room[]): Promise<Map<Key, FailureReason>> {
    const waiting = new Set(rooms)
    const done = rooms.map(async room => {
      const failures = await room.done
      waiting.delete(room)

      if (failures.size === 0) {
        room.keys.forEach(key => { this.#laggards.delete(key) })
      }

      return failures
    })
    const giveUp = (isDue: (key: Key) => boolean): void => {
      for (const room of waiting) {
        if (room.keys.every(isDue)) {
          room.giveUp()
          room.keys.forEach(key => this.#laggards.add(key))
        }
      }
    }
    const haveRoom = rooms.reduce((sum, { keys }) => sum + keys.length, 0) < all.length
    let timer: Timer | undefined

    void (haveRoom ? Promise.resolve() : Promise.race(done)).then(() => {
      giveUp(key => this.#laggards.has(key))

      if (waiting.size > 0) {
        timer = this.#context.clock.after(limits.LAGGARD_WAIT, () => { giveUp(() => true) })
      }
    })

    const failures = await Promise.all(done)
    timer?.cancel()
    return new Map(failures.flatMap(some => [...some]))
  }

  #run (effects: Array<PendingEffect<Content>>): void {
    for (const effect of effects) {
      if (effect.type === 'settled') {
        this.#settled(effect.call, effect.outcome)
      } else if (effect.type === 'way') {
        this.#init.run(this.#context.core.acked(effect.to, effect.via, effect.ok, this.#now))
      } else {
        this.#sendAgain(effect)
      }
    }

    this.#arm()
  }

  #settled (call: Call, outcome: Outcome): void {
    const waiting = this.#unacked.get(call)
    this.#unacked.delete(call)

    if (waiting != null) {
      this.#context.traffic.settled(this.#now - waiting.since, outcome.acked.length, outcome.failed.length)
      waiting.resolve(outcome)
    }

    this.#doubt(outcome)
  }

  /** Who did not answer, whatever way a message took, is to say itself again */
  #doubt ({ failed }: Outcome): void {
    for (const { key, reason } of failed) {
      if (reason === 'timeout') {
        this.#init.run(this.#context.core.doubt(key, this.#now))
      }
    }
  }

  /** Whoever waits for it waits for the acks */
  #sendAgain ({ topic, seq, content, to, avoid }: Extract<PendingEffect<Content>, { type: 'send' }>): void {
    this.#send({ ...content, recipients: this.#recipients.make(topic, content.to, to, avoid), seq, wantsAck: true })
  }

  #arm (): void {
    this.#alarm.set(this.acks.nextAt())
  }
}

function wantedOf ({ all }: Recipients, ack: PublishOptions['ack']): number {
  return ack === 'all' ? all.length : Math.min(Number(ack ?? 0) || 0, all.length)
}

function failed (key: Key, reason: FailureReason): Room {
  return { keys: [key], done: Promise.resolve(new Map([[key, reason]])), giveUp: () => {} }
}

function resultOf ({ all, result }: Recipients, failures: Map<Key, FailureReason>): PublishResult {
  if (failures.size === 0) {
    return result
  }

  return {
    recipients: all.filter(key => !failures.has(key)).map(peerOf),
    acked: [],
    failed: [...failures].map(([key, reason]) => ({ peerId: peerOf(key), reason }))
  }
}

function withAcks ({ recipients }: PublishResult, { acked, failed }: Outcome): PublishResult {
  const result = {
    recipients, acked: acked.map(peerOf), failed: failed.map(({ key, reason }) => ({ peerId: peerOf(key), reason }))
  }

  if (acked.length === 0) {
    throw new NotDeliveredError(
      `Nobody acked: ${result.failed.map(({ peerId, reason }) => `${peerId} ${reason}`).join(', ')}`, result
    )
  }

  return result
}
