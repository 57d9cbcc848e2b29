/** Every number of staying connected, with its unit and where it comes from */

/** Asks a peer who else is there. The version is in the id: one that means something else gets another number */
export const PROTOCOL = '/libp2p-sheaf/peers/1.0.0'

/**
 * What the peer store remembers of a peer that ran this service when it was connected: it is looked for in the next
 * life, too
 */
export const TAG = 'libp2p-sheaf-connected'

/** Peers that a node wants to be connected to. From what a gossip mesh keeps at least */
export const WANTED = 4
/** Milliseconds of the first and the longest wait before a peer is dialled again that could not be reached. Guesses */
export const RETRY_FIRST = 500
export const RETRY_CAP = 120_000
/** Milliseconds that a dial may take */
export const DIAL_TIMEOUT = 10_000
/** Dials at a time */
export const DIALS_AT_ONCE = 4
/** Failures in a row after which a peer that others named is forgotten */
export const FORGET_AFTER = 6
/** Peers that are remembered of those that others named. A guess */
export const MAX_MET = 256
/** Peers that one answer names, and bytes of a signed record of one. A record has some addresses of 50 bytes each */
export const MAX_NAMED = 16
export const MAX_RECORD = 4096
/**
 * Milliseconds that an answer may take; and between the first two questions to one peer, while more peers are wanted:
 * each wait is twice as long as the one before, up to the last figure
 */
export const ANSWER_TIMEOUT = 5_000
export const ASK_FIRST = 1_000
export const ASK_CAP = 60_000
/** Questions of one peer that are answered: at once, and in a second. An honest one asks less often each time */
export const ANSWERS = { burst: 8, rate: 0.1 }
/** Milliseconds between two looks at what is connected; and after which the machine has slept, if one comes so late */
export const LOOK = 1_000
export const SLEPT = 10_000
/**
 * Milliseconds in which a connection answers a ping after the machine has slept, or has come online. From the spec:
 * 15 s
 */
export const PING_TIMEOUT = 5_000
