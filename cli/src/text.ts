import { isUtf8 } from 'node:buffer'
import { basename } from 'node:path'
import { RING } from 'libp2p-sheaf'
import { concat } from 'uint8arrays/concat'
import { FailedError, NotTextError } from './errors.ts'
import type { FileEvent } from './events.ts'
import type { Segment } from 'libp2p-sheaf'

/** Letters of a line */
export const WIDTH = 80

/** Letters of the name of a file in a line: with a bar and two long numbers behind it, a line has 80 */
export const NAME_WIDTH = 20

const LINE_FEED = 10

/** Bytes of a line that are kept until it ends: more than any entry may have, also as JSON */
const MAX_BYTES = 64_000_000

/** The last letters of a peer id tell peers apart; the first ones are all the same */
export const short = (peer: { toString(): string }): string => peer.toString().slice(-6)

/** What others write moves no cursor and rings no bell */
export const printable = (text: string): string => text.replace(/\p{Cc}/gu, '�')

/** As a shell takes it for one word */
export function quote (word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}

/** Breaks it between words. A word that is too long has a line of its own, as nobody could copy a part of it */
export function inLines (text: string, width: number): string[] {
  const lines = ['']

  for (const word of text.split(/\s+/)) {
    const last = lines[lines.length - 1]

    if (last.length + word.length + 1 > width && last !== '') {
      lines.push(word)
    } else {
      lines[lines.length - 1] = last === '' ? word : `${last} ${word}`
    }
  }
  return lines
}

export const count = (number: number, one: string, many = `${one}s`): string =>
  `${number.toLocaleString('en')} ${number === 1 ? one : many}`

export const percent = (share: number): string => `${Number((share * 100).toPrecision(2))} %`

/** How much of the ring it is, from 0 to 1 */
export const widthOf = (segments: Segment[]): number => segments.reduce((sum, { width }) => sum + width, 0) / RING

export const ringInWords = (share: number): string => share === 1 ? 'all of it' : `${percent(share)} of the ring`

export function bytesInWords (bytes: number): string {
  const unit = ['B', 'kB', 'MB', 'GB'].findLast((_, i) => i === 0 || bytes >= 1000 ** i) as string
  return `${Number((bytes / 1000 ** ['B', 'kB', 'MB', 'GB'].indexOf(unit)).toPrecision(3))} ${unit}`
}

/** A stream as lines of text: what is none is refused, not altered */
export async function * linesOf (stream: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  // a mark at the beginning belongs to the text, too
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

  for await (const line of textLinesOf(stream)) {
    yield decoder.decode(line)
  }
}

/** The same, not decoded */
export async function * textLinesOf (stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let number = 0

  for await (const line of byteLinesOf(stream)) {
    number++

    if (!isUtf8(line)) {
      throw new NotTextError(`line ${number} is no text in UTF-8. 'sheaf append --raw' keeps all of its stdin as ` +
        'one entry, byte for byte')
    }
    yield line
  }
}

/** Only a line feed ends one, so that what was written as lines of JSON comes back as such */
async function * byteLinesOf (stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let parts: Uint8Array[] = []
  let size = 0

  for await (const chunk of stream) {
    let from = 0

    for (let to = chunk.indexOf(LINE_FEED); to >= 0; to = chunk.indexOf(LINE_FEED, from)) {
      yield concat([...parts, chunk.subarray(from, to)])
      parts = []
      size = 0
      from = to + 1
    }

    parts.push(chunk.subarray(from))
    size += chunk.byteLength - from
    checkSize(size)
  }
  if (size > 0) {
    yield concat(parts)
  }
}

/** All of a stream at once */
export async function bytesOf (stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let size = 0

  for await (const chunk of stream) {
    parts.push(chunk)
    size += chunk.byteLength
    checkSize(size)
  }
  return concat(parts)
}

function checkSize (bytes: number): void {
  if (bytes > MAX_BYTES) {
    throw new FailedError(`what is to be one entry has more than ${bytesInWords(MAX_BYTES)}: ` +
      "split it, or send it as a file with 'sheaf send'")
  }
}

/** No wider than so many columns: what is longer loses its end. A letter that is not Latin may take two */
export function clipped (text: string, columns: number): string {
  let width = 0

  for (let at = 0; at < text.length; at++) {
    width += text.charCodeAt(at) < 0x300 ? 1 : 2

    if (width > columns) {
      return `${text.slice(0, Math.max(0, at - 1)).replace(/[\uD800-\uDBFF]$/, '')}…`
    }
  }
  return text
}

export function secondsInWords (seconds: number): string {
  return seconds < 60
    ? `${Number(seconds.toPrecision(2))} s`
    : `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`
}

export function fileInWords ({ direction, is, peer, name, size, from, path, seconds = 0 }: FileEvent): string {
  const what = clipped(name, NAME_WIDTH)

  if (is === 'begun') {
    const rest = from === 0
      ? ''
      : `; ${bytesInWords(from)} ${direction === 'in' ? 'are here' : 'of it are there'} already`
    const who = direction === 'in' ? `${short(peer)} sends ${what}` : `Sending ${what} to ${short(peer)}`
    return `${who}, ${bytesInWords(size)}${rest}`
  }

  const came = size - from
  const rate = came === 0
    ? ''
    : `: ${bytesInWords(came)} in ${secondsInWords(seconds)}, ${bytesInWords(came / Math.max(seconds, 0.001))}/s`
  return direction === 'in'
    ? `${clipped(basename(path ?? name), NAME_WIDTH)} is here${rate}`
    : `${what} is stored there${rate}`
}
