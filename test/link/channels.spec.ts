import { expect } from 'aegir/chai'
import { Channels } from '../../src/link/core/channels.ts'
import { Flight } from '../../src/link/core/flight.ts'
import { randomInt, seededRandom } from '../../src/runtime/random.ts'
import { IS_LONG } from '../fixtures/effort.ts'
import { TwoSides } from './two-sides.ts'
import type { ChannelEffect, ChannelEvent } from '../../src/link/core/channels.ts'

/** Stories at random, and steps of those that are all told */
const SEEDS = IS_LONG ? 1500 : 300
const STEPS = IS_LONG ? 4 : 3

const newFlight = (): Flight => {
  let lives = 0
  return new Flight({ window: 1000, newLife: () => ++lives })
}

function play (isOpener: boolean, ...events: ChannelEvent[]): { channels: Channels, last: ChannelEffect[] } {
  const channels = new Channels(isOpener, newFlight())
  let last: ChannelEffect[] = []
  for (const event of events) {
    last = channels.handle(event)
  }
  return { channels, last }
}

const A: ChannelEvent = { type: 'connections', best: 'A' }
const B: ChannelEvent = { type: 'connections', best: 'B' }
const NONE: ChannelEvent = { type: 'connections' }
const RETRY: ChannelEvent = { type: 'retry' }
const LOST: ChannelEvent = { type: 'lost' }
const opened = (channel: number, connection = 'A', life = 7, of = 1): ChannelEvent => ({
  type: 'hello', channel, connection, hello: { life, of, received: 0, from: 0 }, window: 1000
})
const ended = (channel: number): ChannelEvent => ({ type: 'ended', channel })

describe('which channel is in use: the opener', () => {
  it('opens on the first connection, is up when both said hello, and down when the last one goes', () => {
    expect(play(true, A).last).to.deep.equal([{ type: 'open', channel: 1, connection: 'A' }])
    expect(play(true, A, opened(1)).last).to.deep.equal([{ type: 'up', channel: 1, met: 'paired' }])
    expect(play(true, A, opened(1), NONE).last).to.deep.equal([{ type: 'close' }, { type: 'down' }])
    expect(play(true, A, NONE).last).to.deep.equal([{ type: 'close' }])
    expect(play(true, NONE).last).to.deep.equal([])
  })

  it('opens again, later, what could not be opened or has ended, and is not lost at once', () => {
    expect(play(true, A, ended(1)).last).to.deep.equal([{ type: 'retry-later' }])
    expect(play(true, A, ended(1), RETRY).last).to.deep.equal([{ type: 'open', channel: 2, connection: 'A' }])
    expect(play(true, A, opened(1), ended(1)).last).to.deep.equal([{ type: 'retry-later' }, { type: 'lost-later' }])
    expect(play(true, A, ended(1), RETRY, RETRY).last).to.deep.equal([])
  })

  it('moves to a better connection, and ends the old channel when the new one is there', () => {
    expect(play(true, A, opened(1), B).last).to.deep.equal([{ type: 'open', channel: 2, connection: 'B' }])
    expect(play(true, A, opened(1), B, opened(2, 'B')).last).to.deep.equal([{ type: 'end', channel: 1 }, { type: 'up', channel: 2, met: 'resumed' }])
    expect(play(true, A, B, opened(1)).last).to.deep.equal([{ type: 'up', channel: 1, met: 'paired' }, { type: 'open', channel: 2, connection: 'B' }])
    expect(play(true, A, opened(1), B, A, opened(2, 'B')).last).to.deep.equal([
      { type: 'end', channel: 1 }, { type: 'up', channel: 2, met: 'resumed' }, { type: 'open', channel: 3, connection: 'A' }
    ])
  })

  it('stays up, and tries again, when the better connection cannot be used', () => {
    const { channels, last } = play(true, A, opened(1), B, ended(2))

    expect(last).to.deep.equal([{ type: 'retry-later' }])
    expect(channels.state).to.include({ status: 'up', channel: 1 })
    expect(channels.handle(RETRY)).to.deep.equal([{ type: 'open', channel: 3, connection: 'B' }])
  })

  it('waits for the channel that it is opening when the one that it has ends meanwhile', () => {
    const { channels, last } = play(true, A, opened(1), B, ended(1))

    expect(last).to.deep.equal([{ type: 'lost-later' }])
    expect(channels.handle(RETRY)).to.deep.equal([])
    expect(channels.handle(opened(2, 'B'))).to.deep.equal([{ type: 'up', channel: 2, met: 'resumed' }])
  })

  it('ends what is opened after it is down, and channels that it did not open', () => {
    expect(play(true, A, NONE, opened(1)).last).to.deep.equal([{ type: 'end', channel: 1 }])
    expect(play(true, A, ended(1), RETRY, opened(1)).last).to.deep.equal([{ type: 'end', channel: 1 }])
  })

  it('loses a peer without a channel once, and finds it again', () => {
    expect(play(true, A, opened(1), LOST).last).to.deep.equal([])
    const { channels, last } = play(true, A, opened(1), ended(1), LOST)
    expect(last).to.deep.equal([{ type: 'down' }])
    expect(channels.handle(LOST)).to.deep.equal([])
    expect(channels.handle(NONE)).to.deep.equal([{ type: 'close' }])
    channels.handle(A)
    expect(channels.handle(opened(2, 'A', 7, 2))).to.deep.equal([{ type: 'end', channel: 2 }])
    expect(channels.handle(opened(2, 'A', 7, 4))).to.deep.equal([{ type: 'up', channel: 2, met: 'paired' }])
  })
})

