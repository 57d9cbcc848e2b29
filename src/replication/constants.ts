/**
 * Every number of replication, with its unit and where it comes from.
 */

/** Milliseconds that a replicator has to be in before others let go of entries because of it. A guess */
export const MATURITY = 10_000
/** Milliseconds that a replicator whom we have lost is waited for: it may only change its network. A guess */
export const GRACE = 15_000
/** Copies of an entry that there should be. From the specification */
export const MIN_REPLICAS = 2
export const MAX_REPLICAS = 64

/** Peers of a log that are remembered, and bytes of what they say */
export const MAX_PEERS = 10_000
export const MAX_DOCUMENTS_BYTES = 8 * 1024 * 1024
/** Segments that one peer may name: more of them cost everybody else time for each entry */
export const MAX_SEGMENTS = 64
/** Writes of what one owner said that may wait for the disk */
export const MAX_TURNS = 64
/** Milliseconds that a turn may take: canReplicate is the user's */
export const TURN_DEADLINE = 30_000
/** Milliseconds that opening waits for canReplicate, asked about those who are known from before. A guess */
export const LOAD_PATIENCE = 1_000

/**
 * Documents that a peer may send and that are news: so many at once, so many a second. At once means all that a message
 * of BATCH_BYTES holds, and half as much again. A forged one costs its sender as much as so many others. Guesses
 */
export const DOCUMENT_BURST = 2_048
export const DOCUMENT_RATE = 100
export const FORGED_COST = 128
/** Documents that wait to be verified: their number and bytes for each sender, and bytes of all of a log. Guesses */
export const MAX_UNREAD = 2_048
export const MAX_UNREAD_BYTES = 512 * 1024
export const MAX_ALL_UNREAD_BYTES = 8 * 1024 * 1024
/** Documents that are verified before timers and I/O have their turn: 2 ms. A count, so that a run can be replayed */
export const VERIFY_SLICE = 16

/** Hellos to one peer: so many at once, so many a second. A guess: more than a peer comes back in a row */
export const HELLO_BURST = 8
export const HELLO_RATE = 1

/**
 * Milliseconds after which a peer says again what it keeps, at first and, while nothing changes, at most, and how much
 * longer for each peer that hears it. Also between two hellos to one peer that tell it what third parties keep. A guess
 */
export const REFRESH_INTERVAL = 30_000
export const REFRESH_CAP = 240_000
export const REFRESH_A_PEER = 100

/** Bytes of entries in one message: so that others get a word in between. Measured by bench replication */
export const BATCH_BYTES = 192 * 1024
export const BATCH_ENTRIES = 1024
/** Messages of new entries that one peer has not answered yet, and entries and bytes that wait behind them. A guess */
export const WINDOW = 8
export const MAX_QUEUED = 8192
export const MAX_QUEUED_BYTES = 8 * 1024 * 1024
/**
 * Bytes that one peer may have under way to us, and all of them together. A guess: what a sender may have under way,
 * and as much again
 */
export const MAX_UNDER_WAY_BYTES = 2 * 1024 * 1024
export const MAX_WAITING_OF_PEER = 2 * MAX_UNDER_WAY_BYTES
export const MAX_WAITING_OF_ALL = 32 * 1024 * 1024
/**
 * Bytes of entries of which somebody wants to know who stored them: the next one waits until they are fewer. A guess
 */
export const MAX_AWAITED_BYTES = 64 * 1024 * 1024
/** Milliseconds that `problems` tells of a clock that was wrong */
export const CLOCKS_REMEMBERED = 300_000
/** Milliseconds until an entry whose time had not come at the other side is sent again */
export const LATER_RETRY = 1_000
/** Milliseconds after which what was not answered is taken for lost. Longer than a slow disk takes */
export const ANSWER_TIMEOUT = 20_000
/** The same while something large is on its way to or from the peer */
export const LARGE_TIMEOUT = 600_000
/** Questions of one peer, and messages with entries from it, that may wait for our disk */
export const MAX_QUESTIONS = 32

/** A range with fewer entries than this is not cut further, but listed. From the specification */
export const RANGE_ENTRIES = 1024
/** Parts that a range is cut into at once: what is a million takes two cuts */
export const PARTS = 32
/** Segments that one question may name: PARTS of PARTS of what there is */
export const MAX_ASKED = 2048
/** Entries whose ids are put into one sketch: more take longer than others should wait */
export const MAX_SKETCHED = 131_072
/** Coded symbols in one answer */
export const MAX_SYMBOLS = 16_384
/** Sketches that are kept between two questions about them, and for how many milliseconds */
export const MAX_SKETCHES = 4
export const SKETCH_TTL = 30_000

