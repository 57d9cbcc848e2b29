import { Sessions } from '../../src/link/core/sessions.ts'
import { randomInt, seededRandom } from '../../src/runtime/random.ts'
import type { SessionEvent } from '../../src/link/core/sessions.ts'
import type { Random } from '../../src/runtime/random.ts'

interface Side {
  sessions: Sessions
  isOpener: boolean
  /** What each session, or the set of connections, has for this side: in order within, in any order among them */
  queues: Map<string, SessionEvent[]>
  retry: boolean
  lost: boolean
  ups: number
  downs: number
  open: Set<number>
}

/**
 * The reducers of both ends of a link, driven against each other over connections that come and go and streams that die
 * at any moment: what one does reaches the other later, or never.
 */
export class TwoSides {
  readonly #random: Random
  readonly #connections = new Map<string, number>()
  readonly #opener: Side = this.#side(true)
  readonly #other: Side = this.#side(false)
  /** Sessions that both may still use, and the connection of each */
  readonly #alive = new Map<number, string>()
  readonly #helloed = new Set<number>()
  #nextConnection = 0

  constructor (seed: number) {
    this.#random = seededRandom(seed)
  }

  /** `steps` random things happen */
  disturb (steps: number): void {
    for (let i = 0; i < steps; i++) {
      const chance = this.#random()

      if (chance < 0.06) {
        this.#connect()
      } else if (chance < 0.11 && this.#connections.size > 0) {
        this.#disconnect(this.#pick([...this.#connections.keys()]))
      } else if (chance < 0.2 && this.#alive.size > 0) {
        this.#break(this.#pick([...this.#alive.keys()]))
      } else if (chance < 0.25) {
        this.#fireLost(this.#pick([this.#opener, this.#other]))
      } else {
        this.#step()
      }
    }
  }

  /** Nothing is lost any more: what is on its way arrives */
  settle (): void {
    for (let i = 0; i < 10_000; i++) {
      if (!this.#step()) {
        return
      }
    }
  }

  /** What is wrong when all is quiet, if anything is */
  disagreement (): string | undefined {
    const [a, b] = [this.#opener.sessions.state, this.#other.sessions.state]
    const found = JSON.stringify([a, b, [...this.#alive], [...this.#connections]])

    for (const { ups, downs } of [this.#opener, this.#other]) {
      if (downs > ups) {
        return `${downs} times down and ${ups} times up: ${found}`
      }
    }
    if (this.#connections.size === 0) {
      return a.status === 'down' && b.status === 'down' ? undefined : found
    }
    if (a.status !== 'up' || b.status !== 'up') {
      return found
    }

    const isSame = a.session === b.session && a.connection === this.#best() && a.opening == null
    return isSame && this.#opener.open.size === 1 && this.#other.open.size === 1 ? undefined : found
  }

  #side (isOpener: boolean): Side {
    return { sessions: new Sessions(isOpener), isOpener, queues: new Map(), retry: false, lost: false, ups: 0, downs: 0, open: new Set() }
  }

  #pick<T> (items: T[]): T {
    return items[randomInt(this.#random, items.length)]
  }

  #best (): string | undefined {
    return [...this.#connections].sort((a, b) => b[1] - a[1])[0]?.[0]
  }

  #connect (): void {
    this.#connections.set(`c${++this.#nextConnection}`, this.#random())
    this.#tellConnections()
  }

  #disconnect (connection: string): void {
    this.#connections.delete(connection)
    for (const [session, on] of [...this.#alive]) {
      if (on === connection) {
        this.#break(session)
      }
    }
    this.#tellConnections()
  }

  #tellConnections (): void {
    for (const side of [this.#opener, this.#other]) {
      this.#queue(side, 'connections', { type: 'connections', best: this.#best() })
    }
  }

  #queue (side: Side, name: string, event: SessionEvent): void {
    side.queues.set(name, [...side.queues.get(name) ?? [], event])
  }

  #break (session: number): void {
    this.#alive.delete(session)
    for (const side of [this.#opener, this.#other]) {
      this.#queue(side, `${session}`, { type: 'ended', session })
    }
  }

  #fireLost (side: Side): void {
    if (side.lost) {
      side.lost = false
      this.#handle(side, { type: 'lost' })
    }
  }

  /** Something that is on its way arrives; false when there is nothing */
  #step (): boolean {
    const ready = [this.#opener, this.#other].flatMap(side => [...side.queues.keys()].map(name => ({ side, name })))

    if (ready.length === 0) {
      if (!this.#opener.retry) {
        return false
      }
      this.#opener.retry = false
      this.#handle(this.#opener, { type: 'retry' })
      return true
    }
    if (this.#opener.retry && this.#random() < 0.2) {
      this.#opener.retry = false
      this.#handle(this.#opener, { type: 'retry' })
      return true
    }

    const { side, name } = this.#pick(ready)
    const [event, ...others] = side.queues.get(name) as SessionEvent[]
    others.length > 0 ? side.queues.set(name, others) : side.queues.delete(name)
    this.#arrive(side, event)
    return true
  }

  #arrive (side: Side, event: SessionEvent): void {
    if (event.type === 'opened') {
      // streams that died before both said hello are no session
      if (!this.#alive.has(event.session)) {
        return
      }
      side.open.add(event.session)
      if (!side.isOpener && !this.#helloed.has(event.session)) {
        this.#helloed.add(event.session)
        this.#queue(this.#opener, `${event.session}`, event)
      }
    }
    if (event.type === 'ended') {
      side.open.delete(event.session)
    }

    this.#handle(side, event)
  }

  #handle (side: Side, event: SessionEvent): void {
    for (const effect of side.sessions.handle(event)) {
      switch (effect.type) {
        case 'open':
          this.#opens(effect.session, effect.connection)
          break
        case 'retire':
          this.#retires(side, effect.session)
          break
        case 'close':
          side.retry = false
          ;[...this.#alive.keys()].filter(session => side.isOpener || side.open.has(session)).forEach(session => { this.#retires(side, session) })
          break
        case 'up':
          side.ups++
          side.lost = false
          break
        case 'down':
          side.downs++
          side.lost = false
          break
        case 'retry-later':
          side.retry = true
          break
        case 'lost-later':
          side.lost = true
          break
      }
    }
  }

  #opens (session: number, connection: string): void {
    if (this.#connections.has(connection)) {
      this.#alive.set(session, connection)
      this.#queue(this.#other, `${session}`, { type: 'opened', session, connection })
    } else {
      this.#queue(this.#opener, `${session}`, { type: 'ended', session })
    }
  }

  /** Its own end it knows at once, the other side hears of it later */
  #retires (side: Side, session: number): void {
    this.#alive.delete(session)
    side.open.delete(session)
    side.queues.delete(`${session}`)
    this.#queue(side.isOpener ? this.#other : this.#opener, `${session}`, { type: 'ended', session })
    this.#handle(side, { type: 'ended', session })
  }
}
