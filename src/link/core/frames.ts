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
  /** The first frame each way: who speaks, where it stands, how much it takes in. Not counted by credit */
  HELLO: 0,
  /** How many bytes of frames have been dealt with so far. Not counted by credit */
  CREDIT: 1,
  /** A piece of a large frame, by the slot that its first byte names */
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

/**
 * Parts of a frame that are shorter are put together as they come. As many as one copies without thinking about it (a
 * guess)
 */
const MERGE_BELOW = 4096

/** Called with every frame. `bytes` is its whole length on the wire */
export type OnFrame = (kind: number, body: Uint8Array, bytes: number) => void

/**
 * Finds the frames in a stream of chunks that know nothing of frames. A frame that lies within one chunk is handed
 * on as a view of it; only one that spans chunks is put together. Nothing is allocated for bytes that did not come.
 * The one who is handed a frame may `stop` it: what came behind that frame is held until it may `go`.
 */
export class FrameParser {
  readonly #max: number
  readonly #onFrame: OnFrame
  /** The pieces of a frame that is not whole yet */
  #held: Uint8Array[] = []
  #heldBytes = 0
  /** How many bytes must be there before it is worth looking again */
  #wanted = 1
  #isStopped = false

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

  get isStopped (): boolean {
    return this.#isStopped
  }

  stop (): void {
    this.#isStopped = true
  }

  /** Goes on where it was stopped. Throws as `push` does */
  go (): void {
    if (this.#isStopped) {
      this.#isStopped = false
      this.#take(this.#takeHeld())
    }
  }

  /** Throws a MalformedError when what comes cannot be frames: the stream is of no use after that */
  push (chunk: Uint8Array): void {
    // no more of the chunk than ends what is held: the rest need not be copied
    while (this.#heldBytes > 0 && chunk.byteLength > 0 && !this.#isStopped) {
      const missing = Math.min(this.#wanted - this.#heldBytes, chunk.byteLength)
      this.#hold(chunk.subarray(0, missing))
      chunk = chunk.subarray(missing)

      if (this.#heldBytes >= this.#wanted) {
        this.#take(this.#takeHeld())
      }
    }

    this.#take(chunk)
  }

  /** Whole frames go, the rest is held: all of it while this is stopped */
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

    while (start < end && !this.#isStopped) {
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

/** Large frames that may be on their way at a time */
export const SLOTS = 4

/** Puts the pieces of large frames together, slot by slot: so many frames at most are in the making */
export class Slots {
  readonly #init: { maxFrame: number, onFrame: OnFrame }
  readonly #parsers: Array<FrameParser | undefined> = []

  constructor (init: { maxFrame: number, onFrame: OnFrame }) {
    this.#init = init
  }

  get heldBytes (): number {
    return this.#parsers.reduce((sum, parser) => sum + (parser?.heldBytes ?? 0), 0)
  }

  /** The body of a PIECE. Throws a MalformedError */
  push (body: Uint8Array): void {
    const slot = body[0]

    if (!(slot < SLOTS)) {
      throw new MalformedError(`a piece for slot ${slot}, there are ${SLOTS}`)
    }

    const parser = this.#parsers[slot] ??= new FrameParser(this.#init.maxFrame, this.#init.onFrame)
    parser.push(body.subarray(1))

    if (parser.heldBytes === 0) {
      this.#parsers[slot] = undefined
    }
  }

  clear (): void {
    this.#parsers.length = 0
  }
}

/** Parts shorter than this are gathered into one: a copy is cheaper than a part (a guess) */
const GATHER_BELOW = 4096

/**
 * The same bytes in few parts. Parts that lie one behind the other are one already; of the others, short ones are put
 * together. With `owned` also a single short one is copied: it may be a view of a slab that is kept for its sake alone.
 */
export function gather (parts: Uint8Array[], { owned }: { owned: boolean }): Uint8Array[] {
  const runs = joinNeighbours(parts)
  const gathered: Uint8Array[] = []

  for (let i = 0; i < runs.length;) {
    let size = 0
    let end = i

    while (end < runs.length && runs[end].byteLength < GATHER_BELOW) {
      size += runs[end++].byteLength
    }

    if (end - i < (owned ? 1 : 2)) {
      gathered.push(runs[i++])
      continue
    }

    const run = new Uint8Array(size)
    let offset = 0

    for (; i < end; i++) {
      run.set(runs[i], offset)
      offset += runs[i].byteLength
    }

    gathered.push(run)
  }

  return gathered
}

function joinNeighbours (parts: Uint8Array[]): Uint8Array[] {
  const runs: Uint8Array[] = []

  for (let i = 0; i < parts.length;) {
    const { buffer, byteOffset } = parts[i]
    const first = i
    let end = byteOffset + parts[i++].byteLength

    while (i < parts.length && parts[i].buffer === buffer && parts[i].byteOffset === end) {
      end += parts[i++].byteLength
    }

    runs.push(i - first === 1 ? parts[first] : new Uint8Array(buffer, byteOffset, end - byteOffset))
  }

  return runs
}
