import { privateKeyFromRaw } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { ed25519 } from '@noble/curves/ed25519.js'
import { concat } from 'uint8arrays/concat'
import { fromString } from 'uint8arrays/from-string'
import { toString } from 'uint8arrays/to-string'
import { MalformedError, orMalformed } from '../../src/runtime/errors.ts'
import { keyOfBytes } from '../../src/runtime/keys.ts'
import { seededRandom } from '../../src/runtime/random.ts'
import { signWith, verifyWith } from '../../src/runtime/signing.ts'
import { marksOf, violations } from '../../src/session/core/invariants.ts'
import { Session } from '../../src/session/core/session.ts'
import { current } from '../../src/session/core/state.ts'
import { decode, decodeBody, encodeHead, signedBytes, withSignature } from '../../src/session/core/wire.ts'
import { cryptoProvider } from '../../src/session/crypto/platform.ts'
import type { Random } from '../../src/runtime/random.ts'
import type { Effect, Event, Outgoing } from '../../src/session/core/events.ts'
import type { Key, SessionInit, SessionOptions } from '../../src/session/core/state.ts'
import type { PrivateKey } from '@libp2p/interface'

const provider = cryptoProvider()

export const OPTIONS: SessionOptions = {
  mode: 'best-effort',
  queueMessages: 1024,
  queueBytes: 4 * 1024 * 1024,
  ackDelay: 20,
  rekeyMessages: 10_000,
  rekeyAge: [120_000, 165_000]
}

/** Keys whose peer ids are in order: the first one has rank 0 */
export function identities (seed = 1): PrivateKey[] {
  const keys = [seed * 2, seed * 2 + 1].map(byte => {
    const secret = new Uint8Array(32).fill(byte)
    return privateKeyFromRaw(concat([secret, ed25519.getPublicKey(secret)]))
  })
  return keys.sort((a, b) => nameOf(a) < nameOf(b) ? -1 : 1)
}

function nameOf (key: PrivateKey): Key {
  return keyOfBytes(peerIdFromPrivateKey(key).toMultihash().bytes)
}

/** One peer with real keys and frames of real bytes: what a shell is to do, one thing after the other */
export class RealPeer {
  readonly pair: Pair
  readonly index: 0 | 1
  readonly me: Key
  readonly key: PrivateKey
  session: Session
  record?: Uint8Array
  boots = 0
  delivered: string[] = []
  outcomes = new Map<number, string>()
  counts: Record<string, number> = {}
  resyncs = 0
  effects: Effect[] = []
  #calls = 0

  constructor (pair: Pair, index: 0 | 1) {
    this.pair = pair
    this.index = index
    this.key = pair.keys[index]
    this.me = nameOf(this.key)
    this.session = this.#live(init => Session.begin(init))
  }

  get epoch (): number {
    return current(this.session.state)?.epoch ?? 0
  }

