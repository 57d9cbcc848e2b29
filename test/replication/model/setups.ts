import { full } from './documents.ts'
import type { Setup } from './setup.ts'
import type { Document } from '../../../src/replication/core/info.ts'

const TIMES: Pick<Setup, 'grace' | 'maturity'> = { grace: 10, maturity: 4 }
const P_STORED = [full('p', 1, 1, 'a'), full('p', 1, 2, 'ab')]

/** All that an owner can say: something, something else, that it stops */
function story (owner: string): Document[] {
  return [full(owner, 1, 1, 'a'), full(owner, 1, 2, 'ab'), full(owner, 1, 3, '')]
}

const one: Setup = { says: { p: story('p') }, on: ['p'], isOpen: false, budget: {}, ...TIMES }

/** What is explored, each with the name of what it is about */
export const setups: Record<string, Setup> = {
  'one that says something, changes it and stops, while we open': one,
  'one whose documents come twice, late or never': { ...one, budget: { again: 1, drop: 1 } },
  'one whose turns fail': { ...one, budget: { again: 1, fail: 1 } },
  'one whom canReplicate refuses, now and then': { ...one, says: { p: [...story('p').slice(0, 2), full('p', 1, 3, 'c')] }, budget: { refuse: 1 } },
  'one that leaves the topic, or is lost, and comes back': { ...one, isOpen: true, says: { p: story('p').slice(0, 2) }, budget: { off: 1, gone: 1 } },
  'one that is lost, and matures slowly': { ...one, isOpen: true, grace: 4, maturity: 10, says: { p: story('p').slice(0, 2) }, budget: { gone: 2 } },
  'one that stops and leaves while its documents wait': { ...one, isOpen: true, budget: { off: 1 } },
  'one that comes while we open, and says that it goes again': { ...one, on: [], says: { p: [full('p', 1, 1, 'a')] }, budget: { off: 1 } },
  'one that comes while we open, and is lost again': { ...one, on: [], says: { p: [full('p', 1, 1, 'a')] }, budget: { gone: 1 } },
  'one that begins a new life': {
    ...one, says: { p: [full('p', 1, 1, 'a'), full('p', 2, 1, 'b'), full('p', 2, 2, 'bc')] }, budget: { again: 1 }
  },
  'a log that is closed in the middle of a turn, and opened again': { ...one, isOpen: true, says: { p: story('p').slice(0, 2) }, budget: { close: 1 } },
  'a log that crashes before it has written': { ...one, isOpen: true, says: { p: story('p').slice(0, 2) }, budget: { crash: 1 } },
  'a log that crashes while one leaves': { ...one, isOpen: true, says: { p: [full('p', 1, 1, 'a')] }, budget: { crash: 1, off: 1 } },
  'a log whose disk fails': { ...one, isOpen: true, says: { p: story('p').slice(0, 2) }, budget: { unwritten: 1, close: 1 } },
  'a restart that remembers one that is here': {
    ...one, says: { p: [...P_STORED, full('p', 1, 3, 'abc')] }, disk: { p: P_STORED.slice(1) }, budget: { gone: 1 }
  },
  'a restart that remembers one that never comes back, or late': { ...one, says: { p: P_STORED }, on: [], disk: { p: P_STORED.slice(1) }, budget: { off: 1 } },
  'a restart whose disk has less than what is under way': {
    ...one, says: { p: [...P_STORED, full('p', 1, 3, 'b')] }, disk: { p: P_STORED.slice(0, 1) }, budget: { again: 1 }
  },
  'two that speak at once while we open': {
    ...one, says: { p: story('p').slice(0, 2), q: story('q').slice(0, 2) }, on: ['p', 'q']
  },
  'two, of whom one leaves': {
    ...one, isOpen: true, says: { p: [full('p', 1, 1, 'a')], q: story('q').slice(0, 2) }, on: ['p', 'q'], budget: { off: 1 }
  },
  'two, of whom one is remembered, and a log that is closed': {
    ...one, says: { p: P_STORED.slice(0, 1), q: [full('q', 1, 1, 'a')] }, on: ['p', 'q'], disk: { p: P_STORED.slice(0, 1) }, budget: { close: 1 }
  },
  'two that crash, stop, are refused, lost and said twice': {
    ...one, says: { p: story('p'), q: story('q') }, on: ['p', 'q'], budget: { again: 1, drop: 1, refuse: 1, gone: 1, off: 1, crash: 1, close: 1, fail: 1 }
  },
  'two with room for one': {
    ...one, isOpen: true, says: { p: [full('p', 1, 1, 'a')], q: [full('q', 1, 1, 'a')] }, on: ['p'], maxPeers: 1, budget: { off: 1 }
  },
  'two with room for the documents of one': {
    ...one, isOpen: true, says: { p: [full('p', 1, 1, 'a')], q: [full('q', 1, 1, 'a')] }, on: ['p'], maxBytes: 10, budget: { off: 1 }
  }
}
