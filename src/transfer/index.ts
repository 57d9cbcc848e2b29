/**
 * Transfers: payloads of any size from one peer to another, over relays too. A transfer leaves room on the link for
 * messages, takes no more memory than a window, goes on when a relay dies, and ends for both sides in exactly one way.
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
 * The source of a payload. Bytes must not change before the transfer is done. An iterable is read once, as fast as the
 * other side takes it. A function opens the source at an offset, as often as it is called: it lets a transfer go on
 * after a restart of either side, and is read once in advance, for its hashes
 */
export type TransferSource = Uint8Array | Chunks | ((from: number) => Chunks)
export type Chunks = Iterable<Uint8Array> | AsyncIterable<Uint8Array>

export interface TransferProgress {
  /** Bytes of the payload that the receiver has verified; at the receiver, bytes that its program has taken */
  bytes: number
  /** Bytes in all; undefined if the size is not known in advance and the source has not ended yet */
  size?: number
}

export interface SendOptions extends AbortOptions {
  /**
   * The program of the other side that gets the offer: it has to handle offers under the same name
   *
   * @default none: it is told by the event 'offer'
   */
  protocol?: string
  /** At most 1,024 bytes that the other program sees before it decides, such as a name or a type */
  meta?: Uint8Array
  /**
   * 'bulk' goes behind the messages of all topics; 'data' goes among them
   *
   * @default 'bulk'
   */
  priority?: 'data' | 'bulk'
  /**
   * Whether to encrypt the transfer from end to end. Both sides need the service `sessions()`. Relays see sizes and
   * times
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
   * Resolves when the program of the other side has taken every verified byte. Rejects with a TransferRejectedError or
   * a TransferFailedError, with the reason of the signal, or with the reason of abort(). Nobody has to listen
   */
  readonly done: Promise<void>
  readonly progress: TransferProgress
  /** Ends the transfer now, at both sides. Has no effect if the transfer is over */
  abort (reason?: Error): void
}

export interface AcceptOptions extends AbortOptions {
  /**
   * The bytes that the receiver already has, from the beginning on. Correct leaves of 64 KiB among them are not sent
   * again: see `from` of the result. An offer without a size is sent whole, since nothing can verify these bytes
   */
  have?: Uint8Array | Chunks
  /** Called ten times a second at most, and at the end */
  onProgress? (progress: TransferProgress): void
}

/**
 * The verified bytes in order. The transfer asks for more as the program takes them: a program that takes none holds
 * one window of bytes
 */
export interface IncomingTransfer extends AsyncIterable<Uint8Array> {
  readonly progress: TransferProgress
  /** Resolves with the number of valid bytes in `have`: the first chunk begins there */
  from (): Promise<number>
  /**
   * Resolves with the whole payload as one array. Throws a TransferRejectedError if the payload has more than `max`
   * bytes, and stops the sender
   */
  bytes (max: number): Promise<Uint8Array>
  /** Ends the transfer now, at both sides. Has no effect if the transfer is over */
  abort (reason?: Error): void
}

export interface Offer {
  readonly id: string
  readonly from: PeerId
  /** The size in bytes; undefined if the sender does not know it before its source ends */
  readonly size?: number
  /** Names the payload, by its size and its hashes; known if the size is known */
  readonly root?: Uint8Array
  readonly protocol: string
  readonly meta: Uint8Array
  /** Whether the offer came through a session */
  readonly isConfidential: boolean
  /** Whether the program may still decide: an offer is over after five minutes, and when the sender gives it up */
  readonly isOpen: boolean
  /**
   * Accepts the offer. Throws an OfferOverError if the offer is over, and a TooManyTransfersError if there is no room
   * for one more transfer
   */
  accept (options?: AcceptOptions): IncomingTransfer
  reject (): void
}

/** Gets the offers of one protocol. If it throws, the error is logged and the offer is rejected */
export interface OfferHandler {
  (offer: Offer): void | Promise<void>
}

export interface TransferEvents {
  /**
   * An offer without a protocol. An offer with a protocol goes to the handler of that protocol. If nobody listens, the
   * offer is rejected
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
  /** Offers the source, and sends it if the other side accepts. Before that only the offer is sent */
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
  /** For tests: where randomness comes from */
  random?: Random
}

/** The service. Register it beside `directSub()` in `createLibp2p({ services })` */
export function transfers (init: TransfersInit = {}): (components: TransfersComponents) => Transfers {
  return components => new TransfersClass(components, init)
}
