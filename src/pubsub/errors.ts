import type { PublishResult } from './index.ts'

/** The name of a topic is not one that others would take */
export class InvalidTopicError extends Error {
  static name = 'InvalidTopicError'
  name = 'InvalidTopicError'
}

/** A payload is larger than a message may be */
export class PayloadTooLargeError extends Error {
  static name = 'PayloadTooLargeError'
  name = 'PayloadTooLargeError'
}

/** Acks were asked for, there was somebody to send to, and not one ack came. `result` says who failed, and why */
export class NotDeliveredError extends Error {
  static name = 'NotDeliveredError'
  name = 'NotDeliveredError'
  readonly result: PublishResult

  constructor (message: string, result: PublishResult) {
    super(message)
    this.result = result
  }
}

/** A topic that `allowedTopics` does not name */
export class TopicNotAllowedError extends Error {
  static name = 'TopicNotAllowedError'
  name = 'TopicNotAllowedError'
}

/** More topics at once than a peer may announce */
export class TooManyTopicsError extends Error {
  static name = 'TooManyTopicsError'
  name = 'TooManyTopicsError'
}
