import type { Mailboxes } from './mailbox.ts'

/**
 * Hands the outcome of `work` to `then` in the order in which this was called for `owner`: in this very tick if the
 * work is done already and nobody waits before it.
 */
export function inOrder<T> (
  mailboxes: Mailboxes, owner: string, work: T | Promise<T>, then: (value: T) => void, onError: (err: unknown) => void
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
    signal.throwIfAborted()
    then(value)
  }).catch(onError)
}
