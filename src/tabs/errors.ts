/** There are no Web Locks here */
export class NoLocksError extends Error {
  static name = 'NoLocksError'
  name = 'NoLocksError'
}

/** The profile was stopped in this tab, while a call waited or before it */
export class ProfileStoppedError extends Error {
  static name = 'ProfileStoppedError'
  name = 'ProfileStoppedError'
}

/** A function, or something else that only one tab can have, was to go to another one. The message says what to do */
export class CannotCrossError extends Error {
  static name = 'CannotCrossError'
  name = 'CannotCrossError'
}

/** As many calls of this tab as may be wait for answers already */
export class TooManyRequestsError extends Error {
  static name = 'TooManyRequestsError'
  name = 'TooManyRequestsError'
}

/**
 * The tab that led is gone, and has not answered: the call may have happened, or not. A call that can happen twice is
 * made with `repeats: true`, and then asked of the next leader
 */
export class FateUnknownError extends Error {
  static name = 'FateUnknownError'
  name = 'FateUnknownError'
}

/** The tab that leads has no such method: it may have loaded another version of the page */
export class NoMethodError extends Error {
  static name = 'NoMethodError'
  name = 'NoMethodError'
}

/** Another tab leads by now, which cannot go on with what was being read: read it again */
export class LeaderChangedError extends Error {
  static name = 'LeaderChangedError'
  name = 'LeaderChangedError'
}
