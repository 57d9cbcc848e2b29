import { HOP_LIMIT } from '../constants.ts'
import type { Key } from './types.ts'

/** Newer than any version: who was told of it has nothing more to hear */
export const MUTED = Number.MAX_SAFE_INTEGER
/** Messages in a row without an ack after which others hear that the way is lost, and look for another one */
const MAX_FAILURES = 2
/** Hops of what is told without a way to it */
export const NO_WAY = 255

/** Which announcement of an origin: it signed these two numbers, so nobody else can make them larger */
export interface Version {
  epoch: number
  seq: number
}

/** How far an origin is, by the announcement that was told over that way. Nobody signs the hops: they may be a lie */
export interface Distance extends Version {
  hops: number
}

/** A request for an announcement of this version or a newer one, and over how many relays it may go on */
export interface Wanted extends Version {
  hops: number
}

/** What a neighbour last claimed. Of one whose name is among `over` it may only be asked along */
interface Way extends Distance {
  readonly via: Key
  /** Messages in a row that brought no ack by it */
  failures: number
  /** What the neighbour was asked for since it last spoke of the origin */
  asked?: Version
}

/** A neighbour. Rows hold what each was told by its number: a Map for each row takes five times as much */
interface Neighbour {
  readonly isRelay: boolean
  readonly number: number
}

/** All there is about the ways to one origin. There may be many rows: what most of them do not need they do not have */
interface Row {
  ways: Way[]
  /** The one that messages take */
  next?: Way
  /** When the last way was lost */
  lostAt?: number
  /** How far the origin is: what a relay tells others. None: there is no way, it is too long, or brings no acks */
  own?: Distance
  /** The best that we ever told others: see the invariant of `Routing` */
  feasible?: Distance
  /** What each neighbour last heard from us, by its number; none: nothing, or that it is lost */
  told?: Array<Distance | undefined>
  /** What each neighbour waits for */
  askers?: Map<Key, Wanted>
  /** The version by which each neighbour said 'lost', or was disbelieved: only a newer one counts again */
  over?: Map<Key, Version>
}

export interface RoutingInit {
  /** A leaf tells of itself alone, so nothing that it believes can close a loop */
  isRelay: boolean
  /** Milliseconds that a feasible distance is kept when the last way is lost */
  memory: number
  /**
   * A neighbour may have to hear of an origin: `tell` says what. Urgent: somebody waits for it, or is misled until then
   */
  onDirty (neighbour: Key, origin: Key, isUrgent: boolean): void
  /** A neighbour is to be asked for an announcement */
  onAsk (neighbour: Key, origin: Key, wanted: Wanted): void
  /** There is a way where none was, or none where one was */
  onReachable (origin: Key, isReachable: boolean): void
}

/**
 * Which neighbour leads to whom, by feasible distances (Babel, RFC 8966 2.4 to 2.6, 3.5.1, 3.8).
 *
 * Rules: a way may be taken if it is of a newer version than the best that we ever told others, or of the same and
 * strictly shorter. Of those, the shortest that brings acks is used. When the last one is lost, all who were told hear
 * so at once, and those who still claim something longer are asked for a newer version; the request goes to the origin
 * along the ways in use, and its answer back to those who asked. A neighbour that said 'lost' counts again only with a
 * newer version: the RFC lets it come back, but then one liar makes a dead origin flap for ever.
 *
 * Invariant: along the ways in use the feasible distance gets strictly better at each step, since nobody claims more
 * than its own feasible distance, which only gets better. In a loop it would be better than itself. So there is none,
 * at no moment. (A message in flight needs more, since ways turn while it travels: it keeps its trace.)
 *
 * | event                   | what changes                       | who hears                                          |
 * |-------------------------|------------------------------------|----------------------------------------------------|
 * | up(n)                   | n is a neighbour, knows nothing    | n of all that concerns it                          |
 * | down(n)                 | all ways by n, all that n was told | all of each loss and each new distance             |
 * | hear(n, o, distance)    | the way to o by n                  | all but o and the neighbour that leads to it       |
 * | hear(n, o, lost)        | no way to o by n                   | as above; the last way: all who were told, at once |
 * | request(n, o, version)  | n waits for it                     | n at once if we have it, else who leads to o       |
 * | acked(o, n, isDelivered)| the rank of that way               | nobody, unless another way is used now             |
 */
