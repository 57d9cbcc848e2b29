import { Fifo } from '../../runtime/bounded.ts'
import { encodeFrame, Kind, SLOTS } from './frames.ts'
import type { Frame } from './frames.ts'

/** Control goes before all others. These share what is left, the most urgent first */
export const Lane = { DATA: 0, BULK: 1, REPAIR: 2, CONTROL: 3 } as const
export type Lane = typeof Lane[keyof typeof Lane]

/** Bytes that DATA, BULK and REPAIR may send a round when all have some: from the design of transfers */
const WEIGHTS = [8, 4, 1]

/** A piece of a large frame; also the largest frame that travels whole (64 KiB of payload and room for a head) */
export const PIECE = 65_536
export const WHOLE = PIECE + 4096

/** Bytes of a PIECE before its piece: length, kind, slot */
const PIECE_HEAD = 5

/** Bytes that a flow may send before the next one of its lane has its turn: no frame or piece is much larger */
const QUANTUM = PIECE

/**
 * The share of a lane's capacity that each flow finds free, however much the others have filled, up to twice the
 * capacity
 */
const FLOW_SHARE = 1 / 64

/** The slot that only control uses: a large frame of control waits for no large frame of another lane */
const CONTROL_SLOT = SLOTS - 1

/** Entries that were taken back and are still in their queue, before it is looked through for them */
const MAX_HOLES = 32

export interface Entry {
  frame: Frame
  lane: Lane
  /** Frames of one flow keep their order; flows of one lane take turns. By default all are of one flow */
  flow?: string
  /**
   * It can not wait, as nobody waits for it: the library's own control frames. They are admitted until all of the lane
   * holds `ownCapacity`, then refused
   */
  isOwn?: boolean
  /** Called when the frame has found room, if it had to wait for it */
  onAdmitted? (): void
  /** Called when the last byte of the frame was handed to the stream */
  onSent? (): void
  /** Called when the frame will never be sent */
  onDropped? (): void
  /** Of the outbox: where it is. Undefined: not here */
  state?: 'waiting' | 'queued' | 'begun' | 'withdrawn'
}

/** The entries of one flow in one lane */
interface Flow {
  readonly name: string
  /** Those that have room, and their bytes */
  readonly queued: Fifo<Entry>
  bytes: number
  /** Those that came when there was no room: who sends them waits */
  readonly waiting: Fifo<Entry>
  /** How many wait that were not withdrawn */
  live: number
  /** How many were withdrawn and are still in one of the queues */
  holes: number
  /** Whether it is in `ready` or `slotless` of its lane, and whether in `crowded` */
  isReady: boolean
  isCrowded: boolean
  /** Bytes that it may still send in this turn */
  deficit: number
  /** How much of the first entry was sent in pieces, and by which slot */
  sent: number
  slot?: number
}

interface LaneState {
  flows: Map<string, Flow>
  /** The one that was pushed to last: most of the time it is the next one, too */
  last?: Flow
  /** Flows that have queued entries, in the order of their turns */
  ready: Fifo<Flow>
  /** Flows whose next frame is large, while there is no slot for it */
  slotless: Fifo<Flow>
  /** Flows that have entries without room, in the order in which they find some */
  crowded: Fifo<Flow>
  /** Bytes and number of all queued entries */
  bytes: number
  queued: number
  /** Bytes and number of all waiting ones */
  waitingBytes: number
  waiting: number
  deficit: number
}

function newLane (): LaneState {
  return {
    flows: new Map(),
    ready: new Fifo(),
    slotless: new Fifo(),
    crowded: new Fifo(),
    bytes: 0,
    queued: 0,
    waitingBytes: 0,
    waiting: 0,
    deficit: 0
  }
}

/** What a lane is that nothing was ever pushed to: most neighbours are idle. Nothing changes it */
const UNUSED = newLane()

