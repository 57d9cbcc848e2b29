import { constants, createReadStream } from 'node:fs'
import { lstat, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { numbered } from './file-name.ts'
import type { FileHandle } from 'node:fs/promises'

/** Numbers that are tried for a name that is taken. A guess */
const MAX_NUMBER = 10_000

/**
 * A file that is not all there. It becomes one under its name at once: whoever sees the name sees all of it
 */
export class Part {
  readonly path: string
  readonly #handle: FileHandle
  #size: number

  constructor (path: string, handle: FileHandle, size: number) {
    this.path = path
    this.#handle = handle
    this.#size = size
  }

  /** Bytes that are in it */
  get size (): number {
    return this.#size
  }

  /** What is in it. It is opened when it is read, so nobody has to close what nobody has read */
  async * read (): AsyncGenerator<Uint8Array> {
    yield * createReadStream(this.path, { highWaterMark: 1 << 20 })
  }

  async cut (size: number): Promise<void> {
    await this.#handle.truncate(size)
    this.#size = size
  }

  async append (bytes: Uint8Array): Promise<void> {
    for (let written = 0; written < bytes.byteLength;) {
      const { bytesWritten } = await this.#handle.write(bytes, written, bytes.byteLength - written, this.#size)
      written += bytesWritten
      this.#size += bytesWritten
    }
  }

  async close (): Promise<void> {
    await this.#handle.close()
  }

  /** An empty one is of no use to anybody */
  async discard (): Promise<void> {
    await this.#handle.close()
    this.#size === 0 && await rm(this.path, { force: true })
  }

  /** Gives it its name, or one with a number where that is taken, safe from a loss of power. Returns where it lies */
  async finish (dir: string, name: string): Promise<string> {
    await this.#handle.sync()
    await this.#handle.close()

    for (let number = 1; number < MAX_NUMBER; number++) {
      const path = join(dir, number === 1 ? name : numbered(name, number))

      // rename() alone would put it in the place of what is there
      if (await isMade(path)) {
        await rename(this.path, path).catch(async err => {
          await rm(path, { force: true })
          throw err
        })
        await syncDirectory(dir)
        return path
      }
    }

    throw new Error(`There are ${MAX_NUMBER} files called ${name} and so on`)
  }
}

/**
 * Goes on with what is there, or begins. Undefined: what is there is none of ours: a link, a directory, a file with two
 * names
 */
export async function openPart (path: string): Promise<Part | undefined> {
  const found = await lstat(path).catch(err => {
    if (err.code !== 'ENOENT') {
      throw err
    }
  })

  if (found == null) {
    return new Part(path, await open(path, 'wx+'), 0)
  }
  if (found.isFile() && found.nlink === 1) {
    // Windows has no links that would have to be left alone
    return new Part(path, await open(path, constants.O_RDWR | (constants.O_NOFOLLOW ?? 0)), found.size)
  }
}

/** Whether nothing had this name. Then it is an empty file now, and nobody else gets the name */
async function isMade (path: string): Promise<boolean> {
  try {
    await (await open(path, 'wx')).close()
    return true
  } catch (err: any) {
    if (err.code === 'EEXIST') {
      return false
    }
    throw err
  }
}

/** Some systems cannot do that, and need not */
async function syncDirectory (dir: string): Promise<void> {
  const handle = await open(dir, 'r').catch(() => undefined)
  await handle?.sync().catch(() => {})
  await handle?.close()
}
