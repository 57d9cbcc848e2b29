import { WatchOpenError } from './errors.ts'
import type { Feed } from './feed.ts'
import type { Change } from './index.ts'
import type { Entry } from '../log/index.ts'
import type { SharedLog } from '../replication/index.ts'
import type { AbortOptions } from '@libp2p/interface'

export interface Watched<T> {
  log: SharedLog
  feed: Feed
  /** Where to begin, if it is not one that goes on */
  from: number
  /** Names of those that are under way */
  watching: Set<string>
  /** What this entry changed, and what counts still */
  changeOf (entry: Entry, arrival: number): Change<T> | undefined
}

/**
 * Tells of changes in the order in which their entries came. It reads them from the log, so it needs no queue: who is
 * slow is not told of what was overwritten before he came to it. Where one with a name is, is kept with the log.
 */
export async function * watch<T> (
  watched: Watched<T>, { name, signal }: AbortOptions & { name?: string }
): AsyncGenerator<Change<T>> {
  const { watching } = watched

  if (name == null) {
    yield * changes(watched, watched.from, async () => {}, { signal })
    return
  }
  if (watching.has(name)) {
    throw new WatchOpenError(`The watch '${name}' is under way already: use another name, or end it`)
  }

  watching.add(name)

  try {
    const { log } = watched
    // 0 where there is none: so one more is kept
    const marked = await log.marked(`watch ${name}`)
    const mark = async (next: number): Promise<void> => { await log.mark(`watch ${name}`, next + 1) }

    if (marked === 0) {
      await mark(watched.from)
    }

    yield * changes(watched, marked === 0 ? watched.from : marked - 1, mark, { signal })
  } finally {
    watching.delete(name)
  }
}

async function * changes<T> (
  { log, feed, changeOf }: Watched<T>, from: number, mark: (next: number) => Promise<void>, { signal }: AbortOptions
): AsyncGenerator<Change<T>> {
  for (let at = from; ;) {
    await feed.reached(at, { signal })

    if (feed.isEnded) {
      return
    }

    const { next } = feed

    for await (const { arrival, entry } of log.arrivals(at, { signal })) {
      if (feed.isEnded || arrival >= next) {
        break
      }

      const change = changeOf(entry, arrival)

      if (change != null) {
        yield change
        // it was dealt with: the next one is asked for
        await mark(arrival + 1)
      }
    }

    if (feed.isEnded) {
      return
    }

    at = next
    await mark(at)
  }
}
