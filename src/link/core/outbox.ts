import { FairQueue } from '../../runtime/fair-queue.ts'
import { encodeFrame, Kind, SLOTS } from './frames.ts'
import type { Frame } from './frames.ts'
import type { Queued } from '../../runtime/fair-queue.ts'

/** Control goes before all others. These share what is left, the most urgent first */
export const Lane = { DATA: 0, BULK: 1, REPAIR: 2, CONTROL: 3 } as const
export type Lane = typeof Lane[keyof typeof Lane]

/** A piece of a large frame; also the largest frame that travels whole (64 KiB of payload and room for a head) */
export const PIECE = 65_536
export const WHOLE = PIECE + 4096

/** Bytes of a PIECE before its piece: length, kind, slot */
const PIECE_HEAD = 5

/** Bytes that DATA, BULK and REPAIR may send a round when all have some: 8 : 4 : 1, from the design of transfers */
const SHARES = [8, 4, 1].map(weight => weight * PIECE / 4)

/**
 * The part of a lane's capacity that each flow finds free, however much others have filled, up to twice the capacity
 */
const FLOW_SHARE = 1 / 64

/** The slot that only control uses: a large frame of control waits for no large frame of another lane */
const CONTROL_SLOT = SLOTS - 1

export interface Entry {
  frame: Frame
  lane: Lane
  /** Frames of one flow keep their order; flows of one lane take turns. By default all are of one flow */
  flow?: string
  /**
   * The library's own control frames cannot wait, as nobody waits for them. They are admitted until all of the lane
   * holds `ownCapacity`, then refused
   */
  isOwn?: boolean
  /** Called when the frame has found room, if it had to wait for it */
  onAdmitted? (): void
  /** Called when the last byte of the frame was handed to the stream */
  onSent? (): void
  /** Called when the frame will never be sent */
  onDropped? (): void
  /** Of the outbox */
  item?: Item
}

/** An entry in an outbox, with how much of it was sent in pieces, and by which slot */
interface Item extends Queued {
  readonly entry: Entry
  sent: number
  slot?: number
}

interface LaneState {
  /** Entries that have room */
  queued: FairQueue<Item>
  /** Entries that came when there was none: who sends them waits */
  waiting: FairQueue<Item>
  /** Bytes that it may still send in this round */
  deficit: number
}

