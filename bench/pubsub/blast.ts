import { sharedNow } from '../clock.ts'
import { MessageMaker } from './tally.ts'
import type { PubSub } from './contenders.ts'
import type { Sent } from './raw.ts'

export interface Blast { topic: string, size: number, round: number, ms: number, max: number }

export interface BlastReport extends Sent {
  /** Of those that were sent, how many publish said it could not deliver */
  refused: number
  reason?: string
}

/**
 * Publishes that may be under way at a time: enough to keep the processor busy where one takes a
 * millisecond, few enough for 64 KiB messages to stay a few MiB
 */
const OUTSTANDING = 256

/** Milliseconds that publish may take to settle at the end */
const SETTLE = 5_000

/**
 * Publishes for so long, or so many, as fast as publish() takes them
 */
export async function blast (pubsub: PubSub, { topic, size, round, ms, max }: Blast): Promise<BlastReport> {
  const maker = new MessageMaker(size, round)
  const flow = new Flow()
  const started = sharedNow()
  const end = started + ms
  let sent = 0

  while (sent < max && sharedNow() < end) {
    flow.add(pubsub.publish(topic, maker.next()))
    sent++

    if (flow.outstanding >= OUTSTANDING) {
      await flow.oneSettled()
    }
  }

  await flow.allSettled(SETTLE)

  return { sent, started, refused: flow.refused, reason: flow.reason }
}

/**
 * What is under way, without a list of it
 */
class Flow {
  outstanding = 0
  refused = 0
  reason?: string
  private wake?: () => void

  add (publish: ReturnType<PubSub['publish']>): void {
    this.outstanding++
    publish.then(this.settled, this.rejected)
  }

  async oneSettled (): Promise<void> {
    await new Promise<void>(resolve => { this.wake = resolve })
  }

  async allSettled (timeout: number): Promise<void> {
    const end = sharedNow() + timeout

    while (this.outstanding > 0 && sharedNow() < end) {
      await Promise.race([this.oneSettled(), new Promise(resolve => setTimeout(resolve, end - sharedNow()).unref())])
    }
  }

  private readonly settled = (result: { failed?: unknown[] }): void => {
    if (result.failed != null && result.failed.length > 0) {
      this.refused++
      this.reason ??= JSON.stringify(result.failed[0])
    }

    this.next()
  }

  private readonly rejected = (error: Error): void => {
    this.refused++
    this.reason ??= error.message
    this.next()
  }

  private next (): void {
    this.outstanding--

    if (this.wake != null) {
      this.wake()
      this.wake = undefined
    }
  }
}
