/** Every number of transfers, with its unit and where it comes from */

/** Transfers speak on this topic. The version is in the name: one that means something else gets another number */
export const TOPIC = '/libp2p-sheaf/transfer/1.0.0'

/** Bytes that one hash is for: nothing is handed on, or kept, before as many are there and verified. From the spec */
export const LEAF_BYTES = 65_536
export const HASH_BYTES = 32
/** Bytes that a message takes beside the piece of a leaf in it, at most: numbers, an id, and DirectSub's own */
export const MESSAGE_OVERHEAD = 512
/**
 * Bytes of the shortest pieces that a leaf is cut into, and milliseconds that a piece should take on its way. From the
 * spec
 */
export const MIN_FRAGMENT = 4096
export const FRAGMENT_MS = 10
/**
 * Pieces that a leaf comes in at most: as many of MIN_FRAGMENT as fit, and one in each gap between them, twice. Who
 * sends it byte by byte would have us keep count of each
 */
export const MAX_PIECES = 4 * LEAF_BYTES / MIN_FRAGMENT

export const ID_BYTES = 16
/** Bytes of what a program says of its transfer, and of the name of its protocol */
export const MAX_META = 1024
export const MAX_PROTOCOL = 256
/** Bytes of the largest payload whose size is known before: its hashes, kept in memory, have 1/2048 of that. A guess */
export const MAX_SIZE = 64 * 1024 ** 3
/** Extents of one status. A window with more gaps is told of bit by bit */
export const MAX_EXTENTS = 32
/**
 * Extents that a receiver may be waiting for. An honest one leaves a gap for each leaf that others send, and for each
 * piece that was lost: WINDOW / MIN_FRAGMENT
 */
export const MAX_WANTED = 1024
/** How often a payload, and a window more, is sent to all lives of its receiver: it may crash over it. A guess */
export const MAX_REPEATS = 16
/** Empty chunks in a row that a source may yield: no loop without end in which nothing else has its turn. A guess */
export const MAX_EMPTY = 100_000

/**
 * Bytes that may be under way to one program before it has taken them: for one transfer, from one peer, and in all.
 * Half of the last two is kept for WINDOW_MIN of each transfer, so that those which nobody reads do not keep out others
 */
export const WINDOW = 4 * 1024 * 1024
export const WINDOW_MIN = 2 * LEAF_BYTES
export const PEER_BUDGET = 16 * 1024 * 1024
export const NODE_BUDGET = 64 * 1024 * 1024
/** Bytes of hashes that are kept for transfers that come in: of one peer, one of MAX_SIZE; and of all. Guesses */
export const PEER_LISTS = 32 * 1024 * 1024
export const LIST_BUDGET = 128 * 1024 * 1024
/** Bytes on their way to one peer, whatever its credit. A guess: 100 ms at 40 MB/s */
export const MAX_FLIGHT = 4 * 1024 * 1024
/** The same to all peers together; one piece may always be on its way to each */
export const NODE_FLIGHT = 64 * 1024 * 1024
/** Transfers that go out at once, and wait for their turn. A guess */
export const MAX_OUTBOUND = 1024

/**
 * Peers that send one payload together, and ids under which one peer offers it: that of its present life, and the last
 */
export const MAX_SOURCES = 16
export const MAX_SOURCES_OF_PEER = 2
/**
 * Milliseconds that the program waits for a leaf of one source while there are others: then they are to send it. Each
 * time that it was in vain it is twice as long, so that one that is slow, and not alone in that, gets somewhere.
 * Guesses
 */
export const SWAP_FIRST = 3_000
export const SWAP_CAP = 60_000

/** Offers that wait for a program to decide: of one peer, and of all */
export const MAX_OFFERS_OF_PEER = 16
export const MAX_OFFERS = 256
/** Milliseconds that a program has to decide: a person may be asked. A guess */
export const DECISION = 300_000
/** Answers a second to what nobody here knows, or has room for, and at once: to one peer. A guess */
export const ANSWERS = { rate: 100, burst: 200 }
/** Peers of which it is known how many answers they had, and how their transfers ended. A guess */
export const MAX_PEERS = 256
/** Transfers of one peer whose end is remembered, to be told again to who asks, and milliseconds. A guess */
export const MAX_ENDED = 256
export const ENDED_FOR = 600_000

/**
 * Bytes that came until the sender is told, and milliseconds until it is told of fewer. An eighth of a window, and a
 * guess
 */
export const STATUS_BYTES = 512 * 1024
export const STATUS_AFTER = 20
/**
 * Milliseconds of the shortest, the first, and the longest wait for a status before the sender asks for one (RFC 9002)
 */
export const PROBE_MIN = 200
export const PROBE_FIRST = 1000
export const PROBE_CAP = 10_000
/** Milliseconds until the sender asks whether the other side is still there, when nothing is on its way */
export const KEEPALIVE = 10_000
/**
 * Milliseconds without a word of the other side after which it is given up: longer than any relay is replaced. A guess
 */
export const SILENCE = 60_000
/**
 * Milliseconds in which no byte is taken, here or there, or comes from the source, after which it is given up. A guess:
 * a person may pause it
 */
export const STALL = 600_000
/** Milliseconds of the first and the longest wait after something could not be sent */
export const RETRY_FIRST = 100
export const RETRY_CAP = 5_000
/** Milliseconds between two words about progress. From the spec */
export const PROGRESS = 100
/** Milliseconds of hashing until others have their turn */
export const HASH_TURN = 2
