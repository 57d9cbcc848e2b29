/**
 * Every number of the link, with its unit and where it comes from.
 */

/** The version is in the id: one that means something else gets another number */
export const PROTOCOL = '/libp2p-sheaf/direct-sub/1.0.0'

/** Sends that may wait for room in one lane. A guess: more than any caller that looks at its promises */
export const MAX_WAITING = 16_384
/** Bytes of the frames that may wait for room in one lane. A guess: those who publish hold them anyway */
export const MAX_WAITING_BYTES = 256 * 1024 * 1024
/** Bytes that a neighbour may send before we have dealt with them. Not more than libp2p's read buffer of 4 MiB holds */
export const RECEIVE_WINDOW = 4 * 1024 * 1024
/** Bytes that may come while nobody takes frames: honest senders stay within their credit, far below this */
export const MAX_HELD = 2 * RECEIVE_WINDOW
/** Bytes of the window that only control frames may use: what waits for a slow reader does not keep control from it */
export const CONTROL_SHARE = 512 * 1024
/** The smallest window that a neighbour may announce: control's share and a few of the longest writes. A guess */
export const MIN_WINDOW = 1024 * 1024
/** Bytes of control frames that may wait for a neighbour; one that does not read so many is not alive. A guess */
export const CONTROL_CAPACITY = 16 * 1024 * 1024
/** Bytes of them that the user's messages may take before they wait */
export const CONTROL_LANE = 4 * 1024 * 1024
/** Bytes that are gathered into one write: the largest frame that goes whole; a record of noise is 64 KiB */
export const WRITE_SIZE = 65_536 + 4096 + 16

/** Milliseconds that opening a stream and saying hello may take */
export const HELLO_TIMEOUT = 10_000
/** Milliseconds until the first try to open a stream again, and the longest wait between tries */
export const REOPEN_FIRST = 100
export const REOPEN_CAP = 30_000
/** Milliseconds without a channel, while there is a connection, until a peer counts as gone. A guess */
export const REOPEN_DEADLINE = 30_000
/**
 * Streams between two peers that may be opened at once, and in a second, by whichever side opens them. Guesses: an
 * honest one doubles its waits from 100 ms
 */
export const OPENINGS = { burst: 10, rate: 1 }
/** Milliseconds until what was dealt with is granted, however little it is. A guess: some round trips */
export const GRANT_AFTER = 250
/** The same where so many bytes were dealt with: how many are on their way follows how fast they are. Guesses */
export const GRANT_SOON = 2
export const GRANT_SOON_BYTES = 32 * 1024
/** Milliseconds that all neighbours together get to take what waits when this node stops */
export const STOP_TIMEOUT = 1000

/** Milliseconds of work that the bytes of a neighbour may cost: in a second, and at once. Guesses */
export const READING = { rate: 250, burst: 250 }
/**
 * The same for all together that came lately, and for how many milliseconds they count as such: who comes again under
 * another name has no new budget. Guesses: 5,000 signatures at once, and 500 of those from one place
 */
export const NEWCOMER_FOR = 60_000
export const NEWCOMERS = { budget: { rate: 250, burst: 500 }, shareBurst: 50, groupFor: NEWCOMER_FOR }
/** Milliseconds of it after which others have their turn. A guess: a message and its ack wait for several such turns */
export const READING_TURN = 2
/** Frames between two looks at the clock. A guess: the cheapest take some microseconds each */
export const READING_FRAMES = 16
/** Milliseconds of it that are there again before a neighbour that used all of it up is read again. A guess */
export const READING_PAUSE = 10
/** Milliseconds of it that a frame costs which no credit counts, so that nobody floods us with those. A guess */
export const UNCOUNTED_COST = 0.02
/** The same of what comes in a short write, beside what is in it. Measured: 0.03, with the muxer's answer to it */
export const SHORT_READ_COST = 0.02

/** Protocol errors of one neighbour until it is let be, and for how many milliseconds. Guesses */
export const MAX_FAULTS = 100
export const FAULT_PENALTY = 300_000
/** Peers whose faults are remembered. A guess */
export const MAX_PENALTIES = 4096
