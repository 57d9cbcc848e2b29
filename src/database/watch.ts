import { WatchOpenError } from './errors.ts'
import type { Feed } from './feed.ts'
import type { Change } from './index.ts'
import type { Entry } from '../log/index.ts'
import type { SharedLog } from '../replication/index.ts'
import type { AbortOptions } from '@libp2p/interface'

export interface Watched<T> {
  log: SharedLog
  feed: Feed
  /** The arrival to begin with, for a watch that does not continue */
  from: number
  /** Names of the watches that are under way */
  watching: Set<string>
  /** The change that this entry made, if the entry still counts */
  changeOf (entry: Entry, arrival: number): Change<T> | undefined
}

/**
 * Reports changes in the order in which their entries arrived. It reads them from the log, so it needs no queue: a slow
 * program does not see a value that was overwritten before it came to that value. The log stores the position of a
 * watch with a name.
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
    // 0 means that there is no mark: so the mark is one more than the position
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
        // the program asks for the next change: it has processed this one
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
