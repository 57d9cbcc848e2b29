/** A peer as the key of a map: see pubsub/keys.ts */
export type Key = string
