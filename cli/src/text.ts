import { basename } from 'node:path'
import { RING } from 'libp2p-sheaf'
import type { FileEvent } from './events.ts'
import type { Segment } from 'libp2p-sheaf'

/** Letters of the name of a file in a line: with a bar and two long numbers behind it, a line has 80 */
export const NAME_WIDTH = 20

/** The last letters of a peer id tell peers apart; the first ones are all the same */
export const short = (peer: { toString(): string }): string => peer.toString().slice(-6)

/** What others write moves no cursor and rings no bell */
export const printable = (text: string): string => text.replace(/\p{Cc}/gu, '�')

/** As a shell takes it for one word */
export function quote (word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
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

/** A stream as lines: only a line feed ends one, so that what was written as lines of JSON comes back as such */
export async function * linesOf (stream: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''

  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop() as string
    yield * lines
  }
  if (rest !== '') {
    yield rest
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
