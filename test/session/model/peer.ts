import { bytesOfKey, keyOfBytes } from '../../../src/runtime/keys.ts'
import { ORIGIN_BYTES } from '../../../src/session/constants.ts'
import { marksOf, violations } from '../../../src/session/core/invariants.ts'
import { Session } from '../../../src/session/core/session.ts'
import { current } from '../../../src/session/core/state.ts'
import { decodeBody } from '../../../src/session/core/wire.ts'
import { decodePayload, encodePayload } from '../../../src/session/payload.ts'
import { copyOf, copySession, textOf } from './copy.ts'
import { finish, isCrypto } from './fake.ts'
import type { CryptoEffect } from './fake.ts'
import type { Setup } from './setup.ts'
import type { Chain } from '../../../src/session/core/chain.ts'
import type { Effect, Event, Outgoing } from '../../../src/session/core/events.ts'
import type { SessionInit, SessionOptions } from '../../../src/session/core/state.ts'

export const OPTIONS: SessionOptions = {
  mode: 'best-effort',
  queueMessages: 8,
  queueBytes: 1024,
  ackDelay: 0,
  rekeyMessages: 1000,
  rekeyAge: [120_000, 165_000]
}
/** Milliseconds that a call waits for a new epoch: longer than anything goes on, so none is let off by its deadline */
const PATIENCE = 1e9

/** A frame on its way, and a text that tells it from others */
export interface Flying {
  frame: Outgoing
  name: string
}

/** What is stored: what the session wrote, and what of the program's own was stored along with it */
export interface Disk {
  record?: Uint8Array
  log: string[]
  /** Which no session stores. For the mutant that does */
  sends: Array<Chain | undefined>
  lastBoot: number
}

type Queued = { type: 'persist', disk: Disk } | { type: 'send', flying: Flying }

/** One peer: the core, and a shell that does one thing at a time and only when it is told to */
export class Peer {
  readonly setup: Setup
  readonly index: 0 | 1
  session: Session
  lives = 1
  disk: Disk = { log: [], sends: [], lastBoot: 0 }
  /** As it was when the world began */
  snapshot?: Disk
  queue: Queued[] = []
  crypto: CryptoEffect[] = []
  /** Messages that the program was handed, in this life and before */
  log: string[] = []
  /** Calls without an outcome, and the messages of those that send */
  calls: Array<{ call: number, label?: string }> = []
  nextCall = 1
  /** Every secret of a round that this life was ever given */
  seeds: Uint8Array[] = []
  /** Message keys that were used, and by what */
  used: string[] = []
  /** Messages of which it was said that the other side has them, since somebody looked last */
  acked: string[] = []
  wrong: string[] = []
  /** Frames under a key that is not known, and is no old one */
  strange = 0
  #text?: string

  constructor (setup: Setup, index: 0 | 1) {
    this.setup = setup
    this.index = index
    this.session = this.#live(init => Session.begin(init))
  }

  copy (): Peer {
    const memo = new Map<object, object>()
    const { session, seeds, ...rest } = this
    const peer: Peer = Object.assign(Object.create(Peer.prototype), copyShell(rest))
    const twin = new Peer(this.setup, this.index)
    Object.assign(twin, peer)
    twin.session = copySession(session, memo)
    twin.seeds = seeds.map(seed => copyOf(seed, memo))
    this.setup.mutate?.(twin.session, twin)
    return twin
  }

  get name (): string {
    return 'AB'[this.index]
  }

  get epoch (): number {
    return current(this.session.state)?.epoch ?? 0
  }

