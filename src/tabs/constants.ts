/** Every number of several tabs, with its unit and where it comes from */

/** Milliseconds between two questions of a tab whether the leader is there */
export const PING_EVERY = 300
/**
 * Milliseconds that a leader may leave questions unanswered. With what stands around it, another tab leads within 3 s:
 * PING_EVERY, PATIENCE, PING_EVERY, LEASE, and the time to open the store
 */
export const PATIENCE = 1100
/** Questions that it may leave so: a tab that stood still itself has asked few, and asks again */
export const ASKS = 3
/** Milliseconds that a leader may write after the locks said that it leads. Who takes over by force waits so long */
export const LEASE = 400
/** Milliseconds that making a node, and stopping it, may take. Guesses */
export const START_PATIENCE = 30_000
export const STOP_PATIENCE = 1500
/** Milliseconds that a tab whose node could not be made leaves the lead to others. A guess */
export const REST = 2000

/** Calls of one tab that may wait for answers, and bytes of them. Guesses */
export const MAX_REQUESTS = 4096
export const MAX_WAITING_BYTES = 64 * 1024 * 1024
/** Items of one append, and bytes of them: they become one record, which is stored as a whole or not at all */
export const APPEND_ITEMS = 256
export const APPEND_BYTES = 512 * 1024
/** Bytes of events that a tab may have to acknowledge until it is sent no more. A guess */
export const WINDOW_BYTES = 1024 * 1024
/** Bytes of what waits for a tab that is sent no more, and cannot be read again: messages, removals. A guess */
export const HELD_BYTES = 4 * 1024 * 1024
/** Bytes that an event counts beside its data */
export const EVENT_BYTES = 128
/** Items, and bytes of them, that one answer to a walk through a log has. Guesses */
export const PAGE_ITEMS = 256
export const PAGE_BYTES = 256 * 1024
/** Milliseconds between two looks at what a tab shows of a log without asking: who keeps it, what is in sync */
export const SNAPSHOT_EVERY = 1000
/** Ids of entries that one call of trim names */
export const TRIM_IDS = 8192
/** Milliseconds that databases have to write their last at the end. A guess */
export const CLOSING_PATIENCE = 1000
/** Walks of one tab that go on at the leader. A guess */
export const MAX_WALKS = 256
/** Channels to other tabs that are kept open. A guess */
export const MAX_CHANNELS = 64
