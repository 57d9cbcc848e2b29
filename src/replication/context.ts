import { InvalidOptionsError } from '../runtime/errors.ts'
import * as limits from './constants.ts'
import type { Trust } from './core/trust.ts'
import type { Key } from './core/types.ts'
import type { Traffic } from './traffic.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Counters } from '../runtime/counters.ts'
import type { Pacer } from '../runtime/pacer.ts'
import type { Random } from '../runtime/random.ts'
import type { Logger } from '@libp2p/interface'

/** Clock, chance, logger and the like, which all parts of an open log share */
export interface ReplicationContext {
  readonly self: Key
  readonly clock: Clock
  readonly random: Random
  /** For keys and nonces: such as nobody can guess */
  randomBytes (length: number): Uint8Array
  readonly logger: Logger
  readonly counters: Counters
  readonly traffic: Traffic
  /** Long work of this log gives the loop its turns by this one */
  readonly pacer: Pacer
  readonly trust: Trust
  readonly sizes: MessageSizes
  /** How long a log that rests waits, which would wait so long if no other was open */
  resting (ms: number): number
}

/** How much goes into one message of the pubsub */
export interface MessageSizes {
  /** Bytes of entries: less than a message holds, so that others get a word in between */
  batchBytes: number
  /** Coded symbols */
  symbols: number
}

/** Bytes of the smallest largest message that a log can do with: a question may take half of it */
export const MIN_MESSAGE = 65_536
/** Bytes of a coded symbol, at most, as good as always */
const SYMBOL_BYTES = 16

export function sizesFor (maxMessageSize: number): MessageSizes {
  if (maxMessageSize < MIN_MESSAGE) {
    throw new InvalidOptionsError(`The pubsub sends messages of at most ${maxMessageSize} bytes, ` +
      `and a shared log needs ${MIN_MESSAGE}: raise maxMessageSize on all peers`)
  }

  const half = Math.floor(maxMessageSize / 2)
  return {
    batchBytes: Math.min(limits.BATCH_BYTES, half),
    symbols: Math.min(limits.MAX_SYMBOLS, Math.floor(half / SYMBOL_BYTES))
  }
}