  /** Two peers with the same text go on in the same way */
  get text (): string {
    this.#text ??= textOf([
      {
        ...this.session.state, options: undefined
      }, this.lives, diskText(this.disk), this.snapshot == null, this.queue.map(queuedText),
      this.crypto, this.log, this.calls, this.used.length, this.strange
    ])
    return this.#text
  }

  step (event: Event, now: number): void {
    const { session } = this
    const before = marksOf(session.state)
    this.#text = undefined

    if (event.type === 'generated') {
      this.seeds.push(event.seed)
    }

    const effects = session.step(event, { now, random: () => 0.5 })
    const found = violations(session.state, before, effects)
    this.wrong.push(...found.map(({ invariant, what }) => `${invariant} ${this.name}: ${what}`))
    effects.forEach(effect => { this.#perform(effect) })
    this.release()
  }

  rekey (now: number): void {
    const call = this.nextCall++
    this.calls.push({ call })
    this.step({ type: 'rekey', call, deadline: now + PATIENCE }, now)
  }

  send (now: number): void {
    const call = this.nextCall++
    this.#say(call, `${this.name}${String(call).padStart(3, '0')}`, now)
  }

  arrive ({ frame }: Flying, now: number): void {
    if (!('head' in frame)) {
      this.step({ type: 'frame', frame: frame.frame }, now)
      return
    }

    const opening = this.session.openingOf(frame.head)

    if (opening.type === 'unknown') {
      this.step({ type: 'unopened', head: frame.head }, now)
    } else if (opening.type === 'key' && keyOfBytes(opening.key) === keyOfBytes(frame.key)) {
      this.step({ type: 'opened', head: frame.head, body: decodeBody(frame.kind, frame.body) }, now)
    } else if (opening.type === 'key') {
      this.wrong.push(`I4 ${this.name}: two keys have one name`)
    }
  }

  finishCrypto (at: number, now: number): void {
    const [effect] = this.crypto.splice(at, 1)
    this.step(finish(effect, `${this.name}${this.lives}`), now)
  }

  /** The oldest write is done */
  store (): void {
    const [first] = this.queue
    this.#text = undefined

    if (first?.type === 'persist') {
      this.disk = first.disk
      this.queue.shift()
    }
  }

  /** What waits for no write may leave: the world takes it */
  sent: Flying[] = []

  release (): void {
    while (this.queue.length > 0 && (this.queue[0].type === 'send' || this.setup.isStoreInstant === true)) {
      const first = this.queue[0]

      if (first.type === 'persist') {
        this.store()
      } else {
        this.queue.shift()
        this.sent.push(first.flying)
      }
    }
  }

  /** The process ends and begins anew, with what `disk` has; none: with nothing */
  restart (disk: Disk | undefined, now: number): void {
    const unsettled = this.calls.flatMap(({ label }) => label ?? [])
    this.lives++
    this.queue = []
    this.crypto = []
    this.calls = []
    this.seeds = []
    this.disk = disk ?? { log: [], sends: [], lastBoot: 0 }
    this.log = this.disk.log.slice()
    const { record } = this.disk
    this.session = this.#live(init => record == null ? Session.begin(init) : Session.restore(record, init, now))
    record != null && this.setup.reborn?.(this.session, this)
    this.step({ type: 'connected' }, now)

    if (this.setup.isNumbered === true) {
      // another tab, say, that has lived on
      unsettled.forEach(label => { this.#say(this.nextCall++, label, now) })
    }
  }

  #say (call: number, label: string, now: number): void {
    this.calls.push({ call, label })
    this.step({ type: 'send', call, payload: this.#payloadOf(label) }, now)
  }

  /** The number of a message is that of its label */
  #payloadOf (label: string): Uint8Array {
    const data = bytesOfKey(label)

    if (this.setup.isNumbered !== true) {
      return data
    }

    const origin = new Uint8Array(ORIGIN_BYTES).fill(this.index)
    return encodePayload('', data, { origin, number: Number(label.slice(1)) }) as Uint8Array
  }

  #labelOf (payload: Uint8Array): string {
    return keyOfBytes(this.setup.isNumbered === true ? decodePayload(payload).data : payload)
  }

  get #boot (): number {
    return this.lives * 2 + this.index
  }

  #live (begin: (init: SessionInit) => Session): Session {
    const options = { ...OPTIONS, ...this.setup.options }
    const session = begin({ me: this.name, peer: 'BA'[this.index], boot: this.#boot, options })
    this.setup.mutate?.(session, this)
    return session
  }

  #perform (effect: Effect): void {
    if (isCrypto(effect)) {
      this.crypto.push(effect)
      return
    }

    switch (effect.type) {
      case 'persist': {
        const sends = this.session.state.keys.map(
          ({ send }) => send == null ? undefined : { ...send, key: send.key.slice() }
        )
        this.queue.push({
          type: 'persist',
          disk: {
            record: effect.record, log: this.log.slice(), sends, lastBoot: this.#boot
          }
        })
        break
      }
      case 'send':
        this.#leave(effect.frame)
        break
      case 'deliver':
        this.#deliver(this.#labelOf(effect.payload))
        break
      case 'send-settled':
      case 'rekey-settled':
        this.#settle(effect.call, effect.outcome)
        break
      case 'count':
        if ([
          'wrong-proof', 'wrong-ack', 'bad-number', 'crypto-failed', 'too-far', 'early-full'
        ].includes(effect.what)) {
          this.wrong.push(`I8 ${this.name}: an honest peer is taken for a forger: ${effect.what}`)
        }
        this.strange += effect.what === 'unknown-key' || effect.what === 'wrong-epoch' ? 1 : 0
        break
      case 'resync':
        this.strange++
        break
      case 'epoch':
      case 'round-failed':
      case 'peer-closed':
      case 'closed':
        break
    }
  }

  #leave (frame: Outgoing): void {
    const name = textOf(frame)

    if ('head' in frame) {
      const key = keyOfBytes(frame.key)

      if (this.used.includes(key)) {
        this.wrong.push(`I9 ${this.name}: one key and nonce seal twice`)
      }
      this.used.push(key)
    }

    this.queue.push({ type: 'send', flying: { frame, name: `${frame.kind} ${name}` } })
  }

  #deliver (label: string): void {
    const last = this.log[this.log.length - 1] ?? ''

    if (label <= last) {
      this.wrong.push(`I12 ${this.name}: ${label} after ${last}`)
    }
    this.log.push(label)
  }

  #settle (call: number, outcome: string): void {
    const known = this.calls.find(one => one.call === call)

    if (known == null) {
      this.wrong.push(`I11 ${this.name}: a call settles twice`)
    } else if (known.label != null && outcome === 'delivered') {
      this.acked.push(known.label)
    }

    this.calls = this.calls.filter(one => one !== known)
  }
}

function copyShell<T extends Partial<Peer>> (peer: T): T {
  const { queue, crypto, log, calls, used, acked, wrong, sent } = peer
  return {
    ...peer,
    queue: queue?.slice(),
    crypto: crypto?.slice(),
    log: log?.slice(),
    calls: calls?.slice(),
    used: used?.slice(),
    acked: acked?.slice(),
    wrong: wrong?.slice(),
    sent: sent?.slice()
  }
}

function diskText ({ record, log }: Disk): string {
  return `${record == null ? '' : keyOfBytes(record)}/${log.join()}`
}

function queuedText (queued: Queued): string {
  return queued.type === 'send' ? queued.flying.name : diskText(queued.disk)
}
