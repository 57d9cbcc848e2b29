import { chmod, mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import { MemoryDatastore } from 'datastore-core'
import { LevelDatastore } from 'datastore-level'
import { MEMORY, otherStore, quote, UsageError } from './options.ts'
import type { PrivateKey } from '@libp2p/interface'
import type { Datastore } from 'interface-datastore'

/** For nobody but the user */
const KEY_MODE = 0o600

export interface Store {
  datastore: Datastore
  privateKey: PrivateKey
  close(): Promise<void>
}

/**
 * What a node keeps from one life to the next: a database, and beside it the key by which others know the node
 */
export async function openStore (dir: string): Promise<Store> {
  if (dir === MEMORY) {
    return { datastore: new MemoryDatastore(), privateKey: await generateKeyPair('Ed25519'), close: async () => {} }
  }

  const datastore = await openLevel(dir)

  try {
    // whoever has the database has the key: no two nodes make one at a time
    return { datastore, privateKey: await loadKey(join(dir, 'key')), close: async () => datastore.close() }
  } catch (err) {
    await datastore.close()
    throw err
  }
}

async function openLevel (dir: string): Promise<LevelDatastore> {
  try {
    await mkdir(dir, { recursive: true })
    const datastore = new LevelDatastore(join(dir, 'log'))
    // LevelDB itself says why it does not open, the datastore does not
    await datastore.db.open()
    await datastore.open()
    return datastore
  } catch (err: any) {
    if (err.cause?.code === 'LEVEL_LOCKED') {
      throw new UsageError(`${dir} is in use by another node that runs: give this one a store of its own, with --store ${quote(otherStore(dir))}`)
    }
    throw new UsageError(`The store in ${dir} cannot be opened (${err.cause?.message ?? err.message}): name another place with --store`)
  }
}

async function loadKey (path: string): Promise<PrivateKey> {
  const bytes = await readFile(path).catch(err => {
    if (err.code !== 'ENOENT') {
      throw new UsageError(`The key in ${path} cannot be read (${err.message})`)
    }
  })

  if (bytes == null) {
    return createKey(path)
  }

  try {
    return privateKeyFromProtobuf(bytes)
  } catch (err: any) {
    throw new UsageError(`${path} does not hold a key (${err.message}): move it away, and this node gets a new one`)
  }
}

/** Whole, or not at all */
async function createKey (path: string): Promise<PrivateKey> {
  const key = await generateKeyPair('Ed25519')
  const draft = `${path}.new`
  await writeFile(draft, privateKeyToProtobuf(key), { mode: KEY_MODE })
  // one that was left behind keeps the mode that it had
  await chmod(draft, KEY_MODE)
  await rename(draft, path)
  return key
}