export interface OutboxInit {
  /** Bytes that a lane holds before those who send must wait */
  capacity: number
  /** The same for CONTROL */
  controlCapacity: number
  /** Bytes that CONTROL holds before the library's own frames are refused */
  ownCapacity: number
  /** How many may wait for room in a lane, and their bytes */
  maxWaiting: number
  maxWaitingBytes: number
}

/**
 * What waits to be written to one neighbour, in lanes. CONTROL goes first, the others share the stream by weight. In a
 * lane
 * flows take turns by bytes (deficit round robin): the first frame of a flow waits for at most one turn of each other
 * one.
 * Large frames go in pieces, at most one of a flow and SLOTS in all at a time, so that frames of other flows go
 * between.
 *
 * Invariants (`check`): a flow is in `flows` while it has entries, and in exactly one of `ready` and `slotless` while
 * it has
 * queued ones; a slot belongs to one flow; a lane holds no more than twice its capacity, or one frame.
 */
export class Outbox {
  readonly #init: OutboxInit
  readonly #lanes = [UNUSED, UNUSED, UNUSED, UNUSED]
  /** Which slots are taken: one bit each */
  #slots = 0

  constructor (init: OutboxInit) {
    this.#init = init
  }

  /** Bytes that have found room and are not sent yet, without those of CONTROL */
  get bytes (): number {
    return this.#lanes[0].bytes + this.#lanes[1].bytes + this.#lanes[2].bytes
  }

  get controlBytes (): number {
    return this.#lanes[Lane.CONTROL].bytes
  }

