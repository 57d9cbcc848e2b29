import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { LagFact } from './core/facts.ts'

type Monitor = ReturnType<typeof monitorEventLoopDelay>

/** Milliseconds between two timers that are measured: what they take longer is the lag */
const RESOLUTION = 20

const NANOSECONDS = 1_000_000

/**
 * How late timers are. A monitor does not count the first interval after it was begun anew, so two of them take turns:
 * whatever holds up the loop is seen by one of them. A reading is about the time since the reading before the last one
 */
export class Lag {
  #read = this.#begin()
  #next = this.#begin()
  #isStopped = false

  /** Undefined: nothing was measured yet, or nothing is any more */
  read (): LagFact | undefined {
    if (this.#isStopped) {
      return undefined
    }

    const { count, max } = this.#read
    const median = this.#read.percentile(50)
    this.#read.disable()
    this.#read = this.#next
    this.#next = this.#begin()
    return count === 0 ? undefined : { median: late(median), longest: late(max) }
  }

  stop (): void {
    this.#isStopped = true
    this.#read.disable()
    this.#next.disable()
  }

  #begin (): Monitor {
    const monitor = monitorEventLoopDelay({ resolution: RESOLUTION })
    monitor.enable()
    return monitor
  }
}

/** In milliseconds, to a tenth */
function late (nanoseconds: number): number {
  return Math.max(0, Math.round(10 * (nanoseconds / NANOSECONDS - RESOLUTION)) / 10)
}
