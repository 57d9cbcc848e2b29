import {
  chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, symlink, writeFile
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import { MemoryDatastore } from 'datastore-core'
import { LevelDatastore } from 'datastore-level'
import { FailedError, oneLine, StoreInUseError } from './errors.ts'
import { MEMORY, otherStore } from './flags.ts'
import { quote } from './text.ts'
import type { PrivateKey } from '@libp2p/interface'
import type { Datastore } from 'interface-datastore'

/** For nobody but the user */
const KEY_MODE = 0o600
const DIRECTORY_MODE = 0o700

export interface Store {
  /** Undefined: in memory */
  dir?: string
  datastore: Datastore
  privateKey: PrivateKey
  /** The disk is read-only: what a program writes here is gone when the store is closed */
  isReadOnly: boolean
  close(): Promise<void>
}

/** Nothing can be written in the directory of a store */
class ReadOnlyError extends FailedError {
  static name = 'ReadOnlyError'
  name = 'ReadOnlyError'
}

/**
 * What a node keeps from one life to the next: a database, and beside it the key by which others know the node.
 * `isToRead`: one on a disk that is read-only will do
 */
export async function openStore (dir: string, isToRead: boolean): Promise<Store> {
  if (dir === MEMORY) {
    const privateKey = await generateKeyPair('Ed25519')
    return { datastore: new MemoryDatastore(), privateKey, isReadOnly: false, close: async () => {} }
  }

  try {
    return await openDir(dir)
  } catch (err) {
    if (isToRead && err instanceof ReadOnlyError) {
      return openCopy(dir)
    }
    throw err
  }
}

async function openDir (dir: string): Promise<Store> {
  const datastore = await openLevel(dir)

  try {
    // whoever has the database has the key: no two nodes make one at a time
    const privateKey = await loadKey(join(dir, 'key'))
    return { dir, datastore, privateKey, isReadOnly: false, close: async () => datastore.close() }
  } catch (err) {
    await datastore.close()
    throw err
  }
}

/** Files of LevelDB that never change, and that hold nearly everything */
const TABLE = /\.(ldb|sst)$/
/** Files that a copy does without: the lock of the database, and what LevelDB tells people */
const UNUSED = /^LO(CK|G(\.old)?)$/

/** LevelDB writes also where it only reads. So it gets links to the tables, and copies of the few files beside them */
async function openCopy (dir: string): Promise<Store> {
  const copy = await mkdtemp(join(tmpdir(), 'sheaf-read-only-'))
  const [from, to] = [resolve(dir, 'log'), join(copy, 'log')]
  const remove = async (): Promise<void> => rm(copy, { recursive: true, force: true })

  try {
    await mkdir(to)

    for (const name of (await readdir(from)).filter(name => !UNUSED.test(name))) {
      await (TABLE.test(name) ? symlink : copyFile)(join(from, name), join(to, name))
    }

    const key = await readFile(join(dir, 'key')).catch(() => undefined)
    key != null && await writeFile(join(copy, 'key'), key, { mode: KEY_MODE })
    const store = await openDir(copy)
    return { ...store, dir, isReadOnly: true, close: async () => store.close().finally(remove) }
  } catch (err) {
    await remove()
    throw err
  }
}

/** Whether there is one, to look at */
export async function hasStore (dir: string): Promise<boolean> {
  return stat(join(dir, 'log')).then(() => true, () => false)
}

async function openLevel (dir: string): Promise<LevelDatastore> {
  try {
    // one that is there stays as its owner wants it
    await mkdir(dir, { recursive: true, mode: DIRECTORY_MODE })
    const datastore = new LevelDatastore(join(dir, 'log'))
    // LevelDB itself says why it does not open, the datastore does not
    await datastore.db.open()
    await datastore.open()
    return datastore
  } catch (err: any) {
    if (err.cause?.code === 'LEVEL_LOCKED') {
      throw new StoreInUseError(`${dir} is in use by another node that runs: ` +
        `give this one a store of its own, with --store ${quote(otherStore(dir))}`)
    }
    throw whyNotOpened(dir, oneLine(err.cause ?? err))
  }
}

/** LevelDB tells what is wrong in words alone, and as the system does */
function whyNotOpened (dir: string, reason: string): FailedError {
  if (/No space left|ENOSPC|quota|EDQUOT/i.test(reason)) {
    return new FailedError(`There is no space left for the store in ${dir}, which needs some to be opened: ` +
      'make room, and run it again')
  }
  if (/Read-only|EROFS/i.test(reason)) {
    return new ReadOnlyError(`The store in ${dir} is read-only, and a node writes to its store: ` +
      'copy it, and name the copy with --store')
  }
  if (/Permission denied|EACCES|EPERM/i.test(reason)) {
    // somebody else may be writing it: a copy of that could be half of one state and half of another
    return new FailedError(`This user may not write in ${dir}, which is necessary even to read the store: ` +
      'run this as the user whose store it is')
  }
  return new FailedError(`The store in ${dir} cannot be opened (${reason}): name another place with --store`)
}

async function loadKey (path: string): Promise<PrivateKey> {
  const bytes = await readFile(path).catch(err => {
    if (err.code !== 'ENOENT') {
      throw new FailedError(`The key in ${path} cannot be read (${oneLine(err)}): see to it that this user may read it`)
    }
  })

  if (bytes == null) {
    return createKey(path)
  }

  try {
    return privateKeyFromProtobuf(bytes)
  } catch (err: any) {
    throw new FailedError(`${path} does not hold a key (${oneLine(err)}): put the right one back, or move it away, ` +
      'and this node gets a new one')
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
