/**
 * What a page of two-pages.node.ts can do with a log, which lies in the IndexedDB that all pages share
 */
import { generateKeyPair } from '@libp2p/crypto/keys'
import { defaultLogger } from '@libp2p/logger'
import { IDBDatastore } from 'datastore-idb'
import { toString } from 'uint8arrays/to-string'
import { openLog } from '../../src/log/index.ts'
import { encodeString } from '../../src/runtime/codec.ts'
import type { Log } from '../../src/log/index.ts'

export interface LogPage {
  /** Opens the log. What became of it: 'open', or the name of an error and its message */
  open (): Promise<string>
  /** Appends so many entries, one by one */
  append (count: number, prefix: string): Promise<void>
  /** What all entries of the log say */
  read (): Promise<string[]>
  close (): Promise<void>
}

let log: Log

const page: LogPage = {
  open: async () => {
    const datastore = new IDBDatastore('two-pages')
    await datastore.open()

    try {
      log = await openLog({ id: 'L', datastore, privateKey: await generateKeyPair('Ed25519'), logger: defaultLogger() })
      return 'open'
    } catch (err: any) {
      await datastore.close()
      return `${err.name}: ${err.message}`
    }
  },
  append: async (count, prefix) => {
    for (let i = 0; i < count; i++) {
      await log.append(encodeString(`${prefix}${i}`))
    }
  },
  read: async () => {
    const all: string[] = []
    for await (const { data } of log.entries()) {
      all.push(toString(data))
    }
    return all
  },
  close: async () => log.close()
}

Object.assign(globalThis, { page })
