/** Every number of the log, with its unit and where it comes from */

/** Milliseconds that the clock of an author may be ahead of ours. From the specification */
export const MAX_AHEAD = 60_000
/** Milliseconds that what others made may pull our own clock ahead: so clocks may differ by as much again. A guess */
export const MAX_PULL = MAX_AHEAD / 2
/** Bytes of entries that wait in memory until their time has come. A guess */
export const MAX_EARLY_BYTES = 4 * 1024 * 1024
/**
 * Milliseconds for which work in bulk holds the loop, but for what it does with one record. Joins, the writer and
 * checkpoints take turns, so others may wait for three of them
 */
export const SLICE = 1
/** Appends, and bytes of them, that may wait to be written. A guess: callers that look at their promises have fewer */
export const MAX_PENDING = 65_536
export const MAX_PENDING_BYTES = 256 * 1024 * 1024
/** Bytes of entries that are written at once. `Sizes.recordEntries` is how many */
export const COMMIT_BYTES = 1024 * 1024
/**
 * Bytes of an array that are copied at once. A guess: small items hold the loop for 7 ms then, and large ones for 1
 */
export const ARRAY_BYTES = 4 * 1024 * 1024
/** Records of appends that are written until something else gets a turn. A guess */
export const COMMITS_A_TURN = 16
/** Entries that one signature is for. Twice as many would hardly be cheaper, and add 32 bytes to the proof of each */
export const SIGNED_AT_ONCE = 64
/** Entries that an iteration reads ahead */
export const READ_AHEAD = 256
/** Records that a walk through the log reads at once */
export const RECORDS_AT_ONCE = 32
/** Milliseconds that `canAppend` may take. A guess */
export const CAN_APPEND_DEADLINE = 30_000
/** Bytes of a log's id in UTF-8 */
export const MAX_LOG_ID_BYTES = 512
/** Bytes of the name of a program that marks, in UTF-8: some more than the name of a watch of a database may want */
export const MAX_PROGRAM_BYTES = 1024
/** Absent parents that are remembered: of more, the log forgets those that were named longest ago. A guess */
export const MAX_NAMED = 65_536
/** Forks, and damaged records, that `diagnostics` tells of. A guess */
export const MAX_PROBLEMS = 64

/** How a log lies in memory and on disk. Tests choose small numbers, so that little data goes all the ways */
export interface Sizes {
  /** Entries, records, and bytes of entries that a memtable takes: then a checkpoint is made of it */
  checkpointEntries: number
  checkpointRecords: number
  checkpointBytes: number
  /** Bytes of the rows of a page */
  pageBytes: number
  /** Pages of a part of a run */
  partPages: number
  /** Runs of one tier that are merged into one of the next */
  mergeRuns: number
  /** Entries of a record */
  recordEntries: number
  /** Bytes of pages, and of records, that stay in memory */
  cacheBytes: number
}

/**
 * From docs/log.md. Measured by bench log. With records of 128 entries a lookup takes 8 % less, but an append in bulk
 * takes 11 % more
 */
export const SIZES: Sizes = {
  checkpointEntries: 38_000,
  checkpointRecords: 10_000,
  checkpointBytes: 16 * 1024 * 1024,
  pageBytes: 16 * 1024,
  partPages: 128,
  mergeRuns: 8,
  recordEntries: 256,
  cacheBytes: 16 * 1024 * 1024
}
