import { Lane } from '../link/index.ts'
import { aborted } from '../runtime/aborted.ts'
import { Alarm } from '../runtime/alarm.ts'
import * as limits from './constants.ts'
import { Deliveries } from './core/deliveries.ts'
import { Searches } from './core/searches.ts'
import { NotDeliveredError } from './errors.ts'
import { peerOf } from './keys.ts'
import { Newcomers } from './newcomers.ts'
import { SealType } from './seal.ts'
import * as wire from './wire.ts'
import type { DeliveryEffect, FailureReason, Outcome } from './core/deliveries.ts'
import type { PubsubCore } from './core/pubsub.ts'
import type { SearchEffect } from './core/searches.ts'
import type { Call, Key } from './core/types.ts'
import type { PublishOptions, PublishResult } from './index.ts'
import type { Parcels } from './parcels.ts'
import type { Plan, Plans } from './plans.ts'
import type { Neighbour, Shared } from './shared.ts'
import type { Entry } from '../link/index.ts'

/** What is sent, and sent again */
interface Content {
  data: Uint8Array
  lane: number
  to: Key[]
}

const LANES = { control: wire.CONTROL_LANE, data: Lane.DATA, bulk: Lane.BULK }

/**
 * The shell around what is published: frames to neighbours, bundles to relays, searches, acks.
 */
export class Publisher {
  readonly deliveries = new Deliveries<Content>({ timeout: limits.ACK_TIMEOUT, resendInterval: limits.RESEND_INTERVAL })
  readonly searches: Searches
  readonly newcomers: Newcomers
  readonly #shared: Shared
  readonly #core: PubsubCore
  readonly #plans: Plans
  readonly #parcels: Parcels
  readonly #alarm: Alarm
  readonly #seqs = new Map<string, number>()
  #firstSeq = 0
  readonly #unacked = new Map<Call, (outcome: Outcome) => void>()
  readonly #searching = new Map<Call, () => void>()
  #lastCall = 0

  constructor (shared: Shared, core: PubsubCore, plans: Plans, parcels: Parcels) {
    this.#shared = shared
    this.#core = core
    this.#plans = plans
    this.#parcels = parcels
    this.newcomers = new Newcomers(shared.clock)
    this.#alarm = new Alarm(shared.clock, () => { this.#wake() })
    this.searches = new Searches({
      self: shared.self, isRelay: core.greeting.isRelay, timeout: limits.SEARCH_TIMEOUT, hopLimit: limits.HOP_LIMIT, maxSeen: limits.MAX_SEEN
    })
  }

  get sizes (): Record<string, number> {
    return { unacked: this.deliveries.size, searches: this.searches.size, newcomers: this.newcomers.size, missed: this.newcomers.missed, published: this.#seqs.size }
  }

  /** The way of most messages: all recipients are neighbours, and all of them have room */
  publish (topic: string, data: Uint8Array, to: Key[], options: PublishOptions): Promise<PublishResult> {
    const plan = this.#plans.get(topic, to)
    const lane = LANES[options.priority ?? 'data']

    if (plan.lost.length > 0 || plan.relayed.size > 0 || (options.ack != null && options.ack !== 'none') || options.signal != null) {
      return this.#publishWaiting(plan, { data, lane, to }, options)
    }

    const waits = this.#sendDirect(plan, lane, this.#nextSeq(topic), data, false)
    return waits.length === 0 ? Promise.resolve(plan.result) : gather(waits).then(failures => resultOf(plan, failures))
  }

  /** A receipt about our own messages */
  onReceipt ({ status, topic, seqs, about }: wire.Receipt): void {
    for (const seq of seqs) {
      this.#run(this.deliveries.receipt(status, topic, seq, about))
    }
  }

  /** There is a way to this one now */
  onHeard (key: Key): void {
    this.#runSearch(this.searches.found(key))
  }

  /** What was published while it came, and is for it */
  introduce (neighbour: Neighbour): void {
    for (const { topic, seq, data, lane } of this.newcomers.introduce(neighbour.key)) {
      if (this.#core.subscribers.isOn(neighbour.key, topic)) {
        const plan = this.#plans.make(topic, [neighbour.key], [neighbour.key])
        this.#sendDirect(plan, lane, seq, data, false)
      }
    }
  }

  onSearch (from: Key, search: Parameters<Searches['receive']>[1], pass: (to: Key[], hops: number) => void): void {
    const { routes, gossip } = this.#core

    for (const effect of this.searches.receive(from, search, key => routes.isNeighbour(key), gossip.relays)) {
      if (effect.type === 'search') {
        pass(effect.to, effect.search.hops)
      } else if (effect.type === 'found') {
        this.#parcels.sendTo(search.origin, SealType.FOUND, wire.encodeSearch(search))
      }
    }
  }

  down (key: Key): void {
    this.#run(this.deliveries.gone(key))
  }

  stop (): void {
    this.#run(this.deliveries.stop())
    this.#runSearch(this.searches.stop())
    this.newcomers.stop()
    this.#seqs.clear()
    this.#alarm.set(Infinity)
  }

  /** (epoch, topic, number) names a message for ever: a topic whose number was forgotten goes on past all forgotten ones */
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

  async #publishWaiting (plan: Plan, content: Content, options: PublishOptions): Promise<PublishResult> {
    options.signal?.throwIfAborted()

    if (plan.lost.length > 0) {
      await this.#findAll(plan.lost, options.signal)
      plan = this.#plans.get(plan.topic, plan.to)
    }

    const wanted = options.ack === 'all' ? plan.recipients.length : Math.min(Number(options.ack ?? 0) || 0, plan.recipients.length)
    const seq = this.#nextSeq(plan.topic)
    const outcome = wanted > 0 ? this.#track(plan, seq, content, wanted, options.signal) : undefined
    const waits = this.#send(plan, content, seq, wanted > 0, options.signal)
    const failures = await aborted(gather(waits), options.signal)

    for (const [key, reason] of failures) {
      this.#run(this.deliveries.failed(plan.topic, seq, key, reason))
    }

    const result = resultOf(plan, failures)
    return outcome == null ? result : withAcks(result, await outcome)
  }

