/** The database was closed, or the log or the node below it was */
export class DatabaseClosedError extends Error {
  static name = 'DatabaseClosedError'
  name = 'DatabaseClosedError'
}

/** One log holds one database, and a node opens it once: two would overwrite each other's checkpoints */
export class DatabaseOpenError extends Error {
  static name = 'DatabaseOpenError'
  name = 'DatabaseOpenError'
}

/** A key that no database can have */
export class InvalidKeyError extends Error {
  static name = 'InvalidKeyError'
  name = 'InvalidKeyError'
}

/** A value that cannot be stored */
export class InvalidValueError extends Error {
  static name = 'InvalidValueError'
  name = 'InvalidValueError'
}

/** A document without an id */
export class InvalidDocumentError extends Error {
  static name = 'InvalidDocumentError'
  name = 'InvalidDocumentError'
}

/** Two watches of one name at once: each would skip what the other has reported */
export class WatchOpenError extends Error {
  static name = 'WatchOpenError'
  name = 'WatchOpenError'
}
