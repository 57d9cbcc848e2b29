import { expect } from 'aegir/chai'
import { Sessions } from '../../src/link/core/sessions.ts'
import { TwoSides } from './two-sides.ts'
import type { SessionEffect, SessionEvent } from '../../src/link/core/sessions.ts'

function play (isOpener: boolean, ...events: SessionEvent[]): { sessions: Sessions, last: SessionEffect[] } {
  const sessions = new Sessions(isOpener)
  let last: SessionEffect[] = []
  for (const event of events) {
    last = sessions.handle(event)
  }
  return { sessions, last }
}

const A: SessionEvent = { type: 'connections', best: 'A' }
const B: SessionEvent = { type: 'connections', best: 'B' }
const NONE: SessionEvent = { type: 'connections' }
const RETRY: SessionEvent = { type: 'retry' }
const LOST: SessionEvent = { type: 'lost' }
const opened = (session: number, connection = 'A'): SessionEvent => ({ type: 'opened', session, connection })
const ended = (session: number): SessionEvent => ({ type: 'ended', session })

describe('which streams a link runs on: the opener', () => {
  it('opens on the first connection, is up when both said hello, and down when the last one goes', () => {
    expect(play(true, A).last).to.deep.equal([{ type: 'open', session: 1, connection: 'A' }])
    expect(play(true, A, opened(1)).last).to.deep.equal([{ type: 'up', session: 1 }])
    expect(play(true, A, opened(1), NONE).last).to.deep.equal([{ type: 'close' }, { type: 'down' }])
    expect(play(true, A, NONE).last).to.deep.equal([{ type: 'close' }])
    expect(play(true, NONE).last).to.deep.equal([])
  })

  it('opens again, later, what could not be opened or has ended, and is not lost at once', () => {
    expect(play(true, A, ended(1)).last).to.deep.equal([{ type: 'retry-later' }])
    expect(play(true, A, ended(1), RETRY).last).to.deep.equal([{ type: 'open', session: 2, connection: 'A' }])
    expect(play(true, A, opened(1), ended(1)).last).to.deep.equal([{ type: 'retry-later' }, { type: 'lost-later' }])
    expect(play(true, A, ended(1), RETRY, RETRY).last).to.deep.equal([])
  })

  it('moves to a better connection, and ends the old session when the new one is there', () => {
    expect(play(true, A, opened(1), B).last).to.deep.equal([{ type: 'open', session: 2, connection: 'B' }])
    expect(play(true, A, opened(1), B, opened(2, 'B')).last).to.deep.equal([{ type: 'retire', session: 1 }, { type: 'up', session: 2 }])
    expect(play(true, A, B, opened(1)).last).to.deep.equal([{ type: 'up', session: 1 }, { type: 'open', session: 2, connection: 'B' }])
    expect(play(true, A, opened(1), B, A, opened(2, 'B')).last).to.deep.equal([
      { type: 'retire', session: 1 }, { type: 'up', session: 2 }, { type: 'open', session: 3, connection: 'A' }
    ])
  })

  it('stays up, and tries again, when the better connection cannot be used', () => {
    const { sessions, last } = play(true, A, opened(1), B, ended(2))

    expect(last).to.deep.equal([{ type: 'retry-later' }])
    expect(sessions.state).to.include({ status: 'up', session: 1 })
    expect(sessions.handle(RETRY)).to.deep.equal([{ type: 'open', session: 3, connection: 'B' }])
  })

  it('waits for the session that it is opening when the one that it has ends meanwhile', () => {
    const { sessions, last } = play(true, A, opened(1), B, ended(1))

    expect(last).to.deep.equal([{ type: 'lost-later' }])
    expect(sessions.handle(RETRY)).to.deep.equal([])
    expect(sessions.handle(opened(2, 'B'))).to.deep.equal([{ type: 'up', session: 2 }])
  })

  it('ends what is opened after it is down, and sessions that it did not open', () => {
    expect(play(true, A, NONE, opened(1)).last).to.deep.equal([{ type: 'retire', session: 1 }])
    expect(play(true, A, ended(1), RETRY, opened(1)).last).to.deep.equal([{ type: 'retire', session: 1 }])
  })

  it('loses a peer without a session once, and finds it again', () => {
    expect(play(true, A, opened(1), LOST).last).to.deep.equal([])
    const { sessions, last } = play(true, A, opened(1), ended(1), LOST)
    expect(last).to.deep.equal([{ type: 'down' }])
    expect(sessions.handle(LOST)).to.deep.equal([])
    expect(sessions.handle(NONE)).to.deep.equal([{ type: 'close' }])
    sessions.handle(A)
    expect(sessions.handle(opened(2))).to.deep.equal([{ type: 'up', session: 2 }])
  })
})

