import { readFileSync } from 'node:fs'
import { sleep } from '../clock.ts'

/** Bytes */
export interface Memory {
  rss: number
  /** What of it is no file: LevelDB maps its files, and the system takes those pages back when it wants to. Only Linux tells */
  anonymous?: number
  /** The heap, and what lies outside for it */
  heap: number
}

/** Collections until the heap stays as it is: each one may free what the last one made unreachable */
const COLLECTIONS = 20

/** Share of the heap below which a difference between two collections is no difference */
const STILL = 0.0005

/** What this process has, when all that is unreachable is gone */
export async function settledMemory (): Promise<Memory> {
  if (globalThis.gc == null) {
    throw new Error('Run with --expose-gc')
  }

  let before = Infinity

  for (let i = 0; i < COLLECTIONS; i++) {
    globalThis.gc()
    const { heapUsed, external } = process.memoryUsage()
    // `external` has the array buffers in it
    const heap = heapUsed + external

    if (Math.abs(heap - before) < heap * STILL) {
      break
    }

    before = heap
    // what is done with a promise or a timer lets go of it in a later turn
    await sleep(20)
  }

  const { heapUsed, external, rss } = process.memoryUsage()

  return { rss, anonymous: anonymous(), heap: heapUsed + external }
}

export function more (after: Memory, before: Memory): Memory {
  return {
    rss: after.rss - before.rss,
    anonymous: after.anonymous == null || before.anonymous == null ? undefined : after.anonymous - before.anonymous,
    heap: after.heap - before.heap
  }
}

function anonymous (): number | undefined {
  if (process.platform !== 'linux') {
    return undefined
  }

  const kilobytes = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]

  return kilobytes == null ? undefined : Number(kilobytes) * 1024
}
