import { inOrder, said } from '../../fixtures/logs.ts'
import { nameOf } from './copies.ts'
import type { Entry } from '../../../src/log/index.ts'

/** Whether an entry must be in the log, must not, or may be: a write that failed may have been done, and show at the next opening */
type State = 'here' | 'gone' | 'unsure'

interface Known {
  entry: Entry
  state: State
  /** How often the log told that it was added or removed */
  changes: number
  arrival?: number
}

/** What a program may be marked with: calls that overlap may end in any order */
interface Mark {
  values: Set<number>
  calls: number
  pending: number
}

/**
 * What a log has promised over all its lives, and all that was ever in it.
 */
export class Ledger {
  readonly #known = new Map<string, Known>()
  /** What was to be appended, and the entry that says it once there is one */
  readonly #asked = new Map<string, string | undefined>()
  readonly #offered = new Set<string>()
  readonly #marks = new Map<string, Mark>()
  /** How often the log told that something came or went */
  events = 0
  /** How often it told that something went */
  removals = 0
  /** The highest number of an arrival so far */
  highest = -1

  /** All entries that ever were in the log */
  get seen (): Entry[] {
    return [...this.#known.values()].map(({ entry }) => entry)
  }

  /** Those that must be in it */
  get here (): Entry[] {
    return inOrder([...this.#known.values()].filter(({ state }) => state === 'here').map(({ entry }) => entry))
  }

  state (id: string): State | undefined {
    return this.#known.get(id)?.state
  }

  changes (id: string): number {
    return this.#known.get(id)?.changes ?? 0
  }

  entry (id: string): Entry | undefined {
    return this.#known.get(id)?.entry
  }

  arrival (id: string): number | undefined {
    return this.#known.get(id)?.arrival
  }

  ask (texts: string[]): void {
    texts.forEach(text => { this.#asked.set(text, undefined) })
  }

  isAsked (text: string): boolean {
    return this.#asked.has(text)
  }

  offer (entries: Entry[]): void {
    entries.forEach(entry => { this.#offered.add(nameOf(entry)) })
  }

  /** The log told that an entry is in it. Says what is wrong with that */
  added (entry: Entry, arrival: number): string[] {
    this.events++
    const id = nameOf(entry)
    const wrong = this.#origin(entry)
    const { state, changes = 0 } = this.#known.get(id) ?? {}

    if (state === 'here') {
      wrong.push(`${id} was added twice`)
    }
    if (arrival <= this.highest) {
      wrong.push(`${id} arrived as number ${arrival} after number ${this.highest}`)
    }

    this.highest = Math.max(this.highest, arrival)
    this.#known.set(id, { entry, state: 'here', changes: changes + 1, arrival })
    return wrong
  }

  /** The log told that an entry is in it no longer */
  removed (entry: Entry): string[] {
    this.events++
    this.removals++
    const id = nameOf(entry)
    const { state, changes = 0 } = this.#known.get(id) ?? {}
    this.#known.set(id, { entry, state: 'gone', changes: changes + 1 })
    return state == null || state === 'gone' ? [`${id} was removed, and was not here`] : []
  }

  /** A write that would have changed these failed, or nobody heard how it ended */
  doubt (ids: Iterable<string>): void {
    for (const id of ids) {
      const known = this.#known.get(id)

      if (known != null) {
        known.state = 'unsure'
      }
    }
  }

  /** A log at rest has these. Says what is wrong with that */
  compare (entries: Entry[], arrivals: Map<string, number>): string[] {
    const here = new Set(entries.map(nameOf))
    const lost = [...this.#known].filter(([id, { state }]) => state === 'here' && !here.has(id))
    const wrong = lost.map(([id, { entry }]) => `${id} ('${said(entry)}') was lost`)

    for (const entry of entries) {
      const id = nameOf(entry)
      const { state, arrival } = this.#known.get(id) ?? {}

      if (state == null) {
        wrong.push(...this.#origin(entry))
      } else if (state === 'gone') {
        wrong.push(`${id} ('${said(entry)}') was removed, and is back`)
      } else if (arrival != null && arrival !== arrivals.get(id)) {
        // nobody heard the number of one that was gone, and was joined again by a process that died
        wrong.push(`${id} arrived as number ${arrival}, and now has number ${arrivals.get(id)}`)
      }
    }

    return wrong
  }

  /** What a log has that was just opened settles what nobody could be sure of. Returns what nobody had heard of */
  settle (entries: Entry[], arrivals: Map<string, number>): Entry[] {
    const here = new Set(entries.map(nameOf))
    const unheard = entries.filter(entry => !this.#known.has(nameOf(entry)))

    for (const [id, known] of this.#known) {
      known.state = here.has(id) ? 'here' : 'gone'
    }
    for (const entry of entries) {
      const id = nameOf(entry)
      this.#known.set(id, { entry, state: 'here', changes: this.changes(id), arrival: arrivals.get(id) })
    }

    this.highest = Math.max(this.highest, ...arrivals.values())
    return unheard
  }

  /** A program is to be marked with this. Returns what is to be called when it is */
  mark (program: string, arrival: number): () => void {
    const mark = this.#marks.get(program) ?? { values: new Set([0]), calls: 0, pending: 0 }
    const call = ++mark.calls
    const isAlone = ++mark.pending === 1
    mark.values.add(arrival)
    this.#marks.set(program, mark)

    return () => {
      mark.pending--
      // if another one was asked for meanwhile nobody knows which of them came last
      if (isAlone && mark.calls === call) {
        mark.values = new Set([arrival])
      }
    }
  }

  /** What a program may be marked with */
  marked (program: string): Set<number> {
    return this.#marks.get(program)?.values ?? new Set([0])
  }

  get programs (): string[] {
    return [...this.#marks.keys()]
  }

  setMarked (program: string, arrival: number): void {
    this.#marks.set(program, { values: new Set([arrival]), calls: 0, pending: 0 })
  }

  #origin (entry: Entry): string[] {
    const id = nameOf(entry)
    const text = said(entry)

    if (this.#offered.has(id)) {
      return []
    }
    if (!this.#asked.has(text)) {
      return [`${id} ('${text}') comes from nowhere`]
    }

    const other = this.#asked.get(text)
    this.#asked.set(text, id)
    return other == null || other === id ? [] : [`'${text}' was appended once, and is there twice`]
  }
}
