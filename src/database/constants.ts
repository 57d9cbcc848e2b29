/**
 * Every number of databases, with its unit and where it comes from.
 */

/** Bytes of a key in UTF-8. A guess */
export const MAX_KEY_BYTES = 1024
/** Bytes of a group. From the log */
export const MAX_GROUP_BYTES = 64
/**
 * Entries that are applied between two checkpoints: after a crash, as many are read again, which takes about a tenth of
 * a second
 */
export const CHECKPOINT_ENTRIES = 4096
/** Rows that are written at once when the whole table is written. Encoding them takes a few milliseconds */
export const ROWS_IN_RECORD = 4096
