/**
 * A process with a shared log on LevelDB, which a soak tells what to do: see replication.ts. What it is told and what it says are the
 * types below.
 */
import { privateKeyFromProtobuf } from '@libp2p/crypto/keys'
import { multiaddr } from '@multiformats/multiaddr'
import { LevelDatastore } from 'datastore-level'
import { fromString } from 'uint8arrays/from-string'
import { name } from '../fixtures/logs.ts'
import { createLogNode, namesIn, openAt } from '../fixtures/sharedlogs.ts'
import type { Replicate } from '../../src/index.ts'

export type Told =
  | { type: 'dial', addresses: string[] }
  | { type: 'append', count: number, size: number, group?: string }
  | { type: 'share', replicate: Replicate }
  | { type: 'look', id: number }

export interface Looked {
  type: 'looked'
  id: number
  names: string[]
  problems: string[]
  heap: number
  rss: number
}

export type Said = { type: 'ready', address: string } | { type: 'appended', names: string[] } | { type: 'failed', reason: string } | Looked

const [dir, key] = process.argv.slice(2)

function say (what: Said): void {
  process.send?.(what)
}

async function run (): Promise<void> {
  const datastore = new LevelDatastore(dir)
  await datastore.open()
  const node = await createLogNode({ datastore, privateKey: privateKeyFromProtobuf(fromString(key, 'base64url')) })
  const log = await openAt(node, { maturity: 1_000, grace: 5_000 })
  let appended = 0

  const handle = async (told: Told): Promise<void> => {
    switch (told.type) {
      case 'dial':
        await Promise.all(told.addresses.map(async address => node.dial(multiaddr(address))))
        break
      case 'append': {
        const group = told.group == null ? undefined : fromString(told.group)
        const entries = await Promise.all(Array.from({ length: told.count }, async () => {
          const data = new Uint8Array(told.size)
          new DataView(data.buffer).setFloat64(0, Date.now() + appended++ / 1_000)
          return log.append(data, { group })
        }))
        say({ type: 'appended', names: entries.map(name) })
        break
      }
      case 'share':
        await log.replicate(told.replicate)
        break
      case 'look': {
        globalThis.gc?.()
        const { heapUsed, rss } = process.memoryUsage()
        say({ type: 'looked', id: told.id, names: await namesIn(log), problems: log.diagnostics().problems, heap: heapUsed, rss })
      }
    }
  }

  process.on('message', (told: Told) => {
    // one that was killed cannot be dialled
    handle(told).catch(err => { told.type !== 'dial' && say({ type: 'failed', reason: `${told.type}: ${err.stack}` }) })
  })
  // its soak is gone
  process.on('disconnect', () => { process.exit() })
  say({ type: 'ready', address: `${node.getMultiaddrs()[0]}` })
}

await run()
