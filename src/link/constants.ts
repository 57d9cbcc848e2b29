/**
 * Every number of the link, with its unit and where it comes from.
 */

/** The version is in the id: one that means something else gets another number */
export const CONTROL_PROTOCOL = '/libp2p-sheaf/control/1.0.0'
export const DATA_PROTOCOL = '/libp2p-sheaf/data/1.0.0'

/** Sends that may wait for room in one lane. A guess: more than any caller that looks at its promises */
export const MAX_WAITING = 16_384
/** Bytes that a neighbour may send before we have dealt with them. Not more than libp2p's read buffer of 4 MiB holds */
export const RECEIVE_WINDOW = 4 * 1024 * 1024
/** Bytes of control frames that may wait for a neighbour; one who does not read so many is not alive. A guess */
export const CONTROL_CAPACITY = 16 * 1024 * 1024
/** Bytes that are gathered into one write: the largest frame that goes whole; a record of noise is 64 KiB */
export const WRITE_SIZE = 65_536 + 4096 + 16

/** The longest frame of the control stream, in bytes */
export const MAX_CONTROL_FRAME = 1024 * 1024

/** Milliseconds that opening streams and saying hello may take */
export const HELLO_TIMEOUT = 10_000
/** Milliseconds until the first try to open streams again, and the longest wait between tries */
export const REOPEN_FIRST = 100
export const REOPEN_CAP = 30_000
/** Milliseconds without a session, while there is a connection, until a peer counts as gone. A guess */
export const REOPEN_DEADLINE = 30_000
/** Milliseconds that an old session gets to write what it has. As long as a slow peer gets */
export const RETIRE_TIMEOUT = 30_000
/** Milliseconds that a session that has ended its streams waits for the other side to end them, too. A guess: some round trips */
export const FAREWELL_TIMEOUT = 1_000
/** Protocol errors of one neighbour until it is let be, and for how many milliseconds. Guesses */
export const MAX_FAULTS = 100
export const FAULT_PENALTY = 300_000
/** Peers whose faults are remembered. A guess */
export const MAX_PENALTIES = 4096
