import { Lane } from '../link/index.ts'
import { Alarm } from '../runtime/alarm.ts'
import { chunks } from '../runtime/chunks.ts'
import { FairQueue } from '../runtime/fair-queue.ts'
import * as limits from './constants.ts'
import * as wire from './wire.ts'
import type { Context, Peer } from './context.ts'
import type { Flow } from './core/flows.ts'
import type { FailureReason } from './core/pending-acks.ts'
import type { Key } from './core/types.ts'
import type { Handover } from './handover.ts'
import type { Entry } from '../link/index.ts'
import type { Queued } from '../runtime/fair-queue.ts'

/**
 * What becomes of a copy: it is written to a neighbour, for which somebody waits; it has left by one; or it will not
 */
export type Fate = { writtenTo: Key } | { via: Key } | { reason: FailureReason, via?: Key }

/** An envelope on its way to some destinations */
export interface Passing {
  envelope: Uint8Array
  lane: Lane
  trace: number[]
  flow: string
  isOwn: boolean
  /** Neighbours that it may not go by */
  mayNot? (via: Key): boolean
  /** Whether somebody here waits for acks of it */
  isAwaited?: boolean
  /** Of what is ours: whether it has found room */
  handover?: Handover
  /** Called for each destination: once when it has left, or will not */
  onFate (destination: Key, fate: Fate): void
}

/** One that waits until its destination takes more */
interface Waiting extends Queued {
  passing: Passing
}

/** Those that wait for one destination in one lane */
interface Line {
  to: Key
  queue: FairQueue<Waiting>
  /** When the destination last took something */
  since: number
  /** Neighbours by which it took nothing for a while: where there is another way, that one is taken */
  avoid: Set<Key>
}

/**
 * How envelopes leave towards destinations behind neighbours: as parcels, and no more of them than each destination
 * takes. The rest waits here.
 */
export class Parcels {
  readonly #context: Context
  /** What waits for destinations that take no more at present, by lane and destination */
  readonly #lines = new Map<string, Line>()
  /** Bytes of ours that wait there. What others brought is bounded by what they may bring */
  #ownWaiting = 0
  /** Neighbours that were not told of all that has left */
  readonly #untold = new Set<Peer>()
  readonly #alarm: Alarm
  #isOver = false

  constructor (context: Context) {
    this.#context = context
    this.#alarm = new Alarm(context.clock, () => { this.#tick() })
  }

  get sizes (): Record<string, number> {
    const { budget, peers } = this.#context
    let flows = 0
    peers.forEach(peer => { flows += peer.flows.size })
    return { flows, flowBytes: budget.held, lines: this.#lines.size }
  }

  /** Hands an envelope to the neighbours that lead on, but for destinations that take no more at present */
  pass (ways: Map<Key, Key[]>, passing: Passing): void {
    for (const [via, all] of ways) {
      const open: Key[] = []

      for (const to of all) {
        if (this.#mayGo(to, via, passing)) {
          open.push(to)
        } else {
          this.#wait(to, passing)
        }
      }
      for (const destinations of chunks(open, limits.MAX_DESTINATIONS)) {
        this.#put(via, destinations, passing)
      }
    }
  }

  /** Something that `from` brought has left, or will not */
  letGo (from: Peer, flow: Flow): void {
    if (from.flows.letGo(flow)) {
      this.#tell(from)
    } else if (!this.#isOver) {
      this.#untold.add(from)
      this.#alarm.setIfUnset(this.#context.clock.now() + limits.FLOW_TICK)
    }
  }

  /** A neighbour says what has left it */
  onFlow (from: Peer, flows: Flow[]): void {
    for (const flow of flows) {
      const line = this.#lines.get(nameOf(flow))

      if (from.flows.told(flow) && line != null) {
        line.since = this.#context.clock.now()
        line.avoid.delete(from.key)
        this.#advance(line)
      }
    }
  }

  /** A neighbour is gone: what waited for it goes another way */
  down (peer: Peer): void {
    this.#untold.delete(peer)
    this.#lines.forEach(line => { this.#advance(line) })
  }

  stop (): void {
    this.#isOver = true

    for (const { to, queue } of this.#lines.values()) {
      for (const { passing } of queue) {
        passing.onFate(to, { reason: 'stopped' })
      }
    }

    this.#lines.clear()
    this.#untold.clear()
    this.#alarm.set(Infinity)
  }

  /** Whether it goes now: not before what waits already. What goes to a neighbour itself is bounded by its credit */
  #mayGo (to: Key, via: Key, { lane, envelope }: Passing): boolean {
    const peer = this.#context.peers.get(via)
    const flow = { to, lane, bytes: envelope.byteLength }
    return peer == null || (!this.#lines.has(nameOf(flow)) && (to === via || peer.flows.bring(flow)))
  }

  /** Makes it wait until its destination takes more */
  #wait (to: Key, passing: Passing): void {
    const { lane, flow, envelope: { byteLength: bytes }, isOwn, handover, onFate } = passing
    const name = nameOf({ to, lane })
    const line = this.#lines.get(name) ?? {
      to, queue: new FairQueue(), since: this.#context.clock.now(), avoid: new Set()
    }

