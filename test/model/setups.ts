import type { Setup } from './action.ts'
import type { Key } from '../../src/pubsub/core/types.ts'

const TOPICS = ['t']
type Shape = Pick<Setup, 'peers' | 'wires' | 'topics' | 'users' | 'met'>

function shape (leaves: string, relays: string, wires: string): Shape {
  return {
    peers: [...new Set([...leaves, ...relays])].sort().map(key => ({ key, isRelay: relays.includes(key) })),
    wires: wires.split(' ').map(wire => [...wire] as [Key, Key]),
    topics: TOPICS,
    users: {},
    met: true
  }
}

const pair = shape('ab', '', 'ab')
const line = shape('ac', 'b', 'ab bc')
const triangle = shape('', 'abc', 'ab bc ac')

/** Relays alone: a is the one that the others lead to */
const line4 = shape('', 'abcd', 'ab bc cd')
const ring4 = shape('', 'abcd', 'ab bc cd ad')
const tail = shape('', 'abcd', 'ab bc bd cd')
/** d leads to a by c and b, and becomes the way of b while a message is on its way */
const turn4: Setup = { ...shape('', 'abcd', 'ab bc cd bd ad'), down: [3, 4], cutting: [0], sends: [{ from: 'd', to: 'a' }], faults: { cut: 1 } }
/** The same with a leaf on d, which sends: the message passes d, and d becomes the way of b */
const turn5: Setup = { ...shape('e', 'abcd', 'ab bc cd bd ad de'), down: [3, 4], cutting: [0], sends: [{ from: 'e', to: 'a' }], users: { a: { subscribe: 1 }, e: { subscribe: 1 } }, faults: { cut: 1 } }
/** A leaf between relays: it leads nowhere but to itself */
const bridge = shape('c', 'abd', 'ab bc cd bd')

/** Relays with more ways than one to each other */
const mesh4 = shape('', 'abcd', 'ab ac ad bc bd cd')
const mesh5 = shape('', 'abcde', 'ab bc cd de ae bd ce')
const kite = shape('', 'abcde', 'ab bc bd cd de ce')
/** Two relays and a leaf on both of them */
const attached = shape('cd', 'ab', 'ab ac bc ad bd')

const AT_ONCE = { a: { subscribe: 1 }, c: { subscribe: 1 } }
const TO_A = ['b', 'c', 'd'].map(from => ({ from, to: 'a' }))

/** What is explored of subscriptions, each with the name of what it is about */
const subscriptions: Record<string, Setup> = {
  'two peers that subscribe, cancel and ask': {
    ...pair, users: { a: { subscribe: 2, unsubscribe: 1, abort: 1 }, b: { subscribe: 1, request: 1 } }
  },
  'two peers that wait a while before they announce': {
    ...pair, debounce: 100, users: { a: { subscribe: 2, unsubscribe: 1 }, b: { subscribe: 1, request: 1 } }
  },
  'two peers that subscribe while they meet': {
    ...pair, met: false, users: { a: { subscribe: 1, unsubscribe: 1 }, b: { subscribe: 1 } }
  },
  'two peers whose session breaks, and whose messages come twice': {
    ...pair, users: { a: { subscribe: 2, unsubscribe: 1 }, b: { subscribe: 1 } }, faults: { break: 1, again: 1 }
  },
  'two peers whose connection is cut': {
    ...pair, users: { a: { subscribe: 1, unsubscribe: 1 }, b: { subscribe: 1 } }, faults: { cut: 1 }
  },
  'two peers that crash and come back younger': {
    ...pair, users: { a: { subscribe: 2, unsubscribe: 1 }, b: { subscribe: 1 } }, faults: { newer: 1 }
  },
  'two peers that come back before they were missed': {
    ...pair, users: { a: { subscribe: 2, unsubscribe: 1 }, b: { subscribe: 1 } }, faults: { unnoticed: 1 }
  },
  'two peers that come back with a clock that went backwards': {
    ...pair, users: { a: { subscribe: 2, unsubscribe: 1 }, b: { subscribe: 1 } }, faults: { older: 1 }
  },
  'a line with a relay in the middle': {
    ...line, users: { a: { subscribe: 2, unsubscribe: 1 }, b: { subscribe: 1 }, c: { subscribe: 1 } }
  },
  'a line whose ends ask who is there': {
    ...line, users: { a: { subscribe: 1, unsubscribe: 1 }, c: { request: 1 } }, faults: { break: 1 }
  },
  'a line whose sessions break': {
    ...line, users: { a: { subscribe: 1, unsubscribe: 1 }, c: { subscribe: 1 } }, faults: { break: 1 }
  },
  'a line that is cut': {
    ...line, users: { a: { subscribe: 1, unsubscribe: 1 }, c: { subscribe: 1 } }, faults: { cut: 1 }
  },
  'a line of which somebody comes back younger': { ...line, users: AT_ONCE, faults: { newer: 1 } },
  'a line of which somebody comes back with an older clock': { ...line, users: AT_ONCE, faults: { older: 1 } },
  'a line of which somebody is not missed': { ...line, users: AT_ONCE, faults: { unnoticed: 1 } },
  'a line whose end retracts, and crashes': {
    ...line, users: { a: { subscribe: 1 }, c: { subscribe: 1, unsubscribe: 1 } }, faults: { crash: 1 }, crashing: ['c']
  },
  'a triangle of relays': { ...triangle, users: { a: { subscribe: 1, unsubscribe: 1 }, c: { subscribe: 1 } } },
  'a triangle whose sessions break': { ...triangle, users: { a: { subscribe: 1, unsubscribe: 1 }, c: { subscribe: 1 } }, faults: { break: 1 } },
  'a triangle of which one side is cut': { ...triangle, users: AT_ONCE, faults: { cut: 1 } },
  'a triangle of which somebody comes back younger': { ...triangle, users: AT_ONCE, faults: { newer: 1 } },
  'a triangle of which somebody comes back with an older clock': { ...triangle, users: AT_ONCE, faults: { older: 1 } }
}

