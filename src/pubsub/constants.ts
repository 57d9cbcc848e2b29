/**
 * Every number of DirectSub, with its unit and where it comes from.
 */

/** Characters (UTF-8 bytes) of the longest topic. A guess: GossipSub has no limit of its own */
export const MAX_TOPIC_LENGTH = 256
/** Topics that one peer may announce, ourselves among them. GossipSub's budget comes to about as many */
export const MAX_TOPICS_PER_PEER = 1024
/** The most that `maxTopicsPerPeer` may be raised to: so many fit in an announcement */
export const MAX_ANNOUNCED_TOPICS = 8192
/** Bytes of the largest sealed announcement, and of the control message that holds some */
export const MAX_ANNOUNCEMENT_SIZE = 512 * 1024
/** Subscribers that are kept of one topic. A guess */
export const MAX_SUBSCRIBERS_PER_TOPIC = 10_000
/** Topics that a relay remembers for others. A guess */
export const MAX_INTEREST_TOPICS = 20_000
/** Bytes of the largest payload: past it, transfers are the way */
export const MAX_MESSAGE_SIZE = 1024 * 1024

/** Bytes that a frame may have on top of its payload: topic, destinations, signature */
export const MESSAGE_OVERHEAD = 256 * 1024
/** Bytes of the largest payload of priority 'control': more of it would keep others waiting */
export const MAX_CONTROL_MESSAGE = 65_536
/** Bytes that wait for one neighbour in one lane before publish() waits; 24 ms at the 185 MB/s of an encrypted stream */
export const OUTBOX_SIZE = 4 * 1024 * 1024
/** Milliseconds without a byte of progress, while bytes wait, until a neighbour is too slow. A guess */
export const SLOW_PEER_TIMEOUT = 30_000

/** Relays that an announcement, a message or a search may cross. GossipSub's meshes are 4 to 6 wide */
export const HOP_LIMIT = 8

/** Milliseconds between two announcements of everything, with jitter; what misses three of them is gone */
export const REFRESH_INTERVAL = 60_000
export const REFRESHES_UNTIL_EXPIRY = 3
/** Milliseconds that subscribers of a topic that this node only publishes to are kept. As GossipSub's fanout */
export const ASKED_TTL = 60_000

/** Milliseconds between two batches of passed-on announcements to a neighbour: the first, doubling, and the longest */
export const GOSSIP_INTERVAL_FIRST = 50
export const GOSSIP_INTERVAL_CAP = 2000
/** Announcements that fit in one control message. 1,000 signed ones of one topic are about 200 KiB */
export const MAX_ANNOUNCEMENTS = 1000

/** Milliseconds that subscribe() waits for the neighbours to confirm; it is subscribed then all the same */
export const SUBSCRIBE_TIMEOUT = 5000
/** Milliseconds that requestSubscribers() waits for answers */
export const REQUEST_TIMEOUT = 5000
/** Requests and answers in one control message */
export const MAX_REQUESTS = 1024

/** Milliseconds that publish() waits for acks, and between two tries for those that did not ack */
export const ACK_TIMEOUT = 10_000
export const RESEND_INTERVAL = 2500
/** Milliseconds that messages are kept for a peer that has connected and not said what it listens to. A guess: a slow identify */
export const NEWCOMER_TIMEOUT = 3000
/** Bytes and messages that are kept for such peers in all */
export const NEWCOMER_BYTES = 4 * 1024 * 1024
export const NEWCOMER_MESSAGES = 4096
/** Publishes that may wait for acks at the same time. A guess */
export const MAX_UNACKED = 65_536
/** Milliseconds that a search for a peer without a route may take */
export const SEARCH_TIMEOUT = 2000
/** Searches and parcels that are remembered so as not to pass them on twice */
export const MAX_SEEN = 4096

/** Origins whose sequence numbers are remembered, and how many numbers back of each (origin, topic) */
export const MAX_WINDOWS = 65_536
export const WINDOW_BITS = 65_536
/** Milliseconds after which the numbers of an origin that was not heard of are forgotten */
export const WINDOW_TTL = 180_000
/** Topics whose next sequence number is remembered. A guess */
export const MAX_SEQUENCES = 8192
/** Peers that routes are remembered to */
export const MAX_ROUTES = 65_536

/** Destinations of one frame that crosses a relay: 38 bytes each */
export const MAX_DESTINATIONS = 4096
/** Messages that one receipt speaks of */
export const MAX_SEQS = 4096
/** Bytes and messages that are signed together when they leave together */
export const BUNDLE_BYTES = 65_536
export const BUNDLE_MESSAGES = 1024