  rekey (patience = 60_000): number {
    this.step({ type: 'rekey', call: ++this.#calls, deadline: this.pair.now + patience })
    return this.#calls
  }

  send (message: string): number {
    this.step({ type: 'send', call: ++this.#calls, payload: fromString(message) })
    return this.#calls
  }

  /** The process ends, and begins again with what it has stored; or with something else */
  restart (record = this.record): void {
    this.record = record
    this.session = this.#live(init => record == null
      ? Session.begin(init)
      : Session.restore(
        record, init, this.pair.now
      ))
    this.step({ type: 'connected' })
  }

  /** Throws for a state in which something is not as it has to be */
  step (event: Event): Effect[] {
    const { session, pair: { now, random } } = this
    const before = marksOf(session.state)
    const effects = session.step(event, { now, random })
    const [wrong] = violations(session.state, before, effects)

    if (wrong != null) {
      throw new Error(`${wrong.invariant}: ${wrong.what}`)
    }

    this.effects.push(...effects)
    effects.forEach(effect => { this.#perform(effect, session) })
    return effects
  }

  async arrive (bytes: Uint8Array): Promise<void> {
    const decoded = orMalformed(() => decode(bytes))

    if (decoded instanceof MalformedError) {
      this.#count('malformed')
    } else if ('signed' in decoded) {
      const { frame, from, to, signed, signature } = decoded
      const other = this.pair.peers[1 - this.index]
      const isTheirs = from === other.me && to === this.me && await verifyWith(other.key.publicKey)(signed, signature)
      isTheirs ? this.step({ type: 'frame', frame }) : this.#count('forged')
    } else if ('head' in decoded) {
      const { frame, head, ciphertext } = decoded
      const opening = this.session.openingOf(frame)
      const opened = opening.type === 'key' ? provider.open(opening.key, head, ciphertext) : undefined
      const body = opened == null ? undefined : orMalformed(() => decodeBody(frame.kind, opened))

      if (opening.type === 'unknown') {
        this.step({ type: 'unopened', head: frame })
      } else if (body == null || body instanceof MalformedError) {
        this.#count(opening.type === 'key' ? 'forged' : opening.type)
      } else {
        this.step({ type: 'opened', head: frame, body })
      }
    } else {
      this.step({ type: 'frame', frame: decoded.frame })
    }
  }

  #live (begin: (init: SessionInit) => Session): Session {
    const peer = nameOf(this.pair.keys[1 - this.index])
    return begin({ me: this.me, peer, boot: ++this.boots * 2 + this.index, options: this.pair.options })
  }

  #perform (effect: Effect, session: Session): void {
    const { pair } = this

    switch (effect.type) {
      case 'generate':
      case 'encapsulate':
      case 'decapsulate':
        pair.at(pair.cryptoTime, async () => {
          if (!session.isAwaited(effect.token)) {
            return
          }

          const event = await compute(effect)
          session === this.session && this.step(event)
        })
        break
      case 'persist':
        this.record = effect.record
        break
      case 'send':
        pair.at(0, async () => { pair.carry(this, await this.#encode(effect.frame)) })
        break
      case 'deliver':
        this.delivered.push(toString(effect.payload))
        break
      case 'send-settled':
      case 'rekey-settled':
        this.outcomes.set(effect.call, effect.outcome)
        break
      case 'count':
        this.#count(effect.what)
        break
      case 'resync':
        this.resyncs++
        break
      case 'epoch':
      case 'round-failed':
      case 'peer-closed':
      case 'closed':
        break
    }
  }

  async #encode (frame: Outgoing): Promise<Uint8Array> {
    if (frame.kind === 'confirm') {
      return frame.encoded
    }
    if ('head' in frame) {
      const head = encodeHead(frame.head)
      return concat([head, provider.seal(frame.key, head, frame.body)])
    }

    return withSignature(frame.encoded, await signWith(this.key)(signedBytes(frame.encoded)))
  }

  #count (what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1
  }
}

async function compute (effect: Extract<Effect, { type: 'generate' | 'encapsulate' | 'decapsulate' }>): Promise<Event> {
  const { token } = effect

  try {
    switch (effect.type) {
      case 'generate':
        return { type: 'generated', token, ...await provider.generate() }
      case 'encapsulate':
        return { type: 'encapsulated', token, ...await provider.encapsulate(effect.publicKey) }
      case 'decapsulate':
        return { type: 'decapsulated', token, secret: await provider.decapsulate(effect.seed, effect.ciphertext) }
    }
  } catch {
    // keys and ciphertexts of others that are none
    return { type: 'crypto-failed', token }
  }
}

/** Two peers on a virtual clock, and what is between them */
export class Pair {
  random: Random
  readonly keys: PrivateKey[]
  readonly options: SessionOptions
  readonly peers: [RealPeer, RealPeer]
  now = 1_700_000_000_000
  /** Milliseconds that a frame takes, and more of them by chance */
  latency = 20
  jitter = 0
  /** Milliseconds of a crypto operation */
  cryptoTime = 1
  /** Shares of the frames that are lost, and that come twice */
  loss = 0
  twice = 0
  isCut = false
  /** All frames that were ever sent, to each */
  readonly seen: [Uint8Array[], Uint8Array[]] = [[], []]
  #scheduled: Array<{ at: number, run(): Promise<void> }> = []

  constructor ({ options = {}, seed = 1 }: { options?: Partial<SessionOptions>, seed?: number } = {}) {
    this.options = { ...OPTIONS, ...options }
    this.random = seededRandom(seed)
    this.keys = identities(1)
    this.peers = [new RealPeer(this, 0), new RealPeer(this, 1)]
    this.connect()
  }

  connect (): void {
    this.isCut = false
    this.peers.forEach(peer => { peer.step({ type: 'connected' }) })
  }

  cut (): void {
    this.isCut = true
    this.peers.forEach(peer => { peer.step({ type: 'disconnected' }) })
  }

  at (delay: number, run: () => Promise<void>): void {
    this.#scheduled.push({ at: this.now + delay, run })
  }

  carry (from: RealPeer, bytes: Uint8Array): void {
    const to = this.peers[1 - from.index]
    this.seen[to.index].push(bytes)

    if (this.isCut || this.random() < this.loss) {
      return
    }
    for (let copies = this.random() < this.twice ? 2 : 1; copies > 0; copies--) {
      this.at(this.latency + Math.floor(this.random() * this.jitter), async () => { await to.arrive(bytes) })
    }
  }

  /** Lets time pass: so long, or until it is so */
  async run (duration: number, isEnough: () => boolean = () => false): Promise<void> {
    const until = this.now + duration

    while (!isEnough()) {
      const [next] = this.#scheduled.toSorted((a, b) => a.at - b.at)
      const wake = Math.min(...this.peers.map(({ session }) => session.nextWake()))
      const at = Math.min(next?.at ?? Infinity, wake)

      if (at > until) {
        this.now = until
        return
      }

      this.now = Math.max(this.now, at)

      if (next != null && next.at <= at) {
        this.#scheduled.splice(this.#scheduled.indexOf(next), 1)
        await next.run()
      } else {
        this.peers.filter(({ session }) => session.nextWake() <= at).forEach(peer => { peer.step({ type: 'wake' }) })
      }
    }
  }

  /** Both idle, nothing waits, nothing is under way */
  get isAtRest (): boolean {
    return this.#scheduled.length === 0 && this.peers.every(({ session: { state } }) =>
      state.mode.type === 'idle' && state.waiters.length + state.out.messages.length === 0 && state.in.ackAt == null)
  }

  /** Whether both have the very same secrets: names are not asked. Undefined: nothing is wrong */
  difference (): string | undefined {
    const [a, b] = this.peers.map(({ session }) => current(session.state))

    if (a == null || b == null) {
      return 'somebody has no key'
    }

    const mine = [a.root, a.confirm, a.send?.key, a.receive.key, a.epoch, a.send?.next]
    const theirs = [b.root, b.confirm, b.receive.key, b.send?.key, b.epoch, b.receive.next]
    const names = ['root', 'confirm', 'low to high', 'high to low', 'epoch', 'counter']
    return names.find((name, i) => textOf(mine[i]) !== textOf(theirs[i]))
  }
}

function textOf (value: Uint8Array | number | undefined): string {
  return value instanceof Uint8Array ? toString(value, 'base16') : String(value)
}
