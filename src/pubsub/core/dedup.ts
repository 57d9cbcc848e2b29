import { FairRow, FairRows } from './fair-rows.ts'
import { Verdicts } from './verdicts.ts'
import type { Key } from './types.ts'
import type { Verdict } from './verdicts.ts'

/** What a message is when it arrives: see `Dedup` */
export type Arrival = 'new' | 'undecided' | Verdict | 'too-late' | 'past-life' | 'congested'

export interface DedupLimits {
  /** Rows, topics and ranges of all origins together, 50 to 200 bytes each: 65,536 origins on 3 topics each, 40 MB */
  capacity: number
  /** Topics of one origin: a node is on no more at once, so only those are forgotten that it left long ago */
  maxTopics: number
  /** Ranges of one origin: 4,096 messages of 1 KiB fill an outbox while others overtake each of them */
  maxRanges: number
  /** Ranges that each topic may have, however many the other topics of its origin have. A guess */
  minRanges: number
  /** Milliseconds until a gap that nothing fills is closed: six times as long as a publish waits for acks */
  gapTtl: number
  /**
   * Messages of one origin whose validators run: the bytes of each hold credit of the neighbour, so a window of small
   * ones fits
   */
  maxUndecided: number
  /** The same of all messages that one neighbour brought. A guess */
  maxUndecidedBy: number
}

export const DEDUP_LIMITS: DedupLimits = {
  capacity: 458_752,
  maxTopics: 8192,
  maxRanges: 4096,
  minRanges: 16,
  gapTtl: 60_000,
  maxUndecided: 65_536,
  maxUndecidedBy: 65_536
}

/** All that is known of one origin. It weighs 1, and 1 for each topic and each range */
class Origin extends FairRow {
  /** The life that it lives now, and the newest one that it ever lived */
  epoch: number
  newest: number
  /** Of the present life, the least recently used one first */
  readonly topics = new Map<string, Verdicts>()
  /** Which neighbours brought what is being validated. Undefined: nothing is */
  undecided: Map<string, Key> | undefined
  /** The topic used last */
  topic = ''
  verdicts: Verdicts | undefined

  constructor (key: Key, epoch: number) {
    super(key)
    this.epoch = epoch
    this.newest = epoch
  }

  find (topic: string, seq: number): Arrival | undefined {
    return this.undecided?.has(nameOf(this.epoch, topic, seq)) === true ? 'undecided' : this.on(topic)?.get(seq)
  }

  on (topic: string): Verdicts | undefined {
    if (this.topic !== topic || this.verdicts == null) {
      const verdicts = this.topics.get(topic)
      return verdicts == null ? undefined : this.put(topic, verdicts)
    }

    return this.verdicts
  }

  /** Also of one that is there: it is the last one used now */
  put (topic: string, verdicts: Verdicts): Verdicts {
    this.topics.delete(topic)
    this.topics.set(topic, verdicts)
    this.topic = topic
    this.verdicts = verdicts
    return verdicts
  }
}

/**
 * Delivers each message at most once, and remembers what became of it. (origin, epoch, topic, seq) names it for ever.
 *
 * | message | its life is | answer | what the shell does | state after |
 * |---|---|---|---|---|
 * | never came | present or newest | new | delivers, or starts the validator | accepted; undecided by `receive` |
 * | never came, too many undecided | present or newest | congested | asks for it later | as before |
 * | undecided | present | undecided | tells the origin so | the verdict of `decide` |
 * | accepted | present | accepted | acks again | for ever, or too-late |
 * | rejected, ignored | present | rejected, ignored | tells the origin so | for ever, or too-late |
 * | at or below the floor of its topic | present | too-late | tells the origin so, never acks | for ever |
 * | any | over | past-life | drops it, never acks | for ever |
 *
 * Invariants
 * - While an origin's row is there, a message is 'new' once, and 'accepted' only after it was accepted.
 * - Time makes nothing new again: rows do not expire, and what is forgotten of a row is 'too-late'.
 * - Rows with undecided messages, and those of neighbours, are not evicted. `maxUndecidedBy` and connections bound
 * them.
 */
export class Dedup {
  readonly #limits: DedupLimits
  readonly #origins: FairRows<Origin>
  /** How many undecided messages each neighbour brought */
  readonly #undecided = new Map<Key, number>()

  constructor (limits: DedupLimits = DEDUP_LIMITS) {
    this.#limits = limits
    this.#origins = new FairRows(limits.capacity)
  }

  /** How many origins are known */
  get size (): number {
    return this.#origins.size
  }

  /** Without a validator: what is new is accepted. `by` is the neighbour that brought it, and is still there */
  accept (origin: Key, epoch: number, topic: string, seq: number, now: number, by: Key): Arrival {
    const row = this.#rowOf(origin, epoch, by)

    if (row == null) {
      return 'past-life'
    }

    const known = row.find(topic, seq)

    if (known == null) {
      this.#record(row, topic, seq, 'accepted', now)
      this.#origins.adopt(row, by)
    }

    this.#origins.makeRoom()
    return known ?? 'new'
  }

