import { Reader, Writer } from '../runtime/codec.ts'
import { MalformedError } from '../runtime/errors.ts'
import { HASH_BYTES, ID_BYTES, LEAF_BYTES, MAX_EXTENTS, MAX_META, MAX_PROTOCOL } from './constants.ts'
import type { Extent } from './core/extents.ts'
import type { Status } from './core/outgoing.ts'

/** What the two sides of a transfer say to each other, byte by byte: see docs/protocol.md */
const VERSION = 1
/** Bytes before the piece of a payload in its message, at most */
const DATA_HEAD = 2 + ID_BYTES + 8
const Type = { OFFER: 0, STATUS: 1, DATA: 2, PROBE: 3, END: 4 } as const

/** Why a side has ended a transfer */
export const EndReason = {
  /** All of it was verified, and the program of the receiver has taken it */
  DONE: 0,
  /** A program gave it up */
  STOPPED: 1,
  /** The program of the receiver does not want it, or there is none that takes offers */
  REJECTED: 2,
  /** The receiver has no room for one more */
  BUSY: 3,
  /** The side that says it knows nothing of it: it lives anew, or ended it long ago */
  UNKNOWN: 4,
  /** The source failed */
  SOURCE: 5,
  /** What came is not what was offered */
  MISMATCH: 6,
  /** More came than was asked for */
  CREDIT: 7,
  /** Nothing moved for too long, though both sides are there */
  STALLED: 8,
  /** The node stops */
  NODE_STOP: 9,
  /** It is larger than the receiver takes */
  TOO_LARGE: 10,
  /** The side that says it heard nothing of the other one for too long */
  SILENT: 11
} as const
export type EndReason = typeof EndReason[keyof typeof EndReason]
const LAST_REASON = EndReason.SILENT

/** What is known of a payload before it is sent. Size and root are known together, or neither is */
export interface Terms {
  size?: number
  root?: Uint8Array
  /** Which program it is for; '' is any */
  protocol: string
  /** What the program of the sender says of it */
  meta: Uint8Array
}

export type Message = { id: Uint8Array } & (
  /** To the receiver. Said again until a status, or an end, answers it */
  | { type: 'offer', terms: Terms }
  /** To the sender */
  | { type: 'status', status: Status }
  | { type: 'data', offset: number, bytes: Uint8Array }
  /**
   * To the receiver, behind all that was sent before it: it answers with a status. With what the source came to, if it
   * ended
   */
  | { type: 'probe', question: number, end?: { size: number, root: Uint8Array } }
  /** From either side, which `isSender` tells */
  | { type: 'end', isSender: boolean, reason: EndReason }
)

export function encodeMessage (message: Message): Uint8Array {
  const writer = new Writer(message.type === 'data' ? DATA_HEAD + message.bytes.byteLength : 128).byte(VERSION)

  switch (message.type) {
    case 'offer': {
      const { size, root, protocol, meta } = message.terms
      writer.byte(Type.OFFER).raw(message.id)
      writer.byte(size == null ? 0 : 1)
      size != null && writer.uvarint(size).raw(root as Uint8Array)
      writer.string(protocol).bytes(meta)
      break
    }
    case 'status': {
      const { number, echo, horizon, wanted } = message.status
      writer.byte(Type.STATUS).raw(message.id).uvarint(number).uvarint(echo).uvarint(horizon)
        .list(wanted, ({ from, to }) => writer.uvarint(from).uvarint(to))
      break
    }
    case 'data':
      writer.byte(Type.DATA).raw(message.id).uvarint(message.offset).raw(message.bytes)
      break
    case 'probe':
      writer.byte(Type.PROBE).raw(message.id).uvarint(message.question).byte(message.end == null ? 0 : 1)
      message.end != null && writer.uvarint(message.end.size).raw(message.end.root)
      break
    case 'end':
      writer.byte(Type.END).raw(message.id).byte(message.isSender ? 1 : 0).byte(message.reason)
      break
  }

  return writer.finish()
}

/** Throws a MalformedError. What it hands out are views of the input */
export function decodeMessage (bytes: Uint8Array): Message {
  const reader = new Reader(bytes)
  reader.expectVersion(VERSION)
  const message = readMessage(reader, reader.byte())
  reader.expectEnd()
  return message
}

function readMessage (reader: Reader, type: number): Message {
  const id = reader.raw(ID_BYTES)

  switch (type) {
    case Type.OFFER: {
      const known = reader.flag() ? { size: reader.uvarint(), root: reader.raw(HASH_BYTES) } : {}
      return {
        type: 'offer', id, terms: { ...known, protocol: reader.string(MAX_PROTOCOL), meta: reader.bytes(MAX_META) }
      }
    }
    case Type.STATUS:
      return {
        type: 'status',
        id,
        status: {
          number: reader.uvarint(), echo: reader.uvarint(), horizon: reader.uvarint(), wanted: readExtents(reader)
        }
      }
    case Type.DATA: {
      const offset = reader.uvarint()
      const bytes = reader.rest()

      if (bytes.byteLength === 0 || bytes.byteLength > LEAF_BYTES) {
        throw new MalformedError(`a piece of ${bytes.byteLength} bytes`)
      }

      return { type: 'data', id, offset, bytes }
    }
    case Type.PROBE: {
      const question = reader.uvarint()
      const end = reader.flag() ? { size: reader.uvarint(), root: reader.raw(HASH_BYTES) } : undefined
      return { type: 'probe', id, question, end }
    }
    case Type.END: {
      const isSender = reader.flag()
      const reason = reader.byte()
      // a later version may have more reasons: that it has ended is what counts
      return { type: 'end', id, isSender, reason: reason > LAST_REASON ? EndReason.STOPPED : reason as EndReason }
    }
    default:
      throw new MalformedError(`a message of type ${type}, which nobody knows`)
  }
}

/** In their order, without touching each other */
function readExtents (reader: Reader): Extent[] {
  let last = -1

  return reader.list(MAX_EXTENTS, () => {
    const extent = { from: reader.uvarint(), to: reader.uvarint() }

    if (extent.from <= last || extent.to <= extent.from) {
      throw new MalformedError(`an extent from ${extent.from} to ${extent.to}, behind ${last}`)
    }

    last = extent.to
    return extent
  })
}
