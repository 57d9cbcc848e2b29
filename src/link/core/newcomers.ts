import { TokenBucket } from '../../runtime/token-bucket.ts'
import type { TokenBucketInit } from '../../runtime/token-bucket.ts'

export interface NewcomersInit {
  /** What all together may cost */
  budget: TokenBucketInit
  /** What each group has saved up at most when the budget of all is used up */
  shareBurst: number
  /** Milliseconds that a group which costs nothing counts as one */
  groupFor: number
}

interface Share {
  level: number
  at: number
}

/**
 * One budget for all neighbours that came lately, as who comes again under another name has no new one. Those that come
 * from one place are a group. When the budget is used up, each group goes on with a fair share of what comes in: so who
 * returns again and again from one place takes that from itself, and not from those who come from elsewhere.
 *
 * Invariant: all together cost no more than the budget and the shares, which are the same rate once more.
 */
export class Newcomers {
  readonly #init: NewcomersInit
  readonly #all: TokenBucket
  /** Those that cost something last come last */
  readonly #shares = new Map<string, Share>()

  constructor (init: NewcomersInit, now: number) {
    this.#init = init
    this.#all = new TokenBucket(init.budget, now)
  }

  get groups (): number {
    return this.#shares.size
  }

  spend (group: string, ms: number, now: number): void {
    const { groupFor, shareBurst } = this.#init
    const share = { level: Math.max(-shareBurst, this.#levelOf(group, now) - ms), at: now }
    this.#all.spend(ms, now)
    this.#shares.delete(group)
    this.#shares.set(group, share)

    for (const [other, { at }] of this.#shares) {
      if (at > now - groupFor) {
        break
      }
      this.#shares.delete(other)
    }
  }

  isSpent (group: string, now: number): boolean {
    return this.#all.level(now) < 0 && this.#levelOf(group, now) < 0
  }

  /** Milliseconds until the group may cost so much again */
  wait (group: string, ms: number, now: number): number {
    return Math.min(this.#all.wait(ms, now), Math.max(0, ms - this.#levelOf(group, now)) / this.#rate)
  }

  /** Of a share, in a millisecond */
  get #rate (): number {
    return this.#init.budget.rate / 1000 / Math.max(1, this.#shares.size)
  }

  #levelOf (group: string, now: number): number {
    const { shareBurst } = this.#init
    const { level, at } = this.#shares.get(group) ?? { level: shareBurst, at: now }
    return Math.min(shareBurst, level + Math.max(0, now - at) * this.#rate)
  }
}

/**
 * Where somebody comes from, as far as it is not for free to come from elsewhere: a network of addresses, or a relay
 */
export function placeOf (address: string): string {
  const [relay] = address.split('/p2p-circuit')
  const [, family, host = ''] = relay.split('/')

  if (relay !== address) {
    return relay.split('/p2p/').at(-1) ?? relay
  }

  switch (family) {
    case 'ip4': return host.split('.').slice(0, 3).join('.')
    case 'ip6': return networkOf(host)
    default: return host
  }
}

/** The first 48 bits */
function networkOf (host: string): string {
  const [head, tail] = host.split('::').map(part => part.split(':').filter(group => group !== ''))
  const zeros = Array.from({ length: Math.max(0, 8 - head.length - (tail?.length ?? 0)) }, () => '0')
  return [...head, ...tail == null ? [] : zeros, ...tail ?? []]
    .slice(0, 3).map(group => group.toLowerCase().replace(/^0+(?=.)/, '')).join(':')
}
