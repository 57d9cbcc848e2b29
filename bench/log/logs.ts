import { randomFillSync } from 'node:crypto'
import { privateKeyFromProtobuf } from '@libp2p/crypto/keys'
import { defaultLogger } from '@libp2p/logger'
import { fromString } from 'uint8arrays/from-string'
import { openLog } from '../../src/log/index.ts'
import { levelAt } from './level.ts'
import type { Place } from './workspace.ts'
import type { Log, LogInit } from '../../src/log/index.ts'
import type { LevelDatastore } from 'datastore-level'

export const DATA_BYTES = 100

/**
 * Bytes of an entry with so much data that its id is the hash of, and with its part of the proof that it shares in its
 * block. Measured: 215 and 286
 */
export const CONTENT_BYTES = 215
export const STORED_BYTES = 286

export interface OpenLog {
  log: Log
  datastore: LevelDatastore
  /** Milliseconds that LevelDB took to open, and the log on it */
  opened: { datastore: number, log: number }
  close (): Promise<void>
}

export interface OpenAtOptions extends Pick<LogInit, 'canAppend'> {
  /** In place of one that does nothing else */
  datastore?: LevelDatastore
}

export async function openAt ({ dir, key }: Place, { datastore = levelAt(dir), canAppend }: OpenAtOptions = {}): Promise<OpenLog> {
  const began = performance.now()
  await datastore.open()
  const between = performance.now()
  const log = await openLog({
    id: 'bench',
    datastore,
    privateKey: privateKeyFromProtobuf(fromString(key, 'base64url')),
    logger: defaultLogger(),
    canAppend
  })
  const opened = { datastore: between - began, log: performance.now() - between }

  return {
    log,
    datastore,
    opened,
    close: async () => {
      await log.close()
      await datastore.close()
    }
  }
}

/** So many pieces of data, no two alike */
export function someData (count: number): Uint8Array[] {
  const all = randomFillSync(new Uint8Array(count * DATA_BYTES))

  return Array.from({ length: count }, (_, i) => all.subarray(i * DATA_BYTES, (i + 1) * DATA_BYTES))
}

/** How many a second, when so many take as long as this runs */
export async function rateOf (count: number, run: () => unknown): Promise<number> {
  const began = performance.now()
  await run()

  return count / (performance.now() - began) * 1_000
}
