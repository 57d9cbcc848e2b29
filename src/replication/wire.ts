import { MAX_COUNTER, MAX_TIME } from '../log/core/entry.ts'
import { Reader, Writer } from '../runtime/codec.ts'
import { MalformedError } from '../runtime/errors.ts'
import type { Segment } from './core/ring.ts'
import type { Moment } from '../log/core/hybrid-clock.ts'
import type { RawEntry } from '../log/core/types.ts'

/**
 * What peers of a log say to each other, byte by byte: see docs/protocol.md. A message is a version, a type, and what
 * the type says.
 */

const VERSION = 1
const ID_BYTES = 32
const SHORT_ID_BYTES = 8
/** Keys of comparisons, and nonces of proofs */
export const KEY_BYTES = 16
export const PROOF_BYTES = 16
export const FINGERPRINT_BYTES = 8
/** Of an entry: see log/core/entry.ts and log/core/merkle.ts */
const MAX_ENTRY_BYTES = 2 ** 25
/** With the most segments, signed by an Ed25519 key, it has less than 1024; an RSA key of 8192 bits adds 2,100 */
const MAX_DOCUMENT_BYTES = 4096
const MAX_REASON_BYTES = 1024
/** In one list: what takes a byte each in a message may take a hundred in memory */
const MAX_LISTED = 4096

const Type = { HELLO: 0, ENTRIES: 1, STORED: 2, QUESTION: 3, ANSWER: 4, NUDGE: 5 } as const
const Kind = {
  SUMMARIES: 0, SYMBOLS: 1, FETCH: 2, PULL: 3, KEEP: 4, LIST: 5, WINDOW: 6, WEIGHT: 7, REFUSED: 255
} as const

/** What became of an entry that was sent */
export const Outcome = { STORED: 0, LATER: 1, REFUSED: 2 } as const
export type Outcome = typeof Outcome[keyof typeof Outcome]

/** How many entries somebody has in a part of the ring, and a fingerprint of them with the key of the question */
export interface Summary {
  count: number
  fingerprint: Uint8Array
}

/** Each can be asked again, and of anybody: who answers remembers nothing of it */
export type Question =
  /** Each of these segments cut into as many parts */
  | { kind: 'summaries', key: Uint8Array, parts: number, segments: Segment[] }
  /** Coded symbols of what lies in these segments, from one on */
  | { kind: 'symbols', key: Uint8Array, segments: Segment[], from: number, count: number }
  /** Entries by their short ids, of those in these segments */
  | { kind: 'fetch', key: Uint8Array, segments: Segment[], shortIds: Uint8Array }
  /** Entries of these segments in the order of their arrival, from one on */
  | { kind: 'pull', from: number, segments: Segment[] }
  /** Entries of these segments in the order of the log, from one moment on, and before another one */
  | { kind: 'window', from: Moment, to: Moment, segments: Segment[] }
  /**
   * Which of these entries the other has, and will keep: it proves each with this nonce, see proof.ts. No id stands
   * there twice
   */
  | { kind: 'keep', nonce: Uint8Array, ids: Uint8Array[] }
  /** Entries of this segment in the order of the ring, behind one of them */
  | { kind: 'list', segment: Segment, after?: Uint8Array }
  /** How many bytes of entries the other keeps of its share */
  | { kind: 'weight' }

export type Answer =
  | { kind: 'summaries', summaries: Summary[] }
  /** `symbols` as core/sketch.ts encodes them */
  | { kind: 'symbols', symbols: Uint8Array }
  /** For the first `asked` of the short ids: those of them that it has */
  | { kind: 'fetch', asked: number, entries: RawEntry[] }
  /** `next`: where to go on. `isEnd`: there is nothing behind it */
  | { kind: 'pull', entries: RawEntry[], next: number, isEnd: boolean }
  /** `next`: all before it is there; at the end, `to`. `looked`: at how many entries that took a look */
  | { kind: 'window', entries: RawEntry[], next: Moment, looked: number }
  /** For the first ids, one at least: a proof, or nothing where it does not have that entry, or will not keep it */
  | { kind: 'keep', proofs: Uint8Array[] }
  /** `isEnd`: there is nothing behind them */
  | { kind: 'list', entries: RawEntry[], isEnd: boolean }
  | { kind: 'weight', bytes: number }
  | { kind: 'refused', reason: string }

export type Message =
  /** What the sender, and perhaps others, keep; `isAsking`: say so, too */
  | { type: 'hello', isAsking: boolean, documents: Uint8Array[] }
  /** `reach`: to how many they were sent */
  | { type: 'entries', number: number, reach: number, entries: RawEntry[] }
  | { type: 'stored', number: number, outcomes: Outcome[] }
  | { type: 'question', number: number, question: Question }
  | { type: 'answer', number: number, answer: Answer }
  /** There is something that you may not have: compare */
  | { type: 'nudge' }