export class Routing {
  readonly #init: RoutingInit
  readonly #rows = new Map<Key, Row>()
  readonly #neighbours = new Map<Key, Neighbour>()
  /** Moves on when a message may have to take another way, for those who keep what they derived */
  version = 0

  constructor (init: RoutingInit) {
    this.#init = init
  }

  get size (): number {
    return this.#rows.size
  }

  get origins (): IterableIterator<Key> {
    return this.#rows.keys()
  }

  isNeighbour (key: Key): boolean {
    return this.#neighbours.has(key)
  }

  /** Whether a message for this one has a way */
  isReachable (origin: Key): boolean {
    return this.#neighbours.has(origin) || this.#rows.get(origin)?.next != null
  }

  /** The neighbour to hand to what is for `origin`; ways that `mayNot` names are passed over */
  next (origin: Key, mayNot?: (neighbour: Key) => boolean): Key | undefined {
    if (this.#neighbours.has(origin) && mayNot?.(origin) !== true) {
      return origin
    }

    const row = this.#rows.get(origin)
    const isBarred = row?.next != null && mayNot?.(row.next.via) === true
    return (isBarred ? best(row, mayNot) : row?.next)?.via
  }

  /** How far it is by the way in use: what others may hear */
  distance (origin: Key): Distance | undefined {
    return this.#rows.get(origin)?.own
  }

