/** Milliseconds from one timer to the next */
const PERIOD = 1

export interface Lag {
  /** Milliseconds: 99 of 100 timers were no later */
  p99: number
  worst: number
}

/**
 * Measures how late timers are while `run` runs. One is due every millisecond, and while the loop is blocked all count
 * that would have been due: a block of 50 ms is 50 timers, which are 50, 49, ... ms late. With one timer in their place
 * the percentile would hide that every event in these 50 ms waits ('coordinated omission').
 */
export async function withLag<T> (run: () => Promise<T>): Promise<{ result: T, lag: Lag }> {
  const late: number[] = []
  let due = performance.now() + PERIOD
  let timer: ReturnType<typeof setTimeout>

  const look = (): void => {
    const now = performance.now()
    // the clock of timers is coarser than this one: a timer can come a bit early
    late.push(Math.max(0, now - due))

    for (due += PERIOD; due < now; due += PERIOD) {
      late.push(now - due)
    }

    due = now + PERIOD
    timer = setTimeout(look, PERIOD)
  }

  timer = setTimeout(look, PERIOD)

  try {
    const result = await run()
    // what blocked the loop last counts as well. The timer that is set would go on for ever beside the one of this call
    clearTimeout(timer)
    look()

    return { result, lag: lagOf(late) }
  } finally {
    clearTimeout(timer)
  }
}

function lagOf (late: number[]): Lag {
  const sorted = late.sort((a, b) => a - b)

  return { p99: sorted[Math.floor(sorted.length * 0.99)], worst: sorted[sorted.length - 1] }
}