  get waiting (): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.waiting, 0)
  }

  /** Entries that were withdrawn and are still in a queue */
  get holes (): number {
    return this.#lanes.reduce((sum, lane) => sum + [...lane.flows.values()].reduce((sum, { holes }) => sum + holes, 0), 0)
  }

  get isEmpty (): boolean {
    const [data, bulk, repair, control] = this.#lanes
    return data.queued + bulk.queued + repair.queued + control.queued === 0
  }

  /**
   * 'admitted': it has room. 'waiting': it will have, `onAdmitted` tells when. 'refused': even the places to wait are
   * taken.
   */
  push (entry: Entry): 'admitted' | 'waiting' | 'refused' {
    const lane = this.#lane(entry.lane)
    const { frame: { bytes }, isOwn = false, flow: name = '' } = entry
    const known = lane.last?.name === name ? lane.last : lane.flows.get(name)

    if (isOwn ? lane.bytes + bytes <= this.#init.ownCapacity : this.#hasRoom(lane, known, entry)) {
      this.#queue(lane, known ?? newFlow(lane, name), entry)
      return 'admitted'
    }
    if (isOwn || lane.waiting >= this.#init.maxWaiting || lane.waitingBytes + bytes > this.#init.maxWaitingBytes) {
      return 'refused'
    }

    this.#wait(lane, known ?? newFlow(lane, name), entry)
    return 'waiting'
  }

  /** Takes back an entry of which nothing has been sent. What it was to call it calls no more */
  withdraw (entry: Entry): boolean {
    const { state, frame: { bytes } } = entry

    if (state !== 'waiting' && state !== 'queued') {
      return false
    }

    const lane = this.#lanes[entry.lane]
    const flow = lane.flows.get(entry.flow ?? '') as Flow
    entry.state = 'withdrawn'

    if (state === 'waiting') {
      flow.live--
      lane.waiting--
      lane.waitingBytes -= bytes
    } else {
      flow.bytes -= bytes
      lane.queued--
      lane.bytes -= bytes
    }
    if (++flow.holes > MAX_HOLES && flow.holes * 2 > flow.queued.length + flow.waiting.length) {
      flow.queued.remove(isHole)
      flow.waiting.remove(isHole)
      flow.holes = 0
    }

    this.#wakeSlotless()
    this.#admitMore(lane)
    return true
  }

  /**
   * The next at most `limit` bytes, at most `dataLimit` of them not of CONTROL: whole frames, in as many parts as they
   * have.
   * Undefined when nothing fits.
   */
  take (limit: number, dataLimit = limit): Uint8Array[] | undefined {
    const parts: Uint8Array[] = []
    let left = limit
    let dataLeft = dataLimit

    for (let lane = this.#nextLane(); lane != null; lane = this.#nextLane()) {
      const flow = this.#nextFlow(lane)

      if (flow == null) {
        // what it had was withdrawn, or is large and has no slot: it is not ready any more
        continue
      }

      const size = nextSize(flow)

      if (size > left || (size > dataLeft && lane !== this.#lanes[Lane.CONTROL])) {
        break
      }

      left -= size
      dataLeft -= size
      lane.deficit -= size
      flow.deficit -= size
      this.#takeFrom(lane, flow, parts)
    }

    return parts.length > 0 ? parts : undefined
  }

  /** Drops everything: this neighbour is gone, or begins anew */
  clear (): void {
    const entries = this.#lanes.flatMap(({ flows }) => [...flows.values()].flatMap(({ queued, waiting }) => [...queued, ...waiting]))
    this.#lanes.fill(UNUSED)
    this.#slots = 0

    for (const entry of entries) {
      if (!isHole(entry)) {
        entry.state = undefined
        entry.onDropped?.()
      }
    }
  }

  /** Throws if an invariant does not hold: for tests */
  check (): void {
    for (const lane of this.#lanes) {
      const flows = [...lane.flows.values()]
      const queued = flows.flatMap(flow => [...flow.queued]).filter(entry => !isHole(entry))
      const waiting = flows.flatMap(flow => [...flow.waiting]).filter(entry => !isHole(entry))
      const sent = flows.reduce((sum, flow) => sum + flow.sent, 0)
      const turns = [...lane.ready, ...lane.slotless]
      const isSound = queued.length === lane.queued && waiting.length === lane.waiting &&
        bytesOf(queued) - sent === lane.bytes && bytesOf(waiting) === lane.waitingBytes &&
        flows.every(flow => turns.filter(other => other === flow).length === Number(flow.isReady) &&
          (flow.isReady || flow.queued.length === 0) && (flow.isCrowded || flow.live === 0) && (flow.isReady || flow.isCrowded))

      if (!isSound) {
        throw new Error(`a lane is not sound: ${JSON.stringify({ ...lane, flows })}`)
      }
    }

    const slots = this.#lanes.flatMap(lane => [...lane.flows.values()].flatMap(({ slot }) => slot == null ? [] : [slot]))

    if (new Set(slots).size !== slots.length || slots.reduce((sum, slot) => sum | 1 << slot, 0) !== this.#slots) {
      throw new Error(`slots are not sound: ${slots.join()}, ${this.#slots}`)
    }
  }

  #lane (lane: Lane): LaneState {
    if (this.#lanes[lane] === UNUSED) {
      this.#lanes[lane] = newLane()
    }
    return this.#lanes[lane]
  }

  #hasRoom (lane: LaneState, flow: Flow | undefined, { lane: of, frame }: Entry): boolean {
    const capacity = of === Lane.CONTROL ? this.#init.controlCapacity : this.#init.capacity
    const bytes = lane.bytes + frame.bytes

    // none overtakes others of its own flow, nor, but for its flow's share, those of other flows
    if (flow != null && flow.live > 0) {
      return false
    }
    if (lane.waiting === 0 && (lane.bytes === 0 || bytes <= capacity)) {
      return true
    }

    return bytes <= capacity * 2 && (flow?.bytes ?? 0) + frame.bytes <= capacity * FLOW_SHARE
  }

  #queue (lane: LaneState, flow: Flow, entry: Entry): void {
    entry.state = 'queued'
    flow.queued.push(entry)
    flow.bytes += entry.frame.bytes
    lane.bytes += entry.frame.bytes
    lane.queued++
    lane.last = flow

    if (!flow.isReady) {
      flow.isReady = true
      flow.deficit = QUANTUM
      lane.ready.push(flow)
    }
  }

  #wait (lane: LaneState, flow: Flow, entry: Entry): void {
    entry.state = 'waiting'
    flow.waiting.push(entry)
    flow.live++
    lane.waiting++
    lane.waitingBytes += entry.frame.bytes

    if (!flow.isCrowded) {
      flow.isCrowded = true
      lane.crowded.push(flow)
    }
  }

  /** Flows find room in turns */
  #admitMore (lane: LaneState): void {
    const capacity = lane === this.#lanes[Lane.CONTROL] ? this.#init.controlCapacity : this.#init.capacity

    for (let flow = lane.crowded.peek(); flow != null; flow = lane.crowded.peek()) {
      const entry = firstOf(flow, flow.waiting)

      if (entry != null && lane.bytes > 0 && lane.bytes + entry.frame.bytes > capacity) {
        return
      }

      lane.crowded.shift()
      flow.isCrowded = false

      if (entry == null) {
        forget(lane, flow)
        continue
      }

      flow.waiting.shift()
      flow.live--
      lane.waiting--
      lane.waitingBytes -= entry.frame.bytes

      if (flow.waiting.length > 0) {
        flow.isCrowded = true
        lane.crowded.push(flow)
      }

      this.#queue(lane, flow, entry)
      entry.onAdmitted?.()
    }
  }

  /** Deficit round robin by bytes: a lane that has had its share of the round waits for the next one */
  #nextLane (): LaneState | undefined {
    const [data, bulk, repair, control] = this.#lanes

    if (control.ready.length > 0) {
      return control
    }
    // the common case, and the hot path. A lane that is alone has no share of anything: it owes nothing to those that
    // come later
    if (bulk.ready.length === 0 && repair.ready.length === 0) {
      data.deficit = 0
      return data.ready.length > 0 ? data : undefined
    }

    const lanes = [data, bulk, repair]

    for (;;) {
      let busy = 0

      for (const lane of lanes) {
        if (lane.ready.length > 0 && lane.deficit > 0) {
          return lane
        }
        busy += lane.ready.length > 0 ? 1 : 0
      }

      // a lane that has nothing to send saves nothing up, and one that is alone has a share of its own each time
      lanes.forEach((lane, i) => {
        lane.deficit = lane.ready.length === 0 ? 0 : (busy > 1 ? lane.deficit : 0) + WEIGHTS[i] * PIECE / 4
      })
    }
  }

  /** The flow whose turn it is. Undefined, and none is ready any more, if none can send */
  #nextFlow (lane: LaneState): Flow | undefined {
    for (let flow = lane.ready.peek(); flow != null; flow = lane.ready.peek()) {
      const entry = firstOf(flow, flow.queued)

      if (entry == null) {
        lane.ready.shift()
        flow.isReady = false
        forget(lane, flow)
      } else if (entry.frame.bytes > WHOLE && flow.slot == null && this.#freeSlot(lane) == null) {
        lane.ready.shift()
        lane.slotless.push(flow)
      } else if (lane.ready.length === 1) {
        // a flow that is alone owes nothing to those that come later
        flow.deficit = QUANTUM
        return flow
      } else if (flow.deficit > 0) {
        return flow
      } else {
        flow.deficit += QUANTUM
        lane.ready.shift()
        lane.ready.push(flow)
      }
    }
  }

  #takeFrom (lane: LaneState, flow: Flow, parts: Uint8Array[]): void {
    const entry = flow.queued.peek() as Entry
    const { frame } = entry
    let size = frame.bytes

    if (frame.bytes <= WHOLE) {
      pushParts(parts, frame)
    } else {
      size = Math.min(PIECE, frame.bytes - flow.sent)
      flow.slot ??= this.#takeSlot(lane)
      pushParts(parts, pieceOf(frame, flow.slot, flow.sent, size))
      flow.sent += size
      entry.state = 'begun'
    }

    lane.bytes -= size
    flow.bytes -= size

    if (flow.slot != null) {
      if (flow.sent < frame.bytes) {
        return
      }
      this.#slots &= ~(1 << flow.slot)
      flow.slot = undefined
      flow.sent = 0
      this.#wakeSlotless()
    }

    flow.queued.shift()
    lane.queued--
    entry.state = undefined

    if (flow.queued.length === 0) {
      lane.ready.shift()
      flow.isReady = false
      forget(lane, flow)
    }

    entry.onSent?.()

    if (lane.waiting > 0) {
      this.#admitMore(lane)
    }
  }

  #freeSlot (lane: LaneState): number | undefined {
    if (lane === this.#lanes[Lane.CONTROL]) {
      return (this.#slots & 1 << CONTROL_SLOT) === 0 ? CONTROL_SLOT : undefined
    }

    for (let slot = 0; slot < CONTROL_SLOT; slot++) {
      if ((this.#slots & 1 << slot) === 0) {
        return slot
      }
    }
  }

  #takeSlot (lane: LaneState): number {
    const slot = this.#freeSlot(lane) as number
    this.#slots |= 1 << slot
    return slot
  }

  /** Each looks again whether there is a slot, and waits once more if not */
  #wakeSlotless (): void {
    for (const { slotless, ready } of this.#lanes) {
      for (let flow = slotless.shift(); flow != null; flow = slotless.shift()) {
        ready.push(flow)
      }
    }
  }
}

