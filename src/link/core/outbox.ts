import { Fifo } from '../../runtime/bounded.ts'
import { encodeFrame, Kind } from './frames.ts'
import type { Frame } from './frames.ts'

/** Lanes of the data stream, the most urgent first. Control has a stream of its own */
export const Lane = { DATA: 0, BULK: 1, REPAIR: 2 } as const
export type Lane = typeof Lane[keyof typeof Lane]

/** Bytes that each lane may send a round when all have some: from the design of transfers */
const WEIGHTS = [8, 4, 1]

/** A piece of a large frame; also the largest frame that travels whole (64 KiB of payload and room for a head) */
export const PIECE = 65_536
export const WHOLE = PIECE + 4096

export interface Entry {
  frame: Frame
  lane: Lane
  /** Frames of one flow keep their order, also when one of them is so large that it goes by the bulk lane */
  flow?: string
  /** Of the outbox: in the bulk lane by its flow, it goes when so many have left the data lane */
  behind?: number
  /** Called when the frame has found room, if it had to wait for it */
  onAdmitted? (): void
  /** Called when the last byte of the frame was handed to the stream */
  onSent? (): void
  /** Called when the frame will never be sent */
  onDropped? (): void
}

interface LaneState {
  entries: Fifo<Entry>
  /** Bytes of `entries` */
  bytes: number
  /** Those that came when there was no room: their publishers wait */
  waiting: Fifo<Entry>
  deficit: number
  /** How much of the first entry was sent in pieces already */
  sent: number
  /** How many entries have left this lane */
  left: number
}

function newLanes (): LaneState[] {
  return WEIGHTS.map(() => ({ entries: new Fifo(), bytes: 0, waiting: new Fifo(), deficit: 0, sent: 0, left: 0 }))
}

/** What all outboxes have that nothing was ever pushed to: most neighbours are idle. Nothing changes it */
const UNUSED = newLanes()

export interface OutboxInit {
  /** Bytes that a lane holds before those who send must wait */
  capacity: number
  /** How many may wait for room in a lane */
  maxWaiting: number
}

/**
 * What waits to be written to one neighbour: lanes that share the stream by weight, first in first out within each.
 */
export class Outbox {
  #lanes = UNUSED
  readonly #init: OutboxInit
  /** Flows that have frames in the bulk lane which did not ask to be there */
  #diverted?: Map<string, number>

  constructor (init: OutboxInit) {
    this.#init = init
  }

  /** Bytes that have found room and are not sent yet */
  get bytes (): number {
    return this.#lanes[0].bytes + this.#lanes[1].bytes + this.#lanes[2].bytes
  }