  /** The newest version that a neighbour is known to have: it claimed it, or was told of it */
  known (neighbour: Key, origin: Key): Version | undefined {
    const row = this.#rows.get(origin)
    const [way, told] = [wayBy(neighbour, row), this.#told(neighbour, row)]
    return way == null || (told != null && isNewer(told, way)) ? told : way
  }

  /** Neighbours that claim a way to it */
  claimants (origin: Key): Key[] {
    return this.#rows.get(origin)?.ways.map(({ via }) => via) ?? []
  }

  up (neighbour: Key, isRelay: boolean): void {
    const taken = new Set([...this.#neighbours.values()].map(({ number }) => number))
    let number = 0

    while (taken.has(number)) {
      number++
    }

    this.#neighbours.set(neighbour, { isRelay, number })
    this.version++

    for (const [origin, row] of this.#rows) {
      if (row.next != null && this.#init.isRelay) {
        this.#init.onDirty(neighbour, origin, false)
      }
    }
  }

  down (neighbour: Key, now: number): void {
    const number = this.#neighbours.get(neighbour)?.number
    this.#neighbours.delete(neighbour)
    this.version++

    for (const [origin, row] of this.#rows) {
      row.askers?.delete(neighbour)
      row.over?.delete(neighbour)

      if (number != null && row.told?.[number] != null) {
        row.told[number] = undefined
      }
      if (removeWay(neighbour, row) != null) {
        this.#settle(origin, row, now)
      }
    }
  }

  /** A neighbour says how far `origin` is. Its version must have been signed by the origin */
  hear (neighbour: Key, origin: Key, { epoch, seq, hops: claimed }: Distance, now: number): void {
    const row: Row = this.#rows.get(origin) ?? { ways: [], next: undefined, lostAt: undefined }
    const way = wayBy(neighbour, row)
    const over = row.over?.get(neighbour)
    // Only the origin is at 0: who else says so is taken to be beside it
    const hops = neighbour === origin ? 0 : Math.max(claimed, 1)
    this.#rows.set(origin, row)
    // who speaks of it has found a way, or will ask again
    row.askers?.delete(neighbour)

    if (over != null && isNewer({ epoch, seq }, over)) {
      row.over?.delete(neighbour)
    }
    if (way == null) {
      // a new array has no room for more: there may be many rows
      row.ways = row.ways.concat({ via: neighbour, epoch, seq, hops, failures: 0 })
    } else {
      Object.assign(way, { epoch, seq, hops })
      delete way.asked
    }

    this.#settle(origin, row, now)
  }

  /** A neighbour says that it has no way to `origin` any more */
  hearLost (neighbour: Key, origin: Key, now: number): void {
    const row = this.#rows.get(origin)

    if (row != null) {
      const way = removeWay(neighbour, row)
      row.askers?.delete(neighbour)

      if (way != null && this.#init.isRelay) {
        setOver(row, way)
      }

      this.#settle(origin, row, now)
    }
  }

  /** A neighbour asks for a version that we may not have */
  request (neighbour: Key, origin: Key, wanted: Wanted): void {
    const row = this.#rows.get(origin)

    if (row != null && this.#init.isRelay && wanted.hops > 0) {
      row.askers ??= new Map()
      row.askers.set(neighbour, { ...wanted, hops: wanted.hops - 1 })
      this.#settle(origin, row)
    }
  }

  /** Whether what went to `origin` by a neighbour arrived: ways that fail are tried last */
  acked (origin: Key, neighbour: Key, isDelivered: boolean): void {
    const row = this.#rows.get(origin)
    const way = wayBy(neighbour, row)

    if (row == null || way == null || (isDelivered && way.failures === 0)) {
      return
    }

    way.failures = isDelivered ? 0 : way.failures + 1
    this.#settle(origin, row)

    // no way that may be taken brings acks: a longer one may, by a newer version. Once for each ack that is missing
    if (row.next != null && row.next.failures > 0) {
      this.doubt(origin)
    }
  }

  /**
   * No way to `origin` brought an ack: it is to say itself again. What it does not say again before `disbelieve` is
   * over, however many neighbours claim a way
   */
  doubt (origin: Key): Version | undefined {
    const row = this.#rows.get(origin)
    const newest = row == null ? undefined : newestOf(row)

    if (row != null && newest != null) {
      this.#ask(origin, row.ways, { epoch: newest.epoch, seq: newest.seq + 1, hops: HOP_LIMIT })
    }

    return newest
  }

  /** It was doubted by this version, and nothing newer came: all ways that are not newer are over */
  disbelieve (origin: Key, version: Version, now: number): void {
    const row = this.#rows.get(origin)

    if (row != null) {
      row.ways.filter(way => !isNewer(way, version) && way.via !== origin).forEach(way => { setOver(row, way) })
      this.#settle(origin, row, now)
    }
  }

  /** A neighbour is not concerned any more: it only hears when there is no way any more */
  mute (neighbour: Key, origin: Key): void {
    this.#setTold(neighbour, origin, MUTED)
  }

  /** A neighbour is to hear everything of `origin` again, and still to hear when there is no way any more */
  sayAgain (neighbour: Key, origin: Key): void {
    this.#setTold(neighbour, origin, -1)
  }

  /**
   * What a neighbour is to hear of `origin` now, which counts as told from here on. Nothing: it knows, or leads there
   * itself
   */
  tell (neighbour: Key, origin: Key, hasNews: (since?: Version) => boolean): Distance | 'lost' | undefined {
    const row = this.#rows.get(origin)
    const to = this.#neighbours.get(neighbour)

    if (row == null || to == null || neighbour === origin || !this.#init.isRelay) {
      return
    }

    const { own, told: all = [] } = row
    const told = all[to.number]

    if (own == null) {
      if (told == null) {
        return
      }
    } else {
      const isFurther = told == null || (to.isRelay && (told.hops !== own.hops || told.epoch !== own.epoch))
      const isNews = isFurther || (isNewer(own, told) && (this.#isAnswer(row, neighbour) || hasNews(told)))

      if (neighbour === row.next?.via || !isNews) {
        return
      }

      row.askers?.delete(neighbour)
    }

    all[to.number] = own
    row.told = all
    this.#askAgain(neighbour, origin, row)
    return own ?? 'lost'
  }

  /** A neighbour that hears something of us takes what it was asked for to be over */
  #askAgain (neighbour: Key, origin: Key, row: Row): void {
    const way = wayBy(neighbour, row)

    if (way?.asked != null) {
      delete way.asked
      this.#askOn(origin, row)
    }
  }

  /**
   * Forgets what was lost for long enough, and failures: a way that failed is worth another try. Returns whom it forgot
   */
  expire (now: number, memory = this.#init.memory): Key[] {
    const forgotten: Key[] = []

    for (const [origin, row] of this.#rows) {
      const hasFailed = row.ways.some(({ failures }) => failures > 0)

      if (row.ways.length === 0 && !isTold(row) && row.lostAt != null && row.lostAt + memory <= now) {
        this.#rows.delete(origin)
        forgotten.push(origin)
      } else if (hasFailed) {
        row.ways.forEach(way => { way.failures = 0 })
        this.#settle(origin, row)
      }
    }

    return forgotten
  }

  /** There is no room for this one any more */
  forget (origin: Key): void {
    const row = this.#rows.get(origin)

    if (row != null) {
      row.ways = []
      this.#settle(origin, row)
      row.lostAt = -Infinity

      // those who were told are to hear that there is no way by us any more: so long the row stays
      if (!isTold(row)) {
        this.#rows.delete(origin)
      }
    }
  }

  clear (): void {
    this.#rows.clear()
    this.#neighbours.clear()
    this.version++
  }

  /** Throws where the invariant is broken. For tests and simulations */
  check (): void {
    for (const [origin, row] of this.#rows) {
      const { next, ways, feasible } = row

      if (next != null && (!ways.includes(next) || !this.#neighbours.has(next.via))) {
        throw new Error(`the way to ${origin} by ${next.via} is none`)
      }
      if (next != null && !isFeasible(next, row)) {
        throw new Error(`the way to ${origin} by ${next.via} is over, or not shorter than what others were told`)
      }
      for (const [neighbour, { isRelay }] of this.#neighbours) {
        const told = this.#told(neighbour, row)

        // what leaves believe closes no loop
        if (isRelay && told != null && (feasible == null || isBetter(told, feasible))) {
          throw new Error(`of ${origin} more was told than is remembered`)
        }
      }
    }
  }

  #told (neighbour: Key, row?: Row): Distance | undefined {
    return row?.told?.[this.#neighbours.get(neighbour)?.number ?? -1]
  }

  #setTold (neighbour: Key, origin: Key, seq: number): void {
    const row = this.#rows.get(origin)
    const told = this.#told(neighbour, row)

    if (told != null) {
      row!.told![this.#neighbours.get(neighbour)!.number] = { ...told, seq }
    }
  }

  /** All that follows from a change: choose a way, tell, ask */
  #settle (origin: Key, row: Row, now?: number): void {
    const before = row.next
    row.next = best(row)

    if (this.#init.isRelay) {
      row.own = ownDistance(row)
      // before anybody is told. For one version it gets no larger: the way is shorter than what it was, and a hop is 1
      row.feasible = row.own ?? row.feasible
      this.#markAll(origin, row)
    }

    this.#askOn(origin, row)

    if (before !== row.next) {
      this.version++
      row.lostAt = row.next == null ? now ?? row.lostAt ?? 0 : undefined

      if (before == null || row.next == null) {
        this.#init.onReachable(origin, row.next != null)
      }
    }
  }

  #markAll (origin: Key, row: Row): void {
    const { own, next, told: all } = row

    for (const [neighbour, { isRelay, number }] of this.#neighbours) {
      const told = all?.[number]

      if (own == null) {
        told != null && neighbour !== origin && this.#init.onDirty(neighbour, origin, true)
      } else if (told !== own && neighbour !== origin && neighbour !== next?.via &&
        (told == null || told.seq === MUTED || isNewer(own, told) || (isRelay && told.hops !== own.hops))) {
        this.#init.onDirty(neighbour, origin, this.#isAnswer(row, neighbour))
      }
    }
  }

  /** Whether a neighbour waits for what others may hear now */
  #isAnswer ({ askers, own }: Row, neighbour: Key): boolean {
    const wanted = askers?.get(neighbour)
    return wanted != null && own != null && !isNewer(wanted, own)
  }

  /**
   * Who has no way that may be taken asks along those that may not; who was asked for more than it has passes that on
   */
  #askOn (origin: Key, row: Row): void {
    const { own, next, ways, askers } = row
    const known = next == null ? newestOf(row) : undefined
    let wanted: Wanted | undefined = known == null ? undefined : { ...known, seq: known.seq + 1, hops: HOP_LIMIT }

    for (const asked of askers?.values() ?? []) {
      if ((own == null || isNewer(asked, own)) && (wanted == null || isNewer(asked, wanted))) {
        wanted = asked
      }
    }
    if (wanted != null && wanted.hops > 0) {
      this.#ask(origin, next == null ? ways : [next], wanted)
    }
  }

  /** Each neighbour once, until it says something else of this origin */
  #ask (origin: Key, ways: Way[], wanted: Wanted): void {
    for (const way of ways) {
      if (way.asked == null || isNewer(wanted, way.asked)) {
        way.asked = { epoch: wanted.epoch, seq: wanted.seq }
        this.#init.onAsk(way.via, origin, wanted)
      }
    }
  }
}