  /** Waits for acks from before the first byte leaves */
  #track ({ topic, recipients }: Plan, seq: number, content: Content, wanted: number, signal?: AbortSignal): Promise<Outcome> {
    const call = ++this.#lastCall
    const { promise, resolve } = Promise.withResolvers<Outcome>()
    const to = new Map(recipients.map(key => [key, this.#core.routes.next(key)]))
    this.#unacked.set(call, resolve)
    this.#run(this.deliveries.sent({ call, topic, seq, content, to, wanted }, this.#shared.clock.now()))

    return aborted(promise, signal, () => {
      this.deliveries.abort(call)
      this.#unacked.delete(call)
    })
  }

  #send (plan: Plan, { data, lane }: Content, seq: number, wantsAck: boolean, signal?: AbortSignal): Array<Promise<Map<Key, FailureReason>>> {
    const waits = this.#sendDirect(plan, lane, seq, data, wantsAck, signal)

    if (plan.relayed.size > 0) {
      waits.push(this.#parcels.add(plan, lane, wantsAck, seq, data))
    }
    if (plan.lost.length > 0) {
      waits.push(Promise.resolve(new Map(plan.lost.map(key => [key, 'unreachable']))))
    }

    return waits
  }

  #sendDirect (plan: Plan, lane: number, seq: number, data: Uint8Array, wantsAck: boolean, signal?: AbortSignal): Array<Promise<Map<Key, FailureReason>>> {
    const { topic, direct, to } = plan

    if (this.newcomers.size > 0 && to.length === 0) {
      this.newcomers.remember(topic, seq, data, lane, plan.recipients)
    }

    const waits: Array<Promise<Map<Key, FailureReason>>> = []
    const frame = direct.length > 0 ? wire.encodeMessage(topic, seq, data, wantsAck) : undefined

    for (const { key, link } of direct) {
      if (frame == null) {
        break
      }
      if (frame.bytes > link.maxFrame) {
        waits.push(Promise.resolve(new Map([[key, 'too-large']])))
      } else if (lane === wire.CONTROL_LANE) {
        link.sendControl(frame)
      } else {
        const entry: Entry = { frame, lane: lane as Lane, flow: topic }
        const outcome = link.send(entry)

        if (outcome !== 'admitted') {
          waits.push(outcome === 'refused' ? Promise.resolve(new Map([[key, 'congested']])) : room(key, entry, link.outbox, signal))
        }
      }
    }

    return waits
  }

  async #findAll (keys: Key[], signal?: AbortSignal): Promise<void> {
    await aborted(Promise.all(keys.map(async key => {
      const call = ++this.#lastCall
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#searching.set(call, resolve)
      this.#runSearch(this.searches.start(key, call, this.#core.epoch, this.#core.gossip.relays, this.#shared.clock.now()))
      await promise
    })), signal)
  }