  get waiting (): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.waiting.length, 0)
  }

  get isEmpty (): boolean {
    return this.#lanes.every(lane => lane.entries.length === 0)
  }

  /**
   * 'admitted': it has room. 'waiting': it will have, `onAdmitted` tells when. 'refused': even the places to wait are taken.
   */
  push (entry: Entry): 'admitted' | 'waiting' | 'refused' {
    if (this.#lanes === UNUSED) {
      this.#lanes = newLanes()
    }
    if (entry.lane === Lane.DATA && entry.flow != null && (entry.frame.bytes > WHOLE || this.#diverted?.has(entry.flow) === true)) {
      const { left, entries, waiting } = this.#lanes[Lane.DATA]
      entry.lane = Lane.BULK
      entry.behind = left + entries.length + waiting.length
      this.#diverted ??= new Map()
      this.#diverted.set(entry.flow, (this.#diverted.get(entry.flow) ?? 0) + 1)
    } else {
      entry.flow = undefined
    }

    const lane = this.#lanes[entry.lane]

    if (lane.waiting.length === 0 && this.#hasRoom(lane, entry)) {
      this.#admit(lane, entry)
      return 'admitted'
    }
    if (lane.waiting.length >= this.#init.maxWaiting) {
      this.#leave(entry)
      return 'refused'
    }

    lane.waiting.push(entry)
    return 'waiting'
  }

  /** Takes back an entry that waits for room */
  withdraw (entry: Entry): boolean {
    const withdrawn = this.#lanes[entry.lane].waiting.remove(item => item === entry).length > 0

    if (withdrawn) {
      this.#leave(entry)
    }

    return withdrawn
  }

  /** The next at most `limit` bytes to write, in as many parts as they have; undefined when nothing fits */
  take (limit: number): Uint8Array[] | undefined {
    const parts: Uint8Array[] = []
    let left = limit

    for (let lane = this.#nextLane(); lane != null; lane = this.#nextLane()) {
      const entry = lane.entries.peek() as Entry
      const size = this.#nextSize(lane, entry)

      if (size > left) {
        break
      }

      this.#takeFrom(lane, entry, parts)
      lane.deficit -= size
      left -= size
    }

    return parts.length > 0 ? parts : undefined
  }

  /** Drops everything: this neighbour is gone */
  clear (): void {
    const dropped = this.#lanes.flatMap(lane => {
      lane.bytes = 0
      lane.sent = 0
      return [...lane.entries.clear(), ...lane.waiting.clear()]
    })
    this.#diverted = undefined
    dropped.forEach(entry => entry.onDropped?.())
  }

  /** What was sent of a frame in pieces went with the stream that carried it: it is sent again from its start */
  restart (): void {
    for (const lane of this.#lanes) {
      lane.bytes += lane.sent
      lane.sent = 0
    }
  }

  #hasRoom (lane: LaneState, entry: Entry): boolean {
    return lane.bytes === 0 || lane.bytes + entry.frame.bytes <= this.#init.capacity
  }

  #admit (lane: LaneState, entry: Entry): void {
    lane.bytes += entry.frame.bytes
    lane.entries.push(entry)
  }

  #leave (entry: Entry): void {
    if (entry.flow == null || this.#diverted == null) {
      return
    }

    const others = (this.#diverted.get(entry.flow) ?? 1) - 1

    if (others > 0) {
      this.#diverted.set(entry.flow, others)
    } else {
      this.#diverted.delete(entry.flow)
    }
    if (this.#diverted.size === 0) {
      this.#diverted = undefined
    }
  }

  /** Deficit round robin by bytes: a lane that has had its share of the round waits for the next one */
  #nextLane (): LaneState | undefined {
    const [data, bulk, repair] = this.#lanes

    // the common case, and the hot path. Who is alone has no share of anything: it owes nothing to those who come later
    if (bulk.entries.length === 0 && repair.entries.length === 0) {
      data.deficit = 0
      return data.entries.length > 0 ? data : undefined
    }

    const busy = this.#lanes.filter(lane => lane.entries.length > 0 && !this.#mustWait(lane))

    if (busy.length < 2) {
      this.#lanes.forEach(lane => { lane.deficit = 0 })
      return busy[0]
    }

    let lane = busy.find(lane => lane.deficit > 0)

    while (lane == null) {
      this.#lanes.forEach((lane, i) => {
        // a lane that has nothing to send saves nothing up
        lane.deficit = busy.includes(lane) ? lane.deficit + WEIGHTS[i] * PIECE / 4 : 0
      })
      lane = busy.find(lane => lane.deficit > 0)
    }

    return lane
  }

  /** What came before the first entry of this lane, and of its flow, is still in the data lane */
  #mustWait (lane: LaneState): boolean {
    const data = this.#lanes[Lane.DATA]
    return data.entries.length > 0 && (lane.entries.peek()?.behind ?? 0) > data.left
  }

  #nextSize (lane: LaneState, entry: Entry): number {
    return entry.frame.bytes <= WHOLE ? entry.frame.bytes : Math.min(PIECE, entry.frame.bytes - lane.sent)
  }

  #takeFrom (lane: LaneState, entry: Entry, parts: Uint8Array[]): void {
    const { frame } = entry
    let size = frame.bytes

    if (frame.bytes <= WHOLE) {
      pushParts(parts, frame)
    } else {
      size = Math.min(PIECE, frame.bytes - lane.sent)
      pushParts(parts, pieceOf(frame, entry.lane, lane.sent, size))
      lane.sent += size
    }

    lane.bytes -= size

    if (frame.bytes > WHOLE && lane.sent < frame.bytes) {
      return
    }

    lane.sent = 0
    lane.left++
    lane.entries.shift()
    this.#leave(entry)
    entry.onSent?.()

    for (let next = lane.waiting.peek(); next != null && this.#hasRoom(lane, next); next = lane.waiting.peek()) {
      lane.waiting.shift()
      this.#admit(lane, next)
      next.onAdmitted?.()
    }
  }
}

function pushParts (parts: Uint8Array[], { head, body }: Frame): void {
  parts.push(head)
  if (body != null) {
    parts.push(body)
  }
}

/** `size` bytes of a large frame from `offset` on, as a frame of its own */
function pieceOf ({ head, body }: Frame, lane: Lane, offset: number, size: number): Frame {
  const writeLane = (target: Uint8Array, at: number): void => { target[at] = lane }

  if (offset >= head.byteLength && body != null) {
    offset -= head.byteLength
    return encodeFrame(Kind.PIECE, 1, writeLane, body.subarray(offset, offset + size))
  }

  // the piece in which the head ends and the body begins: the one that is copied
  const piece = new Uint8Array(size)
  const fromHead = head.subarray(offset, offset + size)
  piece.set(fromHead)
  piece.set(body?.subarray(0, size - fromHead.byteLength) ?? [], fromHead.byteLength)
  return encodeFrame(Kind.PIECE, 1, writeLane, piece)
}
