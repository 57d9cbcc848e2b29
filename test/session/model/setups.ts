import type { Setup } from './setup.ts'

/** What is explored: what happens how often, in every order. The names say what is looked for */
export const setups: Record<string, Setup> = {
  'a first handshake of both at once': { met: false, budget: { rekey: [1, 1] } },
  'a first handshake, and time passing': { met: false, budget: { rekey: [1, 1], wake: 2 }, isStoreInstant: true },
  'two rounds of each': { met: true, budget: { rekey: [2, 2] }, isStoreInstant: true, isCryptoInstant: true },
  'a round of each, with data both ways': {
    met: true,
    budget: {
      rekey: [1, 1], send: [1, 1]
    },
    isCryptoInstant: true,
    isStoreInstant: true
  },
  'a round of each, with writes and crypto as they come': { met: true, budget: { rekey: [1, 1] } },
  'a round of each, and frames lost': {
    met: true,
    budget: {
      rekey: [1, 1], drop: 2, wake: 2
    },
    isCryptoInstant: true,
    isStoreInstant: true
  },
  'a round of each, and frames twice': {
    met: true,
    budget: {
      rekey: [1, 1], duplicate: 2, wake: 1
    },
    isCryptoInstant: true,
    isStoreInstant: true
  },
  'data, frames lost, twice and late': {
    met: true,
    budget: {
      rekey: [1, 0], send: [2, 0], drop: 1, duplicate: 1, wake: 1
    },
    isCryptoInstant: true,
    isStoreInstant: true
  },
  'a crash in a round': { met: true, budget: { rekey: [1, 1], crash: 1, wake: 1 }, isCryptoInstant: true },
  'a crash between data and its ack': {
    met: true,
    budget: {
      rekey: [0, 0], send: [1, 1], crash: 1, wake: 1
    },
    isCryptoInstant: true
  },
  'two crashes and a frame lost': {
    met: true,
    budget: {
      rekey: [1, 0], crash: 2, drop: 1, wake: 1
    },
    isCryptoInstant: true,
    isStoreInstant: true
  },
  'everything lost': {
    met: true,
    budget: {
      rekey: [1, 0], send: [1, 1], lose: 1, wake: 1
    },
    isCryptoInstant: true,
    isStoreInstant: true
  },
  'a state of long ago': {
    met: true,
    budget: {
      rekey: [1, 1], 'roll back': 1, wake: 1
    },
    isCryptoInstant: true,
    isStoreInstant: true
  },
  'a state of long ago, with data': {
    met: true,
    budget: {
      rekey: [1, 0], send: [1, 1], 'roll back': 1
    },
    isCryptoInstant: true,
    isStoreInstant: true
  },
  'numbered messages, sent again after a crash': {
    met: true,
    budget: {
      send: [2, 0], crash: 2, wake: 1
    },
    isCryptoInstant: true,
    isNumbered: true
  },
  'numbered messages, sent again after everything was lost': {
    met: true,
    budget: {
      send: [1, 1], lose: 1, drop: 1, wake: 1
    },
    isCryptoInstant: true,
    isStoreInstant: true,
    isNumbered: true
  },
  'one message an epoch': {
    met: true,
    budget: {
      rekey: [0, 0], send: [2, 1], wake: 1
    },
    options: { mode: 'perfect' },
    isCryptoInstant: true,
    isStoreInstant: true
  }
}

/** Too much for every order: walks at random go through it */
export const wild: Record<string, Setup> = {
  'rounds, data and bad luck, and nothing lost': {
    met: false,
    budget: { rekey: [5, 5], send: [5, 5], drop: 6, duplicate: 6, wake: 8, reconnect: 3 }
  },
  crashes: {
    met: false,
    budget: {
      rekey: [4, 4], send: [5, 5], drop: 4, duplicate: 4, wake: 8, crash: 4, reconnect: 2
    }
  },
  'losses and states of long ago': {
    met: true,
    budget: {
      rekey: [4, 4], send: [4, 4], drop: 4, duplicate: 4, wake: 8, crash: 1, lose: 1, 'roll back': 1, reconnect: 2
    }
  },
  'numbered messages, crashes and losses': {
    met: true,
    budget: {
      rekey: [2, 2], send: [5, 5], drop: 4, duplicate: 4, wake: 8, crash: 4, lose: 1, reconnect: 2
    },
    isNumbered: true
  },
  'one message an epoch, and crashes': {
    met: false,
    budget: { rekey: [2, 2], send: [5, 5], drop: 4, duplicate: 4, wake: 8, crash: 2 },
    options: { mode: 'perfect' }
  }
}
