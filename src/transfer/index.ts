/**
 * Transfers: payloads of any size from one peer to another, over relays too. They share a link politely, take no more
 * memory than a window, go on when a relay dies, and end for both sides in exactly one way.
 *
 * @example
 *
 * ```TypeScript
 * import { createLibp2p } from 'libp2p'
 * import { identify } from '@libp2p/identify'
 * import { directSub, transfers } from 'libp2p-sheaf'
 *
 * const node = await createLibp2p({
 *   services: {
 *     identify: identify(),
 *     pubsub: directSub(),
 *     transfers: transfers()
 *   }
 * })
 *
 * node.services.transfers.addEventListener('offer', async ({ detail: offer }) => {
 *   for await (const chunk of offer.accept()) {
 *     console.info(offer.from, chunk.byteLength)
 *   }
 * })
 * ```
 */

import { Transfers as TransfersClass } from './transfers.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Random } from '../runtime/random.ts'
import type { AbortOptions, ComponentLogger, Metrics, PeerId, Startable, TypedEventTarget } from '@libp2p/interface'

/**
 * What is sent. Bytes must not change before the transfer is done. An iterable is read once, as fast as the other side
 * takes it. A function that opens the source at an offset, as often as it is called, lets a transfer go on where it was
 * after either side was started anew: it is read once before, for its hashes
 */
export type TransferSource = Uint8Array | Chunks | ((from: number) => Chunks)
export type Chunks = Iterable<Uint8Array> | AsyncIterable<Uint8Array>

export interface TransferProgress {
  /** Bytes of the payload that the receiver has verified; at the receiver, that its program has taken */
  bytes: number
  /** Bytes in all; undefined while the source has not come to its end and nobody knows */
  size?: number
}

export interface SendOptions extends AbortOptions {
  /**
   * Which program of the other side this is for: it has to handle offers under the same name
   *
   * @default none: it is told by the event 'offer'
   */
  protocol?: string
  /** At most 1,024 bytes that the other program sees before it decides: a name, a type */
  meta?: Uint8Array
  /**
   * 'bulk' goes behind the messages of all topics, 'data' among them
   *
   * @default 'bulk'
   */
  priority?: 'data' | 'bulk'
  /**
   * Seal it from end to end: needs the service `sessions()` on both sides. Relays see sizes and times
   *
   * @default false
   */
  confidential?: boolean
  /** Called ten times a second at most, and at the end */
  onProgress? (progress: TransferProgress): void
}

export interface OutboundTransfer {
  readonly id: string
  readonly peerId: PeerId
  /**
   * Resolves when the program of the other side has taken all of it, verified. Rejects with a TransferRejectedError or
   * a TransferFailedError, with the reason of the signal, or with the one of abort(). Nobody has to listen
   */
  readonly done: Promise<void>
  readonly progress: TransferProgress
  /** Ends it now, at both sides. Nothing happens if it is over */
  abort (reason?: Error): void
}

export interface AcceptOptions extends AbortOptions {
  /**
   * What is here of it already, from the beginning on. Those of its leaves of 64 KiB that are right are not sent again:
   * see `from` of what is returned. An offer without a size, which nobody can check them with, is sent whole
   */
  have?: Uint8Array | Chunks
  /** Called ten times a second at most, and at the end */
  onProgress? (progress: TransferProgress): void
}

/**
 * Verified bytes in their order. More of them are asked for as they are taken: who takes none holds a window of them
 */
export interface IncomingTransfer extends AsyncIterable<Uint8Array> {
  readonly progress: TransferProgress
  /** Resolves with how many bytes of `have` count: the first chunk begins there */
  from (): Promise<number>
  /** All of it as one. Throws a TransferRejectedError when that is more than `max` bytes, and has the sender stop */
  bytes (max: number): Promise<Uint8Array>
  /** Ends it now, at both sides. Nothing happens if it is over */
  abort (reason?: Error): void
}

export interface Offer {
  readonly id: string
  readonly from: PeerId
  /** Bytes; undefined when the sender does not know them before its source has come to its end */
  readonly size?: number
  /** Names the payload, by its size and its hashes; there if the size is */
  readonly root?: Uint8Array
  readonly protocol: string
  readonly meta: Uint8Array
  /** Whether it came sealed */
  readonly isConfidential: boolean
  /** Whether it may still be decided: it is over after five minutes, and when the sender gives it up */
  readonly isOpen: boolean
  /** Throws an OfferOverError when it is over, and a TooManyTransfersError when there is no room for one more */
  accept (options?: AcceptOptions): IncomingTransfer
  reject (): void
}

/** Gets the offers of one protocol. What it throws is logged, and the offer is rejected */
export interface OfferHandler {
  (offer: Offer): void | Promise<void>
}

export interface TransferEvents {
  /**
   * An offer without a protocol. Those with one go to the handler of that protocol. If nobody listens it is rejected
   */
  offer: CustomEvent<Offer>
}

export interface TransfersDiagnostics {
  /** How many entries and bytes each table and queue holds */
  sizes: Record<string, number>
  /** What was dropped or refused, by reason */
  dropped: Record<string, number>
  transfers: Array<TransferProgress & { id: string, peerId: PeerId, direction: 'in' | 'out', state: string }>
}

export interface Transfers extends Startable, TypedEventTarget<TransferEvents> {
  /** Offers it, and sends it if the other side wants it. Nothing is sent before that but the offer */
  send (peerId: PeerId, source: TransferSource, options?: SendOptions): OutboundTransfer
  /** Takes the offers of a protocol from now on, until `unhandle` */
  handle (protocol: string, handler: OfferHandler): void
  unhandle (protocol: string): void
  diagnostics (): TransfersDiagnostics
}

export interface TransfersComponents {
  peerId: PeerId
  logger: ComponentLogger
  metrics?: Metrics
}

export interface TransfersInit {
  /**
   * The name under which DirectSub is registered
   *
   * @default 'pubsub'
   */
  pubsub?: string
  /**
   * The name under which sessions are registered, if they are: for `confidential: true`
   *
   * @default 'sessions'
   */
  sessions?: string
  /** For tests: where time comes from */
  clock?: Clock
  /** For tests: where chance comes from */
  random?: Random
}

/** The service: register it beside `directSub()` in `createLibp2p({ services })` */
export function transfers (init: TransfersInit = {}): (components: TransfersComponents) => Transfers {
  return components => new TransfersClass(components, init)
}
