import { MAX_AHEAD } from '../../../src/log/constants.ts'
import { decodeContent, encodeContent } from '../../../src/log/core/entry.ts'
import { compareMoments, HybridClock } from '../../../src/log/core/hybrid-clock.ts'
import { positionIn } from '../../../src/log/core/rows.ts'
import { SharedProof } from '../../../src/log/core/shared-proof.ts'
import { EntryId, RingId } from '../../../src/log/entry-id.ts'
import { AppendRefusedError, FutureEntryError, LogClosedError } from '../../../src/log/errors.ts'
import { LogEntry } from '../../../src/log/log-entry.ts'
import { SafeEventEmitter } from '../../../src/runtime/events.ts'
import { keyOfBytes } from '../../../src/runtime/keys.ts'
import { sha256 } from '../../../src/runtime/sha256.ts'
import { DiskError } from './disk.ts'
import type { SimDisk } from './disk.ts'
import type { RawEntry, TrueEntry } from '../../../src/log/core/types.ts'
import type { AppendOptions, EntriesOptions, Entry, JoinOutcome, Log, LogDiagnostics, LogEvents, RingRange } from '../../../src/log/index.ts'
import type { Clock } from '../../../src/runtime/clock.ts'
import type { Random } from '../../../src/runtime/random.ts'

export interface SimLogInit {
  id: string
  author: Uint8Array
  disk: SimDisk
  clock: Clock
  random: Random
  canAppend? (entry: Entry): boolean | Promise<boolean>
  /** What lies there is to be let go of: its place may be this node's own again before the disk is through */
  onRemove (position: number): void
}

const RING = 2 ** 32
const NOTHING = new Uint8Array(0)
const NO_PROOF = new SharedProof({ size: 1, first: 0, count: 1, beside: NOTHING, signature: NOTHING, ids: () => [NOTHING] })

/**
 * What replication needs of a log, without its trees and signatures: they have tests of their own, and would take all of the time.
 * What is being written when its node crashes is lost, and nobody was told that it was stored.
 */
export class SimLog extends SafeEventEmitter<LogEvents> implements Pick<Log, 'append' | 'join' | 'get' | 'has' | 'remove' | 'fingerprint' | 'idsInRange' | 'entries' | 'arrivals' | 'marked' | 'mark' | 'close' | 'drop'> {
  readonly id: string
  status: Log['status'] = 'open'
  readonly #init: SimLogInit
  readonly #hlc = new HybridClock()
  /** Those who wait for the disk */
  readonly #writing = new Set<() => void>()

  constructor (init: SimLogInit) {
    super(err => { throw err })
    this.id = init.id
    this.#init = init
  }

  get length (): number {
    return this.#init.disk.entries.size
  }

