/**
 * Every number of the log, with its unit and where it comes from.
 */

/** Milliseconds that the clock of an author may be ahead of ours. From the specification */
export const MAX_AHEAD = 60_000
/** Appends that may wait to be written. A guess: more than any caller that looks at its promises */
export const MAX_PENDING = 65_536
/** Entries, and bytes of them, that are written at once. Measured: 1024 and 2048 are no faster, and make others wait */
export const COMMIT_ENTRIES = 512
export const COMMIT_BYTES = 4 * 1024 * 1024
/** Such writes until others than appends get a turn. A guess */
export const COMMITS_A_TURN = 16
/** Entries that one signature is for: more of them make it cheaper by next to nothing, and add 32 bytes to what each shows to others */
export const SIGNED_AT_ONCE = 64
/** Entries after which the trees are written: what a crash makes the next open read again */
export const CHECKPOINT_ENTRIES = 40_000
/** Bytes of such entries after which it is so, too: they are read and hashed then. A guess: some hundred milliseconds */
export const CHECKPOINT_BYTES = 64 * 1024 * 1024
/** Pages of each tree that stay in memory: 4 KiB each, and the ring's inner ones 20. A guess */
export const MAX_PAGES = 4096
/** Pages that are written at once: encoding them takes some 4 ms */
export const FLUSH_PAGES = 128
/** Entries, and bytes of them, that lie together. A byte tells them apart. Measured: LevelDB takes 16 in one put for the price of two */
export const BLOCK_ENTRIES = 16
export const BLOCK_BYTES = 65_536
/** Blocks that stay in memory when they were read: two rounds of an iteration. A guess */
export const MAX_BLOCKS = 32
/** Keys that an iteration reads ahead */
export const READ_AHEAD = 128
/** Entries, and bytes of them, that may wait for their parents */
export const MAX_WAITING = 10_000
export const MAX_WAITING_BYTES = 16 * 1024 * 1024
/** Milliseconds that one turn of a log's writes may take. A disk that takes longer is broken */
export const WRITE_DEADLINE = 120_000
/** Bytes of a log's id in UTF-8 */
export const MAX_LOG_ID_BYTES = 512
/** Entries that are decoded before others get a turn */
export const SLICE = 256