function newLane (): LaneState {
  return { queued: new FairQueue(), waiting: new FairQueue(), deficit: 0 }
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
 * lane flows take turns. Large frames go in pieces, at most one of a flow and SLOTS in all at a time, so that frames of
 * other flows go between.
 *
 * Invariants (`check`): a slot belongs to one entry; a lane holds no more than twice its capacity, or one frame.
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
    const [data, bulk, repair] = this.#lanes
    return data.queued.bytes + bulk.queued.bytes + repair.queued.bytes
  }

  get controlBytes (): number {
    return this.#lanes[Lane.CONTROL].queued.bytes
  }

  /** The same, lane by lane */
  get laneBytes (): { data: number, bulk: number, repair: number, control: number } {
    const [data, bulk, repair, control] = this.#lanes.map(({ queued }) => queued.bytes)
    return { data, bulk, repair, control }
  }

  get waiting (): number {
    return this.#lanes.reduce((sum, { waiting }) => sum + waiting.length, 0)
  }

  get isEmpty (): boolean {
    const [data, bulk, repair, control] = this.#lanes
    return data.queued.length + bulk.queued.length + repair.queued.length + control.queued.length === 0
  }

  /** 'admitted': it has room. 'waiting': `onAdmitted` tells when it has. 'refused': even places to wait are taken */
  push (entry: Entry): 'admitted' | 'waiting' | 'refused' {
    const lane = this.#lane(entry.lane)
    const { frame: { bytes }, isOwn = false, flow = '' } = entry
    const item: Item = { before: undefined, after: undefined, place: undefined, bytes, entry, sent: 0, slot: undefined }

    if (isOwn ? lane.queued.bytes + bytes <= this.#init.ownCapacity : this.#hasRoom(lane, flow, entry)) {
      lane.queued.push(item, flow)
      entry.item = item
      return 'admitted'
    }

    const { waiting } = lane

    if (isOwn || waiting.length >= this.#init.maxWaiting || waiting.bytes + bytes > this.#init.maxWaitingBytes) {
      return 'refused'
    }

    waiting.push(item, flow)
    entry.item = item
    return 'waiting'
  }

  /** Takes back an entry of which nothing has been sent. What it was to call it calls no more */
  withdraw (entry: Entry): boolean {
    const { item } = entry
    const lane = this.#lanes[entry.lane]

    if (item == null || item.slot != null) {
      return false
    }

    entry.item = undefined;
    (lane.waiting.has(item) ? lane.waiting : lane.queued).remove(item)
    this.#unpark()
    this.#admitMore(lane)
    return true
  }

  /**
   * The next at most `limit` bytes, at most `dataLimit` of them not of CONTROL: whole frames, in as many parts as they
   * have. Undefined when nothing fits.
   */
  take (limit: number, dataLimit = limit): Uint8Array[] | undefined {
    const parts: Uint8Array[] = []
    let left = limit
    let dataLeft = dataLimit

    for (let lane = this.#nextLane(); lane != null; lane = this.#nextLane()) {
      const item = lane.queued.next() as Item

      const isLarge = item.bytes > WHOLE
      const slot = isLarge ? item.slot ?? this.#freeSlot(item.entry.lane) : undefined

      if (isLarge && slot == null) {
        lane.queued.park(item)
        continue
      }

      const size = isLarge ? Math.min(PIECE, item.bytes - item.sent) : item.bytes
      const onWire = isLarge ? size + PIECE_HEAD : size

      if (onWire > left || (onWire > dataLeft && lane !== this.#lanes[Lane.CONTROL])) {
        break
      }

      left -= onWire
      dataLeft -= onWire
      lane.deficit -= onWire
      item.slot = slot
      this.#takeFrom(lane, item, size, parts)
    }

    return parts.length > 0 ? parts : undefined
  }

  /** Drops everything: this neighbour is gone, or begins anew */
  clear (): void {
    const items = this.#lanes.flatMap(({ queued, waiting }) => [...queued, ...waiting])
    this.#lanes.fill(UNUSED)
    this.#slots = 0

    for (const { entry } of items) {
      entry.item = undefined
      entry.onDropped?.()
    }
  }

  /** Throws if an invariant does not hold: for tests */
  check (): void {
    const items = this.#lanes.flatMap(({ queued, waiting }) => [...queued, ...waiting])
    const slots = items.flatMap(({ slot }) => slot == null ? [] : [slot])

    for (const lane of this.#lanes) {
      lane.queued.check()
      lane.waiting.check()
    }
    if (items.some(item => item.entry.item !== item)) {
      throw new Error('an entry does not know its item')
    }
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

  #capacityOf (lane: LaneState): number {
    return lane === this.#lanes[Lane.CONTROL] ? this.#init.controlCapacity : this.#init.capacity
  }

  #hasRoom (lane: LaneState, flow: string, { frame }: Entry): boolean {
    const { queued, waiting } = lane
    const capacity = this.#capacityOf(lane)
    const bytes = queued.bytes + frame.bytes

    if (waiting.length === 0 && (queued.bytes === 0 || bytes <= capacity)) {
      return true
    }

    // none overtakes others of its own flow, nor, but for its flow's share, those of other flows
    return bytes <= capacity * 2 && waiting.bytesOf(flow) === 0 &&
      queued.bytesOf(flow) + frame.bytes <= capacity * FLOW_SHARE
  }

  #admitMore (lane: LaneState): void {
    const { queued, waiting } = lane
    const capacity = this.#capacityOf(lane)
    let item = waiting.next()

    while (item != null && (queued.bytes === 0 || queued.bytes + item.bytes <= capacity)) {
      const { entry } = item
      waiting.remove(item)
      queued.push(item, entry.flow ?? '')
      entry.onAdmitted?.()
      item = waiting.next()
    }
  }

  /** Deficit round robin by bytes: a lane that has had its share of the round waits for the next one */
  #nextLane (): LaneState | undefined {
    const [data, bulk, repair, control] = this.#lanes

    if (!control.queued.isIdle) {
      return control
    }
    // the common case, and the hot path. A lane that is alone has no share of anything: it owes nothing to those that
    // come later
    if (bulk.queued.isIdle && repair.queued.isIdle) {
      data.deficit = 0
      return data.queued.isIdle ? undefined : data
    }

    const busy = [data, bulk, repair].filter(({ queued }) => !queued.isIdle)

    for (;;) {
      const lane = busy.find(({ deficit }) => deficit > 0)

      if (lane != null) {
        return lane
      }

      // a lane that has nothing to send saves nothing up, and one that is alone has a share of its own each time
      for (const [i, lane] of [data, bulk, repair].entries()) {
        lane.deficit = busy.includes(lane) ? (busy.length > 1 ? lane.deficit : 0) + SHARES[i] : 0
      }
    }
  }

  #takeFrom (lane: LaneState, item: Item, size: number, parts: Uint8Array[]): void {
    const { entry, slot } = item
    pushParts(parts, slot == null ? entry.frame : pieceOf(entry.frame, slot, item.sent, size))

    if (item.sent + size < item.bytes) {
      item.sent += size
      this.#slots |= 1 << (slot as number)
      lane.queued.use(item, size)
      return
    }

    lane.queued.remove(item, size)
    entry.item = undefined

    if (slot != null) {
      this.#slots &= ~(1 << slot)
      this.#unpark()
    }

    entry.onSent?.()

    if (lane.waiting.length > 0) {
      this.#admitMore(lane)
    }
  }

  #freeSlot (lane: Lane): number | undefined {
    const [first, last] = lane === Lane.CONTROL ? [CONTROL_SLOT, CONTROL_SLOT] : [0, CONTROL_SLOT - 1]

    for (let slot = first; slot <= last; slot++) {
      if ((this.#slots & 1 << slot) === 0) {
        return slot
      }
    }
  }

  /** Each looks again whether there is a slot, and is parked once more if not */
  #unpark (): void {
    this.#lanes.forEach(({ queued }) => { queued.unpark() })
  }
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