export function isNewer (a: Version, b: Version): boolean {
  return a.epoch > b.epoch || (a.epoch === b.epoch && a.seq > b.seq)
}

/** RFC 8966 3.5.1 */
function isBetter (a: Distance, b: Distance): boolean {
  return isNewer(a, b) || (a.epoch === b.epoch && a.seq === b.seq && a.hops < b.hops)
}

function isFeasible (way: Way, { over, feasible }: Row): boolean {
  return over?.has(way.via) !== true && (feasible == null || isBetter(way, feasible))
}

/**
 * The better of two ways: the one that brings acks, the shorter, the one in use (messages keep their order), the newer
 */
function compare (one: Way, other: Way, next?: Way): number {
  return one.failures - other.failures || one.hops - other.hops || Number(other === next) - Number(one === next) ||
    other.epoch - one.epoch || other.seq - one.seq || (one.via < other.via ? -1 : 1)
}

function best (row: Row, mayNot?: (neighbour: Key) => boolean): Way | undefined {
  let best: Way | undefined

  for (const way of row.ways) {
    if (isFeasible(way, row) && mayNot?.(way.via) !== true && (best == null || compare(way, best, row.next) < 0)) {
      best = way
    }
  }

  return best
}

function wayBy (neighbour: Key, row?: Row): Way | undefined {
  return row?.ways.find(({ via }) => via === neighbour)
}

