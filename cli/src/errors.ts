/** What the one at the terminal can do something about: the message says what, in one line */
export class FailedError extends Error {
  static name = 'FailedError'
  name = 'FailedError'
  readonly exitCode: number = 1
}

/** The command was not called as it can be */
export class UsageError extends FailedError {
  static name = 'UsageError'
  name = 'UsageError'
  override readonly exitCode = 2
}

/** The bytes are no text: as text they would not come back as they were */
export class NotTextError extends FailedError {
  static name = 'NotTextError'
  name = 'NotTextError'
}

/** Another process has the store */
export class StoreInUseError extends FailedError {
  static name = 'StoreInUseError'
  name = 'StoreInUseError'
}

/** Whoever read what is printed has gone, as `head` does */
export class ReaderGoneError extends Error {
  static name = 'ReaderGoneError'
  name = 'ReaderGoneError'
}

export const oneLine = ({ message }: Error): string => message.trim().replace(/\s*\n\s*/g, ' ')
