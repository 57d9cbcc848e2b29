import { equals } from 'uint8arrays/equals'
import { sha256 } from '../runtime/sha256.ts'
import { HASH_BYTES, LEAF_BYTES, MAX_EMPTY, MAX_SIZE } from './constants.ts'
import { LeafChain } from './core/leaves.ts'
import { SourceFailedError } from './errors.ts'
import type { Layout } from './core/leaves.ts'
import type { Chunks, TransferSource } from './index.ts'

/** What is known of a payload before it is sent: how large it is, and the hashes of its leaves */
export interface Survey {
  size: number
  list: Uint8Array
  root: Uint8Array
}

/** A payload, leaf by leaf */
export interface Source {
  /** Whether any leaf can be read at any time */
  readonly isRewindable: boolean
  /** Undefined: it is known when all is read. `pause` is awaited after each leaf */
  survey (pause: () => Promise<void>): Promise<Survey | undefined>
  /**
   * The last leaf is shorter, and may be empty. It is good until the next one is read. Rejects with a SourceFailedError
   */
  leaf (index: number): Uint8Array | Promise<Uint8Array>
  /** What the leaves that were read came to; for one that can be read once */
  root (size: number): Uint8Array
  close (): Promise<void>
}

export function sourceOf (source: TransferSource): Source {
  if (source instanceof Uint8Array) {
    return new BytesSource(source)
  }

  return typeof source === 'function' ? new OpenedSource(source) : new OnceSource(source)
}

class Surveyor {
  readonly #hashes: Uint8Array[] = []
  readonly #chain = new LeafChain()
  #size = 0

  add (leaf: Uint8Array): void {
    const hash = sha256(leaf)
    this.#hashes.push(hash)
    this.#chain.add(hash)
    this.#size += leaf.byteLength
  }

