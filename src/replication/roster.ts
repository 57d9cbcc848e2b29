import { peerOf } from '../pubsub/keys.ts'
import { Alarm } from '../runtime/alarm.ts'
import { jitter } from '../runtime/random.ts'
import * as limits from './constants.ts'
import { coverageOf, keptRanges, Placement } from './core/placement.ts'
import { intersect } from './core/ring.ts'
import { Author } from './documents.ts'
import { Members } from './members.ts'
import type { Replicating } from './core/membership.ts'
import type { Segment } from './core/ring.ts'
import type { Key } from './core/types.ts'
import type { MembersInit } from './members.ts'
import type { Message } from './wire.ts'
import type { Signer } from '../pubsub/envelope.ts'
import type { Random } from '../runtime/random.ts'
import type { PeerId } from '@libp2p/interface'

export interface RosterInit extends Omit<MembersInit, 'canReplicate' | 'ask' | 'outlive'> {
  signer: Signer
  epoch: number
  random: Random
  /** Copies of an entry that there should be */
  replicas: number
  canReplicate? (peerId: PeerId, segments: Segment[]): boolean | Promise<boolean>
  send (to: Key, message: Message): Promise<void>
  broadcast (message: Message): void
  /** What we keep is something else now */
  onShare (): void
  /** We have kept something for as long as the others want it */
  onMature (self: Key, segments: Segment[]): void
}

/**
 * Who keeps what: this node, by what its user asked for, and the others, by what they say. What we keep is said to everybody when
 * it changes, to whoever comes, and again now and then, in case it got lost.
 */
export class Roster {
  readonly members: Members
  readonly #init: RosterInit
  readonly #present = new Set<Key>()
  readonly #refresh: Alarm
  readonly #maturing: Alarm
  #author: Author
  #kept: Segment[] = []
  #placement?: Placement
  #isMature = false
  #status: 'opening' | 'open' | 'closed' = 'opening'

