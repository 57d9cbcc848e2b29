import { Alarm } from '../runtime/alarm.ts'
import { MalformedError } from '../runtime/errors.ts'
import { inOrder } from '../runtime/in-order.ts'
import * as limits from './constants.ts'
import { PubsubCore } from './core/pubsub.ts'
import { readSealed, SealType, verifySealed } from './seal.ts'
import * as wire from './wire.ts'
import type { PubsubCoreInit } from './core/pubsub.ts'
import type { Announcement, Call, Change, Effect, Gossip, Key, SubscribeOutcome } from './core/types.ts'
import type { Sealed } from './seal.ts'
import type { Neighbour, Shared } from './shared.ts'
import type { Frame } from '../link/index.ts'

export interface ControlInit {
  shared: Shared
  core: Omit<PubsubCoreInit, 'self' | 'epoch'>
  onChanges (changes: Change[]): void
  /** A neighbour has said what it listens to */
  onIntroduced (neighbour: Neighbour): void
  /** An earlier life of ours is remembered somewhere with a larger epoch */
  onOutlive (epoch: number): void
}

/**
 * The shell around the core of subscriptions: it turns frames, calls and time into its events, and its effects into
 * frames and settled promises.
 */
export class Control {
  readonly core: PubsubCore
  readonly #init: ControlInit
  readonly #alarm: Alarm
  readonly #subscribes = new Map<Call, (outcome: SubscribeOutcome) => void>()
  readonly #requests = new Map<Call, () => void>()
  /** Our own announcements as they were sealed: once, however many neighbours hear them */
  readonly #sealed = new WeakMap<Announcement, Uint8Array | Promise<Uint8Array>>()
  #lastCall = 0

  constructor (init: ControlInit, epoch: number) {
    const { clock, self } = init.shared
    this.#init = init
    this.core = new PubsubCore({ ...init.core, self, epoch })
    this.#alarm = new Alarm(clock, () => { this.#run(this.core.wake(clock.now())) })
  }

  get waiting (): number {
    return this.#subscribes.size + this.#requests.size
  }

  async subscribe (topic: string, signal?: AbortSignal): Promise<boolean> {
    const call = ++this.#lastCall
    const { promise, resolve, reject } = Promise.withResolvers<SubscribeOutcome>()
    const onAbort = (): void => {
      this.#subscribes.delete(call)
      this.core.abort(topic, call, this.#now)
      this.#arm()
      reject(signal?.reason)
    }
    this.#subscribes.set(call, resolve)
    signal?.addEventListener('abort', onAbort, { once: true })
    this.#run(this.core.subscribe(topic, call, this.#now))

    try {
      return await promise === 'subscribed'
    } finally {
      signal?.removeEventListener('abort', onAbort)
    }
  }

  unsubscribe (topic: string, all: boolean): boolean {
    const { removed, effects } = this.core.unsubscribe(topic, all, this.#now)
    this.#run(effects)
    return removed
  }

  /** Resolves when all who were asked have answered, or are gone, or time is over */
  async request (topic: string, from?: Key, signal?: AbortSignal): Promise<void> {
    const call = ++this.#lastCall
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const onAbort = (): void => {
      this.#requests.delete(call)
      this.core.cancelRequest(call)
      reject(signal?.reason)
    }
    this.#requests.set(call, resolve)
    signal?.addEventListener('abort', onAbort, { once: true })
    this.#run(this.core.request(topic, call, this.#now, from))

    try {
      await promise
    } finally {
      signal?.removeEventListener('abort', onAbort)
    }
  }

  up ({ key, epoch, isRelay }: Neighbour): void {
    this.#run(this.core.up(key, { epoch, isRelay }, this.#now))
  }

  down (key: Key): void {
    this.#run(this.core.down(key, this.#now))
  }

  /** What was for these did not arrive by this neighbour */
  failed (peers: Key[], via: Key): void {
    peers.forEach(peer => { this.core.failed(peer, via) })
    this.#arm()
  }

  /** Throws a MalformedError */
  onGossip (from: Neighbour, body: Uint8Array): void {
    const gossip = wire.decodeGossip(body)
    const announcements = gossip.announcements.flatMap(({ hops, sealed }) => this.#open(from, hops, readSealed(sealed)))
    const isDone = announcements.every(({ isTrue }) => !(isTrue instanceof Promise))
    const verdicts = announcements.map(({ isTrue }) => isTrue)

    inOrder(this.#init.shared.inbound, from.key, isDone ? verdicts as boolean[] : Promise.all(verdicts as Array<Promise<boolean>>), verdicts => {
      const believed = announcements.filter((_, i) => verdicts[i]).map(({ announcement }) => announcement)

      if (believed.length < announcements.length) {
        from.link.fault('an announcement whose signature is wrong')
      }

      this.#run(this.core.receive(from.key, { ...gossip, announcements: believed }, this.#now))
      this.#init.onIntroduced(from)
    }, err => {
      this.#init.shared.counters.add('gossip that was not dealt with')
      this.#init.shared.log('gossip of %p was not dealt with - %e', from.peerId, err)
    })
  }

  stop (): void {
    this.#run(this.core.stop(this.#now))
    this.#alarm.set(Infinity)
  }

  get #now (): number {
    return this.#init.shared.clock.now()
  }

  #open (from: Neighbour, hops: number, sealed: Sealed): Array<{ announcement: Announcement, isTrue: boolean | Promise<boolean> }> {
    if (sealed.type !== SealType.ANNOUNCEMENT) {
      throw new MalformedError('gossip holds something else than an announcement')
    }

    const { origin, epoch, bytes } = sealed
    const announcement: Announcement = { origin, epoch, hops, bytes, ...wire.decodeAnnouncement(sealed.content) }
    const isTrue = this.#isTrue(from, sealed, announcement)
    return isTrue == null ? [] : [{ announcement, isTrue }]
  }

