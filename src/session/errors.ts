import type { PeerId } from '@libp2p/interface'

export { StoreFailedError, StoreInUseError } from '../runtime/errors.ts'

/** The session was closed, here, while a call waited. A message may have arrived all the same */
export class SessionClosedError extends Error {
  static name = 'SessionClosedError'
  name = 'SessionClosedError'
}

/** As much waits for one peer, or for all of them, as an option allows */
export class QueueFullError extends Error {
  static name = 'QueueFullError'
  name = 'QueueFullError'
}

/** No new key came within the time of a rekey(). The session lives, and goes on trying when there is a reason */
export class RekeyTimeoutError extends Error {
  static name = 'RekeyTimeoutError'
  name = 'RekeyTimeoutError'
}

/** The peer refused a new key, or a key could not be made. The session lives with the key it has */
export class RekeyFailedError extends Error {
  static name = 'RekeyFailedError'
  name = 'RekeyFailedError'
}

/** More calls than MAX_WAITERS wait for a new key of one session */
export class TooManyRekeysError extends Error {
  static name = 'TooManyRekeysError'
  name = 'TooManyRekeysError'
}

/** As many sessions as `maxSessions` are busy, so there is no room for another one */
export class TooManySessionsError extends Error {
  static name = 'TooManySessionsError'
  name = 'TooManySessionsError'
}

/** A handler has this protocol already */
export class ProtocolHandledError extends Error {
  static name = 'ProtocolHandledError'
  name = 'ProtocolHandledError'
}

export function closedError (peerId: PeerId): SessionClosedError {
  return new SessionClosedError(`The session with ${peerId} was closed here while this waited: ` +
    'send it again, and make sure that it does no harm if it arrives twice')
}
