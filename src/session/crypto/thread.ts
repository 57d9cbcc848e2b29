import type { Answer, Question } from './worker-protocol.ts'

/** A worker, as this platform has one: `imports` in package.json say which file starts it */
export { isQuick, startThread } from '#session-thread'

export interface Thread {
  post (question: Question, transfer: ArrayBuffer[]): void
  stop (): void
}

export interface ThreadEvents {
  onAnswer (answer: Answer): void
  /** It could not be started, or has ended. No answer comes any more */
  onEnd (err: Error): void
}
