import type { Call, Change, Effect, Key, SubscribeOutcome } from '../../src/pubsub/core/types.ts'

interface KnownCall {
  topic: string
  outcome?: SubscribeOutcome | 'aborted'
}

/**
 * What a user of one node sees in one of its lives: the calls that it made and what they came to, and who its
 * 'subscription-change' events say is on what. It tells where these break their word.
 */
export class Observer {
  readonly violations: string[] = []
  readonly #self: Key
  readonly #isTracked: (topic: string) => boolean
  readonly #calls = new Map<Call, KnownCall>()
  readonly #view = new Map<string, Set<Key>>()

  constructor (self: Key, isTracked: (topic: string) => boolean) {
    this.#self = self
    this.#isTracked = isTracked
  }

  /** Topics and peers as the events left them, for a digest */
  get view (): Array<[string, Key[]]> {
    return [...this.#view].map(([topic, peers]): [string, Key[]] => [topic, [...peers].sort()]).sort()
  }

  /** Calls that have no outcome yet */
  get open (): Call[] {
    return [...this.#calls].filter(([, { outcome }]) => outcome == null).map(([call]) => call)
  }

  outcome (call: Call): KnownCall['outcome'] {
    return this.#calls.get(call)?.outcome
  }

  /** Those whom the events say are on `topic` */
  seen (topic: string): Key[] {
    return [...this.#view.get(topic) ?? []]
  }

  called (call: Call, topic: string): void {
    this.#calls.set(call, { topic })
  }

  aborted (call: Call): void {
    const known = this.#calls.get(call)

    if (known?.outcome == null) {
      this.#calls.set(call, { topic: known?.topic ?? '', outcome: 'aborted' })
    }
  }

  /** After every event of the core */
  effects (effects: Effect[]): void {
    for (const effect of effects) {
      if (effect.type === 'subscribe-settled') {
        this.#settled(effect.call, effect.outcome)
      } else if (effect.type === 'changes') {
        effect.changes.forEach(change => { this.#changed(change) })
      }
    }

    // what is not tracked any more is forgotten without an event: the user asked for that
    for (const topic of this.#view.keys()) {
      if (!this.#isTracked(topic)) {
        this.#view.delete(topic)
      }
    }
  }

  #settled (call: Call, outcome: SubscribeOutcome): void {
    const known = this.#calls.get(call)

    if (known == null) {
      this.violations.push(`${this.#self}: call ${call} settled, and nobody made it`)
    } else if (known.outcome != null) {
      this.violations.push(`${this.#self}: call ${call} settled as ${outcome}, and was ${known.outcome} already`)
    } else {
      known.outcome = outcome
    }
  }

  #changed ({ peer, topic, subscribe, reason }: Change): void {
    const peers = this.#view.get(topic) ?? new Set()
    this.#view.set(topic, peers)

    if (peers.has(peer) === subscribe) {
      this.violations.push(`${this.#self}: an event says that ${peer} is ${subscribe ? 'on' : 'off'} ${topic} (${reason}), and so did the one before`)
    } else if (subscribe) {
      peers.add(peer)
    } else {
      peers.delete(peer)
    }
  }
}
