/**
 * The only door to time. Everything that waits takes a `Clock`, so that the same code runs under the
 * machine's clock and under a virtual one that a test winds forward.
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

/**
 * A macrotask without the 4 ms that browsers add to nested timeouts: `setImmediate` where there is one,
 * else a message to ourselves.
 */
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
 * So `now` follows the wall clock forwards. While the wall clock is behind because somebody set it back, `now` runs on
 * evenly.
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

interface Alarm {
  at: number
  order: number
  fn?(): void
}

/**
 * Time that stands still until it is told to move. Alarms of one instant ring in the order in which they were set.
 */
export class VirtualClock implements Clock {
  #now: number
  #order = 0
  readonly #heap: Alarm[] = []

  constructor (start = 1_000_000) {
    this.#now = start
  }

  now (): number {
    return this.#now
  }

  after (ms: number, fn: () => void): Timer {
    const alarm: Alarm = { at: this.#now + Math.max(0, ms), order: this.#order++, fn }
    this.#push(alarm)
    return { cancel: () => { alarm.fn = undefined } }
  }

  soon (fn: () => void): void {
    this.after(0, fn)
  }

  /** Rings the next alarm; false when there is none at or before `until` */
  step (until = Infinity): boolean {
    for (;;) {
      const next = this.#heap[0]

      if (next == null || next.at > until) {
        return false
      }

      this.#pop()

      if (next.fn != null) {
        this.#now = next.at
        next.fn()
        return true
      }
    }
  }

  /** Rings all alarms of the next `ms`, also those that are set on the way */
  advance (ms: number): void {
    const until = this.#now + ms
    let rang = true
    while (rang) {
      rang = this.step(until)
    }
    this.#now = until
  }

  #before (a: Alarm, b: Alarm): boolean {
    return a.at < b.at || (a.at === b.at && a.order < b.order)
  }

  #push (alarm: Alarm): void {
    const heap = this.#heap
    let i = heap.push(alarm) - 1

    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!this.#before(alarm, heap[parent])) {
        break
      }
      heap[i] = heap[parent]
      i = parent
    }

    heap[i] = alarm
  }

  #pop (): void {
    const heap = this.#heap
    const last = heap.pop()

    if (last == null || heap.length === 0) {
      return
    }

    let i = 0

    for (;;) {
      let child = 2 * i + 1
      if (child >= heap.length) {
        break
      }
      if (child + 1 < heap.length && this.#before(heap[child + 1], heap[child])) {
        child++
      }
      if (!this.#before(heap[child], last)) {
        break
      }
      heap[i] = heap[child]
      i = child
    }

    heap[i] = last
  }
}