function removeWay (neighbour: Key, row: Row): Way | undefined {
  const at = row.ways.findIndex(({ via }) => via === neighbour)
  return at < 0 ? undefined : row.ways.splice(at, 1)[0]
}

function setOver (row: Row, { via, epoch, seq }: Way): void {
  row.over ??= new Map()
  row.over.set(via, { epoch, seq })
}

function isTold ({ told }: Row): boolean {
  return told?.some(distance => distance != null) === true
}

/** The same object while it says the same: it is kept for each neighbour that was told */
function ownDistance ({ own, next }: Row): Distance | undefined {
  if (next == null || next.hops + 1 >= HOP_LIMIT || next.failures >= MAX_FAILURES) {
    return
  }

  const { epoch, seq } = next
  const hops = next.hops + 1
  return own?.hops === hops && own.epoch === epoch && own.seq === seq ? own : { epoch, seq, hops }
}

/** The newest version that anybody claimed in vain or that we told: what is asked for has to be newer */
function newestOf ({ feasible, ways, over }: Row): Version | undefined {
  let newest: Version | undefined = feasible

  for (const way of ways) {
    if ((way.failures > 0 || over?.has(way.via) === true) && (newest == null || isNewer(way, newest))) {
      newest = way
    }
  }

  return newest == null ? undefined : { epoch: newest.epoch, seq: newest.seq }
}
