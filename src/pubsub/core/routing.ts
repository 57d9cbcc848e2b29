import { HOP_LIMIT } from '../constants.ts'
import type { Key } from './types.ts'

/** Newer than any version: who was told of it has nothing more to hear */
export const MUTED = Number.MAX_SAFE_INTEGER
/**
 * Messages in a row without an ack after which others are told that the way is lost, so that they look for another one
 */
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

/** What a neighbour last claimed */
interface Way extends Distance {
  via: Key
  /** The neighbour said 'lost' of this version or a newer one: it may only be asked along */
  isOver: boolean
  /** Messages in a row that brought no ack by it */
  failures: number
}

/** All there is about the ways to one origin. There may be many rows: what most of them do not need they do not have */
interface Row {
  ways: Way[]
  /** What each neighbour last heard from us; absent: nothing, or that it is lost */
  told?: Map<Key, Distance>
  /** The neighbour that messages go to */
  next?: Key
  /**
   * How far the origin is by that neighbour: what a relay tells others. None: there is no way, it is too long, or
   * brings no acks
   */
  own?: Distance
  /** The best that we ever told others: see the invariant of `Routing` */
  feasible?: Distance
  /** What we asked each neighbour for since it last spoke of the origin */
  asked?: Map<Key, Version>
  /** What each neighbour waits for */
  askers?: Map<Key, Wanted>
  /** The version by which each neighbour said 'lost' */
  over?: Map<Key, Version>
  /** When the last way was lost */
  lostAt?: number
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
 * strictly
 * shorter. Of those, the shortest that brings acks is used. When the last one is lost, all who were told hear so at
 * once,
 * and those who still claim something longer are asked for a newer version; the request goes to the origin along the
 * ways
 * in use, and its answer back to those who asked. A neighbour that said 'lost' counts again only with a newer version:
 * the
 * RFC lets it come back, but then one liar makes a dead origin flap for ever.
 *
 * Invariant: along the ways in use the feasible distance gets strictly better at each step, since nobody claims more
 * than
 * its own feasible distance, which only gets better. In a loop it would be better than itself. So there is none, at no
 * moment. (A message in flight needs more, since ways turn while it travels: it keeps its trace.)
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
  /** Neighbours, and whether they relay */
  readonly #neighbours = new Map<Key, boolean>()
  /** Moves on when a message may have to take another way, for those who keep what they derived */
  version = 0

  constructor (init: RoutingInit) {
    this.#init = init
  }

  get size (): number {
    return this.#rows.size
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

    if (row?.next == null || mayNot?.(row.next) !== true) {
      return row?.next
    }

    return ranked(row).find(({ via }) => !mayNot(via))?.via
  }

  /** How far it is by the way in use: what others may hear */
  distance (origin: Key): Distance | undefined {
    return this.#rows.get(origin)?.own
  }

  /** The newest version that a neighbour is known to have: it claimed it, or was told of it */
  known (neighbour: Key, origin: Key): Version | undefined {
    const row = this.#rows.get(origin)
    const [way, told] = [row?.ways.find(({ via }) => via === neighbour), row?.told?.get(neighbour)]
    return way == null || (told != null && isNewer(told, way)) ? told : way
  }

  /** Neighbours that claim a way to it */
  claimants (origin: Key): Key[] {
    return this.#rows.get(origin)?.ways.map(({ via }) => via) ?? []
  }

  up (neighbour: Key, isRelay: boolean): void {
    this.#neighbours.set(neighbour, isRelay)
    this.version++

    for (const [origin, row] of this.#rows) {
      if (row.next != null && this.#init.isRelay) {
        this.#init.onDirty(neighbour, origin, false)
      }
    }
  }

  down (neighbour: Key, now: number): void {
    this.#neighbours.delete(neighbour)
    this.version++

    for (const [origin, row] of this.#rows) {
      row.told?.delete(neighbour)
      row.asked?.delete(neighbour)
      row.askers?.delete(neighbour)
      row.over?.delete(neighbour)

      if (removeWay(row, neighbour) != null) {
        this.#settle(origin, row, now)
      }
    }
  }

