import { setTimeout } from 'node:timers/promises'
import { short } from './text.ts'
import type { Event } from './events.ts'
import type { SharedLog } from 'libp2p-sheaf'

/** Milliseconds for which nothing may arrive while there is something to come */
const PATIENCE = 10_000
/** Milliseconds between two looks at whether all is here */
const LOOK_INTERVAL = 20

/** Says how far it is, until all is here that others have */
export async function * caughtUp (log: SharedLog, signal: AbortSignal): AsyncGenerator<Event> {
  let progress: Event | undefined
  let length = log.length
  let deadline = performance.now() + PATIENCE
  const onProgress = ({ detail: { peerId, done, total } }: CustomEvent): void => {
    progress = { type: 'progress', what: `from ${short(peerId)}`, done, total }
  }
  log.addEventListener('sync:progress', onProgress)

  try {
    for (;;) {
      const { isSynced, peers } = log.synced()

      if (isSynced && peers.length > 0) {
        return
      }
      if (progress != null || log.length > length) {
        deadline = performance.now() + PATIENCE
        length = log.length
      }
      if (progress != null) {
        yield progress
        progress = undefined
      }
      if (performance.now() > deadline) {
        yield {
          type: 'note',
          message: `For ${PATIENCE / 1_000} s nothing has arrived, though others may have more: this is what is here`
        }
        return
      }
      await setTimeout(LOOK_INTERVAL, undefined, { signal })
    }
  } finally {
    log.removeEventListener('sync:progress', onProgress)
  }
}
