import { expect } from 'aegir/chai'
import { randomInt, seededRandom } from '../../src/runtime/random.ts'
import { ASKS, LEASE, PATIENCE, PING_EVERY, REST, START_PATIENCE, STOP_PATIENCE } from '../../src/tabs/constants.ts'
import { Election } from '../../src/tabs/core/election.ts'
import type { Effect, Event } from '../../src/tabs/core/election.ts'

const OTHER = { leader: 'other', term: 1 }

function types (effects: Effect[]): string[] {
  return effects.map(({ type }) => type)
}

/** Ticks as a tab does, until something else than a question comes of it. Says how long that took */
function tickUntil (election: Election, from: number, wanted: string, limit = 60_000): number {
  for (let now = from; now < from + limit; now += PING_EVERY) {
    if (types(election.handle({ type: 'tick' }, now)).includes(wanted)) {
      return now - from
    }
  }
  return Infinity
}

describe('the election of a leader', () => {
  let election: Election

  beforeEach(() => {
    election = new Election('me')
    election.handle({ type: 'start' }, 0)
  })

  function lead (isForced = false): void {
    if (isForced) {
      election.handle({ type: 'found', reign: OTHER }, 0)
      tickUntil(election, 0, 'seize')
    }
    election.handle({ type: 'granted', isForced }, 10_000)
    isForced && election.handle({ type: 'tick' }, 10_000 + LEASE)
    election.handle({ type: 'opened' }, 10_000 + LEASE)
    expect(election.state.type).to.equal('leading')
  }

  it('waits for the lock, and opens the node when it has it', () => {
    expect(types(new Election('me').handle({ type: 'start' }, 0))).to.deep.equal(['request', 'look'])
    expect(types(election.handle({ type: 'granted', isForced: false }, 1))).to.deep.equal(['announce', 'open'])
    expect(election.reign).to.deep.equal({ leader: 'me', term: 1 })
  })

  it('takes the lock from a leader that leaves questions unanswered, within what is promised', () => {
    election.handle({ type: 'announced', reign: OTHER }, 0)
    expect(tickUntil(election, 0, 'seize')).to.be.within(PATIENCE, PATIENCE + PING_EVERY)
    expect(PING_EVERY + PATIENCE + PING_EVERY + LEASE + PING_EVERY).to.be.below(3000)
  })

  it('takes nothing from a leader that answers', () => {
    election.handle({ type: 'announced', reign: OTHER }, 0)

    for (let now = 0; now < 60_000; now += PING_EVERY) {
      expect(types(election.handle({ type: 'tick' }, now))).to.deep.equal(['ping'])
      election.handle({ type: 'answered', reign: OTHER }, now + 1)
    }
  })

  it('asks again before it takes the lock, when it stood still itself', () => {
    election.handle({ type: 'announced', reign: OTHER }, 0)
    election.handle({ type: 'tick' }, 0)

    // the answer waits behind the timer
    for (let ask = 1; ask < ASKS; ask++) {
      expect(types(election.handle({ type: 'tick' }, 100_000 + ask))).to.deep.equal(['ping'])
    }
    election.handle({ type: 'answered', reign: OTHER }, 100_010)
    expect(types(election.handle({ type: 'tick' }, 100_020))).to.deep.equal(['ping'])
  })

  it('takes an answer only from the leader that it asked', () => {
    election.handle({ type: 'announced', reign: OTHER }, 0)
    election.handle({ type: 'tick' }, 0)
    election.handle({ type: 'answered', reign: { leader: 'another', term: 1 } }, 1)
    expect(tickUntil(election, PING_EVERY, 'seize')).to.be.below(2 * PATIENCE)
  })

  it('opens nothing before the lease of the one is over that it took the lock from', () => {
    election.handle({ type: 'announced', reign: OTHER }, 0)
    tickUntil(election, 0, 'seize')
    expect(types(election.handle({ type: 'granted', isForced: true }, 5000))).to.deep.equal(['announce'])
    expect(types(election.handle({ type: 'tick' }, 5000 + LEASE - 1))).to.deep.equal([])
    expect(types(election.handle({ type: 'tick' }, 5000 + LEASE))).to.deep.equal(['open'])
  })

  it('does not wait for another one that is about to take the lock, and stands still', () => {
    election.handle({ type: 'announced', reign: OTHER }, 0)
    tickUntil(election, 0, 'seize')
    expect(tickUntil(election, 5000, 'seize')).to.equal(0)
    expect(election.handle({ type: 'tick' }, 5000 + PATIENCE)).to.deep.equal([{ type: 'seize', from: OTHER, isForced: true }])
    expect(election.handle({ type: 'tick' }, 5000 + PATIENCE + 1)).to.deep.equal([])
  })

  it('follows who has taken the lock before it', () => {
    election.handle({ type: 'announced', reign: OTHER }, 0)
    tickUntil(election, 0, 'seize')
    const next = { leader: 'next', term: 1 }
    expect(types(election.handle({ type: 'refused', reign: next }, 5000))).to.deep.equal(['request'])
    expect(election.reign).to.deep.equal(next)
  })

  it('lets go in the step in which it hears that the lock was taken, fenced, and waits for it again', () => {
    for (const isForced of [false, true]) {
      election = new Election('me')
      lead(isForced)
      expect(election.handle({ type: 'lost' }, 20_000)).to.deep.equal([{ type: 'let-go', isFenced: true }])
      expect(election.reign).to.equal(undefined)
      expect(types(election.handle({ type: 'released' }, 20_001))).to.deep.equal(['release', 'request', 'look'])
    }
  })

  it('gives the lock back when its node does not stop in time, fenced', () => {
    lead()
    expect(election.handle({ type: 'stop' }, 20_000)).to.deep.equal([{ type: 'let-go', isFenced: false }])
    expect(types(election.handle({ type: 'tick' }, 20_000 + STOP_PATIENCE - 1))).to.deep.equal([])
    expect(election.handle({ type: 'tick' }, 20_000 + STOP_PATIENCE))
      .to.deep.equal([{ type: 'let-go', isFenced: true }, { type: 'release' }])
    expect(election.state.type).to.equal('stopped')
  })

  it('leaves the lead to others when the node cannot be made, or takes too long, and tries again', () => {
    for (const type of ['failed', 'tick'] as const) {
      election = new Election('me')
      election.handle({ type: 'granted', isForced: false }, 0)
      expect(types(election.handle({ type }, START_PATIENCE))).to.deep.equal(['let-go'])
      expect(types(election.handle({ type: 'released' }, START_PATIENCE))).to.deep.equal(['release'])
      expect(tickUntil(election, START_PATIENCE, 'request')).to.be.within(REST, REST + PING_EVERY)
    }
  })

  it('gives back a lock that comes when it has stopped', () => {
    election.handle({ type: 'stop' }, 1)
    expect(types(election.handle({ type: 'granted', isForced: false }, 2))).to.deep.equal(['release'])
  })

  it('keeps E1, E2 and E5, whatever happens in whichever order', () => {
    const random = seededRandom(7)
    const reigns = [OTHER, { leader: 'me', term: 9 }, { leader: 'third', term: 2 }]
    const pick = (): typeof OTHER => reigns[randomInt(random, reigns.length)]
    const draw: Array<() => Event> = [
      () => ({ type: 'tick' }), () => ({ type: 'tick' }), () => ({ type: 'granted', isForced: random() < 0.5 }),
      () => ({ type: 'lost' }), () => ({ type: 'opened' }), () => ({ type: 'failed' }), () => ({ type: 'released' }),
      () => ({ type: 'announced', reign: pick() }), () => ({ type: 'answered', reign: pick() }),
      () => ({ type: 'found', reign: random() < 0.5 ? undefined : pick() }), () => ({ type: 'refused' }),
      () => ({ type: 'resigned', reign: pick() })
    ]

    for (let run = 0; run < 300; run++) {
      const election = new Election('me')
      let [isHeld, isOpen, forcedAt, now] = [false, false, -Infinity, 0]
      election.handle({ type: 'start' }, now)

      for (let i = 0; i < 200; i++) {
        now += randomInt(random, 1000)
        const event = draw[randomInt(random, draw.length)]()

        // what the locks of a browser never do
        if ((event.type === 'granted' && isHeld) || (event.type === 'lost' && !isHeld)) {
          continue
        }

        isHeld = event.type === 'granted' || (isHeld && event.type !== 'lost')
        forcedAt = event.type === 'granted' && event.isForced ? now : forcedAt
        const effects = election.handle(event, now)

        for (const effect of effects) {
          if (effect.type === 'open') {
            expect(isHeld, 'E1').to.equal(true)
            expect(now - forcedAt, 'E5').to.be.at.least(LEASE)
            isOpen = true
          } else if (effect.type === 'let-go') {
            expect(event.type === 'lost' && !effect.isFenced, 'E2').to.equal(false)
            isOpen = false
          } else if (effect.type === 'release') {
            expect(isOpen, 'the lock is given back by one that leads').to.equal(false)
            isHeld = false
          }
        }

        expect(isOpen && !isHeld, 'E2').to.equal(false)
      }
    }
  })
})