  constructor (init: RosterInit) {
    const { clock, signer, logHash, epoch, canReplicate, onTransition } = init
    this.#init = init
    this.#author = new Author(signer, logHash, epoch)
    this.#refresh = new Alarm(clock, () => { this.#sayAgain() })
    this.#maturing = new Alarm(clock, () => { this.#mature() })
    this.members = new Members({
      ...init,
      canReplicate: canReplicate == null ? undefined : (peer, segments) => canReplicate(peerOf(peer), segments),
      ask: peer => { this.#hello(peer, true) },
      outlive: epoch => { this.#outlive(epoch) },
      onTransition: transition => {
        this.#placement = undefined
        onTransition(transition)
      }
    })
  }

  /** What this node keeps */
  get segments (): Segment[] {
    return this.#author.segments
  }

  /** Where the entries lie that are for this node to keep; another array when it changes */
  get kept (): Segment[] {
    return this.#kept
  }

  /** This node has kept something for long enough that others rely on it */
  get isMature (): boolean {
    return this.#isMature
  }

  /** Everybody on the topic */
  get present (): ReadonlySet<Key> {
    return this.#present
  }

  /** The other replicators */
  get replicators (): Replicating[] {
    return [...this.members.core.replicators()]
  }

  /** Those of them that are here */
  get here (): Key[] {
    return this.replicators.filter(({ isPresent }) => isPresent).map(({ peer }) => peer)
  }

  /** Those that can be counted on to have what they say they keep */
  get reliable (): Key[] {
    return this.replicators.filter(({ isPresent, isMature }) => isPresent && isMature).map(({ peer }) => peer)
  }

  /** Others that keep what lies there */
  keepers (position: number): Key[] {
    return this.#place().keepers(position).filter(peer => peer !== this.#init.self)
  }

  /** Those that see to what lies there, this node may be one of them */
  leaders (position: number): Key[] {
    return this.#place().leaders(position)
  }

  /** What both of us keep */
  shared (peer: Key): Segment[] {
    const other = this.replicators.find(replicator => replicator.peer === peer)
    return other == null ? [] : intersect(this.#kept, keptRanges(other.segments, this.#init.replicas))
  }

  coverage (): number {
    return coverageOf(this.#everybody(), this.#init.replicas)
  }

  /** What was noted counts now, and the others hear what we keep */
  async open (segments: Segment[]): Promise<void> {
    this.#status = 'open'
    await this.say(segments)
    this.members.open()
    this.#helloAll(true)
    this.#refresh.set(this.#init.clock.now() + jitter(this.#init.random, limits.REFRESH_INTERVAL))
  }

  /** Changes what this node keeps, and tells everybody */
  async say (segments: Segment[]): Promise<void> {
    const { clock, replicas, maturity, broadcast, onShare } = this.#init
    const wasReplicator = this.segments.length > 0
    const saying = this.#author.say(segments)
    this.#kept = keptRanges(this.segments, replicas)
    this.#placement = undefined
    const news = await saying

    if (news == null || this.#status === 'closed') {
      return
    }
    if ((this.segments.length > 0) !== wasReplicator) {
      this.#isMature = false
      this.#maturing.set(this.segments.length > 0 ? clock.now() + maturity : Infinity)
    }

    broadcast({ type: 'hello', isAsking: false, documents: [news] })
    onShare()
  }

  /** Somebody says what it, and perhaps others, keep. Throws a MalformedError */
  heard (from: Key, { documents, isAsking }: Extract<Message, { type: 'hello' }>): void {
    this.members.receive(documents)

    if (isAsking && this.#status === 'open') {
      this.#hello(from, false)
    }
  }

  /** False: it was here already */
  cameIn (peer: Key): boolean {
    if (this.#status === 'closed' || this.#present.has(peer)) {
      return false
    }

    this.#present.add(peer)
    this.members.present(peer)

    if (this.#status === 'open') {
      this.#hello(peer, true)
    }

    return true
  }

  /** `isSaid`: because it said so */
  wentOut (peer: Key, isSaid: boolean): void {
    if (this.#present.delete(peer) && this.#status !== 'closed') {
      this.members.absent(peer, isSaid)
    }
  }

  async close (): Promise<void> {
    this.#status = 'closed'
    this.#refresh.set(Infinity)
    this.#maturing.set(Infinity)
    await this.members.close()
  }

  #mature (): void {
    const { self, onMature } = this.#init
    this.#isMature = true
    onMature(self, this.segments)
  }

  #outlive (epoch: number): void {
    const { signer, logHash, log } = this.#init

    if (epoch > this.#author.epoch) {
      const { segments } = this
      this.#author = new Author(signer, logHash, epoch + 1)
      this.say(segments).catch(err => { log.error('a new life could not be announced - %e', err) })
    }
  }

  /** The more seldom the more there are to hear it */
  #sayAgain (): void {
    const { clock, random } = this.#init
    this.#present.forEach(peer => { this.members.present(peer) })
    this.#helloAll(false)
    this.#refresh.set(clock.now() + jitter(random, limits.REFRESH_INTERVAL + limits.REFRESH_A_PEER * this.#present.size))
  }

  #hello (peer: Key, isAsking: boolean): void {
    const documents = [...this.#author.documents, ...isAsking ? [] : this.members.documents(limits.BATCH_BYTES)]
    // it asks when it does not hear of us
    this.#init.send(peer, { type: 'hello', isAsking, documents }).catch(() => {})
  }

  #helloAll (isAsking: boolean): void {
    this.#init.broadcast({ type: 'hello', isAsking, documents: this.#author.documents })
  }

  #place (): Placement {
    this.#placement ??= new Placement(this.#everybody(), this.#init.replicas)
    return this.#placement
  }

  #everybody (): Array<{ key: Key, segments: Segment[] }> {
    const others = this.replicators.map(({ peer, segments }) => ({ key: peer, segments }))
    return this.segments.length > 0 ? [...others, { key: this.#init.self, segments: this.segments }] : others
  }
}
