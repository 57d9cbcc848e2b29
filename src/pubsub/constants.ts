/**
 * Every number of DirectSub, with its unit and where it comes from.
 */

/** Characters (UTF-8 bytes) of the longest topic. A guess: GossipSub has no limit of its own */
export const MAX_TOPIC_LENGTH = 256
/** Topics that one peer may announce, ourselves among them. GossipSub's budget comes to about as many */
export const MAX_TOPICS_PER_PEER = 1024
/** The most that `maxTopicsPerPeer` may be raised to: so many fit in an announcement */
export const MAX_ANNOUNCED_TOPICS = 8192
/** Bytes of the largest signed announcement, and of a control message that holds some */
export const MAX_ANNOUNCEMENT_SIZE = 512 * 1024
/** Subscribers that are kept of one topic. A guess */
export const MAX_SUBSCRIBERS_PER_TOPIC = 10_000
/** Bytes of what is remembered of peers that are no neighbours. A guess: 100,000 peers on one topic */
export const MAX_DIRECTORY_BYTES = 64 * 1024 * 1024
/** Bytes of the largest payload: past it, transfers are the way */
export const MAX_MESSAGE_SIZE = 1024 * 1024
/** The most that `maxMessageSize` may be raised to: a neighbour may have four such frames in the making. A guess */
export const MAX_MAX_MESSAGE_SIZE = 1024 * 1024 * 1024

/** Bytes that a frame may have on top of its payload: topic, destinations, signature */
export const MESSAGE_OVERHEAD = 256 * 1024
/** Bytes of the largest payload of priority 'control': more of it would keep others waiting */
export const MAX_CONTROL_MESSAGE = 65_536
/**
 * Bytes that wait for one neighbour in one lane before publish() waits; 24 ms at the 185 MB/s of an encrypted stream
 */
export const OUTBOX_SIZE = 4 * 1024 * 1024
/** Milliseconds without a byte of progress, while bytes wait, until a neighbour is too slow. A guess */
export const SLOW_PEER_TIMEOUT = 30_000

/**
 * Relays that a message may cross, and that an origin may be away: a ring of 20 needs 9, a trace of so many takes 256
 * bytes
 */
export const HOP_LIMIT = 64

/** Milliseconds that subscribers of a topic that this node only publishes to are kept. As GossipSub's fanout */
export const ASKED_TTL = 60_000
/** Milliseconds between two looks at what can be forgotten. A guess */
export const SWEEP_INTERVAL = 30_000
/**
 * Milliseconds that is remembered how far a lost peer was: longer than any news of it is on its way. As RFC 8966 3.7.3
 */
export const LOST_MEMORY = 180_000
/** The same while there is no room for all who can be reached. A guess: any news has come by then, but after a pause */
export const LOST_MEMORY_SHORT = 30_000
/** Milliseconds between two times that a neighbour is told all again. Less than a sweep: who asks waits that long */
export const AGAIN_INTERVAL = 15_000
/** Milliseconds that a peer which acks nothing has to say itself again. From the spec: no ghost for longer than 5 s */
export const DOUBT_TIMEOUT = 5000

/** Milliseconds between two batches of passed-on updates to a neighbour: the first, doubling, and the longest */
export const UPDATE_INTERVAL_FIRST = 10
export const UPDATE_INTERVAL_CAP = 250
/** Neighbours that have to outlive an earlier life of theirs. A guess */
export const MAX_OUTDATED = 1024
/**
 * The largest number of an announcement: there is always a next one to ask for. Nobody who counts from 0 comes there
 */
export const MAX_ANNOUNCEMENT_SEQ = 2 ** 52
/** Announcements of one peer that may follow a full one. A guess: more of them are longer than saying all again */
export const MAX_HISTORY = 256
/** Topics that are announced one by one, at least, before all are said again */
export const MIN_HISTORY = 8
/** Updates that fit in one control message. 1,000 signed announcements of one topic are about 200 KiB */
export const MAX_UPDATES = 1000

/** Milliseconds that subscribe() waits for the neighbours to confirm; it is subscribed then all the same */
export const SUBSCRIBE_TIMEOUT = 5000
/** Milliseconds that requestSubscribers() waits for answers */
export const REQUEST_TIMEOUT = 5000
/**
 * Milliseconds that messages are kept for a peer that has connected and not said what it listens to. A guess: a slow
 * identify
 */
export const UNANNOUNCED_TIMEOUT = 3000
/** Bytes and messages that are kept for such peers in all */
export const UNANNOUNCED_BYTES = 4 * 1024 * 1024
export const UNANNOUNCED_MESSAGES = 4096
/** Topics whose next sequence number is remembered. A guess */
export const MAX_SEQUENCES = 8192
/**
 * Bytes for one destination behind a relay, in one lane, that a neighbour of that relay may have on their way there.
 * A guess; measured: 8 MiB make messages of 64 KiB no faster
 */
export const FLOW_WINDOW = 2 * 1024 * 1024
/** Bytes that a relay holds for all destinations */
export const FLOW_MAX = 256 * 1024 * 1024
/** Milliseconds until the neighbours are told of what has left, however little it is */
export const FLOW_TICK = 1000
/** Milliseconds until what waits for a destination that takes nothing is given up. As with neighbours */
export const FLOW_TIMEOUT = 30_000
/** Bytes of this node's own that wait for destinations behind relays */
export const MAX_OWN_WAITING = 64 * 1024 * 1024

/**
 * Milliseconds of this machine's time that checking or making a signature is counted as. Measured: 0.08, in browsers
 * more
 */
export const SIGNATURE_COST = 0.1
/** The same of a receipt from a neighbour. Measured: 0.03. Each message and peer in it costs an ITEM_COST besides */
export const RECEIPT_COST = 0.03
/**
 * The same of each destination of a parcel: a way is looked for. Measured: 0.001 with 20 neighbours and a long trace
 */
export const DESTINATION_COST = 0.002
/**
 * Milliseconds of this machine's time that dealing with an announcement is counted as, beside its signature, and each
 * topic in it. Measured: 0.003 to 0.007; and 0.002, of which a half retracts what the one before held
 */
export const ANNOUNCEMENT_COST = 0.005
export const TOPIC_COST = 0.002
/** The same of what a gossip asks, answers and says to be lost. Measured: 0.0018 */
export const ITEM_COST = 0.002
/**
 * Updates and announcements, and their bytes, of a gossip that are dealt with at once: 1 ms, and 250 topics of 32 bytes
 */
export const PART_ITEMS = 128
export const PART_BYTES = 8192
/**
 * Faults of an origin behind relays until it is not listened to, and for how many milliseconds. As those of neighbours
 */
export const MAX_ORIGIN_FAULTS = 100
export const ORIGIN_PENALTY = 300_000
/** Origins whose faults are remembered. A guess */
export const MAX_FAULTY_ORIGINS = 4096
/** Milliseconds that publish() waits for those who have no room when others have. A guess */
export const LAGGARD_WAIT = 1000

/** Destinations of one frame that crosses a relay: 38 bytes each */
export const MAX_DESTINATIONS = 4096
/** Messages that one receipt speaks of */
export const MAX_SEQS = 4096
/** Bytes and messages that are signed together when they leave together */
export const BUNDLE_BYTES = 65_536
export const BUNDLE_MESSAGES = 1024
