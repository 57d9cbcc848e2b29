import { applyDocument, bytesOf, isNewer } from './info.ts'
import { sameSegments } from './ring.ts'
import type { Document, Info, Version } from './info.ts'
import type { Segment } from './ring.ts'
import type { Key } from './types.ts'

/**
 * Who is a replicator: the one state machine that says so, and the only place that emits.
 *
 * A peer is in while it says that it keeps something, we accept that, and it is on the log's topic, or was so a short time ago.
 * `#settle` compares what should be with what is, whatever changed: so that a join is never followed by another one without a
 * leave in between, and nothing has to be repeated that came too early.
 *
 * | from, to | event |
 * |---|---|
 * | out -> joined | join |
 * | joined -> mature | mature: it has been in for the maturity time |
 * | joined or mature, other segments | change |
 * | joined or mature -> out | leave, and why |
 * | remembered from an earlier life of ours, not seen in time | none: it never joined in this one |
 *
 * While we open, documents and presence are only noted: opening ends with one settling of all.
 */

export type LeaveReason = 'stopped' | 'refused' | 'unsubscribed' | 'unreachable'

export type Transition =
  | { type: 'join' | 'mature' | 'change', peer: Key, segments: Segment[] }
  | { type: 'leave', peer: Key, segments: Segment[], reason: LeaveReason }

export type MembershipEffect =
  | Transition
  /** What it said is to be known after a restart; without documents: is to be forgotten */
  | { type: 'store', peer: Key, documents: Uint8Array[] }
  /** Ask it (or whoever knows) for all that it says */
  | { type: 'ask', peer: Key }

export type Presence =
  | { type: 'present' }
  /** It may come back until then; what it said of itself goes on to count */
  | { type: 'missed', until: number }
  /** What it said is known until then: it may have been quicker than the news that it is here, and what is older is not news */
  | { type: 'absent', until: number }

export type Standing =
  | { type: 'out' }
  | { type: 'joined', since: number, segments: Segment[] }
  | { type: 'mature', since: number, segments: Segment[] }

/** All there is about one peer */
interface Peer {
  /** The newest of what it said */
  info?: Info
  /** Whether we let it keep that */
  isAccepted: boolean
  presence: Presence
  standing: Standing
  /** Whether anything of it is stored, and whether that is the newest */
  isStored: boolean
  isSaved: boolean
  /** It said something newer than `info`, for which there was no room, or which stood on what is not here */
  wanted?: Version
}

export interface MembershipInit {
  /** Milliseconds that a replicator has to be in to count as mature */
  maturity: number
  /** Milliseconds that one whom we have lost is waited for */
  grace: number
  /** Peers, and bytes of what they say, that are remembered */
  maxPeers: number
  maxBytes: number
}

export interface Replicating {
  peer: Key
  segments: Segment[]
  isMature: boolean
  isPresent: boolean
  /** When it joined */
  since: number
}

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
        yield { peer, segments: standing.segments, isMature: standing.type === 'mature', isPresent: presence.type === 'present', since: standing.since }
      }
    }
  }

  infoOf (peer: Key): Info | undefined {
    return this.#peers.get(peer)?.info
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
    if (known.info == null) {
      return known.presence.type === 'present' ? 'it has not said yet what it keeps' : 'it is out of reach, and never said what it keeps'
    }
    if (known.info.segments.length === 0) {
      return 'it says that it keeps nothing'
    }
    if (!known.isAccepted) {
      return 'canReplicate of this log refused it'
    }
    return this.#status === 'open' ? 'it is not on the topic of the log' : 'the log is not open yet'
  }

  /** What applying it would make of what is known of its owner: to be asked before somebody decides whether it is accepted */
  preview (document: Document): Info | undefined {
    const applied = applyDocument(this.#peers.get(document.owner)?.info, document)
    return applied.type === 'new' ? applied.info : undefined
  }

  /** A document whose signature is true. `isAccepted`: what it leads to is */
  receive (document: Document, isAccepted: boolean, now: number): MembershipEffect[] {
    const key = document.owner
    const peer = this.#touch(key, now)
    const applied = applyDocument(peer?.info, document)

    if (peer == null || applied.type === 'old') {
      return []
    }
    if (applied.type === 'gap' || !this.#hold(peer, applied.info)) {
      // what is known stays: it is the newest that we can prove
      want(peer, document)
      // where there was no room, the answer would not find any: it is asked when it comes next
      return applied.type === 'gap' ? this.#remind(key, peer) : []
    }
    if (peer.wanted != null && !isNewer(peer.wanted, applied.info)) {
      peer.wanted = undefined
    }

    peer.isSaved = false
    peer.isAccepted = isAccepted
    return this.#settle(key, peer, now)
  }

  /** A document that was stored in an earlier life of ours */
  remember (document: Document, isAccepted: boolean, now: number): MembershipEffect[] {
    const effects = this.receive(document, isAccepted, now)
    const peer = this.#peers.get(document.owner)

    if (peer != null) {
      peer.isStored = true
      peer.isSaved = peer.info?.documents.at(-1) === document.bytes
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
    // who is waited for is not waited for any longer because it is missed once more
    const isNews = peer?.presence.type === 'present' || (isSaid && peer?.presence.type === 'missed')

    if (peer == null || !isNews) {
      return []
    }

    peer.presence = { type: isSaid || peer.standing.type === 'out' ? 'absent' : 'missed', until: now + this.#init.grace }
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

    const { info, standing, presence, isAccepted } = peer
    const segments = info?.segments ?? []
    const keeps = isAccepted && segments.length > 0
    const effects: MembershipEffect[] = []

    if (standing.type === 'out') {
      if (keeps && presence.type === 'present') {
        peer.standing = { type: 'joined', since: now, segments }
        effects.push({ type: 'join', peer: key, segments })
      }
    } else if (!keeps || presence.type === 'absent') {
      const refusal = segments.length === 0 ? 'stopped' : 'refused'
      peer.standing = { type: 'out' }
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
      return [{ type: 'store', peer: key, documents: peer.info?.documents ?? [] }]
    }
    // one from an earlier life, that is waited for, stays
    return !isIn && peer.presence.type !== 'missed' ? this.#forget(key, peer) : []
  }

  #forget (key: Key, peer: Peer): MembershipEffect[] {
    const { isStored } = peer
    peer.isStored = peer.isSaved = false
    return isStored ? [{ type: 'store', peer: key, documents: [] }] : []
  }

  /** What is wanted is asked for until it is here: an answer may be lost */
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
      peer = { isAccepted: false, presence: absent, standing: { type: 'out' }, isStored: false, isSaved: false }
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
    this.#bytes -= bytesOf(peer.info)
    this.#peers.delete(key)
  }

  /** False: there is no room for it, although those that are of no use now make way */
  #hold (peer: Peer, info: Info): boolean {
    const more = bytesOf(info) - bytesOf(peer.info)
    const isTooMuch = (): boolean => more > 0 && this.#bytes + more > this.#init.maxBytes

    for (const other of this.#peers.values()) {
      if (isTooMuch() && other !== peer && other.info != null && isIdle(other)) {
        this.#bytes -= bytesOf(other.info)
        want(other, other.info)
        other.info = undefined
      }
    }

    if (isTooMuch()) {
      return false
    }

    this.#bytes += more
    peer.info = info
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
