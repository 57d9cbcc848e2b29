import { isNewer } from '../../../src/replication/core/info.ts'
import type { Delta, Document, Full, Info, Version } from '../../../src/replication/core/info.ts'
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

export function full (owner: Key, epoch: number, sequence: number, letters: string): Full {
  return keep({ type: 'full', owner, epoch, sequence, segments: segmentsOf(letters), bytes: write(`${owner} ${epoch} ${sequence} is ${letters}`) })
}

export function delta (owner: Key, epoch: number, sequence: number, added: string, removed = '', base = sequence - 1): Delta {
  const bytes = write(`${owner} ${epoch} ${sequence} on ${base} +${added} -${removed}`)
  return keep({ type: 'delta', owner, epoch, sequence, base, added: segmentsOf(added), removed: segmentsOf(removed), bytes })
}

export function textOf (bytes: Uint8Array): string {
  return String.fromCharCode(...bytes)
}

export function documentOf (bytes: Uint8Array): Document {
  return made.get(textOf(bytes)) as Document
}

/** How new it is, by what was signed, whatever became of it since */
export function versionOf (info: Info): Version {
  return documentOf(info.documents.at(-1) as Uint8Array)
}

/** What an owner keeps after these, in letters */
export function lettersAfter (documents: readonly Document[]): string {
  let letters = ''

  for (const document of documents) {
    const removed = document.type === 'delta' ? lettersOf(document.removed) : letters
    const added = lettersOf(document.type === 'delta' ? document.added : document.segments)
    letters = [...new Set([...letters].filter(letter => !removed.includes(letter)).concat(...added))].sort().join('')
  }

  return letters
}

/** All that an owner says, as a new one needs to hear it */
export function summary (documents: readonly Document[]): Full {
  const { owner, epoch, sequence } = documents.at(-1) as Document
  return full(owner, epoch, sequence, lettersAfter(documents))
}

/** The newest that can be known of one owner after these, in this order */
export function fold (documents: readonly Document[]): Version | undefined {
  let newest: Version | undefined

  for (const document of documents) {
    const fits = document.type === 'full' || (newest?.epoch === document.epoch && newest.sequence === document.base)

    if (fits && (newest == null || isNewer(document, newest))) {
      newest = document
    }
  }

  return newest
}

function write (text: string): Uint8Array {
  return Uint8Array.from(text, letter => letter.charCodeAt(0))
}

function keep<T extends Document> (document: T): T {
  made.set(textOf(document.bytes), document)
  return document
}
