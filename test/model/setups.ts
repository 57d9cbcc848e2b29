import type { Setup } from './action.ts'

const TOPICS = ['t']

const pair: Pick<Setup, 'peers' | 'wires' | 'topics' | 'met'> = {
  peers: [{ key: 'a', isRelay: false }, { key: 'b', isRelay: false }],
  wires: [['a', 'b']],
  topics: TOPICS,
  met: true
}

const line: typeof pair = {
  peers: [{ key: 'a', isRelay: false }, { key: 'b', isRelay: true }, { key: 'c', isRelay: false }],
  wires: [['a', 'b'], ['b', 'c']],
  topics: TOPICS,
  met: true
}

const triangle: typeof pair = {
  peers: ['a', 'b', 'c'].map(key => ({ key, isRelay: true })),
  wires: [['a', 'b'], ['b', 'c'], ['a', 'c']],
  topics: TOPICS,
  met: true
}

/** What is explored, each with the name of what it is about */
export const setups: Record<string, Setup> = {
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
  'a line whose sessions break': {
    ...line, users: { a: { subscribe: 1, unsubscribe: 1 }, c: { subscribe: 1 } }, faults: { break: 1 }
  },
  'a line that is cut': {
    ...line, users: { a: { subscribe: 1, unsubscribe: 1 }, c: { subscribe: 1 } }, faults: { cut: 1 }
  },
  'a line of which somebody comes back younger': {
    ...line, users: { a: { subscribe: 1 }, c: { subscribe: 1 } }, faults: { newer: 1 }
  },
  'a line of which somebody comes back with an older clock': {
    ...line, users: { a: { subscribe: 1 }, c: { subscribe: 1 } }, faults: { older: 1 }
  },
  'a line of which somebody is not missed': {
    ...line, users: { a: { subscribe: 1 }, c: { subscribe: 1 } }, faults: { unnoticed: 1 }
  },
  'a triangle of relays': {
    ...triangle, users: { a: { subscribe: 1, unsubscribe: 1 }, c: { subscribe: 1 } }
  },
  'a triangle whose sessions break': {
    ...triangle, users: { a: { subscribe: 1, unsubscribe: 1 }, c: { subscribe: 1 } }, faults: { break: 1 }
  },
  'a triangle of which one side is cut': {
    ...triangle, users: { a: { subscribe: 1 }, c: { subscribe: 1 } }, faults: { cut: 1 }
  },
  'a triangle of which somebody comes back younger': {
    ...triangle, users: { a: { subscribe: 1 }, c: { subscribe: 1 } }, faults: { newer: 1 }
  },
  'a triangle of which somebody comes back with an older clock': {
    ...triangle, users: { a: { subscribe: 1 }, c: { subscribe: 1 } }, faults: { older: 1 }
  }
}