describe('which streams a link runs on: the other side', () => {
  it('never opens', () => {
    for (const events of [[A], [A, RETRY], [A, opened(1), ended(1), RETRY], [A, opened(1), B]]) {
      expect(play(false, ...events).last.filter(({ type }) => type === 'open')).to.deep.equal([])
    }
  })

  it('takes what the opener opened last', () => {
    expect(play(false, A, opened(1)).last).to.deep.equal([{ type: 'up', session: 1 }])
    expect(play(false, A, opened(1), opened(2)).last).to.deep.equal([{ type: 'retire', session: 1 }, { type: 'up', session: 2 }])
    expect(play(false, A, opened(1), opened(2), ended(1)).last).to.deep.equal([])
    expect(play(false, A, opened(1), ended(1)).last).to.deep.equal([{ type: 'lost-later' }])
    expect(play(false, opened(1)).last).to.deep.equal([{ type: 'retire', session: 1 }])
  })
})

describe('which streams a link runs on: every short story', () => {
  const DEPTH = 5

  /** Plays all stories that can follow, and asks after every event what must hold */
  function explore (isOpener: boolean): number {
    let stories = 0

    const next = (events: SessionEvent[]): void => {
      const world = new World(isOpener)
      events.forEach(event => { world.handle(event) })
      stories++
      if (events.length < DEPTH) {
        world.possible().forEach(event => { next([...events, event]) })
      }
    }

    next([])
    return stories
  }

  it('keeps the rules, for the opener', () => {
    expect(explore(true)).to.be.above(3000)
  })

  it('keeps the rules, for the other side', () => {
    expect(explore(false)).to.be.above(3000)
  })
})

/** One side, and what can happen to it */
class World {
  readonly #sessions: Sessions
  readonly #isOpener: boolean
  readonly #opening = new Set<number>()
  readonly #open = new Set<number>()
  #isNeighbour = false
  #best?: string
  #last = 0

  constructor (isOpener: boolean) {
    this.#isOpener = isOpener
    this.#sessions = new Sessions(isOpener)
  }

  possible (): SessionEvent[] {
    const opening = this.#isOpener ? [...this.#opening] : [this.#last + 1]
    return [
      ...[A, B, NONE].filter(event => event.type === 'connections' && event.best !== this.#best),
      ...opening.map(session => opened(session)),
      ...[...this.#opening, ...this.#open].map(ended),
      RETRY,
      LOST
    ]
  }

  handle (event: SessionEvent): void {
    if (event.type === 'connections') {
      this.#best = event.best
    } else if (event.type === 'opened') {
      this.#opening.delete(event.session)
      this.#open.add(event.session)
      this.#last = Math.max(this.#last, event.session)
    } else if (event.type === 'ended') {
      this.#opening.delete(event.session)
      this.#open.delete(event.session)
    }

    this.#sessions.handle(event).forEach(effect => { this.#check(effect) })
    const { state } = this.#sessions
    expect(state.status === 'down').to.equal(this.#best == null)

    if (state.status === 'up') {
      expect(this.#open.has(state.session)).to.equal(true)
    } else {
      expect(this.#open.size).to.equal(0)
    }
    if ('opening' in state && state.opening != null) {
      expect([...this.#opening]).to.deep.equal([state.opening])
    } else {
      expect(this.#opening.size).to.equal(0)
    }
  }

  #check (effect: SessionEffect): void {
    switch (effect.type) {
      case 'open':
        expect(this.#opening.size, 'one opening at a time').to.equal(0)
        expect(effect.session).to.be.above(this.#last)
        expect(effect.connection).to.equal(this.#best)
        this.#last = effect.session
        this.#opening.add(effect.session)
        break
      case 'retire':
        this.#open.delete(effect.session)
        break
      case 'up':
        this.#isNeighbour = true
        break
      case 'down':
        expect(this.#isNeighbour, 'no down without an up').to.equal(true)
        this.#isNeighbour = false
        break
      case 'close':
        this.#open.clear()
        this.#opening.clear()
        break
      case 'retry-later':
      case 'lost-later':
        break
    }
  }
}

describe('which streams a link runs on: both sides together', () => {
  it('agree in the end, whatever was lost on the way', () => {
    for (let seed = 0; seed < 1500; seed++) {
      const world = new TwoSides(seed)
      world.disturb(80)
      world.settle()

      expect(world.disagreement(), `seed ${seed}`).to.equal(undefined)
    }
  })
})