  get result (): Survey {
    const list = new Uint8Array(this.#hashes.length * HASH_BYTES)
    this.#hashes.forEach((hash, i) => { list.set(hash, i * HASH_BYTES) })
    return { size: this.#size, list, root: this.#chain.root(this.#size) }
  }
}

class BytesSource implements Source {
  readonly isRewindable = true
  readonly #bytes: Uint8Array
  #isClosed = false

  constructor (bytes: Uint8Array) {
    this.#bytes = bytes
  }

  async survey (pause: () => Promise<void>): Promise<Survey> {
    const surveyor = new Surveyor()

    for (let at = 0; at < this.#bytes.byteLength && !this.#isClosed; at += LEAF_BYTES) {
      surveyor.add(this.#bytes.subarray(at, at + LEAF_BYTES))
      await pause()
    }

    return surveyor.result
  }

  leaf (index: number): Uint8Array {
    return this.#bytes.subarray(index * LEAF_BYTES, (index + 1) * LEAF_BYTES)
  }

  root (): Uint8Array {
    throw new SourceFailedError('Its root is known before')
  }

  async close (): Promise<void> {
    this.#isClosed = true
  }
}

/**
 * Chunks of any size, as leaves. A leaf is good until the next one is read: who makes chunks may use their memory again
 */
export class Leaves {
  readonly #chunks: Chunks
  readonly #iterator: Iterator<Uint8Array> | AsyncIterator<Uint8Array>
  #chunk: Uint8Array = new Uint8Array(0)
  #hasBegun = false
  #isOver = false

  /** Throws a SourceFailedError */
  constructor (chunks: Chunks) {
    this.#chunks = chunks
    this.#iterator = iteratorOf(chunks)
  }

  async next (): Promise<Uint8Array> {
    await this.#hasChunk()
    const whole = this.#take(LEAF_BYTES)

    if (whole.byteLength === LEAF_BYTES) {
      return whole
    }

    const leaf = new Uint8Array(LEAF_BYTES)
    let length = 0

    for (let part = whole; part.byteLength > 0; part = this.#take(LEAF_BYTES - length)) {
      leaf.set(part, length)
      length += part.byteLength
      length < LEAF_BYTES && await this.#hasChunk()
    }

    return leaf.subarray(0, length)
  }

  #take (bytes: number): Uint8Array {
    const part = this.#chunk.subarray(0, bytes)
    this.#chunk = this.#chunk.subarray(part.byteLength)
    return part
  }

  async close (): Promise<void> {
    if (!this.#isOver) {
      this.#isOver = true
      await this.#iterator.return?.()

      // return() of a generator that has not begun runs none of it: a stream of Node that nobody read stays open
      if (!this.#hasBegun) {
        await disposerOf(this.#chunks)?.call(this.#chunks)
      }
    }
  }

  async #hasChunk (): Promise<void> {
    for (let empty = 0; this.#chunk.byteLength === 0 && !this.#isOver; empty++) {
      this.#hasBegun = true
      const { done, value } = await this.#iterator.next()

      if (done === true) {
        this.#isOver = true
      } else if (!(value instanceof Uint8Array)) {
        throw new SourceFailedError(`A source yields Uint8Arrays, and this one yielded ${typeof value}`)
      } else if (empty === MAX_EMPTY) {
        throw new SourceFailedError(`A source yields bytes, and this one yielded ${MAX_EMPTY} empty chunks in a row`)
      } else {
        this.#chunk = value
      }
    }
  }
}

function iteratorOf (chunks: Chunks): Iterator<Uint8Array> | AsyncIterator<Uint8Array> {
  const { [Symbol.asyncIterator]: ofAsync, [Symbol.iterator]: ofSync } = Object(chunks)
  const open = ofAsync ?? ofSync

  if (typeof open !== 'function') {
    throw new SourceFailedError(`A source is an iterable of Uint8Arrays, and this one is ${typeof chunks}`)
  }

  return open.call(chunks)
}

/** How a stream of Node ends. Browsers may have no such symbol */
function disposerOf (chunks: any): (() => unknown) | undefined {
  return Symbol.asyncDispose == null ? undefined : chunks[Symbol.asyncDispose]
}

/** Can be read once, from its beginning to its end */
class OnceSource implements Source {
  readonly isRewindable = false
  readonly #leaves: Leaves
  readonly #chain = new LeafChain()
  #next = 0

  constructor (chunks: Chunks) {
    this.#leaves = new Leaves(chunks)
  }

  async survey (): Promise<undefined> {}

  async leaf (index: number): Promise<Uint8Array> {
    if (index !== this.#next) {
      throw new SourceFailedError('A source that can be read once was asked for what is behind, or too far ahead')
    }

    const leaf = await this.#leaves.next()
    this.#next++
    leaf.byteLength > 0 && this.#chain.add(sha256(leaf))
    return leaf
  }

  root (size: number): Uint8Array {
    return this.#chain.root(size)
  }

  async close (): Promise<void> {
    await this.#leaves.close()
  }
}

/** Can be opened at any offset */
class OpenedSource implements Source {
  readonly isRewindable = true
  readonly #open: (from: number) => Chunks
  #leaves?: Leaves
  #next = 0
  #isClosed = false

  constructor (open: (from: number) => Chunks) {
    this.#open = open
  }

  async survey (pause: () => Promise<void>): Promise<Survey> {
    const surveyor = new Surveyor()
    let size = 0

    for (let index = 0, leaf = await this.leaf(0); leaf.byteLength > 0; leaf = await this.leaf(++index)) {
      surveyor.add(leaf)
      size += leaf.byteLength
      await pause()

      if (size > MAX_SIZE) {
        throw new SourceFailedError(`It has more than ${MAX_SIZE} bytes: ` +
          'send an iterable of it, which can be read once')
      }
    }

    return surveyor.result
  }

  async leaf (index: number): Promise<Uint8Array> {
    if (index !== this.#next || this.#leaves == null) {
      await this.#leave()

      // while its hashes were made, or it was read elsewhere: nobody would close what is opened now
      if (this.#isClosed) {
        throw new SourceFailedError('It is closed')
      }

      this.#leaves = new Leaves(this.#open(index * LEAF_BYTES))
      this.#next = index
    }

    this.#next++
    return this.#leaves.next()
  }

  root (): Uint8Array {
    throw new SourceFailedError('Its root is known before')
  }

  async close (): Promise<void> {
    this.#isClosed = true
    await this.#leave()
  }

  async #leave (): Promise<void> {
    const leaves = this.#leaves
    this.#leaves = undefined
    await leaves?.close()
  }
}

/**
 * How many leaves of a payload the program has: those that have the hashes of the list, up to the first that has not
 */
export async function leavesInCommon (
  own: Leaves, layout: Layout, list: Uint8Array, goOn: () => Promise<boolean>
): Promise<number> {
  const leaves = Math.ceil((layout.size ?? 0) / LEAF_BYTES)
  let leaf = 0

  for (let isOn = true; leaf < leaves && isOn; leaf++) {
    const hash = sha256((await own.next()).subarray(0, layout.bytesOf(leaf)))

    if (!equals(hash, list.subarray(leaf * HASH_BYTES, (leaf + 1) * HASH_BYTES))) {
      break
    }

    isOn = await goOn()
  }

  return leaf
}

/** What a program has of a payload. Throws a SourceFailedError */
export function leavesOf (have: Uint8Array | Chunks): Leaves {
  return new Leaves(have instanceof Uint8Array ? piecesOf(have) : have)
}

function * piecesOf (bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += LEAF_BYTES) {
    yield bytes.subarray(at, at + LEAF_BYTES)
  }
}