/** And of ways: nobody is on anything, all are known */
const ways: Record<string, Setup> = {
  'a triangle that begins while it is cut': { ...triangle, met: false, faults: { cut: 1 } },
  'a triangle that is cut twice, with messages on their way': { ...triangle, faults: { cut: 2 }, sends: TO_A.slice(0, 2) },
  'a triangle that is cut, and one that crashes and comes back': { ...triangle, faults: { cut: 1, crash: 1, start: 1 }, crashing: ['a'] },
  'a triangle whose ways bring no acks': { ...triangle, faults: { cut: 1, fail: 2 } },
  'a line of four that is cut twice': { ...line4, faults: { cut: 2 } },
  'a line of four whose end crashes and comes back': { ...line4, faults: { crash: 1, start: 1 }, crashing: ['a', 'b'] },
  'a ring of four that is cut, with messages on their way': { ...ring4, faults: { cut: 2 }, sends: TO_A },
  'a ring of four of which one crashes': { ...ring4, faults: { cut: 1, crash: 1, start: 1 }, crashing: ['a', 'b'] },
  'a tail with a ring, cut, with messages on their way': { ...tail, faults: { cut: 2 }, sends: TO_A },
  'a tail with a ring of which one crashes, with messages on their way': { ...tail, faults: { crash: 1, start: 1 }, crashing: ['a', 'b'], sends: TO_A },
  'a tail with a ring whose ways bring no acks': { ...tail, faults: { cut: 1, fail: 2 } },
  'four of which the ways turn while a message is on its way': turn4,
  'five of which the ways turn while the message of a leaf is on its way': turn5,
  'a leaf between relays': { ...bridge, users: AT_ONCE, faults: { cut: 1 } }
}

/** With so much that may happen that only a part can be looked at: by walks at random */
export const wild: Record<string, Setup> = {
  'four relays of which two crash': { ...mesh4, users: AT_ONCE, faults: { cut: 1, crash: 2, start: 2 }, sends: TO_A },
  'five relays, everything': {
    ...mesh5, users: { a: { subscribe: 2, unsubscribe: 1 }, d: { subscribe: 1, request: 1 } }, faults: { cut: 3, break: 1, crash: 1, start: 1, older: 1, unnoticed: 1, fail: 2 }, sends: TO_A
  },
  'a tail with a ring of five, cut and mended': { ...kite, faults: { cut: 4, crash: 1, start: 1 }, sends: [...TO_A, { from: 'e', to: 'a' }] },
  'a tail with a ring of five whose ways bring no acks': { ...kite, faults: { cut: 4, fail: 5 } },
  'leaves on two relays': {
    ...attached, users: { a: { subscribe: 1, unsubscribe: 1 }, c: { subscribe: 2, unsubscribe: 1, request: 1 }, d: { subscribe: 1, unsubscribe: 1 } }, faults: { cut: 2, newer: 1, break: 1 }
  },
  'leaves on two relays that come back with older clocks': { ...attached, users: { c: { subscribe: 1 }, d: { subscribe: 1, unsubscribe: 1 } }, faults: { cut: 1, older: 2 } },
  'a ring whose clocks go backwards': { ...ring4, users: AT_ONCE, faults: { older: 2, newer: 1, cut: 1 } },
  'a line whose clocks go backwards': { ...line4, users: AT_ONCE, faults: { older: 2, unnoticed: 1, cut: 1 } }
}

export const setups: Record<string, Setup> = { ...subscriptions, ...ways }