  async append (data: Uint8Array, { group = NOTHING, replicas = 0 }: AppendOptions = {}): Promise<Entry> {
    this.#mustBeOpen()
    const { author, clock } = this.#init
    const bytes = encodeContent({ ...this.#hlc.tick(clock.now()), author, parents: [], group, replicas, data })
    const entry = decode(bytes)
    await this.#written()
    this.#add(entry)
    return new LogEntry(entry)
  }

  async appendMany (): Promise<Entry[]> {
    throw new Error('the simulation appends one by one')
  }

  async join (raws: RawEntry[]): Promise<JoinOutcome[]> {
    this.#mustBeOpen()
    const { canAppend, clock, disk } = this.#init
    const outcomes: JoinOutcome[] = []
    const added: TrueEntry[] = []

    for (const { bytes } of raws) {
      const entry = decode(Uint8Array.from(bytes))
      const id = new EntryId(entry.id)

      if (disk.has(entry.id)) {
        outcomes.push({ id, status: 'known' })
      } else if (entry.time > clock.now() + MAX_AHEAD) {
        outcomes.push({ id, status: 'refused', reason: new FutureEntryError('too early') })
      } else if (canAppend != null && !await canAppend(new LogEntry(entry))) {
        outcomes.push({ id, status: 'refused', reason: new AppendRefusedError('no') })
      } else {
        outcomes.push({ id, status: 'added' })
        added.push(entry)
      }
    }

    await this.#written()
    added.forEach(entry => { this.#add(entry) })
    return outcomes
  }

  async get (id: EntryId): Promise<Entry | undefined> {
    const kept = this.#init.disk.entries.get(keyOfBytes(id.bytes))
    return kept == null ? undefined : new LogEntry(kept.entry)
  }

  async has (id: EntryId): Promise<boolean> {
    return this.#init.disk.has(id.bytes)
  }

  async remove (ids: EntryId[]): Promise<number> {
    this.#mustBeOpen()
    const { disk: { entries }, onRemove } = this.#init
    ids.forEach(({ bytes }) => {
      const { position } = entries.get(keyOfBytes(bytes)) ?? {}
      position != null && onRemove(position)
    })
    await this.#written()
    return ids.filter(({ bytes }) => entries.delete(keyOfBytes(bytes))).length
  }

  async fingerprint (range: RingRange, key: Uint8Array): Promise<{ count: number, fingerprint: Uint8Array }> {
    const ids = this.#idsIn(range)
    const bytes = new Uint8Array(key.byteLength + 32 * ids.length)
    bytes.set(key)
    ids.forEach((id, i) => { bytes.set(id, key.byteLength + 32 * i) })
    return { count: ids.length, fingerprint: sha256(bytes) }
  }

  async idsInRange (range: RingRange, { limit, after }: { limit: number, after?: RingId }): Promise<RingId[]> {
    const { from = 0 } = range
    const ids = this.#idsIn(range).map(id => new RingId(id, this.#init.disk.entries.get(keyOfBytes(id))?.position ?? 0))
    const offset = (id: RingId): number => (id.position - from + RING) % RING
    const isBehind = (id: RingId, last: RingId): boolean => offset(id) - offset(last) > 0 || (offset(id) === offset(last) && keyOfBytes(id.bytes) > keyOfBytes(last.bytes))
    return ids.filter(id => after == null || isBehind(id, after)).slice(0, limit)
  }

  /** From a moment on */
  async * entries ({ from }: EntriesOptions = {}): AsyncGenerator<Entry> {
    const first = from != null && 'time' in from ? { time: Number(from.time), counter: from.counter } : { time: 0, counter: 0 }
    const entries = [...this.#init.disk.entries.values()].map(({ entry }) => entry).filter(entry => compareMoments(entry, first) >= 0)

    for (const entry of entries.sort((a, b) => compareMoments(a, b) || (keyOfBytes(a.id) < keyOfBytes(b.id) ? -1 : 1))) {
      yield new LogEntry(entry)
    }
  }

  async * arrivals (from = 0): AsyncGenerator<{ arrival: number, entry: Entry }> {
    for (const { arrival, entry } of [...this.#init.disk.entries.values()]) {
      if (arrival >= from) {
        yield { arrival, entry: new LogEntry(entry) }
      }
    }
  }

  async marked (program: string): Promise<number> {
    return this.#init.disk.marks.get(program) ?? 0
  }

  async mark (program: string, arrival: number): Promise<void> {
    this.#init.disk.marks.set(program, arrival)
  }

  diagnostics (): LogDiagnostics {
    const bytes = [...this.#init.disk.entries.values()].reduce((sum, { entry }) => sum + entry.bytes.byteLength, 0)
    return { status: this.status, length: this.length, bytes, heads: 0, pending: 0, waiting: 0, cached: 0, dropped: {}, problems: [] }
  }

  async close (): Promise<void> {
    this.crash()
  }

  async drop (): Promise<void> {
    this.crash()
    this.#init.disk.entries.clear()
  }

  /** Its process is gone: what is being written is not */
  crash (): void {
    this.status = 'closed'
    this.#writing.forEach(written => { written() })
  }

  #idsIn ({ from = 0, to = 0 }: RingRange): Uint8Array[] {
    const width = from === to ? RING : (to - from + RING) % RING
    return [...this.#init.disk.entries.values()]
      .filter(({ position }) => (position - from + RING) % RING < width)
      .sort((a, b) => (a.position - from + RING) % RING - (b.position - from + RING) % RING || (keyOfBytes(a.entry.id) < keyOfBytes(b.entry.id) ? -1 : 1))
      .map(({ entry }) => entry.id)
  }

  #add (entry: TrueEntry): void {
    const { disk } = this.#init

    if (this.status !== 'closed' && !disk.has(entry.id)) {
      const arrival = disk.arrivals++
      this.#hlc.hear(entry)
      disk.entries.set(keyOfBytes(entry.id), { entry, position: positionIn(entry), arrival })
      this.safeDispatchEvent('entry:add', { detail: { entry: new LogEntry(entry), arrival } })
    }
  }

  async #written (): Promise<void> {
    const { clock, random, disk } = this.#init
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#writing.add(resolve)
    clock.after(disk.slowness * random(), resolve)
    await promise
    this.#writing.delete(resolve)
    this.#mustBeOpen()

    if (disk.isFailing) {
      throw new DiskError('the disk is full')
    }
  }

  #mustBeOpen (): void {
    if (this.status !== 'open') {
      throw new LogClosedError('closed')
    }
  }
}

function decode (bytes: Uint8Array): TrueEntry {
  return { ...decodeContent(bytes), id: sha256(bytes), bytes, proofs: NO_PROOF, at: 0 }
}