export function encodeMessage (message: Message): Uint8Array {
  const writer = new Writer(256).byte(VERSION)

  switch (message.type) {
    case 'hello':
      writer.byte(Type.HELLO).byte(message.isAsking ? 1 : 0).list(message.documents, document => writer.bytes(document))
      break
    case 'entries':
      writeEntries(writer.byte(Type.ENTRIES).uvarint(message.number).uvarint(message.reach), message.entries)
      break
    case 'stored':
      writer.byte(Type.STORED).uvarint(message.number).list(message.outcomes, outcome => writer.byte(outcome))
      break
    case 'question':
      writeQuestion(writer.byte(Type.QUESTION).uvarint(message.number), message.question)
      break
    case 'answer':
      writeAnswer(writer.byte(Type.ANSWER).uvarint(message.number), message.answer)
      break
    case 'nudge':
      writer.byte(Type.NUDGE)
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

/** Bytes that an entry takes in a message, at most */
export function entrySize ({ bytes, proof }: RawEntry): number {
  return bytes.byteLength + proof.byteLength + 8
}

function readMessage (reader: Reader, type: number): Message {
  switch (type) {
    case Type.HELLO:
      return {
        type: 'hello',
        isAsking: reader.flag(),
        documents: reader.list(MAX_LISTED, () => reader.bytes(MAX_DOCUMENT_BYTES))
      }
    case Type.ENTRIES:
      return { type: 'entries', number: reader.uvarint(), reach: reader.uvarint(), entries: readEntries(reader) }
    case Type.STORED:
      return { type: 'stored', number: reader.uvarint(), outcomes: reader.list(MAX_LISTED, () => readOutcome(reader)) }
    case Type.QUESTION:
      return { type: 'question', number: reader.uvarint(), question: readQuestion(reader) }
    case Type.ANSWER:
      return { type: 'answer', number: reader.uvarint(), answer: readAnswer(reader) }
    case Type.NUDGE:
      return { type: 'nudge' }
    default:
      throw new MalformedError(`a message of type ${type}, which nobody knows`)
  }
}

function writeQuestion (writer: Writer, question: Question): void {
  switch (question.kind) {
    case 'summaries':
      writeSegments(writer.byte(Kind.SUMMARIES).raw(question.key).uvarint(question.parts), question.segments)
      break
    case 'symbols':
      writeSegments(writer.byte(Kind.SYMBOLS).raw(question.key), question.segments)
        .uvarint(question.from).uvarint(question.count)
      break
    case 'fetch':
      writeSegments(writer.byte(Kind.FETCH).raw(question.key), question.segments).bytes(question.shortIds)
      break
    case 'pull':
      writeSegments(writer.byte(Kind.PULL).uvarint(question.from), question.segments)
      break
    case 'window':
      writeSegments(writeMoment(writeMoment(writer.byte(Kind.WINDOW), question.from), question.to), question.segments)
      break
    case 'keep':
      writer.byte(Kind.KEEP).raw(question.nonce).list(question.ids, id => writer.raw(id))
      break
    case 'list':
      writeSegments(writer.byte(Kind.LIST), [question.segment])
        .list(question.after == null ? [] : [question.after], id => writer.raw(id))
      break
    case 'weight':
      writer.byte(Kind.WEIGHT)
      break
  }
}

function readQuestion (reader: Reader): Question {
  const kind = reader.byte()

  switch (kind) {
    case Kind.SUMMARIES:
      return { kind: 'summaries', key: copyOfKey(reader), parts: reader.uvarint(), segments: readSegments(reader) }
    case Kind.SYMBOLS:
      return {
        kind: 'symbols',
        key: copyOfKey(reader),
        segments: readSegments(reader),
        from: reader.uvarint(),
        count: reader.uvarint()
      }
    case Kind.FETCH:
      return { kind: 'fetch', key: copyOfKey(reader), segments: readSegments(reader), shortIds: readShortIds(reader) }
    case Kind.PULL:
      return { kind: 'pull', from: reader.uvarint(), segments: readSegments(reader) }
    case Kind.WINDOW:
      return { kind: 'window', from: readMoment(reader), to: readMoment(reader), segments: readSegments(reader) }
    case Kind.KEEP:
      return { kind: 'keep', nonce: copyOfKey(reader), ids: readIds(reader) }
    case Kind.LIST: {
      const segment = readOne(readSegments(reader))
      const after = readIds(reader)
      return { kind: 'list', segment, ...after.length === 0 ? {} : { after: readOne(after) } }
    }
    case Kind.WEIGHT:
      return { kind: 'weight' }
    default:
      throw new MalformedError(`a question of kind ${kind}, which nobody knows`)
  }
}

function writeAnswer (writer: Writer, answer: Answer): void {
  switch (answer.kind) {
    case 'summaries':
      writer.byte(Kind.SUMMARIES)
        .list(answer.summaries, ({ count, fingerprint }) => writer.uvarint(count).raw(fingerprint))
      break
    case 'symbols':
      writer.byte(Kind.SYMBOLS).bytes(answer.symbols)
      break
    case 'fetch':
      writeEntries(writer.byte(Kind.FETCH).uvarint(answer.asked), answer.entries)
      break
    case 'pull':
      writeEntries(writer.byte(Kind.PULL).uvarint(answer.next).byte(answer.isEnd ? 1 : 0), answer.entries)
      break
    case 'window':
      writeEntries(writeMoment(writer.byte(Kind.WINDOW), answer.next).uvarint(answer.looked), answer.entries)
      break
    case 'keep':
      writer.byte(Kind.KEEP).list(answer.proofs, proof => writer.bytes(proof))
      break
    case 'list':
      writeEntries(writer.byte(Kind.LIST).byte(answer.isEnd ? 1 : 0), answer.entries)
      break
    case 'weight':
      writer.byte(Kind.WEIGHT).uvarint(answer.bytes)
      break
    case 'refused':
      writer.byte(Kind.REFUSED).string(answer.reason)
      break
  }
}

function readAnswer (reader: Reader): Answer {
  const kind = reader.byte()

  switch (kind) {
    case Kind.SUMMARIES:
      return {
        kind: 'summaries',
        summaries: reader.list(MAX_LISTED, () => ({
          count: reader.uvarint(), fingerprint: reader.raw(FINGERPRINT_BYTES)
        }))
      }
    case Kind.SYMBOLS:
      return { kind: 'symbols', symbols: reader.bytes() }
    case Kind.FETCH:
      return { kind: 'fetch', asked: reader.uvarint(), entries: readEntries(reader) }
    case Kind.PULL: {
      const next = reader.uvarint()
      const isEnd = reader.flag()
      return { kind: 'pull', next, isEnd, entries: readEntries(reader) }
    }
    case Kind.WINDOW:
      return { kind: 'window', next: readMoment(reader), looked: reader.uvarint(), entries: readEntries(reader) }
    case Kind.KEEP:
      return { kind: 'keep', proofs: reader.list(MAX_LISTED, () => readProof(reader)) }
    case Kind.LIST: {
      const isEnd = reader.flag()
      return { kind: 'list', isEnd, entries: readEntries(reader) }
    }
    case Kind.WEIGHT:
      return { kind: 'weight', bytes: reader.uvarint() }
    case Kind.REFUSED:
      return { kind: 'refused', reason: reader.string(MAX_REASON_BYTES) }
    default:
      throw new MalformedError(`an answer of kind ${kind}, which nobody knows`)
  }
}

function writeEntries (writer: Writer, entries: RawEntry[]): Writer {
  return writer.list(entries, ({ bytes, proof }) => writer.bytes(bytes).bytes(proof))
}

function readEntries (reader: Reader): RawEntry[] {
  return reader.list(MAX_LISTED, () => ({ bytes: reader.bytes(MAX_ENTRY_BYTES), proof: reader.bytes(MAX_ENTRY_BYTES) }))
}

function readIds (reader: Reader): Uint8Array[] {
  return reader.list(MAX_LISTED, () => reader.raw(ID_BYTES))
}

/** Of a list that has one */
function readOne<T> ([one, ...others]: T[]): T {
  if (one == null || others.length > 0) {
    throw new MalformedError('there is to be one, and no more')
  }

  return one
}

function readShortIds (reader: Reader): Uint8Array {
  const bytes = reader.bytes()

  if (bytes.byteLength % SHORT_ID_BYTES !== 0) {
    throw new MalformedError(`short ids have ${SHORT_ID_BYTES} bytes each, these have ${bytes.byteLength} in all`)
  }

  return bytes
}

export function writeSegments (writer: Writer, segments: Segment[]): Writer {
  // the whole ring is one more than four bytes hold
  return writer.list(segments, ({ from, width }) => writer.uvarint(from).uvarint(width - 1))
}

export function readSegments (reader: Reader): Segment[] {
  return reader.list(MAX_LISTED, () => {
    const from = reader.uvarint()
    const width = reader.uvarint() + 1

    if (from >= 2 ** 32 || width > 2 ** 32) {
      throw new MalformedError(`a segment from ${from}, ${width} wide, does not lie on the ring`)
    }

    return { from, width }
  })
}

function writeMoment (writer: Writer, { time, counter }: Moment): Writer {
  return writer.uvarint(time).uvarint(counter)
}

function readMoment (reader: Reader): Moment {
  const moment = { time: reader.uvarint(), counter: reader.uvarint() }

  if (moment.time > MAX_TIME || moment.counter > MAX_COUNTER) {
    throw new MalformedError(`${moment.time} and ${moment.counter} are no moment of an entry`)
  }

  return moment
}

function readOutcome (reader: Reader): Outcome {
  const outcome = reader.byte()

  if (outcome > Outcome.REFUSED) {
    throw new MalformedError(`${outcome} is no outcome`)
  }

  return outcome as Outcome
}

function readProof (reader: Reader): Uint8Array {
  const proof = reader.bytes(PROOF_BYTES)

  if (proof.byteLength % PROOF_BYTES !== 0) {
    throw new MalformedError(`a proof has ${PROOF_BYTES} bytes or none, this one has ${proof.byteLength}`)
  }

  return proof
}

/** It is kept for longer than the message */
function copyOfKey (reader: Reader): Uint8Array {
  return Uint8Array.from(reader.raw(KEY_BYTES))
}
