import type { Imported } from './index.ts'

export { StoreFailedError, StoreInUseError } from '../runtime/errors.ts'
export { InvalidContentError } from './core/entry.ts'

/** A text, or bytes, are no id of an entry */
export class InvalidEntryIdError extends Error {
  static name = 'InvalidEntryIdError'
  name = 'InvalidEntryIdError'
}

/** The proof of an entry is not one of its author for this entry in this log */
export class FalseProofError extends Error {
  static name = 'FalseProofError'
  name = 'FalseProofError'
}

/** Another version wrote what lies in the datastore, and this version does not read it */
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

/** The log could not write an entry that this one stands on */
export class WriteFailedError extends Error {
  static name = 'WriteFailedError'
  name = 'WriteFailedError'
}

/** The log is not open (any more) */
export class LogClosedError extends Error {
  static name = 'LogClosedError'
  name = 'LogClosedError'

  static of (id: string): LogClosedError {
    return new LogClosedError(`The log '${id}' is not open any more: open it again`)
  }
}

/** More appends wait to be written than the log holds */
export class TooManyAppendsError extends Error {
  static name = 'TooManyAppendsError'
  name = 'TooManyAppendsError'
}

/** The id is one that no log can have */
export class InvalidLogIdError extends Error {
  static name = 'InvalidLogIdError'
  name = 'InvalidLogIdError'
}

/** What was imported is no archive of this log, or a part of it was changed. `imported`: what came before that part */
export class InvalidArchiveError extends Error {
  static name = 'InvalidArchiveError'
  name = 'InvalidArchiveError'
  imported?: Imported
}

/** An archive ended in the middle. `imported`: what came before */
export class ArchiveCutError extends Error {
  static name = 'ArchiveCutError'
  name = 'ArchiveCutError'
  imported?: Imported
}

/** A program was to be marked with something else than the number of an arrival */
export class InvalidMarkError extends Error {
  static name = 'InvalidMarkError'
  name = 'InvalidMarkError'
}
