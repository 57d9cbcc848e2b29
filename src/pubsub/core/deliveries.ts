import type { Call, Key } from './types.ts'

/** Why a peer did not get a message */
export type FailureReason = 'unreachable' | 'congested' | 'not-subscribed' | 'too-large' | 'timeout' | 'aborted' | 'stopped'

/** What became of a message at one destination: still open, or settled for good */
type Fate = { status: 'open', via?: Key } | { status: 'acked' } | { status: 'failed', reason: FailureReason }

export interface Outcome {
  acked: Key[]
  failed: Array<{ key: Key, reason: FailureReason }>
}

/** A message that somebody waits for acks of. What it carries is the shell's, opaque here */
interface Pending<Content> {
  call: Call
  topic: string
  seq: number
  content: Content
  fates: Map<Key, Fate>
  open: number
  acked: number
  /** Acks that satisfy the caller */
  wanted: number
  deadline: number
  resendAt: number
}

export type DeliveryEffect<Content> =
  | { type: 'send', topic: string, seq: number, content: Content, to: Key[] }
  | { type: 'settled', call: Call, outcome: Outcome }

export interface DeliveriesInit {
  timeout: number
  resendInterval: number
}

export type ReceiptStatus = 'acked' | 'not-subscribed' | 'unreachable'

/**
 * Messages that wait for acks. A destination is open until it acks, refuses, or time is over; while it is open the message
 * is sent again when the way it took is gone, and now and then. The other side delivers it once, however often it comes.
 */
export class Deliveries<Content> {
  readonly #init: DeliveriesInit
  readonly #pending = new Map<string, Pending<Content>>()

  constructor (init: DeliveriesInit) {
    this.#init = init
  }

  get size (): number {
    return this.#pending.size
  }

  nextAt (): number {
    let next = Infinity
    for (const { deadline, resendAt } of this.#pending.values()) {
      next = Math.min(next, deadline, resendAt)
    }
    return next
  }

  /** A message was sent to these, each by a way */
  sent (message: { call: Call, topic: string, seq: number, content: Content, to: Map<Key, Key | undefined>, wanted: number }, now: number): Array<DeliveryEffect<Content>> {
    const { call, topic, seq, content, to, wanted } = message
    const fates = new Map([...to].map(([key, via]): [Key, Fate] => [key, { status: 'open', via }]))
    const pending: Pending<Content> = {
      call, topic, seq, content, fates, wanted, open: fates.size, acked: 0, deadline: now + this.#init.timeout, resendAt: now + this.#init.resendInterval
    }
    this.#pending.set(name(topic, seq), pending)
    return this.#settleIfDone(pending)
  }

  /** A receipt came: of `from` itself, or of a relay about others */
  receipt (status: ReceiptStatus, topic: string, seq: number, about: Key[]): Array<DeliveryEffect<Content>> {
    const pending = this.#pending.get(name(topic, seq))

    if (pending == null) {
      return []
    }

    for (const key of about) {
      const fate = pending.fates.get(key)

      if (fate?.status !== 'open') {
        continue
      }
      if (status === 'unreachable') {
        fate.via = undefined
      } else {
        this.#close(pending, key, status === 'acked' ? { status: 'acked' } : { status: 'failed', reason: status })
      }
    }

    return status === 'unreachable'
      ? resend(pending, about.filter(key => pending.fates.get(key)?.status === 'open'))
      : this.#settleIfDone(pending)
  }

  /** It could not even be sent to this one */
  failed (topic: string, seq: number, key: Key, reason: FailureReason): Array<DeliveryEffect<Content>> {
    const pending = this.#pending.get(name(topic, seq))

    if (pending?.fates.get(key)?.status !== 'open') {
      return []
    }

    this.#close(pending, key, { status: 'failed', reason })
    return this.#settleIfDone(pending)
  }

  /** The way it takes now */
  sentBy (topic: string, seq: number, key: Key, via: Key): void {
    const fate = this.#pending.get(name(topic, seq))?.fates.get(key)

    if (fate?.status === 'open') {
      fate.via = via
    }
  }

  /** A neighbour is gone: what went by it goes by another way */
  gone (neighbour: Key): Array<DeliveryEffect<Content>> {
    return [...this.#pending.values()].flatMap(pending => {
      const to = open(pending).filter(([, fate]) => fate.via === neighbour).map(([key]) => key)
      return resend(pending, to)
    })
  }

  wake (now: number): Array<DeliveryEffect<Content>> {
    const effects: Array<DeliveryEffect<Content>> = []

    for (const pending of this.#pending.values()) {
      if (pending.deadline <= now) {
        effects.push(...this.#end(pending, 'timeout'))
      } else if (pending.resendAt <= now) {
        pending.resendAt = now + this.#init.resendInterval
        effects.push(...resend(pending, open(pending).map(([key]) => key)))
      }
    }

    return effects
  }

  abort (call: Call): void {
    for (const [key, pending] of this.#pending) {
      if (pending.call === call) {
        this.#pending.delete(key)
      }
    }
  }

  stop (): Array<DeliveryEffect<Content>> {
    return [...this.#pending.values()].flatMap(pending => this.#end(pending, 'stopped'))
  }

  #close (pending: Pending<Content>, key: Key, fate: Fate): void {
    pending.fates.set(key, fate)
    pending.open--
    pending.acked += fate.status === 'acked' ? 1 : 0
  }

  #end (pending: Pending<Content>, reason: FailureReason): Array<DeliveryEffect<Content>> {
    for (const [key] of open(pending)) {
      this.#close(pending, key, { status: 'failed', reason })
    }
    return this.#settleIfDone(pending)
  }

  #settleIfDone (pending: Pending<Content>): Array<DeliveryEffect<Content>> {
    if (pending.open > 0 && pending.acked < pending.wanted) {
      return []
    }

    this.#pending.delete(name(pending.topic, pending.seq))
    const outcome: Outcome = { acked: [], failed: [] }

    for (const [key, fate] of pending.fates) {
      if (fate.status === 'acked') {
        outcome.acked.push(key)
      } else if (fate.status === 'failed') {
        outcome.failed.push({ key, reason: fate.reason })
      }
    }

    return [{ type: 'settled', call: pending.call, outcome }]
  }
}

function name (topic: string, seq: number): string {
  return `${seq} ${topic}`
}

function open<Content> (pending: Pending<Content>): Array<[Key, Extract<Fate, { status: 'open' }>]> {
  return [...pending.fates].filter((entry): entry is [Key, Extract<Fate, { status: 'open' }>] => entry[1].status === 'open')
}

function resend<Content> ({ topic, seq, content }: Pending<Content>, to: Key[]): Array<DeliveryEffect<Content>> {
  return to.length > 0 ? [{ type: 'send', topic, seq, content, to }] : []
}
