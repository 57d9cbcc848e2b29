import type { PeerId } from '@libp2p/interface'

/** Why a transfer came to its end before all of it was there */
export type TransferFailure =
  /** The other program gave it up */
  | 'stopped'
  /** One side heard nothing of the other one for a minute */
  | 'silent'
  /** Nothing moved for ten minutes, though the other side is there */
  | 'stalled'
  /** What came is not what was offered: the source changed, or somebody lies */
  | 'mismatch'
  /** The other side sent more than it was asked for, or asks for what cannot be */
  | 'protocol'
  /** The source failed, at the other side */
  | 'source'
  /** The other side knows nothing of it any more. If that is the receiver, the source cannot be read again */
  | 'forgotten'
  /** A node stopped */
  | 'node-stopped'

/**
 * The transfer has failed. What the receiver has verified by then it may keep, and hand in when the payload is offered
 * again
 */
export class TransferFailedError extends Error {
  static name = 'TransferFailedError'
  name = 'TransferFailedError'

  readonly reason: TransferFailure

  constructor (message: string, reason: TransferFailure, options?: ErrorOptions) {
    super(message, options)
    this.reason = reason
  }
}

/** The receiver does not take it: 'rejected' by its program, 'busy' for now, or 'too-large' */
export class TransferRejectedError extends Error {
  static name = 'TransferRejectedError'
  name = 'TransferRejectedError'

  readonly reason: 'rejected' | 'busy' | 'too-large'

  constructor (message: string, reason: TransferRejectedError['reason']) {
    super(message)
    this.reason = reason
  }
}

/** The source threw, ended before the size that it had at first, or cannot be read where it is needed */
export class SourceFailedError extends Error {
  static name = 'SourceFailedError'
  name = 'SourceFailedError'
}

/** An offer was decided already, or is not there any more */
export class OfferOverError extends Error {
  static name = 'OfferOverError'
  name = 'OfferOverError'
}

/** As many transfers go out as a node takes on: wait for some to end */
export class TooManyTransfersError extends Error {
  static name = 'TooManyTransfersError'
  name = 'TooManyTransfersError'
}

const MESSAGES: Record<TransferFailure, string> = {
  stopped: 'gave the transfer up',
  silent: 'and this side heard nothing of each other for a minute: one of them, or all ways between them, may be gone. ' +
    'Send it again when they are back',
  stalled: 'is there, and nothing has moved for ten minutes',
  mismatch: 'has, or gets, other bytes than were offered: the source may have changed meanwhile. Offer it again',
  protocol: 'does not keep to the protocol',
  source: 'could not read its source to the end',
  forgotten: 'knows nothing of the transfer any more, as after a restart: it has to be offered again',
  'node-stopped': 'is stopping, or this node is'
}

export function failure (peerId: PeerId, reason: TransferFailure, options?: ErrorOptions): TransferFailedError {
  return new TransferFailedError(`${peerId} ${MESSAGES[reason]}`, reason, options)
}
