import { isNewer } from './info.ts'
import { sameSegments } from './ring.ts'
import type { Document, Version } from './info.ts'
import type { Segment } from './ring.ts'
import type { Key } from './types.ts'

/**
 * Who is a replicator: the one state machine that says so, and the only place that emits.
 *
 * A peer is in while its newest document names segments, we accept that document, and the peer is on the topic of the
 * log or was a short time ago. After every event `#settle` compares what should be with what is. So no join follows a
 * join without a leave in between, and nobody has to repeat an event that came too early.
 *
 * | standing | event | standing after | effect |
 * |---|---|---|---|
 * | out | a peer that is present says that it keeps something, or one that said so comes | joined | join |
 * | joined | the maturity time since it joined is over | mature | mature |
 * | joined, mature | a newer document with other segments | the same | change |
 * | joined, mature | a newer document without segments, or one that we refuse | out | leave: stopped, refused |
 * | joined, mature | the peer says that it leaves the topic | out | leave: unsubscribed |
 * | joined, mature | we miss the peer | the same | none: the peer has the grace time to come back |
 * | joined, mature | the grace time of a missed peer is over | out | leave: unreachable |
 * | out | a peer that an earlier life of ours stored is not back in time | out | none: it never joined in this life |
 * | any | a document that is not newer than the one we have | the same | none |
 * | any | a newer document, and no room for it | the same | none now: ask the owner when it comes next |
 *
 * While the log opens, documents and presence are only noted. `open` settles all of them.
 */

export type LeaveReason = 'stopped' | 'refused' | 'unsubscribed' | 'unreachable'

export type Transition =
  | { type: 'join' | 'mature' | 'change', peer: Key, segments: Segment[] }
  | { type: 'leave', peer: Key, segments: Segment[], reason: LeaveReason }

export type MembershipEffect =
  | Transition
  /** Store the document for the time after a restart. Without a document: delete what is stored of the peer */
  | { type: 'store', peer: Key, document?: Document }
  /** Ask the peer for its document */
  | { type: 'ask', peer: Key }

export type Presence =
  | { type: 'present' }
  /** It may come back until then; what it said of itself goes on to count */
  | { type: 'missed', until: number }
  /**
   * What it said is known until then: it may have been quicker than the news that it is here, and what is older is not
   * news
   */
  | { type: 'absent', until: number }

export type Standing =
  | { type: 'out' }
  | { type: 'joined' | 'mature', since: number, segments: Segment[] }

/** All there is about one peer */
interface Peer {
  /** The newest that we have of it */
  document?: Document
  /** Whether canReplicate accepts that document */
  isAccepted: boolean
  presence: Presence
  standing: Standing
  /** Whether a document of it is stored, and whether that is the newest */
  isStored: boolean
  isSaved: boolean
  /** The version of a newer document, for which there was no room */
  wanted?: Version
}

export interface MembershipInit {
  /** Milliseconds that a replicator has to be in to count as mature */
  maturity: number
  /** Milliseconds that one whom we have lost is waited for */
  grace: number
  /** Peers, and bytes of their documents, that are remembered */
  maxPeers: number
  maxBytes: number
}

export interface Replicating {
  peer: Key
  segments: Segment[]
  /** When it joined */
  since: number
  isMature: boolean
  isPresent: boolean
}

const OUT: Standing = { type: 'out' }

export class Membership {
  readonly #init: MembershipInit
  readonly #peers = new Map<Key, Peer>()
  #status: 'opening' | 'open' | 'closed' = 'opening'
  #bytes = 0

  constructor (init: MembershipInit) {
    this.#init = init
  }

  get size (): number {
    return this.#peers.size
  }

  get status (): 'opening' | 'open' | 'closed' {
    return this.#status
  }

  /** Bytes of the documents that are remembered */
  get bytes (): number {
    return this.#bytes
  }

  /** Those that are in */
  * replicators (): Generator<Replicating> {
    for (const [peer, { standing, presence }] of this.#peers) {
      if (standing.type !== 'out') {
        const { type, since, segments } = standing
        yield { peer, segments, since, isMature: type === 'mature', isPresent: presence.type === 'present' }
      }
    }
  }

  /** The newest document of a peer */
  infoOf (peer: Key): Document | undefined {
    return this.#peers.get(peer)?.document
  }