  /** With a validator: what is new is undecided until its verdict is told */
  receive (origin: Key, epoch: number, topic: string, seq: number, by: Key): Arrival {
    const row = this.#rowOf(origin, epoch, by)

    if (row == null) {
      return 'past-life'
    }

    const answer = row.find(topic, seq) ?? this.#begin(row, topic, seq, by)
    this.#origins.makeRoom()
    return answer
  }

  /** True once for what was undecided, also if its life ended meanwhile: it was new, and may be delivered */
  decide (origin: Key, epoch: number, topic: string, seq: number, verdict: Verdict, now: number): boolean {
    const row = this.#origins.get(origin)
    const by = row?.undecided?.get(nameOf(epoch, topic, seq))

    if (row?.undecided == null || by == null) {
      return false
    }

    row.undecided.delete(nameOf(epoch, topic, seq))
    this.#count(by, -1)

    if (epoch === row.epoch) {
      this.#record(row, topic, seq, verdict, now)
    }
    if (row.undecided.size === 0) {
      row.undecided = undefined
      this.#origins.hold(row, false)
    }

    this.#origins.makeRoom()
    return true
  }

  /**
   * A neighbour says in which epoch it lives, and its connection proves who it is. So a smaller epoch counts, too: the
   * neighbour restarted with an older clock. All epochs up to the newest one, other than this, are over for good:
   * whoever kept signed messages of them cannot have these delivered again.
   */
  restart (origin: Key, epoch: number): void {
    const row = this.#origins.get(origin)

    if (row != null && row.epoch !== epoch) {
      this.#live(row, epoch)
    }
  }

  /** What came by this neighbour is remembered, and shares one quota with what came by others that left */
  gone (neighbour: Key): void {
    this.#origins.gone(neighbour)
    this.#origins.makeRoom()
  }

  check (): void {
    let undecided = 0
    this.#origins.check()

    for (const row of this.#origins.values()) {
      row.topics.forEach(verdicts => { verdicts.check() })
      undecided += row.undecided?.size ?? 0

      if (row.weight !== [...row.topics.values()].reduce((sum, { size }) => sum + 1 + size, 1)) {
        throw new Error(`The row of ${row.key} does not weigh ${row.weight}`)
      }

      const hasRoom = row.topics.size <= this.#limits.maxTopics

      if (!hasRoom || row.newest < row.epoch || row.isHeld !== (row.undecided != null)) {
        throw new Error(`The row of ${row.key} is wrong`)
      }
    }

    if (undecided !== [...this.#undecided.values()].reduce((sum, count) => sum + count, 0)) {
      throw new Error(`${undecided} messages are undecided, but counted otherwise`)
    }
  }

  /** The row of an origin, in the life that the message is of. Undefined: that life is over */
  #rowOf (origin: Key, epoch: number, by: Key): Origin | undefined {
    let row = this.#origins.get(origin)

    if (row == null) {
      this.#origins.add(row = new Origin(origin, epoch), by)
    } else if (epoch > row.newest) {
      this.#live(row, epoch)
    } else if (epoch !== row.epoch) {
      return undefined
    }

    this.#origins.touch(row, by)
    return row
  }

  #begin (row: Origin, topic: string, seq: number, by: Key): 'new' | 'congested' {
    const { maxUndecided, maxUndecidedBy } = this.#limits

    if ((row.undecided?.size ?? 0) >= maxUndecided || (this.#undecided.get(by) ?? 0) >= maxUndecidedBy) {
      return 'congested'
    }

    row.undecided ??= new Map()
    row.undecided.set(nameOf(row.epoch, topic, seq), by)
    this.#count(by, 1)
    this.#origins.hold(row, true)
    // for a message that came before a neighbour would not take the row over: whoever kept it could bring it
    this.#origins.adopt(row, by)
    return 'new'
  }

  #record (row: Origin, topic: string, seq: number, verdict: Verdict, now: number): void {
    const { gapTtl, maxRanges, maxTopics, minRanges } = this.#limits
    let verdicts = row.on(topic)
    const before = verdicts?.size ?? -1

    if (verdicts == null) {
      this.#dropTopics(row, maxTopics - 1)
      verdicts = row.put(topic, new Verdicts(gapTtl, now))
    }

    verdicts.set(seq, verdict, now)

    if (verdicts.size > before && verdicts.size > minRanges && row.weight - row.topics.size > maxRanges) {
      verdicts.dropLowest()
    }
    if (verdicts.size !== before) {
      this.#origins.weigh(row, verdicts.size - before)
    }
  }

  #live (row: Origin, epoch: number): void {
    this.#dropTopics(row, 0)
    row.verdicts = undefined
    row.epoch = epoch
    row.newest = Math.max(row.newest, epoch)
  }

  #dropTopics (row: Origin, most: number): void {
    for (const [topic, { size }] of row.topics) {
      if (row.topics.size <= most) {
        return
      }
      row.topics.delete(topic)
      this.#origins.weigh(row, -1 - size)
    }
  }

  #count (by: Key, change: number): void {
    const count = (this.#undecided.get(by) ?? 0) + change

    if (count === 0) {
      this.#undecided.delete(by)
    } else {
      this.#undecided.set(by, count)
    }
  }
}

function nameOf (epoch: number, topic: string, seq: number): string {
  return `${epoch} ${seq} ${topic}`
}
