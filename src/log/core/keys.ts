import { ID_BYTES } from './types.ts'
import type { Moment } from './hybrid-clock.ts'

/**
 * The keys of the trees: what they are ordered by, and behind it what one wants to know of whom one has found.
 *
 * - ring: position · id · arrival · slot
 * - order: time · counter · id · arrival · slot
 * - arrivals: arrival · id · slot
 * - places: id · position, of entries that have a group; the place of the others is in their id
 */
const POSITION = 4
const MOMENT = 8
const ARRIVAL = 6
const SLOT = 1

export const RING_KEY = POSITION + ID_BYTES + ARRIVAL + SLOT
export const ORDER_KEY = MOMENT + ID_BYTES + ARRIVAL + SLOT
export const ARRIVAL_KEY = ARRIVAL + ID_BYTES + SLOT
export const PLACE_KEY = ID_BYTES + POSITION

/** Where an entry is on the ring: by the hash of its group, or by its own if it has none */
export function positionOf (hash: Uint8Array): number {
  return read(hash, 0, POSITION)
}

/** Where an entry lies: entries that came one after the other lie in one block, which begins with the one of slot 0 */
export interface Location {
  /** How many entries came here before it */
  arrival: number
  slot: number
}

export interface Found extends Location {
  id: Uint8Array
}

const NOWHERE: Location = { arrival: 0, slot: 0 }

/** Without a location: what comes before the key of this id. Without an id: what comes before all of this position */
export function ringKey (position: number, id?: Uint8Array, location = NOWHERE): Uint8Array {
  const key = new Uint8Array(RING_KEY)
  write(key, 0, POSITION, position)
  return put(key, POSITION, id, location)
}

/** The total order of a log: by time, then by id. Two entries of one author never have one time, unless it cheats */
export function orderKey ({ time, counter }: Moment, id?: Uint8Array, location = NOWHERE): Uint8Array {
  const key = new Uint8Array(ORDER_KEY)
  write(key, 0, MOMENT - 2, time)
  write(key, MOMENT - 2, 2, counter)
  return put(key, MOMENT, id, location)
}

export function arrivalKey (arrival: number, id?: Uint8Array, slot = 0): Uint8Array {
  const key = new Uint8Array(ARRIVAL_KEY)
  write(key, 0, ARRIVAL, arrival)
  key.set(id ?? [], ARRIVAL)
  key[ARRIVAL_KEY - 1] = slot
  return key
}

export function placeKey (id: Uint8Array, position = 0): Uint8Array {
  const key = new Uint8Array(PLACE_KEY)
  key.set(id)
  write(key, ID_BYTES, POSITION, position)
  return key
}

export function placeOf (key: Uint8Array): number {
  return read(key, ID_BYTES, POSITION)
}

export function idOnRing (key: Uint8Array): Uint8Array {
  return idAt(key, POSITION)
}

export function foundOnRing (key: Uint8Array): Found {
  return found(key, POSITION)
}

export function foundInOrder (key: Uint8Array): Found {
  return found(key, MOMENT)
}

export function foundByArrival (key: Uint8Array): Found {
  return { id: idAt(key, ARRIVAL), arrival: read(key, 0, ARRIVAL), slot: key[ARRIVAL_KEY - 1] }
}

export function startsWith (key: Uint8Array, prefix: Uint8Array, length: number): boolean {
  for (let i = 0; i < length; i++) {
    if (key[i] !== prefix[i]) {
      return false
    }
  }
  return true
}

/** A copy: of a short array it costs less than a view, and keeps no more than the id */
function idAt (key: Uint8Array, at: number): Uint8Array {
  return key.slice(at, at + ID_BYTES)
}

function found (key: Uint8Array, at: number): Found {
  const end = at + ID_BYTES
  return { id: idAt(key, at), arrival: read(key, end, ARRIVAL), slot: key[end + ARRIVAL] }
}

function put (key: Uint8Array, at: number, id: Uint8Array | undefined, { arrival, slot }: Location): Uint8Array {
  key.set(id ?? [], at)
  write(key, at + ID_BYTES, ARRIVAL, arrival)
  key[at + ID_BYTES + ARRIVAL] = slot
  return key
}

/** Big endian, so that the order of the bytes is that of the numbers */
function write (key: Uint8Array, at: number, length: number, value: number): void {
  for (let i = at + length - 1; i >= at; i--) {
    key[i] = value & 0xff
    value = Math.floor(value / 256)
  }
}

function read (key: Uint8Array, at: number, length: number): number {
  let value = 0
  for (let i = at; i < at + length; i++) {
    value = value * 256 + key[i]
  }
  return value
}
