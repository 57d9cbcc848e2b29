import { isNewer } from '../../../src/replication/core/info.ts'
import type { Document } from '../../../src/replication/core/info.ts'
import type { Segment } from '../../../src/replication/core/ring.ts'
import type { Key } from '../../../src/replication/core/types.ts'

/** A letter stands for a segment. None touches another, so that what is kept can be reckoned with as letters, beside the ring */
const LETTERS = 'abcdefgh'
const WIDTH = 10
const STEP = 100

/** What was made, by the text in its bytes: a disk has only these */
const made = new Map<string, Document>()

export function segmentsOf (letters: string): Segment[] {
  return [...letters].map(letter => ({ from: LETTERS.indexOf(letter) * STEP, width: WIDTH }))
}

export function lettersOf (segments: readonly Segment[]): string {
  return segments.map(({ from }) => LETTERS[from / STEP]).join('')
}

export function full (owner: Key, epoch: number, sequence: number, letters: string): Document {
  const bytes = Uint8Array.from(`${owner} ${epoch} ${sequence} is ${letters}`, letter => letter.charCodeAt(0))
  const document = { owner, epoch, sequence, segments: segmentsOf(letters), bytes }
  made.set(textOf(bytes), document)
  return document
}

export function textOf (bytes: Uint8Array): string {
  return String.fromCharCode(...bytes)
}

export function documentOf (bytes: Uint8Array): Document {
  return made.get(textOf(bytes)) as Document
}

/** The same, said once more */
export function again ({ owner, epoch, sequence, segments }: Document): Document {
  return full(owner, epoch, sequence, lettersOf(segments))
}

/** The newest of these */
export function newestOf (documents: readonly Document[]): Document | undefined {
  return documents.reduce<Document | undefined>((newest, other) => newest == null || isNewer(other, newest) ? other : newest, undefined)
}
