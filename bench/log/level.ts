import { LevelDatastore } from 'datastore-level'
import type { Batch, Key } from 'interface-datastore'

/**
 * What users are advised to open LevelDB with: a larger buffer costs memory and gains little, and signatures and
 * hashes do not compress
 */
const ADVISED = { writeBufferSize: 4 * 1024 * 1024, compression: false }

/** LevelDB as every log of the benches has it, and every limit that is made of it */
export function levelAt (dir: string): LevelDatastore {
  return new LevelDatastore(dir, ADVISED)
}

/**
 * The same LevelDB, but it counts the bytes that it is handed: all keys and values, and the keys that are deleted
 */
export class CountingLevel extends LevelDatastore {
  handed = 0

  constructor (dir: string) {
    super(dir, ADVISED)
  }

  // not async: the caller sees the same promises as without the count
  put (...args: Parameters<LevelDatastore['put']>): ReturnType<LevelDatastore['put']> {
    this.#count(args[0], args[1])

    return super.put(...args)
  }

  delete (...args: Parameters<LevelDatastore['delete']>): ReturnType<LevelDatastore['delete']> {
    this.#count(args[0])

    return super.delete(...args)
  }

  batch (): Batch {
    const batch = super.batch()

    return {
      put: (key, value) => {
        this.#count(key, value)
        batch.put(key, value)
      },
      delete: key => {
        this.#count(key)
        batch.delete(key)
      },
      commit: options => batch.commit(options)
    }
  }

  #count (key: Key, value?: Uint8Array): void {
    this.handed += key.uint8Array().byteLength + (value?.byteLength ?? 0)
  }
}