  /** A neighbour says how far `origin` is. Its version must have been signed by the origin */
  hear (neighbour: Key, origin: Key, distance: Distance, now: number): void {
    const row = this.#row(origin)
    row.asked?.delete(neighbour)
    // who speaks of it has found a way, or will ask again
    row.askers?.delete(neighbour)

    const over = row.over?.get(neighbour)
    const isOver = over != null && !isNewer(distance, over)
    const before = removeWay(row, neighbour)
    const failures = before?.failures ?? 0
    // Only the origin is at 0: who else says so is taken to be beside it
    const hops = neighbour === origin ? 0 : Math.max(distance.hops, 1)

    if (!isOver) {
      row.over?.delete(neighbour)
    }

    // a new array has no room for more: there may be many rows
    row.ways = row.ways.concat({ via: neighbour, epoch: distance.epoch, seq: distance.seq, hops, isOver, failures })
    this.#settle(origin, row, now)
  }

  /** A neighbour says that it has no way to `origin` any more */
  hearLost (neighbour: Key, origin: Key, now: number): void {
    const row = this.#rows.get(origin)

    if (row == null) {
      return
    }

    const way = removeWay(row, neighbour)
    row.asked?.delete(neighbour)
    row.askers?.delete(neighbour)

    if (way != null && this.#init.isRelay) {
      row.over ??= new Map()
      row.over.set(neighbour, { epoch: way.epoch, seq: way.seq })
    }

    this.#settle(origin, row, now)
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
    const way = row?.ways.find(({ via }) => via === neighbour)

    if (row != null && way != null && (isDelivered ? way.failures > 0 : true)) {
      way.failures = isDelivered ? 0 : way.failures + 1
      this.#settle(origin, row)

      // no way that may be taken brings acks: one that is longer may, by a newer version. Once for each ack that is
      // missing
      if ((wayInUse(row)?.failures ?? 0) > 0) {
        this.doubt(origin)
      }
    }
  }

  /**
   * No way to `origin` brought an ack: it is to say itself again. What it does not say again before `disbelieve` is
   * over,
   * however many neighbours claim a way
   */
  doubt (origin: Key): Version | undefined {
    const row = this.#rows.get(origin)
    const newest = row == null ? undefined : newestOf(row)

    if (row != null && newest != null) {
      this.#ask(origin, row, { epoch: newest.epoch, seq: newest.seq + 1, hops: HOP_LIMIT }, row.ways.map(({ via }) => via))
    }

    return newest
  }

  /** It was doubted by this version, and nothing newer came: all ways that are not newer are over */
  disbelieve (origin: Key, version: Version, now: number): void {
    const row = this.#rows.get(origin)

    if (row == null) {
      return
    }
    for (const way of row.ways) {
      if (!isNewer(way, version) && way.via !== origin) {
        way.isOver = true
        row.over ??= new Map()
        row.over.set(way.via, { epoch: way.epoch, seq: way.seq })
      }
    }

    this.#settle(origin, row, now)
  }

  /** A neighbour is not concerned any more: it only hears when there is no way any more */
  mute (neighbour: Key, origin: Key): void {
    const told = this.#rows.get(origin)?.told
    const distance = told?.get(neighbour)

    if (distance != null) {
      told?.set(neighbour, { ...distance, seq: MUTED })
    }
  }

  /** A neighbour is to hear everything of `origin` again, and still to hear when there is no way any more */
  sayAgain (neighbour: Key, origin: Key): void {
    const told = this.#rows.get(origin)?.told
    const distance = told?.get(neighbour)

    if (distance != null) {
      told?.set(neighbour, { ...distance, seq: -1 })
    }
  }

