export { StoreFailedError, StoreInUseError } from '../runtime/errors.ts'
export { InvalidContentError } from './core/entry.ts'

/** A text or bytes that were to be the id of an entry are not one */
export class InvalidEntryIdError extends Error {
  static name = 'InvalidEntryIdError'
  name = 'InvalidEntryIdError'
}

/** More entries at once than one signature is made for */
export class BatchTooLargeError extends Error {
  static name = 'BatchTooLargeError'
  name = 'BatchTooLargeError'
}

/** The proof of an entry is not one of its author for this entry in this log */
export class FalseProofError extends Error {
  static name = 'FalseProofError'
  name = 'FalseProofError'
}

/** What lies in the datastore was written by another version, which this one does not read */
export class StoreVersionError extends Error {
  static name = 'StoreVersionError'
  name = 'StoreVersionError'
}

/** The clock of an entry is further ahead of ours than is allowed. Offer it again later */
export class FutureEntryError extends Error {
  static name = 'FutureEntryError'
  name = 'FutureEntryError'
}

/** `canAppend` said no, or did not say anything in time */
export class AppendRefusedError extends Error {
  static name = 'AppendRefusedError'
  name = 'AppendRefusedError'
}

/** An entry that this one stands on could not be written */
export class WriteFailedError extends Error {
  static name = 'WriteFailedError'
  name = 'WriteFailedError'
}

/** The log is not open (any more) */
export class LogClosedError extends Error {
  static name = 'LogClosedError'
  name = 'LogClosedError'
}

/** More appends wait to be written than the log holds */
export class TooManyAppendsError extends Error {
  static name = 'TooManyAppendsError'
  name = 'TooManyAppendsError'
}

/** An id that no log can have */
export class InvalidLogIdError extends Error {
  static name = 'InvalidLogIdError'
  name = 'InvalidLogIdError'
}

/** What a program was to be marked with is no number of an arrival */
export class InvalidMarkError extends Error {
  static name = 'InvalidMarkError'
  name = 'InvalidMarkError'
}
