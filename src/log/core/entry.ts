import { compare } from 'uint8arrays/compare'
import { Reader, Writer } from '../../runtime/codec.ts'
import { MalformedError } from '../../runtime/errors.ts'
import { ID_BYTES } from './types.ts'
import type { Content } from './types.ts'

/**
 * The binary form of an entry. One value, one byte string: the decoder refuses whatever the encoder does not write.
 *
 * content = version (1 byte) · time (6) · counter (2) · bytes author · 0, or 1 and the previous id · list of ids
 * (parents) · bytes group · uvarint replicas · bytes data
 */
export const VERSION = 1
/** From libp2p: the largest key that it takes, RSA with 8192 bits, has some 1,070 */
export const MAX_AUTHOR_BYTES = 1100
/** Heads that one entry can join. A guess */
export const MAX_PARENTS = 64
/** As much as the multihash of a SHA-512 and some more: a guess */
export const MAX_GROUP_BYTES = 64
export const MAX_REPLICAS = 255
/** From the specification: what is larger is no entry of a log, but a payload that an entry names */
export const MAX_DATA_BYTES = 16 * 1024 * 1024
export const MAX_TIME = 2 ** 48 - 1
export const MAX_COUNTER = 2 ** 16 - 1

/** What stands before the author */
const HEAD_BYTES = 9
/** All lengths, counts and marks together have less than that */
const MAX_OVERHEAD_BYTES = 32
/** No content has more */
export const MAX_CONTENT_BYTES = MAX_OVERHEAD_BYTES + HEAD_BYTES + MAX_AUTHOR_BYTES + ID_BYTES * (1 + MAX_PARENTS) +
  MAX_GROUP_BYTES + MAX_DATA_BYTES

/** An entry was to be written that nobody would take */
export class InvalidContentError extends Error {
  static name = 'InvalidContentError'
  name = 'InvalidContentError'
}

/** Throws an InvalidContentError for what `decodeContent` would refuse */
export function encodeContent (content: Content): Uint8Array {
  return writeContent(new Writer(roomFor(content)), content).finish()
}

/** No content takes more bytes than this */
export function roomFor (
  { author, parents, group, data }: Pick<Content, 'author' | 'parents' | 'group' | 'data'>
): number {
  return MAX_OVERHEAD_BYTES + HEAD_BYTES + author.byteLength + ID_BYTES * (1 + parents.length) + group.byteLength +
    data.byteLength
}

/** Throws an InvalidContentError, and has not written anything then */
export function writeContent (writer: Writer, content: Content): Writer {
  const { time, author, previous, parents, group, replicas, data } = content
  checkContent(content)
  writer.byte(VERSION)

  for (let scale = 2 ** 40; scale >= 1; scale /= 256) {
    writer.byte(Math.floor(time / scale) % 256)
  }

  writer.byte(content.counter >>> 8).byte(content.counter & 0xff).bytes(author)

  if (previous == null) {
    writer.byte(0)
  } else {
    writer.byte(1).raw(previous)
  }

  return writer.list(parents, parent => writer.raw(parent)).bytes(group).uvarint(replicas).bytes(data)
}

/**
 * Hands out views of the input. Throws a MalformedError. Only `decodeEntry` looks whether the author is a key
 */
export function decodeContent (bytes: Uint8Array): Content {
  if (bytes.byteLength < HEAD_BYTES) {
    throw new MalformedError(`${bytes.byteLength} bytes where an entry begins with ${HEAD_BYTES}`)
  }
  if (bytes[0] !== VERSION) {
    throw new MalformedError(`an entry of version ${bytes[0]}, where only ${VERSION} is known`)
  }

  const { time, counter } = readMoment(bytes)
  const reader = new Reader(bytes, HEAD_BYTES)
  const content: Content = {
    time,
    counter,
    author: reader.bytes(MAX_AUTHOR_BYTES),
    previous: readPrevious(reader),
    parents: reader.list(MAX_PARENTS, () => reader.raw(ID_BYTES)),
    group: reader.bytes(MAX_GROUP_BYTES),
    replicas: reader.uvarint(),
    data: reader.bytes(MAX_DATA_BYTES)
  }

  if (!isAscending(content.parents)) {
    throw new MalformedError('the parents are not in order, or one is there twice')
  }
  if (content.replicas > MAX_REPLICAS) {
    throw new MalformedError(`${content.replicas} replicas where at most ${MAX_REPLICAS} are allowed`)
  }
  expectEnd(reader)

  return content
}

/** Reads only when an entry was made. Bytes that are too short for an entry give some moment as well */
export function readMoment (bytes: Uint8Array): { time: number, counter: number } {
  return {
    time: (bytes[1] << 8 | bytes[2]) * 2 ** 32 + ((bytes[3] << 24 | bytes[4] << 16 | bytes[5] << 8 | bytes[6]) >>> 0),
    counter: bytes[7] << 8 | bytes[8]
  }
}

function readPrevious (reader: Reader): Uint8Array | undefined {
  const mark = reader.byte()

  if (mark > 1) {
    throw new MalformedError(`${mark} where 0 or 1 says whether there is a previous entry`)
  }

  return mark === 1 ? reader.raw(ID_BYTES) : undefined
}

function expectEnd ({ left }: Reader): void {
  if (left > 0) {
    throw new MalformedError(`${left} bytes stand behind the end`)
  }
}

function isAscending (ids: Uint8Array[]): boolean {
  for (let i = 1; i < ids.length; i++) {
    if (compare(ids[i - 1], ids[i]) >= 0) {
      return false
    }
  }

  return true
}

function checkContent ({ time, counter, author, previous, parents, group, replicas, data }: Content): void {
  within('time', time, MAX_TIME)
  within('counter', counter, MAX_COUNTER)
  within('replicas', replicas, MAX_REPLICAS)
  within('the length of the author', author.byteLength, MAX_AUTHOR_BYTES)
  within('the length of the group', group.byteLength, MAX_GROUP_BYTES)
  within('the length of the data', data.byteLength, MAX_DATA_BYTES)
  within('the number of parents', parents.length, MAX_PARENTS)

  if (previous != null && previous.byteLength !== ID_BYTES) {
    throw new InvalidContentError(`the previous entry is named by its id, which has ${ID_BYTES} bytes`)
  }
  if (parents.some(({ byteLength }) => byteLength !== ID_BYTES) || !isAscending(parents)) {
    throw new InvalidContentError(`parents are ids of ${ID_BYTES} bytes: sort them, and name each once`)
  }
}

function within (name: string, value: number, max: number): void {
  if (!Number.isInteger(value) || value < 0 || value > max) {
    throw new InvalidContentError(`${name} is ${value}: it has to be a whole number from 0 to ${max}`)
  }
}
