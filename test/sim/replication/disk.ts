import { MemoryDatastore } from 'datastore-core'
import { keyOfBytes } from '../../../src/runtime/keys.ts'
import type { TrueEntry } from '../../../src/log/core/types.ts'

export interface Kept {
  entry: TrueEntry
  position: number
  arrival: number
}

export class DiskError extends Error {
  static name = 'DiskError'
  name = 'DiskError'
}

/** What survives a crash of its node */
export class SimDisk {
  readonly datastore = new MemoryDatastore()
  readonly entries = new Map<string, Kept>()
  readonly marks = new Map<string, number>()
  arrivals = 0
  /** Milliseconds that writing takes, about */
  slowness = 1
  /** Nothing is written: a DiskError says so */
  isFailing = false

  has (id: Uint8Array): boolean {
    return this.entries.has(keyOfBytes(id))
  }
}
