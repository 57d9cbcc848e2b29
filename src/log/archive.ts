import { isUint8ArrayList } from 'uint8arraylist'
import { equals } from 'uint8arrays/equals'
import { untilAborted } from '../runtime/aborted.ts'
import { encodeString, Writer } from '../runtime/codec.ts'
import { keyOfBytes } from '../runtime/keys.ts'
import { MAX_LOG_ID_BYTES } from './constants.ts'
import { MAX_CONTENT_BYTES } from './core/entry.ts'
import { MAX_PROOF_BYTES } from './core/merkle.ts'
import { EntryId } from './entry-id.ts'
import { ArchiveCutError, InvalidArchiveError, InvalidEntryIdError } from './errors.ts'
import { LogEntry } from './log-entry.ts'
import type { RawEntry } from './core/types.ts'
import type { Bytes, Entry, ExportOptions, Imported, JoinOutcome, Log } from './index.ts'
import type { AbortOptions } from '@libp2p/interface'
import type { Uint8ArrayList } from 'uint8arraylist'

/** What an archive begins with. docs/protocol.md has all of the form */
const MAGIC = encodeString('libp2p-sheaf log 1\n')
/** Bytes of a chunk that is handed out, unless one entry is larger. As `createReadStream` has them */
const CHUNK_BYTES = 64 * 1024
/** Entries, and bytes of them, that are joined at once. Those of one record */
const JOINED_ENTRIES = 256
const JOINED_BYTES = 1024 * 1024
/** Where the next entry would be: no entry has 0 bytes */
const END = 0
/** A number of 8 bytes is larger than any that may be here */
const MAX_NUMBER_BYTES = 7

/** What is in a log, from an entry or a moment on. One that began at nothing would be empty, and look like a backup */
export async function * exportOf (
  log: Pick<Log, 'id' | 'has' | 'entries'>, { from, signal }: ExportOptions = {}
): AsyncGenerator<Uint8Array> {
  if (from instanceof EntryId && !await log.has(from)) {
    throw new InvalidEntryIdError(`The entry ${from} is not here: ` +
      'export from its moment, { from: entry.clock }, or all of the log')
  }

  yield * archiveOf(log.id, log.entries({ from, signal }))
}

/** Entries with their proofs, as a stream of bytes */
export async function * archiveOf (
  id: string, entries: AsyncIterable<Entry> | Iterable<RawEntry>
): AsyncGenerator<Uint8Array> {
  let chunk = new Writer(CHUNK_BYTES).raw(MAGIC).string(id)
  let count = 0

  for await (const entry of entries) {
    const { bytes, proof } = entry instanceof LogEntry ? LogEntry.raw(entry) : entry
    chunk.bytes(bytes).bytes(proof)
    count++

    if (chunk.length >= CHUNK_BYTES) {
      yield chunk.finish()
      // a reader may keep the chunk that it was handed
      chunk = new Writer(CHUNK_BYTES)
    }
  }

  yield chunk.uvarint(END).uvarint(count).finish()
}

/**
 * Takes what one archive holds, or several of the same log, one behind the other, in parts. Of an archive that is
 * damaged, or cut off, everything before that place is taken: the error says how much
 */
export async function importArchive (
  id: string,
  source: Bytes,
  importSome: (entries: RawEntry[]) => Promise<Imported>,
  { signal }: AbortOptions
): Promise<Imported> {
  const imported: Imported = { added: 0, known: 0, waiting: 0, refused: 0 }
  expectChunks(source)
  let batch: RawEntry[] = []
  let bytes = 0

  const importBatch = async (): Promise<void> => {
    signal?.throwIfAborted()
    const { added, known, waiting, refused } = await importSome(batch)
    imported.added += added
    imported.known += known
    imported.waiting += waiting
    imported.refused += refused
    batch = []
    bytes = 0
  }

  try {
    for await (const entry of readArchive(id, source, signal)) {
      batch.push(entry)
      bytes += entry.bytes.byteLength

      if (batch.length === JOINED_ENTRIES || bytes >= JOINED_BYTES) {
        await importBatch()
      }
    }
  } catch (err) {
    if (err instanceof InvalidArchiveError || err instanceof ArchiveCutError) {
      await importBatch()
      err.imported = imported
    }

    throw err
  }

  await importBatch()
  return imported
}

export function countOf (outcomes: JoinOutcome[]): Imported {
  const imported: Imported = { added: 0, known: 0, waiting: 0, refused: 0 }
  const added = new Set<string>()

  for (const { status, id } of outcomes) {
    // one that is there twice among those that are joined at once is added once
    const isAgain = status === 'added' && added.size === added.add(keyOfBytes(id.bytes)).size
    imported[isAgain ? 'known' : status]++
  }

  return imported
}

