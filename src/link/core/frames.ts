import { concat } from 'uint8arrays/concat'
import { writeUvarint, uvarintLength } from '../../runtime/codec.ts'
import { MalformedError } from '../../runtime/errors.ts'

/**
 * A frame is `uvarint length · kind byte · body`; the length counts kind and body.
 *
 * Kinds below 16 belong to the link, those from 16 on to the floor above. A kind that nobody knows is skipped, so that
 * a later version can talk to this one.
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
/** Bytes below which a copy is cheaper than one more part. A guess */
export const SHORT = 4096
/** Bytes of the pieces of memory that small frames are cut from */
const SLAB = 65_536
let slab = new Uint8Array(SLAB)
let used = 0

/** Frames that are made one after the other lie one behind the other: many of them are written as they lie, uncopied */
function allocate (size: number): Uint8Array {
  if (size > SHORT * 2) {
    return new Uint8Array(size)
  }
  if (used + size > SLAB) {
    slab = new Uint8Array(SLAB)
    used = 0
  }

  used += size
  return slab.subarray(used - size, used)
}

/** A frame ready to be written: a long payload stays where it is, a short one is copied behind the head */
export interface Frame {
  head: Uint8Array
  body?: Uint8Array
  bytes: number
}

/** A frame of `kind` with `fields` bytes of fields, which `write` puts at the offset it is given, and a payload */
export function encodeFrame (
  kind: number, fields: number, write: (target: Uint8Array, offset: number) => void, payload?: Uint8Array
): Frame {
  const length = 1 + fields + (payload?.byteLength ?? 0)
  const prefix = uvarintLength(length)
  const copy = payload != null && payload.byteLength < SHORT
  const head = allocate(prefix + (copy ? length : 1 + fields))
  const offset = writeUvarint(head, 0, length)
  head[offset] = kind
  write(head, offset + 1)

  if (copy) {
    head.set(payload, offset + 1 + fields)
  }

  return { head, body: copy ? undefined : payload, bytes: prefix + length }
}

/** A frame whose body is made already */
export function frameOf (kind: number, body: Uint8Array): Frame {
  return encodeFrame(kind, 0, () => {}, body)
}

/** Called with every frame. `bytes` is its whole length on the wire */
export type OnFrame = (kind: number, body: Uint8Array, bytes: number) => void

const NOTHING = new Uint8Array(0)

/** Bytes in the pieces that they came in */
class Pieces {
  bytes = 0
  #pieces: Uint8Array[] = []

  get length (): number {
    return this.#pieces.length
  }

  /** Short ones are put together two by two: a byte at a time would cost a hundred for each that came */
  add (piece: Uint8Array): void {
    const pieces = this.#pieces
    this.bytes += piece.byteLength

    while (piece.byteLength < SHORT && pieces.length > 0 && pieces[pieces.length - 1].byteLength <= piece.byteLength) {
      piece = concat([pieces.pop() as Uint8Array, piece])
    }
    if (piece.byteLength > 0) {
      pieces.push(piece)
    }
  }

  /** Takes all out, as one */
  join (): Uint8Array {
    const pieces = this.#pieces
    this.#pieces = []
    this.bytes = 0
    return pieces.length === 1 ? pieces[0] : concat(pieces)
  }

  /** Takes out one after the other, until `read` leaves something of one */
  take (read: (piece: Uint8Array) => Uint8Array): void {
    const pieces = this.#pieces
    let taken = 0

    while (taken < pieces.length) {
      const piece = pieces[taken]
      const rest = read(piece)
      this.bytes -= piece.byteLength - rest.byteLength

      if (rest.byteLength > 0) {
        pieces[taken] = rest
        break
      }
      taken++
    }

    pieces.splice(0, taken)
  }
}

/**
 * Finds the frames in a stream of chunks that know nothing of frames. A frame that lies within one chunk is handed on
 * as a view of it; only one that spans chunks is put together. Nothing is allocated for bytes that did not come. Who is
 * handed a frame may `stop` the parser: what came behind that frame is held until it may `go`.
 */
export class FrameParser {
  isStopped = false
  readonly #max: number
  readonly #onFrame: OnFrame
  /** The pieces of a frame that is not whole yet */
  readonly #held = new Pieces()
  /** How many bytes must be there before it is worth looking again */
  #wanted = 1
  /** Bytes that came after the parser was stopped */
  readonly #waiting = new Pieces()

  constructor (max: number, onFrame: OnFrame) {
    this.#max = max
    this.#onFrame = onFrame
  }

  get heldBytes (): number {
    return this.#held.bytes + this.#waiting.bytes
  }

  /** In how many parts they are held */
  get heldParts (): number {
    return this.#held.length + this.#waiting.length
  }

  stop (): void {
    this.isStopped = true
  }

  /** Goes on where it was stopped. Throws as `push` does */
  go (): void {
    this.isStopped = false
    this.#waiting.take(piece => this.#read(piece))
  }

  /** Throws a MalformedError when what comes cannot be frames: the stream is of no use after that */
  push (chunk: Uint8Array): void {
    this.#waiting.add(this.isStopped ? chunk : this.#read(chunk))
  }

  /** Whole frames go, and what is left is held. Returns what follows the frame at which this was stopped */
  #read (chunk: Uint8Array): Uint8Array {
    // no more of the chunk than ends what is held: the rest need not be copied
    while (this.#held.bytes > 0 && chunk.byteLength > 0 && !this.isStopped) {
      const missing = Math.min(this.#wanted - this.#held.bytes, chunk.byteLength)
      this.#held.add(chunk.subarray(0, missing))
      chunk = chunk.subarray(missing)

      if (this.#held.bytes >= this.#wanted) {
        const all = this.#held.join()
        this.#held.add(all.subarray(this.#parse(all)))
      }
    }

    const rest = chunk.subarray(this.#parse(chunk))

    if (this.isStopped) {
      return rest
    }

    this.#held.add(rest)
    return NOTHING
  }

  /** Hands on the whole frames of `chunk`; returns where the first one begins that is not whole */
  #parse (chunk: Uint8Array): number {
    const end = chunk.byteLength
    let start = 0

    while (start < end && !this.isStopped) {
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

/**
 * The same bytes in few parts. Parts that lie one behind the other are one already; of the others, short ones are put
 * together. With `owned` also a single short one is copied: it may be a view of a slab that is kept for its sake alone.
 */
export function gather (parts: Uint8Array[], { owned }: { owned: boolean }): Uint8Array[] {
  const runs = joinNeighbours(parts)
  const gathered: Uint8Array[] = []

  for (let i = 0; i < runs.length;) {
    const first = i
    let size = 0

    while (i < runs.length && runs[i].byteLength < SHORT) {
      size += runs[i++].byteLength
    }

    if (i - first < (owned ? 1 : 2)) {
      gathered.push(runs[first])
      i = first + 1
    } else {
      // not `concat`, which may cut it from a slab of Node's own
      const run = new Uint8Array(size)

      for (let at = first, offset = 0; at < i; offset += runs[at++].byteLength) {
        run.set(runs[at], offset)
      }

      gathered.push(run)
    }
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
