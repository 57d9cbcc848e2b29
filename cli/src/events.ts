import { fromString } from 'uint8arrays/from-string'
import { toString } from 'uint8arrays/to-string'
import { short } from './text.ts'
import type { PeerId } from '@libp2p/interface'
import type { Entry } from 'libp2p-sheaf'

export interface EntryEvent {
  type: 'entry'
  id: string
  author: string
  /** Whether this node made it */
  own: boolean
  /** Milliseconds since 1970, as its author says */
  time: number
  text?: string
  /** In base64, where it is no text */
  data?: string
}

export interface StatusEvent {
  type: 'status'
  log: string
  peer: string
  /** Missing: in memory */
  store?: string
  /** Whether a node that runs said it, or the store was opened only to look */
  running: boolean
  length: number
  bytes: number
  heads: number
  /**
   * `here`: not lost and waited for; `ring`: what it announced; `entries`: the share of all entries that it keeps with
   * that, from 0 to 1
   */
  replicators: Array<{
    peer: string, self: boolean, state: 'joined' | 'mature', here: boolean, ring: number, entries: number
  }>
  /** The share of all entries that somebody keeps who is here, and how many keep those that fewest keep */
  coverage: number
  copies: number
  /** How many copies there should be */
  wanted: number
  synced: boolean
  /** `equalAt`: when a comparison found no difference, in milliseconds since 1970 */
  peers: Array<{ peer: string, equalAt?: number, missing: number }>
  problems: string[]
  /** No single node can take an entry with it, as far as this one can know */
  safe: boolean
}

export interface ProgressEvent {
  type: 'progress'
  what: string
  done: number
  total?: number
}

/** A file that goes from one peer to another */
export interface FileEvent {
  type: 'file'
  direction: 'in' | 'out'
  /** 'stored': the receiver has all of it, verified, under its name */
  is: 'begun' | 'stored'
  /** The other side */
  peer: string
  name: string
  /** Bytes in all, and those that the receiver had before */
  size: number
  from: number
  /** Where it lies; at the receiver, when it is stored */
  path?: string
  /** Seconds that the transfer took, once the file is stored */
  seconds?: number
}

/** What a command has to say: a line of JSON each, or in words */
export type Event =
  | EntryEvent
  | StatusEvent
  | ProgressEvent
  | FileEvent
  /**
   * An entry that was appended is stored here, and at so many others of which that was waited for; `missing`: not all
   * of so many have said so in time
   */
  | { type: 'stored', id: string, others: number }
  | { type: 'stored', others: 0, missing: number }
  /** Without a `share` it is gone */
  | { type: 'replicator', peer: string, is: 'here' | 'changed' | 'gone', share?: number }
  | {
    type: 'listening',
    peer: string,
    log: string,
    length: number,
    store?: string,
    addresses: string[],
    join?: string,
    inspector?: string,
    metrics?: string
  }
  /** Files are taken here; `send` is the line with which another one sends some */
  | { type: 'receiving', peer: string, dir: string, addresses: string[], send: string }
  | { type: 'closing' }
  | { type: 'measured', case: string, value: number, unit: string }
  | { type: 'note', message: string }
  | { type: 'error', message: string }

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export function entryEvent ({ id, author, clock, data }: Entry, self: PeerId): EntryEvent {
  const event: EntryEvent = {
    type: 'entry', id: id.toString(), author: author.toString(), own: author.equals(self), time: Number(clock.time)
  }

  try {
    return { ...event, text: strict.decode(data) }
  } catch {
    // what is not text is told as what it is
    return { ...event, data: toString(data, 'base64') }
  }
}

/** As text, whatever it is */
export const textOf = ({ text, data = '' }: EntryEvent): string =>
  text ?? new TextDecoder().decode(fromString(data, 'base64'))

/** As it was appended */
export const bytesOf = ({ text, data = '' }: EntryEvent): Uint8Array =>
  text == null ? fromString(data, 'base64') : new TextEncoder().encode(text)

/** As in a conversation */
export const spoken = (event: EntryEvent): string => `${event.own ? 'you' : short(event.author)}> ${textOf(event)}`
