import { encodeRecord } from '../../../src/session/core/record.ts'
import { wild } from './setups.ts'
import type { Setup } from './setup.ts'
import type { Effect } from '../../../src/session/core/events.ts'
import type { Session } from '../../../src/session/core/session.ts'

/** A bug on purpose: the checker that does not find it is blind */
export interface Mutant extends Setup {
  /** What the checker says of it */
  shows: string
  /** It takes more to show than every order of a few things: walks at random find it */
  isOnlyLate?: boolean
}

const INSTANT = { isCryptoInstant: true, isStoreInstant: true, met: true }

/** What a step wants done is changed before anybody does it */
function effects (session: Session, change: (effects: Effect[]) => Effect[]): void {
  const step = session.step.bind(session)
  session.step = (event, moment) => change(step(event, moment))
}

/** The thirteen of the spec, and what was found wrong since */
export const mutants: Record<string, Mutant> = {
  'no tie-break': {
    ...INSTANT,
    budget: { rekey: [1, 1] },
    shows: 'I11',
    mutate: ({ round }) => { round.wins = () => true }
  },
  'no tie-break, and both give way': {
    ...INSTANT,
    budget: { rekey: [1, 1] },
    shows: 'I11',
    mutate: ({ round }) => { round.wins = () => false }
  },
  'the loser keeps its secret': {
    ...INSTANT,
    budget: { rekey: [1, 1] },
    shows: 'I3',
    mutate: ({ round }) => {
      const leave = round.leave.bind(round)
      round.leave = (state, next) => {
        if (state.mode.type === 'proposing' && next.type === 'accepted') {
          state.mode = next
        } else {
          leave(state, next)
        }
      }
    }
  },
  'no stale check on Propose': {
    ...INSTANT,
    budget: { rekey: [1, 1], duplicate: 1, send: [1, 0] },
    shows: 'I6',
    mutate: ({ round }) => { round.isStale = () => false }
  },
  'no stale check on Accept': {
    ...INSTANT,
    budget: { rekey: [2, 1], duplicate: 1 },
    shows: 'I6',
    mutate: ({ round }) => { round.isAnswer = ({ stage }) => stage !== 'preparing' }
  },
  'sending under the new key at Accept': {
    ...INSTANT,
    budget: { rekey: [1, 1], send: [1, 1] },
    shows: 'I6',
    mutate: ({ round }) => {
      const encapsulated = round.encapsulated.bind(round)
      round.encapsulated = (turn, ...rest) => {
        encapsulated(turn, ...rest)
        round.promote(turn)
      }
    }
  },
  'Accept before persist': {
    met: true,
    isCryptoInstant: true,
    budget: { rekey: [1, 1], send: [1, 1], crash: 1 },
    shows: 'I6',
    mutate: session => {
      effects(session, effects => {
        const isAccept = (effect: Effect): boolean => effect.type === 'send' && effect.frame.kind === 'accept'
        return [...effects.filter(isAccept), ...effects.filter(effect => !isAccept(effect))]
      })
    }
  },
  'the provisional key is lost in a crash': {
    ...INSTANT,
    budget: { rekey: [1, 1], send: [1, 1], crash: 1 },
    shows: 'I6',
    reborn: ({ state }) => { state.mode = { type: 'idle' } }
  },
  'an accepted round is dropped on a timer': {
    ...INSTANT,
    budget: { rekey: [1, 0], send: [1, 1], wake: 2 },
    shows: 'I6',
    mutate: ({ round }) => {
      const wake = round.wake.bind(round)
      round.wake = turn => {
        const { mode } = turn.state
        mode.type === 'accepted' && mode.wakeAt <= turn.now ? round.leave(turn.state, { type: 'idle' }) : wake(turn)
      }
    }
  },
  'no epoch in Confirm': {
    ...INSTANT,
    budget: { rekey: [5, 0] },
    shows: 'I6',
    mutate: ({ round }) => { round.isBehind = () => false }
  },
  'counters are not persisted': {
    ...INSTANT,
    budget: { send: [2, 0], crash: 1 },
    shows: 'I12',
    mutate: session => {
      effects(session, effects => effects.map(effect => {
        const record = encodeRecord({ ...session.state, n: 0, seen: 0, in: { ...session.state.in, delivered: 0 } })
        return effect.type === 'persist' ? { ...effect, record } : effect
      }))
    }
  },
  'a waiter is not settled by the round of the peer': {
    ...INSTANT,
    budget: { rekey: [1, 1] },
    shows: 'I11',
    mutate: ({ round }) => {
      const { promote, settle } = round
      round.promote = turn => {
        round.settle = () => {}
        promote.call(round, turn)
        round.settle = settle
      }
    }
  },
  'no Resync after a rollback': {
    ...INSTANT,
    budget: { rekey: [1, 0], 'roll back': 1 },
    shows: 'I11',
    mutate: ({ round }) => { round.desync = () => {} }
  },
  'a restored key seals': {
    ...INSTANT,
    budget: { send: [2, 0], rekey: [0, 0], 'roll back': 1 },
    shows: 'I9',
    reborn: ({ state }, { disk }) => {
      state.keys.forEach((key, i) => {
        const send = disk.sends[i]
        key.send = send == null ? undefined : { key: send.key.slice(), next: send.next }
      })
    }
  },
  'who lost everything does not answer an Accept of a round that it forgot': {
    ...wild['losses and states of long ago'],
    // messages that are sealed again in vain would ask for the round that repairs it
    budget: { ...wild['losses and states of long ago'].budget, send: [0, 0] },
    isOnlyLate: true,
    shows: 'I11',
    mutate: ({ round }) => {
      const accept = round.accept.bind(round)
      round.accept = (turn, frame) => { frame.n <= turn.state.n && accept(turn, frame) }
    }
  },
  'a numbered message is handed over again': {
    ...INSTANT,
    isNumbered: true,
    budget: { send: [1, 0], crash: 1 },
    shows: 'I12',
    mutate: ({ state }) => { Object.defineProperty(state, 'origins', { get: () => [], set: () => {}, enumerable: true }) }
  },
  'numbers of messages that were handed over are not stored': {
    ...INSTANT,
    isNumbered: true,
    budget: { send: [1, 0], crash: 2 },
    shows: 'I12',
    mutate: session => {
      effects(session, effects => effects.map(effect => effect.type === 'persist'
        ? { ...effect, record: encodeRecord({ ...session.state, origins: [] }) }
        : effect))
    }
  },
  'an ack for an earlier life counts': {
    ...INSTANT,
    budget: { send: [2, 0], crash: 1 },
    shows: 'I',
    mutate: ({ delivery, state }) => {
      const receive = delivery.receive.bind(delivery)
      delivery.receive = (turn, keys, body) => { receive(turn, { ...keys, myBoot: state.boot }, body) }
    }
  }
}
