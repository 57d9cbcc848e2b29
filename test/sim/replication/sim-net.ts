import { randomInt } from '../../../src/runtime/random.ts'
import type { Port, PortEvents, PortTopic } from '../../../src/replication/port.ts'
import type { Random } from '../../../src/runtime/random.ts'
import type { VirtualClock } from '../../fixtures/virtual-clock.ts'
import type { PeerId } from '@libp2p/interface'

/** Milliseconds that a message takes, and that it takes until somebody is seen, or missed, on a topic: at most */
const LATENCY = 40
const NOTICE = 300

/** Somebody on the topic: in one of its lives */
interface Member {
  peerId: PeerId
  events: PortEvents
  isOn: boolean
  /** Whom it has seen */
  seen: Set<Member>
}

/**
 * A pubsub of one topic, as replication sees it: who is on it is noticed after a while, messages take some time, and may be lost,
 * doubled, or overtake each other.
 */
export class SimNet {
  faults = { drop: 0, duplicate: 0 }
  readonly #clock: VirtualClock
  readonly #random: Random
  readonly #members = new Set<Member>()
  /** Who is on the other side of a cut */
  #side = new Set<string>()

  constructor (clock: VirtualClock, random: Random) {
    this.#clock = clock
    this.#random = random
  }

  partition (side: Set<string>): void {
    this.#side = side
    this.#lookAround()
  }

  /** `act` runs what its node is to hear of, or holds it back while that is asleep */
  port (peerId: PeerId, act: (hear: () => void) => void = hear => { hear() }): Port {
    return {
      maxMessageSize: 1024 * 1024,
      join: async (_, { onMessage, onPresent, onAbsent }) => {
        const events: PortEvents = {
          onMessage: (from, data) => { act(() => { member.isOn && onMessage(from, data) }) },
          onPresent: peer => { act(() => { member.isOn && onPresent(peer) }) },
          onAbsent: (peer, isSaid) => { act(() => { member.isOn && onAbsent(peer, isSaid) }) }
        }
        const member: Member = { peerId, events, isOn: true, seen: new Set() }
        this.#members.add(member)
        this.#lookAround()
        return this.#topicOf(member)
      }
    }
  }

  /** Its process is gone, without a word */
  crash (peerId: PeerId): void {
    for (const member of this.#members) {
      if (member.peerId.equals(peerId)) {
        this.#members.delete(member)
        member.isOn = false
      }
    }
    this.#lookAround()
  }

  #topicOf (member: Member): PortTopic {
    return {
      subscribers: () => [...member.seen].map(({ peerId }) => peerId),
      broadcast: data => { [...member.seen].forEach(to => { this.#send(member, to, data) }) },
      send: async (to, data) => {
        const other = [...this.#members].find(({ peerId }) => peerId.equals(to))

        if (other == null || !this.#isNear(member, other)) {
          throw new Error('unreachable')
        }

        this.#send(member, other, data)
      },
      leave: async () => {
        member.isOn = false
        this.#members.delete(member)
        member.seen.forEach(other => { this.#later(NOTICE, () => { this.#miss(other, member, true) }) })
      }
    }
  }

  #send (from: Member, to: Member, data: Uint8Array): void {
    const copies = this.#random() < this.faults.duplicate ? 2 : 1

    for (let i = 0; i < copies; i++) {
      if (this.#random() >= this.faults.drop) {
        this.#later(LATENCY, () => {
          if (from.isOn && to.isOn && this.#isNear(from, to)) {
            to.events.onMessage(from.peerId, Uint8Array.from(data))
          }
        })
      }
    }
  }

  /** Everybody notices after a while who is there, and who is not */
  #lookAround (): void {
    for (const member of this.#members) {
      for (const other of this.#members) {
        if (other !== member) {
          this.#later(NOTICE, () => {
            if (member.isOn && other.isOn && this.#isNear(member, other) && !member.seen.has(other)) {
              member.seen.add(other)
              member.events.onPresent(other.peerId)
            }
          })
        }
      }
      for (const other of member.seen) {
        this.#later(NOTICE, () => {
          if (!other.isOn || !this.#isNear(member, other)) {
            this.#miss(member, other, false)
          }
        })
      }
    }
  }

  #miss (member: Member, other: Member, isSaid: boolean): void {
    // another life of it may be here
    if (member.seen.delete(other) && member.isOn && ![...member.seen].some(({ peerId }) => peerId.equals(other.peerId))) {
      member.events.onAbsent(other.peerId, isSaid)
    }
  }

  #isNear (a: Member, b: Member): boolean {
    return this.#side.has(a.peerId.toString()) === this.#side.has(b.peerId.toString())
  }

  #later (most: number, fn: () => void): void {
    this.#clock.after(1 + randomInt(this.#random, most), fn)
  }
}
