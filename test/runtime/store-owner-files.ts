import { readFile, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { BaseDatastore, MemoryDatastore } from 'datastore-core'
import { Key } from 'interface-datastore'
import type { Pair } from 'interface-datastore'

let written = 0

/** A file for each key, in a directory that any number of processes may use */
export class FileDatastore extends BaseDatastore {
  readonly #dir: string

  constructor (dir: string) {
    super()
    this.#dir = dir
  }

  async put (key: Key, value: Uint8Array): Promise<Key> {
    const path = this.#pathOf(key)
    const unfinished = `${path}.${process.pid}.${written++}`
    await writeFile(unfinished, value)
    await rename(unfinished, path)
    return key
  }

  async get (key: Key): Promise<Uint8Array> {
    try {
      return await readFile(this.#pathOf(key))
    } catch (err: any) {
      // says by itself that there is nothing
      return err.code === 'ENOENT' ? new MemoryDatastore().get(key) : Promise.reject(err)
    }
  }

  async has (key: Key): Promise<boolean> {
    return (await readdir(this.#dir)).includes(encodeURIComponent(key.toString()))
  }

  async delete (key: Key): Promise<void> {
    await rm(this.#pathOf(key), { force: true })
  }

  async * _all (): AsyncGenerator<Pair> {
    for await (const key of this._allKeys()) {
      yield { key, value: await this.get(key) }
    }
  }

  async * _allKeys (): AsyncGenerator<Key> {
    for (const name of await readdir(this.#dir)) {
      if (!name.includes('.')) {
        yield new Key(decodeURIComponent(name), false)
      }
    }
  }

  #pathOf (key: Key): string {
    return join(this.#dir, encodeURIComponent(key.toString()))
  }
}