  /**
   * What a neighbour is to hear of `origin` now, which counts as told from here on. Nothing: it knows, or leads there
   * itself
   */
  tell (neighbour: Key, origin: Key, hasNews: (since?: Version) => boolean): Distance | 'lost' | undefined {
    const row = this.#rows.get(origin)

    if (row == null || neighbour === origin || !this.#init.isRelay) {
      return
    }

    const { own } = row
    const told = row.told?.get(neighbour)

    if (own == null) {
      if (row.told?.delete(neighbour) !== true) {
        return
      }
      this.#askAgain(neighbour, origin, row)
      return 'lost'
    }
    if (neighbour === row.next) {
      return
    }

    const isAnswer = this.#isAnswer(row, neighbour, own)
    const isFurther = told == null || (this.#neighbours.get(neighbour) === true && (told.hops !== own.hops || told.epoch !== own.epoch))

    if (isFurther || ((isAnswer || hasNews(told)) && isNewer(own, told))) {
      row.askers?.delete(neighbour)
      row.told ??= new Map()
      row.told.set(neighbour, own)
      this.#askAgain(neighbour, origin, row)
      return own
    }
  }

  /**
   * Forgets what was lost for long enough, and failures: a way that failed is worth another try. Returns whom it forgot
   */
  expire (now: number): Key[] {
    const forgotten: Key[] = []

    for (const [origin, row] of this.#rows) {
      if (row.ways.length === 0 && (row.told?.size ?? 0) === 0 && row.lostAt != null && row.lostAt + this.#init.memory <= now) {
        this.#rows.delete(origin)
        forgotten.push(origin)
        continue
      }

      let hasFailed = false

      for (const way of row.ways) {
        hasFailed ||= way.failures > 0
        way.failures = 0
      }
      if (hasFailed) {
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

      // those who were told are to hear that there is no way by us any more: so long the row stays
      if ((row.told?.size ?? 0) === 0) {
        this.#rows.delete(origin)
      } else {
        row.lostAt = -Infinity
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
    for (const [origin, { next, ways, feasible, told }] of this.#rows) {
      const way = ways.find(({ via }) => via === next)

      if (next != null && (way == null || way.isOver || !this.#neighbours.has(next))) {
        throw new Error(`the way to ${origin} by ${next} is none`)
      }
      if (way != null && feasible != null && !isNewer(way, feasible) && way.hops >= feasible.hops) {
        throw new Error(`the way to ${origin} by ${next} is not shorter than what others were told`)
      }
      for (const [neighbour, distance] of told ?? []) {
        // what leaves believe closes no loop
        if (this.#neighbours.get(neighbour) === true && (feasible == null || isNewer(distance, feasible) || (isSame(distance, feasible) && distance.hops < feasible.hops))) {
          throw new Error(`of ${origin} more was told than is remembered`)
        }
      }
    }
  }

  #row (origin: Key): Row {
    let row = this.#rows.get(origin)

    if (row == null) {
      this.#rows.set(origin, row = { ways: [] })
    }

    return row
  }

  /** All that follows from a change: choose a way, tell, ask */
  #settle (origin: Key, row: Row, now?: number): void {
    const before = row.next
    row.next = best(row)?.via
    row.own = this.#init.isRelay ? ownDistance(row) : undefined

    if (row.own != null) {
      // before anybody is told. For one version it gets no larger: the way is shorter than what it was, and a hop is 1
      row.feasible = row.own
    }

    this.#markAll(origin, row)
    this.#askOn(origin, row)

    if (before !== row.next) {
      this.version++
      row.lostAt = row.next == null ? now ?? row.lostAt ?? 0 : undefined

      if ((before == null) !== (row.next == null)) {
        this.#init.onReachable(origin, row.next != null)
      }
    }
  }

  #markAll (origin: Key, row: Row): void {
    const { own } = row

    if (!this.#init.isRelay) {
      return
    }
    for (const [neighbour, isRelay] of this.#neighbours) {
      if (neighbour === origin || (neighbour === row.next && own != null)) {
        continue
      }

      const told = row.told?.get(neighbour)

      if (own == null) {
        if (told != null) {
          this.#init.onDirty(neighbour, origin, true)
        }
      } else if (told == null || told.seq === MUTED || isNewer(own, told) || (isRelay && told.hops !== own.hops)) {
        this.#init.onDirty(neighbour, origin, this.#isAnswer(row, neighbour, own))
      }
    }
  }

  #isAnswer (row: Row, neighbour: Key, own: Distance): boolean {
    const wanted = row.askers?.get(neighbour)
    return wanted != null && !isNewer(wanted, own)
  }

  /**
   * Who has no way that may be taken asks along those that may not; who was asked for more than it has passes that on
   */
  #askOn (origin: Key, row: Row): void {
    const { own } = row
    const known = row.next == null ? newestOf(row) : undefined
    let wanted: Wanted | undefined = known == null ? undefined : { epoch: known.epoch, seq: known.seq + 1, hops: HOP_LIMIT }

    for (const asked of row.askers?.values() ?? []) {
      if ((own == null || isNewer(asked, own)) && (wanted == null || isNewer(asked, wanted))) {
        wanted = asked
      }
    }
    if (wanted != null && wanted.hops > 0) {
      this.#ask(origin, row, wanted, row.next == null ? row.ways.map(({ via }) => via) : [row.next])
    }
  }

