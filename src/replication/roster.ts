import { Key as StoreKey } from 'interface-datastore'
import { toString } from 'uint8arrays/to-string'
import { peerOf } from '../pubsub/keys.ts'
import { Alarm } from '../runtime/alarm.ts'
import { Bell } from '../runtime/bell.ts'
import { MalformedError } from '../runtime/errors.ts'
import { bytesOfKey, keyOfBytes } from '../runtime/keys.ts'
import { Mailboxes } from '../runtime/mailbox.ts'
import { jitter } from '../runtime/random.ts'
import { within } from '../runtime/within.ts'
import * as limits from './constants.ts'
import { Hellos } from './core/hellos.ts'
import { isNewer } from './core/info.ts'
import { Membership } from './core/membership.ts'
import { coverageOf, keptRanges, Placement } from './core/placement.ts'
import { intersect } from './core/ring.ts'
import { Unread } from './core/unread.ts'
import { Author, isTrue, readDocument, versionOf } from './documents.ts'
import type { Document } from './core/info.ts'
import type { MembershipEffect, Replicating, Transition } from './core/membership.ts'
import type { Segment } from './core/ring.ts'
import type { Key } from './core/types.ts'
import type { Waiting } from './core/unread.ts'
import type { Unverified } from './documents.ts'
import type { Message } from './wire.ts'
import type { Signer } from '../pubsub/envelope.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Counters } from '../runtime/counters.ts'
import type { Random } from '../runtime/random.ts'
import type { Logger, PeerId } from '@libp2p/interface'
import type { Datastore } from 'interface-datastore'

export interface RosterInit {
  self: Key
  /** SHA-256 of the id of the log */
  logHash: Uint8Array
  signer: Signer
  epoch: number
  clock: Clock
  random: Random
  log: Logger
  counters: Counters
  datastore: Datastore
  maturity: number
  grace: number
  /** Copies of an entry that there should be */
  replicas: number
  canReplicate? (peerId: PeerId, segments: Segment[]): boolean | Promise<boolean>
  /** See `ReplicationContext` */
  resting (ms: number): number
  send (to: Key, message: Message): Promise<void>
  broadcast (message: Message): void
  /** What we keep is something else now */
  onShare (): void
  /** We have kept something for as long as the others want it */
  onMature (self: Key, segments: Segment[]): void
  onTransition (transition: Transition): void
}

/** The others that keep something, in the forms in which they are asked for */
interface Others {
  all: Replicating[]
  byKey: Map<Key, Replicating>
  here: Key[]
  reliable: Key[]
}

/**
 * Who keeps what: this node, by what its user asked for, and the others, by their documents. This node says what it
 * keeps to everybody when that changes, to each peer that comes, and again now and then, in case a message got lost.
 *
 * This is the shell of three cores. `core/unread` says which documents are verified, and in which order. `canReplicate`
 * is asked about the true ones in turns, one after the other for each owner, and of those that wait for their turn only
 * the newest is kept. Whether a document is news is decided at the end of its turn, by `core/membership`, at once.
 * `core/hellos` says which peers are answered when.
 */
export class Roster {
  readonly #init: RosterInit
  readonly #core: Membership
  readonly #unread: Unread<Unverified>
  readonly #hellos: Hellos
  readonly #present = new Set<Key>()
  readonly #turns: Mailboxes
  readonly #writes: Mailboxes
  readonly #writing = new Set<Promise<void>>()
  /** The newest true document of each owner that waits for its turn */
  readonly #accepting = new Map<Key, Document>()
  /** Rings when a document has been dealt with */
  readonly #dealt = new Bell()
  readonly #base: string
  /** The one timer of all of this */
  readonly #alarm: Alarm
  #isVerifying = false
  #refreshAt = Infinity
  #interval = limits.REFRESH_INTERVAL
  #matureAt = Infinity
  #coreWakeAt = Infinity
  #author: Author
  #kept: Segment[] = []
  #placement?: Placement
  #others?: Others
  #isMature = false
  #status: 'opening' | 'open' | 'closed' = 'opening'