  #wake (): void {
    const now = this.#shared.clock.now()
    this.#run(this.deliveries.wake(now))
    this.#runSearch(this.searches.wake(now))
  }

  #run (effects: Array<DeliveryEffect<Content>>): void {
    for (const effect of effects) {
      if (effect.type === 'settled') {
        this.#unacked.get(effect.call)?.(effect.outcome)
        this.#unacked.delete(effect.call)
      } else {
        this.#sendAgain(effect)
      }
    }

    this.#arm()
  }

  #sendAgain ({ topic, seq, content, to }: Extract<DeliveryEffect<Content>, { type: 'send' }>): void {
    const plan = this.#plans.make(topic, content.to, to)

    for (const key of to) {
      const via = this.#core.routes.next(key)
      if (via != null) {
        this.deliveries.sentBy(topic, seq, key, via)
      }
    }

    // whoever waits for it waits for the acks
    void Promise.all(this.#send({ ...plan, lost: [] }, content, seq, true))

    if (plan.lost.length > 0) {
      void this.#findAll(plan.lost).then(() => {
        const found = plan.lost.filter(key => this.#core.routes.next(key) != null)
        if (found.length > 0) {
          void Promise.all(this.#send({ ...this.#plans.make(topic, content.to, found), lost: [] }, content, seq, true))
        }
      })
    }
  }

  #runSearch (effects: SearchEffect[]): void {
    for (const effect of effects) {
      if (effect.type === 'search-settled') {
        this.#searching.get(effect.call)?.()
        this.#searching.delete(effect.call)
      } else if (effect.type === 'search') {
        void this.#search(effect.to, effect.search)
      }
    }

    this.#arm()
  }

  async #search (to: Key[], search: { id: number, target: Key }): Promise<void> {
    const sealed = await this.#shared.sealer.seal(this.#core.epoch, SealType.SEARCH, wire.encodeSearch(search))

    for (const key of to) {
      this.#shared.neighbours.get(key)?.link.sendControl(wire.encodeSearchFrame(0, sealed))
    }
  }

  #arm (): void {
    this.#alarm.set(Math.min(this.deliveries.nextAt(), this.searches.nextAt()))
  }
}

function resultOf ({ recipients, result }: Plan, failures: Map<Key, FailureReason>): PublishResult {
  if (failures.size === 0) {
    return result
  }

  return {
    recipients: recipients.filter(key => !failures.has(key)).map(peerOf),
    acked: [],
    failed: [...failures].map(([key, reason]) => ({ peerId: peerOf(key), reason }))
  }
}

function withAcks ({ recipients }: PublishResult, { acked, failed }: Outcome): PublishResult {
  const result = { recipients, acked: acked.map(peerOf), failed: failed.map(({ key, reason }) => ({ peerId: peerOf(key), reason })) }

  if (acked.length === 0) {
    throw new NotDeliveredError(`Nobody acked: ${result.failed.map(({ peerId, reason }) => `${peerId} ${reason}`).join(', ')}`, result)
  }

  return result
}

/** Who did not get it, and why, when every outbox has said whether it has room */
async function gather (waits: Array<Promise<Map<Key, FailureReason>>>): Promise<Map<Key, FailureReason>> {
  return new Map((await Promise.all(waits)).flatMap(failures => [...failures]))
}

/** A place in the queue of a neighbour that has no room now */
function room (key: Key, entry: Entry, outbox: { withdraw (entry: Entry): boolean }, signal?: AbortSignal): Promise<Map<Key, FailureReason>> {
  const { promise, resolve } = Promise.withResolvers<Map<Key, FailureReason>>()
  const onAbort = (): void => {
    outbox.withdraw(entry)
    resolve(new Map([[key, 'aborted']]))
  }
  const end = (failed: Map<Key, FailureReason>): void => {
    signal?.removeEventListener('abort', onAbort)
    resolve(failed)
  }
  entry.onAdmitted = () => { end(new Map()) }
  entry.onDropped = () => { end(new Map([[key, 'unreachable']])) }
  signal?.addEventListener('abort', onAbort, { once: true })
  return promise
}