function newFlow (lane: LaneState, name: string): Flow {
  const flow: Flow = {
    name,
    queued: new Fifo(),
    bytes: 0,
    waiting: new Fifo(),
    live: 0,
    holes: 0,
    isReady: false,
    isCrowded: false,
    deficit: 0,
    sent: 0,
    slot: undefined
  }
  lane.flows.set(name, flow)
  return flow
}

/** A flow without entries is none */
function forget (lane: LaneState, flow: Flow): void {
  if (!flow.isReady && !flow.isCrowded) {
    lane.flows.delete(flow.name)
    lane.last = lane.last === flow ? undefined : lane.last
  }
}

/** The first entry of a queue that was not withdrawn: those before it are let go */
function firstOf (flow: Flow, queue: Fifo<Entry>): Entry | undefined {
  let entry = queue.peek()

  while (entry?.state === 'withdrawn') {
    queue.shift()
    flow.holes--
    entry = queue.peek()
  }

  return entry
}

function isHole ({ state }: Entry): boolean {
  return state === 'withdrawn'
}

function bytesOf (entries: Entry[]): number {
  return entries.reduce((sum, { frame }) => sum + frame.bytes, 0)
}

/** Bytes on the wire of the next frame or piece */
function nextSize (flow: Flow): number {
  const { frame } = flow.queued.peek() as Entry
  return frame.bytes <= WHOLE ? frame.bytes : Math.min(PIECE, frame.bytes - flow.sent) + PIECE_HEAD
}

function pushParts (parts: Uint8Array[], { head, body }: Frame): void {
  parts.push(head)
  if (body != null) {
    parts.push(body)
  }
}

/** `size` bytes of a large frame from `offset` on, as a frame of its own */
function pieceOf ({ head, body }: Frame, slot: number, offset: number, size: number): Frame {
  const writeSlot = (target: Uint8Array, at: number): void => { target[at] = slot }

  if (offset >= head.byteLength && body != null) {
    offset -= head.byteLength
    return encodeFrame(Kind.PIECE, 1, writeSlot, body.subarray(offset, offset + size))
  }

  // the piece in which the head ends and the body begins: the one that is copied
  const piece = new Uint8Array(size)
  const fromHead = head.subarray(offset, offset + size)
  piece.set(fromHead)
  piece.set(body?.subarray(0, size - fromHead.byteLength) ?? [], fromHead.byteLength)
  return encodeFrame(Kind.PIECE, 1, writeSlot, piece)
}