  /** A neighbour that hears something of us takes what it was asked for to be over */
  #askAgain (neighbour: Key, origin: Key, row: Row): void {
    if (row.asked?.delete(neighbour) === true) {
      this.#askOn(origin, row)
    }
  }

  /** Each neighbour once, until it says something else of this origin */
  #ask (origin: Key, row: Row, wanted: Wanted, neighbours: Key[]): void {
    for (const neighbour of neighbours) {
      const asked = row.asked?.get(neighbour)

      if (asked == null || isNewer(wanted, asked)) {
        row.asked ??= new Map()
        row.asked.set(neighbour, { epoch: wanted.epoch, seq: wanted.seq })
        this.#init.onAsk(neighbour, origin, wanted)
      }
    }
  }
}

export function isNewer (a: Version, b: Version): boolean {
  return a.epoch > b.epoch || (a.epoch === b.epoch && a.seq > b.seq)
}

function isSame (a: Version, b: Version): boolean {
  return a.epoch === b.epoch && a.seq === b.seq
}

/** RFC 8966 3.5.1 */
function isFeasible (way: Way, feasible?: Distance): boolean {
  return !way.isOver && (feasible == null || isNewer(way, feasible) || (isSame(way, feasible) && way.hops < feasible.hops))
}

/**
 * The better of two ways: the one that brings acks, the shorter, the one in use (messages keep their order), the newer
 */
function compare (one: Way, other: Way, next?: Key): number {
  return one.failures - other.failures || one.hops - other.hops || Number(other.via === next) - Number(one.via === next) ||
    other.epoch - one.epoch || other.seq - one.seq || (one.via < other.via ? -1 : 1)
}

/** Ways that may be taken, the best first */
function ranked ({ ways, feasible, next }: Row): Way[] {
  return ways.filter(way => isFeasible(way, feasible)).sort((one, other) => compare(one, other, next))
}

function best ({ ways, feasible, next }: Row): Way | undefined {
  let best: Way | undefined

  for (const way of ways) {
    if (isFeasible(way, feasible) && (best == null || compare(way, best, next) < 0)) {
      best = way
    }
  }

  return best
}

function wayInUse ({ next, ways }: Row): Way | undefined {
  return next == null ? undefined : ways.find(({ via }) => via === next)
}

function removeWay (row: Row, neighbour: Key): Way | undefined {
  const at = row.ways.findIndex(({ via }) => via === neighbour)
  return at < 0 ? undefined : row.ways.splice(at, 1)[0]
}

/** The same object while it says the same: it is kept for each neighbour that was told */
function ownDistance (row: Row): Distance | undefined {
  const { own } = row
  const way = wayInUse(row)

  if (way == null || way.hops + 1 >= HOP_LIMIT || way.failures >= MAX_FAILURES) {
    return
  }

  const hops = way.hops + 1
  return own != null && own.hops === hops && isSame(own, way) ? own : { epoch: way.epoch, seq: way.seq, hops }
}

/** The newest version that anybody claimed or that we told: what is asked for has to be newer */
function newestOf ({ feasible, ways }: Row): Version | undefined {
  let newest: Version | undefined = feasible

  for (const way of ways) {
    if ((way.isOver || way.failures > 0) && (newest == null || isNewer(way, newest))) {
      newest = way
    }
  }

  return newest
}