  constructor (init: RosterInit) {
    const { clock, signer, logHash, epoch, maturity, grace } = init
    const maxPeers = limits.MAX_PEERS
    this.#init = init
    this.#author = new Author(signer, logHash, epoch)
    this.#core = new Membership({ maturity, grace, maxPeers, maxBytes: limits.MAX_DOCUMENTS_BYTES })
    this.#unread = new Unread({
      bucket: { rate: limits.DOCUMENT_RATE, burst: limits.DOCUMENT_BURST },
      forgedCost: limits.FORGED_COST,
      maxWaiting: limits.MAX_UNREAD,
      maxBytes: limits.MAX_UNREAD_BYTES,
      maxAllBytes: limits.MAX_ALL_UNREAD_BYTES,
      maxSenders: maxPeers
    })
    this.#hellos = new Hellos({
      bucket: { rate: limits.HELLO_RATE, burst: limits.HELLO_BURST }, interval: limits.REFRESH_INTERVAL, maxPeers
    })
    this.#turns = new Mailboxes({
      name: 'replication info', clock, deadline: limits.TURN_DEADLINE, capacity: limits.MAX_TURNS
    })
    this.#writes = new Mailboxes({
      name: 'replicators stored', clock, deadline: limits.LIFECYCLE_DEADLINE, capacity: limits.MAX_TURNS
    })
    this.#alarm = new Alarm(clock, () => { this.#wake() })
    this.#base = `/sheaf/replicators/${toString(logHash, 'base64url')}`
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
    return this.#look().all
  }

  /** The other replicators that are here */
  get here (): Key[] {
    return this.#look().here
  }

  /** The other replicators that can be counted on to have what they say they keep */
  get reliable (): Key[] {
    return this.#look().reliable
  }

  /** Peers that are remembered */
  get size (): number {
    return this.#core.size
  }

  /** Peers whose hellos are counted, senders of documents, and documents that wait to be verified */
  get sizes (): { hellos: number, senders: number, unread: number } {
    return { hellos: this.#hellos.size, senders: this.#unread.senders, unread: this.#unread.size }
  }

  /** Why a peer is no replicator, in words */
  why (peer: Key): string {
    return this.#core.why(peer)
  }

  /** Milliseconds until others rely on a replicator; 0: they do; undefined: it is none */
  matureIn (peer: Key): number | undefined {
    const { clock, maturity } = this.#init
    const replicator = this.#look().byKey.get(peer)

    if (replicator != null) {
      return replicator.isMature ? 0 : Math.max(0, replicator.since + maturity - clock.now())
    }
  }

  /** The newest document of a peer */
  infoOf (peer: Key): Document | undefined {
    return this.#core.infoOf(peer)
  }

  /** Whether a peer is a replicator, once all that it has said of itself so far has been dealt with */
  async isIn (peer: Key): Promise<boolean> {
    while (this.#status !== 'closed' && (this.#unread.hasOwn(peer) || this.#turns.isBusy(peer))) {
      await this.#dealt.rung()
    }

    return this.#core.isIn(peer)
  }

  /** Whether a peer may read, though it keeps nothing. A peer that wants to keep what it may not is refused in all */
  async mayRead (peer: Key): Promise<boolean> {
    const { segments = [] } = this.#core.infoOf(peer) ?? {}
    const { canReplicate } = this.#init
    return segments.length === 0 && await this.#turns.turn(peer, () => canReplicate?.(peerOf(peer), []) ?? true)
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
    const other = this.#look().byKey.get(peer)
    return other == null ? [] : intersect(this.#kept, keptRanges(other.segments, this.#init.replicas))
  }

  coverage (): number {
    return coverageOf(this.#everybody(), this.#init.replicas)
  }

  /** Documents of those who were replicators when this node was here last */
  async load (): Promise<void> {
    const { clock, canReplicate, datastore } = this.#init
    const loading: Array<Promise<void>> = []

    for await (const { key, value } of datastore.query({ prefix: `${this.#base}/` })) {
      loading.push(this.#load(key, value))
    }

    // those whom canReplicate takes longer for are decided about when the log is open
    await within(
      clock, canReplicate == null ? limits.LIFECYCLE_DEADLINE : limits.LOAD_PATIENCE, Promise.all(loading), () => []
    )
  }

  /** What was noted counts now, and the others hear what we keep */
  async open (segments: Segment[]): Promise<void> {
    this.#status = 'open'
    await this.say(segments)
    this.#run(this.#core.open(this.#init.clock.now()))
    this.#helloAll(true)
    this.#refreshSoon()
  }

  /** Changes what this node keeps, and tells everybody */
  async say (segments: Segment[]): Promise<void> {
    const { clock, replicas, maturity, onShare } = this.#init
    const wasReplicator = this.segments.length > 0
    const saying = this.#author.say(segments)
    this.#kept = keptRanges(this.segments, replicas)
    this.#placement = undefined

    if (await saying == null || this.#isClosed) {
      return
    }
    if ((this.segments.length > 0) !== wasReplicator) {
      this.#isMature = false
      this.#matureAt = this.segments.length > 0 ? clock.now() + maturity : Infinity
    }

    this.#helloAll(false)
    this.#refreshSoon()
    onShare()
  }

  /** A peer says what it, and perhaps others, keep. Throws a MalformedError */
  heard (from: Key, { documents, isAsking }: Extract<Message, { type: 'hello' }>): void {
    const now = this.#init.clock.now()

    if (this.#isClosed) {
      return
    }

    try {
      this.#read(from, documents, now)
    } finally {
      void this.#verifyAll()
      this.#schedule()
    }
    if (isAsking && this.#status === 'open') {
      this.#hellos.want(from, 'answer', now)
      this.#pump()
    }
  }

  /** False: it was here already */
  cameIn (peer: Key): boolean {
    if (this.#isClosed || this.#present.has(peer)) {
      return false
    }

    const now = this.#init.clock.now()
    this.#present.add(peer)

    if (this.#status === 'open') {
      this.#hellos.want(peer, 'ask', now)
      this.#refreshSoon()
    }

    this.#run(this.#core.present(peer, now))
    return true
  }

  /** `isSaid`: because it said so */
  wentOut (peer: Key, isSaid: boolean): void {
    if (this.#present.delete(peer) && !this.#isClosed) {
      this.#hellos.gone(peer)
      this.#run(this.#core.absent(peer, isSaid, this.#init.clock.now()))
    }
  }

  async close (): Promise<void> {
    this.#status = 'closed'
    this.#core.close()
    this.#unread.clear()
    this.#hellos.clear()
    this.#accepting.clear()
    this.#others = undefined
    this.#alarm.set(Infinity)
    this.#turns.stop()
    this.#dealt.ring()
    // what is being stored is stored
    await Promise.allSettled([...this.#writing])
  }

  /** Deletes what is stored of the others */
  async drop (): Promise<void> {
    for await (const key of this.#init.datastore.queryKeys({ prefix: `${this.#base}/` })) {
      await this.#init.datastore.delete(key)
    }
  }

  /** Also after an await: a listener or the user may have closed it meanwhile */
  get #isClosed (): boolean {
    return this.#status === 'closed'
  }

  /** Throws a MalformedError; the documents before that one have been read */
  #read (from: Key, documents: Uint8Array[], now: number): void {
    const { logHash, counters } = this.#init

    for (const [i, bytes] of documents.entries()) {
      if (!this.#unread.mayRead(from, now)) {
        counters.add('documents: over budget', documents.length - i)
        return
      }

      try {
        const version = versionOf(bytes, logHash)
        const read = (): Unverified => readDocument(bytes, logHash)

        if (this.#isNews(version) && !this.#unread.add(from, keyOfBytes(bytes), version.owner, read, now)) {
          counters.add('documents: too many wait')
        }
      } catch (err) {
        this.#punish(from)
        throw err
      }
    }
  }

  #isNews (version: Parameters<Membership['isNews']>[0]): boolean {
    return version.owner === this.#init.self ? this.#author.isNews(version) : this.#core.isNews(version)
  }

  /** One after the other, with breaks for timers and I/O */
  async #verifyAll (): Promise<void> {
    if (this.#isVerifying) {
      return
    }

    this.#isVerifying = true
    let count = 0

    for (let next = this.#unread.next(); next != null; next = this.#unread.next()) {
      try {
        await this.#verify(next.from, next.item)
      } catch (err: any) {
        // a listener failed, and the documents behind this one are others
        this.#init.counters.add(`documents: ${err.name}`)
        this.#init.log.error('a document could not be dealt with - %e', err)
      }
      this.#dealt.ring()

      if (++count % limits.VERIFY_SLICE === 0) {
        await new Promise<void>(resolve => { this.#init.clock.soon(resolve) })
      }
    }

    this.#isVerifying = false
  }

  async #verify (from: Key, item: Waiting<Unverified>): Promise<void> {
    const { document } = item.value

    if (item.verdict === true || !this.#isNews(document)) {
      this.#unread.wasKnown(from, this.#init.clock.now())
      return
    }

    // a key that is none can sign nothing
    item.verdict ??= await isTrue(item.value).catch(() => false)

    if (this.#isClosed) {
      return
    }
    if (item.verdict) {
      this.#accept(document)
    } else {
      this.#init.counters.add('documents: forged')
      this.#punish(from)
      this.#schedule()
    }
  }

  #punish (from: Key): void {
    const dropped = this.#unread.punish(from, this.#init.clock.now())

    if (dropped > 0) {
      this.#init.counters.add('documents: over budget', dropped)
    }
  }

  /** A document that is true */
  #accept (document: Document): void {
    const { owner, epoch, segments } = document
    const waiting = this.#accepting.get(owner)

    if (owner === this.#init.self) {
      this.#outlive(epoch)
    } else if (this.#init.canReplicate == null || segments.length === 0) {
      this.#apply(document, true, false)
    } else if (waiting != null) {
      this.#accepting.set(owner, isNewer(document, waiting) ? document : waiting)
    } else {
      this.#accepting.set(owner, document)
      this.#turns.turn(owner, async () => this.#ask(owner)).catch(err => {
        // canReplicate failed, or took too long: it is asked again when the owner says its document again
        this.#init.counters.add(`documents: ${err.name}`)
        this.#init.log.error('a document of epoch %d could not be dealt with - %e', epoch, err)
      }).finally(() => { this.#dealt.ring() })
    }
  }

  /** The turn of the newest document of an owner */
  async #ask (owner: Key): Promise<void> {
    const document = this.#accepting.get(owner)
    this.#accepting.delete(owner)

    if (document != null && this.#isNews(document)) {
      this.#apply(document, await this.#isAccepted(document), false)
    }
  }

  async #isAccepted ({ owner, segments }: Document): Promise<boolean> {
    const { canReplicate, counters } = this.#init
    const isAccepted = segments.length === 0 || canReplicate == null || await canReplicate(peerOf(owner), segments)

    if (!isAccepted) {
      counters.add('replicators refused')
    }

    return isAccepted
  }

  /** Nothing is awaited from here on. Of a closed log it makes nothing */
  #apply (document: Document, isAccepted: boolean, isStored: boolean): void {
    const now = this.#init.clock.now()
    const isRemembered = isStored && this.#core.status === 'opening'
    this.#run(isRemembered
      ? this.#core.remember(document, isAccepted, now)
      : this.#core.receive(document, isAccepted, now))
  }

  async #load (key: StoreKey, value: Uint8Array): Promise<void> {
    try {
      const unverified = readDocument(value, this.#init.logHash)
      const { document } = unverified

      await this.#turns.turn(document.owner, async () => {
        if (!await isTrue(unverified)) {
          throw new MalformedError('the signature of a document is not that of its owner')
        }
        this.#apply(document, await this.#isAccepted(document), true)
      })
    } catch (err) {
      this.#init.log.error('what is stored of a replicator cannot be read - %e', err)

      // it says it itself when it comes back
      if (!this.#isClosed) {
        await this.#init.datastore.delete(key)
      }
    } finally {
      this.#dealt.ring()
    }
  }

  #run (effects: MembershipEffect[]): void {
    const { clock, onTransition } = this.#init
    this.#others = undefined
    this.#coreWakeAt = this.#core.nextWake()

    if (effects.some(({ type }) => type !== 'store' && type !== 'ask')) {
      this.#placement = undefined
    }

    for (const effect of effects) {
      // a listener of the last one may have closed the log
      if (this.#isClosed) {
        return
      }
      if (effect.type === 'store') {
        this.#store(effect.peer, effect.document)
      } else if (effect.type === 'ask') {
        this.#hellos.want(effect.peer, 'ask', clock.now())
      } else {
        onTransition(effect)
      }
    }

    this.#pump()
  }

  #store (peer: Key, document?: Document): void {
    const { datastore, log } = this.#init
    const key = new StoreKey(`${this.#base}/${toString(bytesOfKey(peer), 'base64url')}`)
    const writing = this.#writes.turn(peer, async () => {
      await (document == null ? datastore.delete(key) : datastore.put(key, document.bytes))
    }).catch(err => {
      // it is only what spares a restart a question
      log.error('a replicator could not be stored - %e', err)
    }).finally(() => { this.#writing.delete(writing) })
    this.#writing.add(writing)
  }

  #wake (): void {
    const { clock, self, onMature } = this.#init
    const now = clock.now()

    if (now >= this.#matureAt) {
      this.#matureAt = Infinity
      this.#isMature = true
      onMature(self, this.segments)
    }
    if (now >= this.#refreshAt) {
      this.#refresh(now)
    }

    for (const peer of this.#unread.asks(now)) {
      // one that is not here is asked when it comes
      this.#present.has(peer) && this.#hellos.want(peer, 'ask', now)
    }

    this.#run(this.#core.wake(now))
  }

  /** Says it again: the more seldom the longer nothing has changed, and the more there are to hear it */
  #refresh (now: number): void {
    this.#interval = Math.min(2 * this.#interval, limits.REFRESH_CAP)
    this.#refreshAt = now + this.#wait()
    this.#unread.sweep(now)
    this.#hellos.sweep(now)

    if (this.#present.size > 0) {
      this.#helloAll(false)
      this.#run([...this.#present].flatMap(peer => this.#core.present(peer, now)))
    }
  }

  /** Something has changed: others may have missed it */
  #refreshSoon (): void {
    if (this.#status === 'open') {
      this.#interval = limits.REFRESH_INTERVAL
      this.#refreshAt = Math.min(this.#refreshAt, this.#init.clock.now() + this.#wait())
      this.#schedule()
    }
  }

  #wait (): number {
    const { random, resting } = this.#init
    const wait = this.#interval + limits.REFRESH_A_PEER * this.#present.size
    return jitter(random, this.#interval > limits.REFRESH_INTERVAL ? resting(wait) : wait)
  }

  /** Sends the hellos that are due */
  #pump (): void {
    for (const { peer, isAsking, tellsOthers } of this.#isClosed ? [] : this.#hellos.next(this.#init.clock.now())) {
      const documents = [...this.#own(), ...tellsOthers ? this.#documents(limits.BATCH_BYTES) : []]
      // a peer that does not hear of us asks
      this.#init.send(peer, { type: 'hello', isAsking, documents }).catch(() => {}).finally(() => {
        this.#hellos.sent(peer)
        this.#pump()
      })
    }

    this.#schedule()
  }

  #helloAll (isAsking: boolean): void {
    this.#isClosed || this.#init.broadcast({ type: 'hello', isAsking, documents: this.#own() })
  }

  #own (): Uint8Array[] {
    return this.#author.document == null ? [] : [this.#author.document]
  }

  /** Documents of the other replicators, as many as go into one message */
  #documents (maxBytes: number): Uint8Array[] {
    const documents: Uint8Array[] = []
    let left = maxBytes

    for (const { peer } of this.replicators) {
      const { bytes } = this.#core.infoOf(peer) as Document
      left -= bytes.byteLength + 4

      if (left < 0) {
        break
      }

      documents.push(bytes)
    }

    return documents
  }

  #schedule (): void {
    if (!this.#isClosed) {
      const now = this.#init.clock.now()
      this.#alarm.set(Math.min(
        this.#coreWakeAt, this.#refreshAt, this.#matureAt, this.#unread.nextWake(now), this.#hellos.nextWake(now)
      ))
    }
  }

  /** An earlier life of ours had a larger epoch */
  #outlive (epoch: number): void {
    const { signer, logHash, log } = this.#init

    if (epoch > this.#author.epoch) {
      const { segments } = this
      this.#author = new Author(signer, logHash, epoch + 1)
      this.say(segments).catch(err => { log.error('a new life could not be announced - %e', err) })
    }
  }

  #look (): Others {
    if (this.#others == null) {
      const all = [...this.#core.replicators()]
      const here = all.filter(({ isPresent }) => isPresent)
      this.#others = {
        all,
        byKey: new Map(all.map(replicator => [replicator.peer, replicator])),
        here: here.map(({ peer }) => peer),
        reliable: here.filter(({ isMature }) => isMature).map(({ peer }) => peer)
      }
    }

    return this.#others
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
