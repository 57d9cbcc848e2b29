import { mkdtempSync, rmSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generateKeyPair, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import { toString } from 'uint8arrays/to-string'

/** Where a log lies, and who appends to it: the same author whoever opens it */
export interface Place {
  dir: string
  /** The private key, encoded by libp2p, in base64url */
  key: string
}

/**
 * A directory for the databases of one run. Nothing of it is left, however the run ends.
 */
export class Workspace {
  readonly #root = mkdtempSync(join(tmpdir(), 'bench-log-'))
  readonly #key: string
  readonly #onExit = (): void => { rmSync(this.#root, { recursive: true, force: true, maxRetries: 3 }) }
  #places = 0

  static async open (): Promise<Workspace> {
    return new Workspace(toString(privateKeyToProtobuf(await generateKeyPair('Ed25519')), 'base64url'))
  }

  private constructor (key: string) {
    this.#key = key
    process.once('exit', this.#onExit)
  }

  /** Nothing lies there yet */
  place (): Place {
    return { dir: join(this.#root, `${this.#places++}`), key: this.#key }
  }

  /** Runs with a new place, of which nothing is left: a million entries are half a gigabyte */
  async with <T> (use: (place: Place) => Promise<T>): Promise<T> {
    const place = this.place()

    try {
      return await use(place)
    } finally {
      await rm(place.dir, { recursive: true, force: true, maxRetries: 3 })
    }
  }

  async close (): Promise<void> {
    process.off('exit', this.#onExit)
    await rm(this.#root, { recursive: true, force: true, maxRetries: 3 })
  }
}