  /** Undefined: it is old, whether true or not */
  #isTrue (from: Neighbour, sealed: Sealed, { seq }: Announcement): boolean | Promise<boolean> | undefined {
    const { origin, epoch, bytes } = sealed

    if (origin === from.key && epoch !== from.epoch) {
      this.#init.shared.counters.add('announcement of another life')
      return
    }
    if (origin === from.key && !this.core.greeting.isRelay) {
      return true
    }

    const known = this.core.subscribers.known(origin, epoch, seq)

    if (known.isOld && epoch === this.core.subscribers.epochOf(origin)) {
      return
    }

    const isSame = known.announcement?.bytes != null && sameBytes(known.announcement.bytes, bytes)
    return isSame || verifySealed(sealed)
  }

  #run (effects: Effect[]): void {
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
          this.#init.shared.refused(effect.what)
          break
      }
    }

    this.#arm()
  }

  #arm (): void {
    this.#alarm.set(this.core.nextWake())
  }

  #send (to: Key, gossip: Gossip): void {
    const neighbour = this.#init.shared.neighbours.get(to)

    if (neighbour == null) {
      return
    }

    const sealed = gossip.announcements.map(announcement => this.#seal(neighbour, announcement))
    const isDone = sealed.every(bytes => bytes instanceof Uint8Array)

    inOrder(this.#init.shared.outbound, to, isDone ? sealed as Uint8Array[] : Promise.all(sealed as Array<Promise<Uint8Array>>), sealed => {
      const announcements = gossip.announcements.map(({ hops }, i) => ({ hops, sealed: sealed[i] }))
      frames({ ...gossip, announcements }).forEach(frame => { neighbour.link.sendControl(frame) })
    }, err => { this.#init.shared.log('gossip to %p was not sent - %e', neighbour.peerId, err) })
  }

  #seal ({ isRelay }: Neighbour, announcement: Announcement): Uint8Array | Promise<Uint8Array> {
    const { sealer } = this.#init.shared

    if (announcement.bytes != null) {
      return announcement.bytes
    }
    if (!isRelay) {
      return sealer.unsigned(announcement.epoch, SealType.ANNOUNCEMENT, wire.encodeAnnouncement(announcement))
    }

    let sealed = this.#sealed.get(announcement)

    if (sealed == null) {
      sealed = sealer.seal(announcement.epoch, SealType.ANNOUNCEMENT, wire.encodeAnnouncement(announcement))
      this.#sealed.set(announcement, sealed)
    }

    return sealed
  }
}

/** One frame, or more where announcements are so long that one would be too large */
function frames (gossip: wire.WireGossip): Frame[] {
  const parts: Array<wire.WireGossip['announcements']> = [[]]
  let size = 0

  for (const announcement of gossip.announcements) {
    size += announcement.sealed.byteLength

    if (size > limits.MAX_ANNOUNCEMENT_SIZE) {
      size = announcement.sealed.byteLength
      parts.push([])
    }

    parts[parts.length - 1].push(announcement)
  }

  const { ack, lost, requests, answers } = gossip
  return parts.map((announcements, i) => wire.encodeGossip({
    announcements,
    ...i === 0 ? { lost, requests } : { lost: [], requests: [] },
    ...i === parts.length - 1 ? { ack, answers } : { ack: 0, answers: [] }
  }))
}

function sameBytes (a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, i) => byte === b[i])
}
