import type { Clock } from './clock.ts'

/** What `work` comes to, or what `late` says when so many milliseconds have passed before that */
export async function within<T> (clock: Clock, ms: number, work: Promise<T>, late: () => T): Promise<T> {
  const { promise, resolve } = Promise.withResolvers<T>()
  const timer = clock.after(ms, () => { resolve(late()) })

  try {
    return await Promise.race([work, promise])
  } finally {
    timer.cancel()
  }
}
