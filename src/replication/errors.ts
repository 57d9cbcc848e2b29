/** A peer did not answer in time, or is gone, or refused: others may answer */
export class NoAnswerError extends Error {
  static name = 'NoAnswerError'
  name = 'NoAnswerError'
}

/** Fewer peers than were asked for stored an entry. It is in the log, and still on its way */
export class NotReplicatedError extends Error {
  static name = 'NotReplicatedError'
  name = 'NotReplicatedError'
}

/** Nobody is here who keeps what was asked for, or none of them answered: others may come */
export class NoReplicatorError extends Error {
  static name = 'NoReplicatorError'
  name = 'NoReplicatorError'
}

/** An entry that does not fit into a message */
export class EntryTooLargeError extends Error {
  static name = 'EntryTooLargeError'
  name = 'EntryTooLargeError'
}