/**
 * What a log does now and then although nothing has changed waits so many milliseconds for each log that is open on
 * this node: so the logs of a node that rest cost together what some of them cost alone. A guess: two such in a second
 */
export const REST_A_LOG = 500

/** Milliseconds between two comparisons with each replicator, give or take: what every other way has missed. A guess */
export const COMPARE_INTERVAL = 30_000
/** And at most, where nothing has differed for long: a thousand logs that rest are to cost little. A guess */
export const COMPARE_CAP = 240_000
/**
 * And at most, where all comparisons find entries that we do not get: those that we refuse. Or where nobody takes what
 * is not ours to keep
 */
export const VAIN_CAP = 300_000
/**
 * Milliseconds that the one with the larger key leaves the other to begin when they meet: as long as its question takes
 * around the world, or from a process that has just started. And that one waits that is being compared with
 */
export const COURTESY = 250
export const COMPARED_BY_OTHER = 1_000
/** Milliseconds that nudges are gathered for */
export const NUDGE_DELAY = 100
/** Milliseconds until a comparison that failed is tried again: the first time, and at most */
export const RETRY_FIRST = 500
export const RETRY_CAP = 30_000
/**
 * Comparisons that go on at once, and those with them that do not: each takes memory for its sketches. The second is a
 * guess
 */
export const MAX_SESSIONS = 4
export const MAX_RUNNING = 16

/** Milliseconds between two looks at what need not be kept here, and entries that are looked at in one */
export const PRUNE_INTERVAL = 10_000
export const PRUNE_ENTRIES = 1024
/** Bytes of entries that are held for one look */
export const PRUNE_BYTES = 4 * 1024 * 1024

/**
 * Milliseconds that a peer on the topic has to say what it keeps before nobody waits for that, and between two looks.
 * Guesses
 */
export const INTRODUCTION = 5_000
export const LOOK_AGAIN = 100
/**
 * Milliseconds that listeners of 'closing' are waited for. A guess: what a disk takes to store a batch, and much more
 */
export const CLOSING_PATIENCE = 10_000
/** Milliseconds that opening, closing or dropping a log may take */
export const LIFECYCLE_DEADLINE = 180_000

/**
 * Milliseconds after a change of who keeps what until a peer that adapts looks at its share, and between two looks. A
 * guess
 */
export const ADAPT_DELAY = 1_000
export const ADAPT_INTERVAL = 30_000

/** Bytes that an entry takes beside its data, in a message, at most */
export const MAX_ENTRY_OVERHEAD = 16_384

/**
 * Milliseconds between two spot checks, at most so many where all was proven, and how old an entry has to be for one.
 * Guesses
 */
export const AUDIT_INTERVAL = 10_000
export const AUDIT_CAP = 60_000
export const AUDIT_AGE = 60_000
/**
 * Ids that one question asks proofs of, and bytes of entries that are read for one answer: then the next question asks
 * for the rest
 */
export const MAX_PROVEN = 1024
export const MAX_PROVEN_BYTES = 2 * 1024 * 1024
/**
 * Times its maturity that a replicator has to be in to let others' copies go, where nobody said that it may replicate.
 * A guess
 */
export const STRANGER_MATURITY = 6

/** Over GossipSub: what is for one peer goes over a stream of this protocol. The version is in the id */
export const SEND_PROTOCOL = '/libp2p-sheaf/send/1.0.0'
/** Bytes of the largest message on it, as DirectSub has it; of its topic; and of the frame around both */
export const MAX_SENT = 1024 * 1024
export const MAX_SEND_TOPIC = 256
export const MAX_SEND_FRAME = MAX_SENT + 2 * MAX_SEND_TOPIC
/** Bytes that wait for one peer: the next message is refused. More than some logs at once have under way. A guess */
export const MAX_WAITING_BYTES = 16 * 1024 * 1024
/** Streams that one connection may open to us: the one in use, and some that it has not seen the end of. A guess */
export const MAX_INBOUND_STREAMS = 8
/**
 * Milliseconds that opening a stream may take, that a peer may take in nothing while something waits, and that stopping
 * waits for it
 */
export const OPEN_TIMEOUT = 10_000
export const SLOW_TIMEOUT = 30_000
export const STOP_TIMEOUT = 1_000
/** Milliseconds until a stream that ended is opened again: the first time, and at most. As DirectSub's */
export const REOPEN_FIRST = 100
export const REOPEN_CAP = 30_000
/** Bytes of the largest message that is left to GossipSub: others of its kind cut off who sends them a mebibyte */
export const MAX_BROADCAST = 512 * 1024
/** Random bytes before each message that GossipSub carries */
export const SALT_BYTES = 8
