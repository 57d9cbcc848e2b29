import { RING } from '../src/replication/core/ring.ts'
import type { Segment } from '../src/index.ts'

/** The last letters of a peer id tell peers apart; the first ones are all the same */
export const short = (peer: { toString(): string }): string => peer.toString().slice(-6)

/** What others write moves no cursor and rings no bell */
export const printable = (text: string): string => text.replace(/\p{Cc}/gu, '�')

/** As a shell takes it for one word */
export function quote (word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}

export const count = (number: number, one: string, many = `${one}s`): string => `${number.toLocaleString('en')} ${number === 1 ? one : many}`

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