  isIn (peer: Key): boolean {
    return (this.#peers.get(peer)?.standing ?? OUT).type !== 'out'
  }

  /** Whether a document is newer than what is known of its owner */
  isNews (document: Version & { owner: Key }): boolean {
    const known = this.infoOf(document.owner)
    return known == null || isNewer(document, known)
  }

  /** Why a peer is no replicator, in words */
  why (peer: Key): string {
    const known = this.#peers.get(peer)

    if (known == null) {
      return 'nothing is known of it: it is not on the topic of the log, and was not lately'
    }
    if (known.standing.type !== 'out') {
      return known.presence.type === 'present' ? 'it is one' : 'it is one, but out of reach for the moment'
    }
    if (known.document == null) {
      return known.presence.type === 'present'
        ? 'it has not said yet what it keeps'
        : 'it is out of reach, and never said what it keeps'
    }
    if (known.document.segments.length === 0) {
      return 'it says that it keeps nothing'
    }
    if (!known.isAccepted) {
      return 'canReplicate of this log refused it'
    }
    return this.#status === 'open' ? 'it is not on the topic of the log' : 'the log is not open yet'
  }

  /** A document whose signature is true. `isAccepted`: canReplicate accepts it */
  receive (document: Document, isAccepted: boolean, now: number): MembershipEffect[] {
    const key = document.owner
    const peer = this.#touch(key, now)

    if (peer == null || !this.isNews(document)) {
      return []
    }
    if (!this.#hold(peer, document)) {
      // an answer to a question now would find no room either
      want(peer, document)
      return []
    }
    if (peer.wanted != null && !isNewer(peer.wanted, document)) {
      peer.wanted = undefined
    }

    peer.isSaved = false
    peer.isAccepted = isAccepted
    return this.#settle(key, peer, now)
  }

  /** A document that an earlier life of ours stored */
  remember (document: Document, isAccepted: boolean, now: number): MembershipEffect[] {
    const effects = this.receive(document, isAccepted, now)
    const peer = this.#peers.get(document.owner)

    if (peer != null) {
      peer.isStored = true
      peer.isSaved = peer.document?.bytes === document.bytes
    }

    return effects
  }

  /** It is on the topic of the log */
  present (key: Key, now: number): MembershipEffect[] {
    const peer = this.#touch(key, now)

    if (peer == null) {
      return []
    }

    peer.presence = { type: 'present' }
    return [...this.#remind(key, peer), ...this.#settle(key, peer, now)]
  }

  /** It is not on the topic any more. `isSaid`: because it said so; else it may come back in a moment */
  absent (key: Key, isSaid: boolean, now: number): MembershipEffect[] {
    const peer = this.#peers.get(key)
    // a second miss does not extend the grace period
    const isNews = peer?.presence.type === 'present' || (isSaid && peer?.presence.type === 'missed')

    if (peer == null || !isNews) {
      return []
    }

    peer.presence = {
      type: isSaid || peer.standing.type === 'out' ? 'absent' : 'missed', until: now + this.#init.grace
    }
    return this.#settle(key, peer, now)
  }

  /** Opening has come to its end. Those that are remembered from earlier are waited for as if we had lost them now */
  open (now: number): MembershipEffect[] {
    if (this.#status !== 'opening') {
      return []
    }

    this.#status = 'open'
    const effects: MembershipEffect[] = []

    for (const [key, peer] of this.#peers) {
      if (peer.presence.type !== 'present') {
        peer.presence = { type: peer.isStored ? 'missed' : 'absent', until: now + this.#init.grace }
      }
      effects.push(...this.#remind(key, peer), ...this.#settle(key, peer, now))
    }

    return effects
  }

  /** Nothing happens any more, and nothing is remembered */
  close (): void {
    this.#status = 'closed'
    this.#peers.clear()
    this.#bytes = 0
  }

  nextWake (): number {
    let next = Infinity

    if (this.#status === 'open') {
      for (const { standing, presence } of this.#peers.values()) {
        if (presence.type !== 'present') {
          next = Math.min(next, presence.until)
        }
        if (standing.type === 'joined') {
          next = Math.min(next, standing.since + this.#init.maturity)
        }
      }
    }

    return next
  }

  wake (now: number): MembershipEffect[] {
    if (this.#status !== 'open') {
      return []
    }

    return [...this.#peers].flatMap(([key, peer]) => {
      const { presence } = peer

      if (presence.type === 'present' || presence.until > now) {
        return this.#settle(key, peer, now)
      }
      if (presence.type === 'absent') {
        this.#remove(key, peer)
        return []
      }

      peer.presence = { type: 'absent', until: now + this.#init.grace }
      return this.#settle(key, peer, now, 'unreachable')
    })
  }

  /** The only place that knows what is to be, and that says what becomes of whom */
  #settle (key: Key, peer: Peer, now: number, lost: LeaveReason = 'unsubscribed'): MembershipEffect[] {
    if (this.#status !== 'open') {
      return []
    }

    const { document, standing, presence, isAccepted } = peer
    const segments = document?.segments ?? []
    const keeps = isAccepted && segments.length > 0
    const effects: MembershipEffect[] = []

    if (standing.type === 'out') {
      if (keeps && presence.type === 'present') {
        peer.standing = { type: 'joined', since: now, segments }
        effects.push({ type: 'join', peer: key, segments })
      }
    } else if (!keeps || presence.type === 'absent') {
      const refusal = segments.length === 0 ? 'stopped' : 'refused'
      peer.standing = OUT
      effects.push({ type: 'leave', peer: key, segments: standing.segments, reason: keeps ? lost : refusal })
    } else if (!sameSegments(segments, standing.segments)) {
      peer.standing = { ...standing, segments }
      effects.push({ type: 'change', peer: key, segments })
    }

    if (peer.standing.type === 'joined' && now >= peer.standing.since + this.#init.maturity) {
      peer.standing = { ...peer.standing, type: 'mature' }
      effects.push({ type: 'mature', peer: key, segments: peer.standing.segments })
    }

    return [...effects, ...this.#store(key, peer)]
  }

  /** What is stored is what those that are in said */
  #store (key: Key, peer: Peer): MembershipEffect[] {
    const isIn = peer.standing.type !== 'out'

    if (isIn && !peer.isSaved) {
      peer.isStored = peer.isSaved = true
      return [{ type: 'store', peer: key, document: peer.document }]
    }
    // one from an earlier life, that is waited for, stays
    return !isIn && peer.presence.type !== 'missed' ? this.#forget(key, peer) : []
  }

  #forget (key: Key, peer: Peer): MembershipEffect[] {
    const { isStored } = peer
    peer.isStored = peer.isSaved = false
    return isStored ? [{ type: 'store', peer: key }] : []
  }

  /** An answer may be lost: whoever owns a wanted document is asked whenever it comes, until the document is here */
  #remind (key: Key, { wanted, presence }: Peer): MembershipEffect[] {
    return wanted != null && this.#status === 'open' && presence.type === 'present' ? [{ type: 'ask', peer: key }] : []
  }

  /** The peer of this key, the one used last. Undefined: we are closed, or there is no room for it */
  #touch (key: Key, now: number): Peer | undefined {
    let peer = this.#peers.get(key)
    const absent: Presence = { type: 'absent', until: now + this.#init.grace }

    if (peer == null) {
      if (this.#status === 'closed' || (this.#peers.size >= this.#init.maxPeers && !this.#makeRoom())) {
        return
      }
      peer = { isAccepted: false, presence: absent, standing: OUT, isStored: false, isSaved: false }
    } else if (peer.presence.type === 'absent') {
      peer.presence = absent
    }

    this.#peers.delete(key)
    this.#peers.set(key, peer)
    return peer
  }

  /** Forgets the one that is of no use for longest */
  #makeRoom (): boolean {
    for (const [key, peer] of this.#peers) {
      if (isIdle(peer)) {
        this.#remove(key, peer)
        return true
      }
    }

    return false
  }

  #remove (key: Key, peer: Peer): void {
    this.#bytes -= bytesOf(peer.document)
    this.#peers.delete(key)
  }

  /** False: there is no room for it, although the documents of idle peers make way */
  #hold (peer: Peer, document: Document): boolean {
    const more = bytesOf(document) - bytesOf(peer.document)
    const isTooMuch = (): boolean => more > 0 && this.#bytes + more > this.#init.maxBytes

    for (const other of isTooMuch() ? this.#peers.values() : []) {
      if (isTooMuch() && other !== peer && other.document != null && isIdle(other)) {
        this.#bytes -= bytesOf(other.document)
        want(other, other.document)
        other.document = undefined
      }
    }

    if (isTooMuch()) {
      return false
    }

    this.#bytes += more
    peer.document = document
    return true
  }
}

/** Neither in nor here nor waited for */
function isIdle ({ standing, presence, isStored }: Peer): boolean {
  return standing.type === 'out' && presence.type === 'absent' && !isStored
}

function want (peer: Peer, { epoch, sequence }: Version): void {
  if (peer.wanted == null || isNewer({ epoch, sequence }, peer.wanted)) {
    peer.wanted = { epoch, sequence }
  }
}

function bytesOf (document?: Document): number {
  return document?.bytes.byteLength ?? 0
}