    if (isOwn && this.#ownWaiting + bytes > limits.MAX_OWN_WAITING) {
      onFate(to, { reason: 'congested' })
      return
    }

    const item: Waiting = { bytes, passing }
    this.#ownWaiting += isOwn ? bytes : 0
    line.queue.push(item, flow)
    this.#lines.set(name, line)
    this.#alarm.setIfUnset(this.#context.clock.now() + limits.FLOW_TICK)
    handover?.waits(to, () => {
      this.#leave(line, item)
      onFate(to, { reason: 'congested' })
    })
  }

  #leave ({ to, queue }: Line, item: Waiting): void {
    const { bytes, passing: { isOwn, lane } } = item
    queue.remove(item)
    this.#ownWaiting -= isOwn ? bytes : 0

    if (queue.length === 0) {
      this.#lines.delete(nameOf({ to, lane }))
    }
  }

  /** What waits for a destination goes the way that leads there now, as long as that takes more */
  #advance (line: Line): void {
    const { clock, core, counters, peers } = this.#context
    const { to, queue, avoid } = line

    for (let item = queue.next(); item != null; item = queue.next()) {
      const { bytes, passing: { lane, mayNot }, passing } = item
      const via = core.routing.next(to, via => avoid.has(via) || mayNot?.(via) === true) ??
        core.routing.next(to, mayNot)

      if (via != null && via !== to && peers.get(via)?.flows.bring({ to, lane, bytes }) === false) {
        if (line.since <= clock.now() - limits.FLOW_TICK) {
          avoid.add(via)
        }
        return
      }

      this.#leave(line, item)

      if (via == null) {
        counters.add('parcel to nowhere')
        passing.onFate(to, { reason: 'unreachable' })
      } else {
        this.#put(via, [to], passing)
      }
    }
  }

  /** What left is told, ways may have changed, and who took nothing for long gets nothing */
  #tick (): void {
    const now = this.#context.clock.now()

    for (const peer of this.#untold) {
      this.#tell(peer)
    }
    for (const line of [...this.#lines.values()]) {
      this.#advance(line)

      if (line.since <= now - limits.FLOW_TIMEOUT) {
        for (const item of line.queue) {
          this.#leave(line, item)
          item.passing.onFate(line.to, { reason: 'congested' })
        }
      }
    }

    this.#alarm.set(this.#lines.size + this.#untold.size > 0 ? now + limits.FLOW_TICK : Infinity)
  }

  #tell (peer: Peer): void {
    this.#untold.delete(peer)

    for (let flows = peer.flows.tell(); flows.length > 0; flows = peer.flows.tell()) {
      // a neighbour that lives anew counts anew
      if (this.#context.peers.get(peer.key) === peer) {
        peer.neighbour.send({ frame: wire.encodeFlows(flows), lane: Lane.CONTROL, isOwn: true })
      }
    }
  }

  #put (via: Key, destinations: Key[], passing: Passing): void {
    const { envelope, lane, trace, flow, handover, isAwaited, onFate } = passing
    const peer = this.#context.peers.get(via)
    const frame = wire.encodeParcel({ trace, lane, destinations, envelope })
    const end = (fate: Fate): void => { destinations.forEach(to => { onFate(to, fate) }) }
    // it did not leave: so it is not on its way
    const fail = (reason: FailureReason): void => {
      destinations.forEach(to => { peer?.flows.told({ to, lane, bytes: envelope.byteLength }) })
      end({ reason, via })
    }
    // not at once: what goes another way must not go into an outbox that is just being cleared
    const lose = (): void => { this.#context.clock.soon(() => { end({ reason: 'unreachable', via }) }) }

    if (peer == null || frame.bytes > peer.neighbour.maxFrame) {
      fail(peer == null ? 'unreachable' : 'too-large')
      return
    }

    const { neighbour } = peer
    const admit = (): void => { destinations.forEach(to => { handover?.admitted(to) }) }
    const entry: Entry = {
      frame,
      lane,
      flow,
      onAdmitted: admit,
      onSent: () => {
        if (isAwaited === true) {
          // a slow link takes long to bring what was written: that is not yet the time to send it again
          end({ writtenTo: via })
          neighbour.whenTaken(() => { end({ via }) }, lose)
        } else {
          end({ via })
        }
      },
      onDropped: lose
    }

    switch (neighbour.send(entry)) {
      case 'admitted':
        admit()
        break
      case 'waiting':
        handover?.waits(destinations[0], () => { neighbour.withdraw(entry) && fail('congested') })
        break
      case 'refused':
        this.#context.counters.add('parcel that found no place to wait')
        fail('congested')
    }
  }
}

function nameOf ({ to, lane }: Pick<Flow, 'to' | 'lane'>): string {
  return `${lane}${to}`
}