describe('which channel is in use: the other side', () => {
  it('never opens', () => {
    for (const events of [[A], [A, RETRY], [A, opened(1), ended(1), RETRY], [A, opened(1), B]]) {
      expect(play(false, ...events).last.filter(({ type }) => type === 'open')).to.deep.equal([])
    }
  })

  it('takes a channel of an older number only from another life', () => {
    expect(play(false, A, opened(2), opened(1)).last).to.deep.equal([{ type: 'end', channel: 1 }])
    expect(play(false, A, opened(2), ended(2), opened(1)).last).to.deep.equal([{ type: 'end', channel: 1 }])
    expect(play(false, A, opened(2), opened(1, 'A', 8)).last).to.deep.equal([{ type: 'end', channel: 2 }, { type: 'up', channel: 1, met: 'other-life' }])
  })

  it('takes what the opener opened last', () => {
    expect(play(false, A, opened(1)).last).to.deep.equal([{ type: 'up', channel: 1, met: 'paired' }])
    expect(play(false, A, opened(1), opened(2)).last).to.deep.equal([{ type: 'end', channel: 1 }, { type: 'up', channel: 2, met: 'resumed' }])
    expect(play(false, A, opened(1), opened(2), ended(1)).last).to.deep.equal([])
    expect(play(false, A, opened(1), ended(1)).last).to.deep.equal([{ type: 'lost-later' }])
    expect(play(false, opened(1)).last).to.deep.equal([{ type: 'end', channel: 1 }])
  })
})