async function * readArchive (id: string, source: Bytes, signal?: AbortSignal): AsyncGenerator<RawEntry> {
  const input = new Input(source, signal)

  try {
    do {
      await readHead(id, input)
      let count = 0

      for (let length = await input.number(); length !== END; length = await input.number()) {
        yield { bytes: await input.bytes(length, MAX_CONTENT_BYTES), proof: await input.field(MAX_PROOF_BYTES) }
        count++
      }

      if (await input.number() !== count) {
        throw new InvalidArchiveError('The archive has another number of entries than it says: some are missing')
      }
    } while (!await input.isOver())
  } finally {
    input.close()
  }
}

async function readHead (id: string, input: Input): Promise<void> {
  if (!equals(await input.bytes(MAGIC.byteLength), MAGIC)) {
    throw new InvalidArchiveError('These bytes are no archive of a log: take what export() made, uncompressed')
  }

  const found = await input.field(MAX_LOG_ID_BYTES)

  if (!equals(found, encodeString(id))) {
    const name = new TextDecoder().decode(found)
    throw new InvalidArchiveError(`The archive is of the log '${name}', and this log is '${id}'`)
  }
}

/** Memory for what was read and not taken yet. A guess: most chunks that come are not larger */
const INPUT_BYTES = 64 * 1024

/** Bytes that are taken one after the other, however the source cuts them. Each is copied in and out a few times */
class Input {
  readonly #source: AsyncGenerator<Uint8Array | Uint8ArrayList>
  #memory = new Uint8Array(INPUT_BYTES)
  /** Where in the memory what was not taken yet begins, and ends */
  #from = 0
  #to = 0

  constructor (source: Bytes, signal?: AbortSignal) {
    this.#source = untilAborted(source, signal)
  }

  async number (): Promise<number> {
    for (let i = 0, value = 0, scale = 1; i < MAX_NUMBER_BYTES; i++, scale *= 128) {
      await this.#expect(i + 1)
      const byte = this.#memory[this.#from + i]
      value += (byte & 0x7f) * scale

      if (byte < 0x80) {
        this.#from += i + 1
        return value
      }
    }

    throw new InvalidArchiveError('The archive is damaged: a number in it has no end')
  }

  /** A copy: the memory is used again */
  async bytes (length: number, max = Infinity): Promise<Uint8Array> {
    if (length > max) {
      throw new InvalidArchiveError(`The archive is damaged: it announces ${length} bytes where at most ${max} can be`)
    }

    await this.#expect(length)
    this.#from += length
    return this.#memory.slice(this.#from - length, this.#from)
  }

  async field (max: number): Promise<Uint8Array> {
    return this.bytes(await this.number(), max)
  }

  async isOver (): Promise<boolean> {
    return !await this.#has(1)
  }

  /** The source may have something to close, and nobody waits for that */
  close (): void {
    void this.#source.return(undefined)
  }

  async #expect (length: number): Promise<void> {
    if (!await this.#has(length)) {
      throw new ArchiveCutError('The archive ends in the middle: import the rest of it, or all of it again')
    }
  }

  async #has (length: number): Promise<boolean> {
    while (this.#to - this.#from < length) {
      const { done, value } = await this.#source.next()

      if (done === true) {
        return false
      }

      for (const bytes of value instanceof Uint8Array ? [value] : partsOf(value)) {
        this.#add(bytes)
      }
    }

    return true
  }

  /** A copy: the source may use its chunks again */
  #add (bytes: Uint8Array): void {
    if (this.#to + bytes.byteLength > this.#memory.byteLength) {
      const left = this.#memory.subarray(this.#from, this.#to)
      const size = left.byteLength + bytes.byteLength

      // at least half of it is free then: so no byte is moved again and again
      if (size > this.#memory.byteLength / 2) {
        this.#memory = new Uint8Array(2 * size)
      }

      this.#memory.set(left)
      this.#from = 0
      this.#to = left.byteLength
    }

    this.#memory.set(bytes, this.#to)
    this.#to += bytes.byteLength
  }
}

function expectChunks (source: unknown): void {
  const isSource = typeof source === 'object' && source != null &&
    (Symbol.asyncIterator in source || Symbol.iterator in source)

  if (!isSource || source instanceof Uint8Array) {
    throw new InvalidArchiveError('import() takes chunks of bytes, one after the other, as export() gives them: ' +
      'put bytes that you have in one piece into an array')
  }
}

/** Programs without types hand over anything, as a file that is read as text */
function partsOf (chunk: Uint8ArrayList): Iterable<Uint8Array> {
  if (!isUint8ArrayList(chunk)) {
    throw new InvalidArchiveError(`An archive comes in chunks of bytes, each a Uint8Array, not ${typeof chunk}: ` +
      'read the file without an encoding')
  }

  return chunk
}
