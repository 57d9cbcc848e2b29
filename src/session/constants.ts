/**
 * Every number of a session, with its unit and where it comes from. 'The spec' is the design that docs/session.md
 * describes.
 */

/** Versions of the frames, of the key schedule, and of the stored record. Each is bound into what it versions */
export const WIRE_VERSION = 1
export const RECORD_VERSION = 1

/** Bytes of an X-Wing public key: ML-KEM-768 (FIPS 203) 1,184 and X25519 32 */
export const KEM_PUBLIC_BYTES = 1216
/** Bytes of an X-Wing ciphertext: ML-KEM-768 1,088 and X25519 32 */
export const KEM_CIPHERTEXT_BYTES = 1120
/** Bytes of an X-Wing seed, of every secret, of every hash, and of every MAC */
export const SECRET_BYTES = 32
/** Bytes of a key's name */
export const KEY_ID_BYTES = 8
/** Bytes that ChaCha20-Poly1305 (RFC 8439) adds to a message */
export const TAG_BYTES = 16
/** Bytes of the longest peer id that is taken */
export const MAX_PEER_BYTES = 64
/** Bytes of the longest signature that is taken: RSA with 4,096 bits has 512 */
export const MAX_SIGNATURE_BYTES = 512
/**
 * Round numbers, epochs, counters, and sequence numbers are below this. A step adds at most 1, so no number that a peer
 * makes up can bring ours past 2^53. Milliseconds of the clock reach it in 140,000 years
 */
export const MAX_NUMBER = 2 ** 52

/** Keys that open what comes in: of so many epochs, the newest among them (the spec) */
export const KEY_WINDOW = 4
/** Milliseconds that an older key opens frames after the first frame of a newer epoch (the spec) */
export const KEY_GRACE = 120_000
/** Message keys that one frame may skip, and that are kept of all epochs (the spec) */
export const MAX_SKIP = 1000
export const MAX_SKIPPED = 2000
/** Milliseconds that a skipped message key is kept (the spec) */
export const SKIPPED_LIFE = 300_000
/** Frames behind the newest one of an epoch whose replays are told from late ones (the spec) */
export const REPLAY_WINDOW = 2048

/** Milliseconds of the first and the longest wait for an answer to a Propose, and tries in all. A guess: 31 s */
export const ROUND_FIRST = 1000
export const ROUND_CAP = 8000
export const ROUND_TRIES = 6
/** Milliseconds of the longest wait before an Accept is repeated. A guess */
export const ACCEPT_CAP = 30_000
/** Milliseconds of the first and the longest wait before a round is tried again that failed. A guess, and the spec's */
export const RETRY_FIRST = 250
export const RETRY_CAP = 300_000
/** Milliseconds between two Resyncs: the least, doubling to the most (the spec) */
export const RESYNC_FIRST = 5000
export const RESYNC_CAP = 300_000
/** Milliseconds between two answers to stale Proposes. A guess: a replay must not buy a signature each */
export const STALE_PAUSE = 1000

/** A session agrees on a new key after so many messages, bytes, or milliseconds of use by rank. From the spec */
export const REKEY_MESSAGES = 10_000
export const REKEY_BYTES = 256 * 1024 * 1024
/** By rank, so that two peers in step do not both propose. Plus or minus REKEY_JITTER of it */
export const REKEY_AGE = [120_000, 165_000] as const
export const REKEY_JITTER = 0.1
/** A key seals no more messages and bytes than these: the rest waits for a new key. From the spec */
export const KEY_MESSAGES = 2 ** 20
export const KEY_BYTES = 1024 * 1024 * 1024
export const KEY_AGE = 600_000

/** Bytes of the largest message. DirectSub takes 1 MiB, and the frame around it has to fit */
export const MAX_MESSAGE = 1024 * 1024 - 1024
/** Messages and bytes that wait for one peer, unless an option says otherwise. A guess */
export const QUEUE_MESSAGES = 1024
export const QUEUE_BYTES = 4 * 1024 * 1024
/**
 * Messages that one frame carries, and their bytes if there are several: sealing, sending and opening cost per frame. A
 * guess
 */
export const FRAME_MESSAGES = 64
export const FRAME_BYTES = 32 * 1024
/** Messages that may be under way: the other side holds as many that came too early */
export const FLIGHT_MESSAGES = 1024
/** Bytes that may be under way, and that are held of what came too early. One message always may */
export const FLIGHT_BYTES = 2 * 1024 * 1024
/** Messages behind the first missing one that an ack names one by one */
export const ACK_BITS = 64
/**
 * Milliseconds that an ack may wait for more, and messages after which it does not. A guess: send() of a message alone
 * takes so much longer, and each ack is a record that is stored
 */