describe('which channel is in use: every short story', () => {
  const DEPTH = 5

  /** Plays all stories that can follow, and asks after every event what must hold */
  function explore (isOpener: boolean): number {
    let stories = 0

    const next = (events: ChannelEvent[]): void => {
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
  readonly #flight = newFlight()
  readonly #channels: Channels
  readonly #isOpener: boolean
  readonly #opening = new Set<number>()
  readonly #open = new Set<number>()
  #isNeighbour = false
  #best?: string
  #last = 0

  constructor (isOpener: boolean) {
    this.#isOpener = isOpener
    this.#channels = new Channels(isOpener, this.#flight)
  }

  possible (): ChannelEvent[] {
    const opening = this.#isOpener ? [...this.#opening] : [this.#last + 1]
    return [
      ...[A, B, NONE].filter(event => event.type === 'connections' && event.best !== this.#best),
      ...opening.map(channel => opened(channel, 'A', 7, this.#flight.standing.life)),
      ...[...this.#opening, ...this.#open].map(ended),
      RETRY,
      LOST
    ]
  }

  handle (event: ChannelEvent): void {
    if (event.type === 'connections') {
      this.#best = event.best
    } else if (event.type === 'hello') {
      this.#opening.delete(event.channel)
      this.#open.add(event.channel)
      this.#last = Math.max(this.#last, event.channel)
    } else if (event.type === 'ended') {
      this.#opening.delete(event.channel)
      this.#open.delete(event.channel)
    }

    this.#channels.handle(event).forEach(effect => { this.#check(effect) })
    const { state } = this.#channels
    expect(state.status === 'down').to.equal(this.#best == null)

    if (state.status === 'up') {
      expect(this.#open.has(state.channel)).to.equal(true)
    } else {
      expect(this.#open.size).to.equal(0)
    }
    if ('opening' in state && state.opening != null) {
      expect([...this.#opening]).to.deep.equal([state.opening])
    } else {
      expect(this.#opening.size).to.equal(0)
    }
  }

  #check (effect: ChannelEffect): void {
    switch (effect.type) {
      case 'open':
        expect(this.#opening.size, 'one opening at a time').to.equal(0)
        expect(effect.channel).to.be.above(this.#last)
        expect(effect.connection).to.equal(this.#best)
        this.#last = effect.channel
        this.#opening.add(effect.channel)
        break
      case 'end':
        this.#open.delete(effect.channel)
        break
      case 'up':
        this.#isNeighbour = true
        break
      case 'down':
        expect(this.#isNeighbour, 'no down without an up').to.equal(true)
        this.#isNeighbour = false
        break
      case 'fault':
        throw new Error('nobody lied')
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

describe('which channel is in use: both sides together', function () {
  this.timeout(60_000)

  it('agree in the end, and get each frame once and in order, whatever was lost on the way', () => {
    for (let seed = 0; seed < SEEDS; seed++) {
      const random = seededRandom(seed)
      const world = new TwoSides(30)

      for (let i = 0; i < 120; i++) {
        const actions = world.actions()
        // what destroys is rarer than what goes on
        const calm = actions.filter(action => /^(tell|read|write|retry)/.test(action))
        const among = calm.length > 0 && random() < 0.85 ? calm : actions
        world.do(among[randomInt(random, among.length)])
      }

      world.settle()
      expect(world.disagreement(), `seed ${seed}`).to.equal(undefined)
    }
  })

  for (const [from, setUp] of Object.entries({
    'the first connection': ['connect'],
    'a channel in use, with frames on their way both ways': ['connect', 'tell opener', 'tell other', 'write 1 opener', 'read 1 other', 'write 1 other', 'read 1 opener', 'write 1 opener', 'write 1 opener', 'write 1 other'],
    'a second connection': ['connect', 'tell opener', 'tell other', 'write 1 opener', 'read 1 other', 'write 1 other', 'read 1 opener', 'write 1 opener', 'write 1 other', 'connect', 'tell opener', 'tell other', 'write 2 opener']
  })) {
    it(`does so in every short story from ${from} on`, () => {
      let stories = 0

      const next = (actions: string[], left: number): void => {
        const world = new TwoSides(4)
        actions.forEach(action => { world.do(action) })
        const possible = world.actions()
        world.settle()
        expect(world.disagreement(), actions.join(', ')).to.equal(undefined)
        stories++

        if (left > 0) {
          possible.forEach(action => { next([...actions, action], left - 1) })
        }
      }

      next(setUp, STEPS)
      expect(stories).to.be.above(IS_LONG ? 300 : 30)
    })
  }
})
