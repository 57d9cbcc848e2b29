import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { Signer } from '../../../src/pubsub/envelope.ts'
import { RING } from '../../../src/replication/core/ring.ts'
import { Author, hashOf } from '../../../src/replication/documents.ts'
import { decodeMessage, encodeMessage } from '../../../src/replication/wire.ts'
import { randomInt } from '../../../src/runtime/random.ts'
import type { SimNet } from './sim-net.ts'
import type { PortTopic } from '../../../src/replication/port.ts'
import type { Answer, Message, Question } from '../../../src/replication/wire.ts'
import type { Random } from '../../../src/runtime/random.ts'
import type { VirtualClock } from '../../fixtures/virtual-clock.ts'
import type { PeerId } from '@libp2p/interface'

export interface HostileInit {
  clock: VirtualClock
  random: Random
  net: SimNet
  log: string
}

/** What a hostile peer answers; undefined: nothing */
type Way = (question: Question, random: Random) => Answer | undefined

const NOTHING = new Uint8Array(0)

const WAYS: Record<string, Way> = {
  /** Has nothing, and says that it has whatever somebody would like to let go of */
  liar: (question, random) => question.kind === 'keep'
    ? { kind: 'keep', proofs: question.ids.map(() => Uint8Array.from({ length: 16 }, () => randomInt(random, 256))) }
    : empty(question),
  mute: () => undefined,
  hider: question => empty(question),
  refuser: () => ({ kind: 'refused', reason: 'not now' }),
  /** Says that there is a whole world that it never hands out */
  boaster: question => {
    switch (question.kind) {
      case 'summaries':
        return { kind: 'summaries', summaries: question.segments.flatMap(() => Array.from({ length: question.parts }, () => ({ count: 1_000_000, fingerprint: new Uint8Array(8) }))) }
      case 'weight':
        return { kind: 'weight', bytes: 2 ** 50 }
      default:
        return empty(question)
    }
  }
}

function empty (question: Question): Answer {
  switch (question.kind) {
    case 'summaries':
      return { kind: 'summaries', summaries: question.segments.flatMap(() => Array.from({ length: question.parts }, () => ({ count: 0, fingerprint: new Uint8Array(8) }))) }
    case 'symbols':
      return { kind: 'symbols', symbols: NOTHING }
    case 'fetch':
      return { kind: 'fetch', asked: 0, entries: [] }
    case 'pull':
      return { kind: 'pull', entries: [], next: question.from, isEnd: true }
    case 'window':
      return { kind: 'window', entries: [], next: question.to, looked: 0 }
    case 'keep':
      return { kind: 'keep', proofs: question.ids.map(() => NOTHING) }
    case 'list':
      return { kind: 'list', entries: [], isEnd: true }
    case 'weight':
      return { kind: 'weight', bytes: 0 }
  }
}

/**
 * Peers that claim the whole ring and do not do what they say, among those of a simulated run: they answer what suits them, nudge, and
 * ask again and again for what all others keep.
 */
export class HostilePeer {
  static readonly WAYS = Object.keys(WAYS)
  readonly peerId: PeerId
  /** Comparisons that each peer began with it, and when it came */
  readonly compared = new Map<string, Set<string>>()
  readonly since: number
  readonly #init: HostileInit
  readonly #way: Way
  readonly #author: Author
  #topic?: PortTopic
  #number = 0

  static async join (way: string, init: HostileInit): Promise<HostilePeer> {
    const seed = Uint8Array.from({ length: 32 }, () => randomInt(init.random, 256))
    const privateKey = await generateKeyPairFromSeed('Ed25519', seed)
    const author = new Author(new Signer(privateKey), await hashOf(init.log), init.clock.now())
    await author.say([{ from: 0, width: RING }])
    const peer = new HostilePeer(WAYS[way], author, peerIdFromPrivateKey(privateKey), init)
    await peer.#join()
    return peer
  }

  private constructor (way: Way, author: Author, peerId: PeerId, init: HostileInit) {
    this.#way = way
    this.#author = author
    this.peerId = peerId
    this.since = init.clock.now()
    this.#init = init
  }

  async leave (): Promise<void> {
    const topic = this.#topic
    this.#topic = undefined
    await topic?.leave()
  }

  get #documents (): Uint8Array[] {
    return this.#author.document == null ? [] : [this.#author.document]
  }

  async #join (): Promise<void> {
    this.#topic = await this.#init.net.port(this.peerId).join(this.#init.log, {
      onMessage: (from, data) => { this.#onMessage(from, decodeMessage(data)) },
      onPresent: peerId => { this.#send(peerId, { type: 'hello', isAsking: false, documents: this.#documents }) },
      onAbsent: () => {}
    })
    this.#bother()
  }

  /** Again and again: nudges all the time, and the rest now and then */
  #bother (): void {
    const { clock, random } = this.#init

    if (this.#topic == null) {
      return
    }

    const isAsking = random() < 0.1

    for (const peerId of this.#topic.subscribers()) {
      this.#send(peerId, { type: 'nudge' })

      if (isAsking) {
        this.#send(peerId, { type: 'hello', isAsking: true, documents: this.#documents })
        this.#send(peerId, { type: 'question', number: ++this.#number, question: { kind: 'summaries', key: new Uint8Array(16), parts: 1, segments: [{ from: 0, width: RING }] } })
      }
    }
    clock.after(100 + randomInt(random, 300), () => { this.#bother() })
  }

  #onMessage (from: PeerId, message: Message): void {
    if (message.type === 'hello' && message.isAsking) {
      this.#send(from, { type: 'hello', isAsking: false, documents: this.#documents })
    } else if (message.type === 'question') {
      if (message.question.kind === 'summaries') {
        // each has a key of its own
        const compared = this.compared.get(from.toString()) ?? new Set()
        this.compared.set(from.toString(), compared.add(message.question.key.join()))
      }
      const answer = this.#way(message.question, this.#init.random)
      answer != null && this.#send(from, { type: 'answer', number: message.number, answer })
    }
  }

  #send (to: PeerId, message: Message): void {
    this.#topic?.send(to, encodeMessage(message)).catch(() => {})
  }
}