export const ACK_DELAY = 5
export const ACK_EVERY = 64
/** Milliseconds of the first and the longest wait for an ack before messages are sealed again. A guess */
export const RESEND_FIRST = 1000
export const RESEND_CAP = 30_000
/**
 * Times that messages are sealed again in vain before a new key is due: the gap may have become larger than MAX_SKIP
 */
export const RESENDS_BEFORE_REKEY = 2
/** Calls that may wait for a new epoch at once. A guess */
export const MAX_WAITERS = 64

/** The topic of DirectSub on which sessions speak. Frames go to one peer each, and nobody publishes to all */
export const TOPIC = 'libp2p-sheaf/session/1'
/** Bytes of the longest name of a protocol */
export const MAX_PROTOCOL = 128
/** Bytes that name the origin of numbered messages, and origins of one peer that are remembered. A guess */
export const ORIGIN_BYTES = 8
export const MAX_ORIGINS = 64
/**
 * Milliseconds after the start in which messages wait for the handler of their protocol, and bytes of them, in all and
 * of one peer. A guess: programs register handlers in the first second
 */
export const HANDLER_PATIENCE = 30_000
export const UNHANDLED_BYTES = 4 * 1024 * 1024
export const UNHANDLED_BYTES_A_PEER = 512 * 1024
/** Milliseconds that rekey() waits. A guess: longer than all tries of a round */
export const REKEY_PATIENCE = 60_000

/**
 * Sessions in memory at once, unless an option says otherwise. Measured by bench/session: one that is idle takes about
 * 50 KiB, with what DirectSub remembers of its peer
 */
export const MAX_SESSIONS = 1024
/** Bytes that wait for all peers together, unless an option says otherwise. A guess */
export const NODE_QUEUE_BYTES = 64 * 1024 * 1024
/** Bytes of messages of all peers together that came too early. A guess */
export const NODE_EARLY_BYTES = 64 * 1024 * 1024
/** Records that are stored. Each takes up to 2 KiB. A guess */
export const MAX_RECORDS = 16_384

/** Events and frames of one peer that wait until its record is read */
export const BACKLOG_FRAMES = 64
/** Bytes of frames of one peer that wait for its record, or for a frame before them. A guess */
export const BACKLOG_BYTES = 4 * 1024 * 1024
/** Frames of one peer that wait for a signature before them to be verified. Where that is done at once none waits */
export const INBOX_FRAMES = 512
/** Frames of one session that wait to be sent: signed ones. They are few, and repeated if one is dropped */
export const OUTGOING_FRAMES = 256
/** Bytes of sealed frames of one session that wait until DirectSub takes them, and that it may hold of them at once */
export const OUTGOING_BYTES = 4 * 1024 * 1024
export const PUBLISHING_BYTES = 2 * 1024 * 1024

/**
 * Signed frames a second of one peer, and at once after a rest: a peer that has agreed on a key with us, and a
 * stranger. Each costs a signature, and may cost an operation of X-Wing, a record, and an answer: up to 0.5 ms. A guess
 */
export const SIGNED_FRAMES = { rate: 400, burst: 800 }
export const STRANGER_FRAMES = { rate: 5, burst: 20 }
/** Sessions that strangers may begin in a second, and at once. A guess */
export const STRANGERS = { rate: 20, burst: 100 }
/**
 * Steps of a chain that frames of one peer may cost in vain. One takes 5 us in Node, and 50 us in Chromium (measured on
 * a busy machine): 1 % and 10 % of a processor
 */
export const VAIN_STEPS = { rate: 2000, burst: 4000 }

/** Milliseconds of the first and the longest wait before a record is written again that could not be. A guess */
export const STORE_RETRY_FIRST = 500
export const STORE_RETRY_CAP = 30_000
/** Milliseconds that a write may take before the session says that it waits for the disk. A guess */
export const STORE_SLOW = 5_000
/** Milliseconds between two tries to open a store that somebody else has open. A guess */
export const STORE_AGAIN = 5000
/** Milliseconds that the records of closed sessions are waited for at the end. A guess */
export const STOP_PATIENCE = 2000
/** Calls of start and stop that may wait for each other, and milliseconds of one of them. Guesses */
export const LIFECYCLE_CAPACITY = 64
export const LIFECYCLE_DEADLINE = 30_000

/** Operations of X-Wing that wait for their turn: a session has one at a time. And milliseconds of one. Guesses */
export const CRYPTO_CAPACITY = 2048
export const CRYPTO_DEADLINE = 20_000
/** Bytes that are sealed and opened on the main thread where a worker could do it (the spec) */
export const INLINE_BYTES = 4096
