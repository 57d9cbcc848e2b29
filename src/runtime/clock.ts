/**
 * The only door to time. Everything that waits takes a `Clock`, so that the same code runs under the machine's clock
 * and under a virtual one that a test winds forward.
 */

export interface Timer {
  cancel (): void
  /** It does not keep a process alive. Virtual timers never do */
  unref? (): void
}

export interface Clock {
  /** Milliseconds, never running backwards within a life, near to Unix time: what waits and ages are measured with */
  now (): number
  /** Calls `fn` once, `ms` from now */
  after (ms: number, fn: () => void): Timer
  /** Calls `fn` once, after the work and the microtasks of the present tick */
  soon (fn: () => void): void
}

/** A macrotask without the 4 ms that browsers add to nested timeouts: where there is no `setImmediate`, a message */
function macrotask (): (fn: () => void) => void {
  if (typeof globalThis.setImmediate === 'function') {
    return fn => { globalThis.setImmediate(fn) }
  }

  const { port1, port2 } = new MessageChannel()
  const queue: Array<() => void> = []
  port1.onmessage = () => { queue.shift()?.() }

  return fn => {
    queue.push(fn)
    port2.postMessage(null)
  }
}

/**
 * How far the wall clock may be ahead before it is followed. Less is no correction: `Date.now()` is a whole number, and
 * browsers make it coarser. A guess
 */
const MAX_BEHIND_MS = 5

/**
 * The clock of the machine. `performance.now()` counts no corrections by NTP, and on Linux not the sleep of a laptop.
 * So `now` follows the wall clock forwards, and runs on evenly while somebody has set the wall clock back.
 *
 * @param wall - Unix time, which may jump
 * @param elapsed - milliseconds since any moment, never running backwards
 */
export function newSystemClock (wall = (): number => Date.now(), elapsed = (): number => performance.now()): Clock {
  /** The time when `elapsed` was 0: it only ever grows */
  let start = wall() - elapsed()

  return {
    now: () => {
      const ran = elapsed()
      const ahead = wall() - (start + ran)

      if (ahead > MAX_BEHIND_MS) {
        start += ahead
      }

      return start + ran
    },
    after: (ms, fn) => {
      const handle = setTimeout(fn, ms)
      return {
        cancel: () => { clearTimeout(handle) },
        // a number in browsers
        unref: () => { (handle as { unref?(): void }).unref?.() }
      }
    },
    soon: macrotask()
  }
}

export const systemClock: Clock = newSystemClock()
