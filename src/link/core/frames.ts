import { concat } from 'uint8arrays/concat'
import { writeUvarint, uvarintLength } from '../../runtime/codec.ts'
import { MalformedError } from '../../runtime/errors.ts'

/**
 * A frame is `uvarint length · kind byte · body`; the length counts kind and body.
 *
 * Kinds below 16 belong to the link, those from 16 on to the floor above. A kind that nobody knows is skipped,
 * so that a later version can talk to this one.
 */
export const Kind = {
  /** control, first frame each way: who speaks, how much it takes in */
  HELLO: 0,
  /** control: how many bytes of the data stream have been dealt with so far */
  CREDIT: 1,
  /** data, first frame from the opener: which session this stream belongs to */
  ATTACH: 2,
  /** data: a piece of the frames of one lane */
  PIECE: 3,
  /** The first kind that the floor above may use */
  FIRST_FREE: 16
} as const

/** Bytes that the number of a length has at most: 2^53 has no more */
const MAX_PREFIX = 8

/** A frame ready to be written: the payload stays where it is, it is not copied behind the head */
export interface Frame {
  head: Uint8Array
  body?: Uint8Array
  bytes: number
}

/** Below this a payload is copied behind its head: one short copy is cheaper than a second part (a guess) */
const COPY_BELOW = 4096

/** Bytes of the pieces of memory that small frames are cut from */
const SLAB = 65_536
let slab = new Uint8Array(SLAB)
let used = 0

/** Frames that are made one after the other lie one behind the other: many of them are written as they lie, uncopied */
function allocate (size: number): Uint8Array {
  if (size > COPY_BELOW * 2) {
    return new Uint8Array(size)
  }
  if (used + size > SLAB) {
    slab = new Uint8Array(SLAB)
    used = 0
  }

  used += size
  return slab.subarray(used - size, used)
}

/**
 * A frame of `kind` with `fields` bytes of fields, which `write` puts at the offset it is given, and a payload.
 */
export function encodeFrame (kind: number, fields: number, write: (target: Uint8Array, offset: number) => void, payload?: Uint8Array): Frame {
  const length = 1 + fields + (payload?.byteLength ?? 0)
  const prefix = uvarintLength(length)
  const copy = payload != null && payload.byteLength < COPY_BELOW
  const head = allocate(prefix + (copy ? length : 1 + fields))
  const offset = writeUvarint(head, 0, length)
  head[offset] = kind
  write(head, offset + 1)

  if (payload != null && copy) {
    head.set(payload, offset + 1 + fields)
  }

  return { head, body: copy ? undefined : payload, bytes: prefix + length }
}

/** A frame whose body is made already */
export function frameOf (kind: number, body: Uint8Array): Frame {
  return encodeFrame(kind, 0, () => {}, body)
}

/** Parts of a frame that are shorter are put together as they come. As many as one copies without thinking about it (a guess) */
const MERGE_BELOW = 4096

/** Called with every frame. `bytes` is its whole length on the wire */
export type OnFrame = (kind: number, body: Uint8Array, bytes: number) => void

/**
 * Finds the frames in a stream of chunks that know nothing of frames. A frame that lies within one chunk is handed
 * on as a view of it; only one that spans chunks is put together. Nothing is allocated for bytes that did not come.
 */
export class FrameParser {
  readonly #max: number
  readonly #onFrame: OnFrame
  /** The pieces of a frame that is not whole yet */
  #held: Uint8Array[] = []
  #heldBytes = 0
  /** How many bytes must be there before it is worth looking again */
  #wanted = 1

  constructor (max: number, onFrame: OnFrame) {
    this.#max = max
    this.#onFrame = onFrame
  }

  get heldBytes (): number {
    return this.#heldBytes
  }

  /** In how many parts they are held */
  get heldParts (): number {
    return this.#held.length
  }

  /** Throws a MalformedError when what comes cannot be frames: the stream is of no use after that */
  push (chunk: Uint8Array): void {
    // no more of the chunk than ends what is held: the rest need not be copied
    while (this.#heldBytes > 0 && chunk.byteLength > 0) {
      const missing = Math.min(this.#wanted - this.#heldBytes, chunk.byteLength)
      this.#hold(chunk.subarray(0, missing))
      chunk = chunk.subarray(missing)

      if (this.#heldBytes >= this.#wanted) {
        this.#take(this.#takeHeld())
      }
    }

    this.#take(chunk)
  }

  #take (bytes: Uint8Array): void {
    const rest = this.#parse(bytes)

    if (rest < bytes.byteLength) {
      this.#hold(bytes.subarray(rest))
    }
  }

  /** Short parts are put together two by two: a byte at a time would cost a hundred for each that came */
  #hold (part: Uint8Array): void {
    const held = this.#held
    this.#heldBytes += part.byteLength

    if (part.byteLength === 0) {
      return
    }

    while (part.byteLength < MERGE_BELOW && held.length > 0 && held[held.length - 1].byteLength <= part.byteLength) {
      part = concat([held.pop() as Uint8Array, part])
    }

    held.push(part)
  }

  #takeHeld (): Uint8Array {
    const held = this.#held
    this.#held = []
    this.#heldBytes = 0
    return held.length === 1 ? held[0] : concat(held)
  }

  /** Hands on the whole frames of `chunk`; returns where the first one begins that is not whole */
  #parse (chunk: Uint8Array): number {
    const end = chunk.byteLength
    let start = 0

    while (start < end) {
      let offset = start
      let length = 0
      let scale = 1
      let byte = 0x80

      while (byte >= 0x80 && offset < end) {
        if (offset - start === MAX_PREFIX) {
          throw new MalformedError('the length of a frame has no end')
        }

        byte = chunk[offset++]
        length += (byte & 0x7f) * scale
        scale *= 128

        if (length > this.#max) {
          throw new MalformedError(`a frame of ${length} bytes or more, at most ${this.#max} are allowed`)
        }
      }

      if (byte >= 0x80) {
        this.#wanted = end - start + 1
        return start
      }
      if (length === 0) {
        throw new MalformedError('a frame without a kind')
      }
      if (offset + length > end) {
        this.#wanted = offset - start + length
        return start
      }

      this.#onFrame(chunk[offset], chunk.subarray(offset + 1, offset + length), offset + length - start)
      start = offset + length
    }

    return start
  }
}
