import type { Mailboxes } from './mailbox.ts'
import type { Pacer } from './pacer.ts'

/**
 * Hands the outcome of `work` to `then` in the order in which this was called for `owner`: in this very tick if the
 * work is done already and nobody waits before it. A pacer has the loop run between those that waited
 */
export function inOrder<T> (
  mailboxes: Mailboxes, owner: string, work: T | Promise<T>, then: (value: T) => void,
  onError: (err: unknown) => void, pacer?: Pacer
): void {
  if (work instanceof Promise) {
    // it may fail before its turn comes
    work.catch(() => {})
  } else if (!mailboxes.isBusy(owner)) {
    then(work)
    return
  }

  mailboxes.turn(owner, async ({ signal }) => {
    const value = await work
    await pacer?.pause()
    signal.throwIfAborted()
    then(value)
  }).catch(onError)
}
