/** Bytes that are not what they claim to be. Thrown by decoders only, and caught at the door that called them */
export class MalformedError extends Error {
  static name = 'MalformedError'
  name = 'MalformedError'
}

/** What `decode` returns, or the MalformedError that it throws */
export function orMalformed<T> (decode: () => T): T | MalformedError {
  try {
    return decode()
  } catch (err) {
    if (err instanceof MalformedError) {
      return err
    }
    throw err
  }
}

/** A turn of a mailbox took longer than its owner allows. The turns behind it go on */
export class TurnTimeoutError extends Error {
  static name = 'TurnTimeoutError'
  name = 'TurnTimeoutError'
}

/** More work waits for one owner than its mailbox holds */
export class MailboxFullError extends Error {
  static name = 'MailboxFullError'
  name = 'MailboxFullError'
}

/** Options that are unknown, out of range, or do not fit together. The message says which, and what there is */
export class InvalidOptionsError extends Error {
  static name = 'InvalidOptionsError'
  name = 'InvalidOptionsError'
}

/** The datastore failed, or takes too long. The message says with what */
export class StoreFailedError extends Error {
  static name = 'StoreFailedError'
  name = 'StoreFailedError'
}

/** Somebody else has the store open, or has taken it over. The message says who, and what to do */
export class StoreInUseError extends Error {
  static name = 'StoreInUseError'
  name = 'StoreInUseError'
}
