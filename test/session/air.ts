import { generateKeyPair } from '@libp2p/crypto/keys'
import { defaultLogger } from '@libp2p/logger'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { MemoryDatastore } from 'datastore-core'
import { fromString } from 'uint8arrays/from-string'
import { toString } from 'uint8arrays/to-string'
import { TOPIC } from '../../src/session/constants.ts'
import { sessions } from '../../src/session/index.ts'
import type { Sessions, SessionsInit } from '../../src/session/index.ts'
import type { PeerId, PrivateKey } from '@libp2p/interface'
import type { Datastore } from 'interface-datastore'

/** What somebody in the middle makes of a frame: what arrives in its place, in this order */
export type Meddle = (frame: Uint8Array, from: Station, to: Station) => Uint8Array[]

/** What carries frames between stations, in the place of DirectSub. Whoever tests may read, change, and make them */
export class Air {
  readonly stations: Station[] = []
  /** All that was ever sent */
  readonly frames: Array<{ from: Station, to: Station, frame: Uint8Array }> = []
  meddle: Meddle = frame => [frame]

  async station (init: SessionsInit = {}, datastore: Datastore = new MemoryDatastore()): Promise<Station> {
    const station = new Station(this, await generateKeyPair('Ed25519'), init, datastore)
    this.stations.push(station)
    await station.service.afterStart?.()
    return station
  }

  carry (from: Station, to: PeerId, frame: Uint8Array): void {
    const station = this.stations.find(({ peerId }) => peerId.equals(to))

    if (station != null) {
      const copy = Uint8Array.from(frame)
      this.frames.push({ from, to: station, frame: copy })
      this.meddle(copy, from, station).forEach(bytes => {
        // as a network does: not in the tick in which it was sent
        setTimeout(() => { station.arrive(from.peerId, bytes) })
      })
    }
  }

  async stop (): Promise<void> {
    await Promise.all(this.stations.map(async ({ service }) => service.stop()))
  }
}

/** A node's sessions, and what stands for its DirectSub */
export class Station {
  readonly peerId: PeerId
  readonly privateKey: PrivateKey
  readonly service: Sessions
  readonly heard: string[] = []
  readonly #target = new EventTarget()

  constructor (air: Air, privateKey: PrivateKey, init: SessionsInit, datastore: Datastore) {
    this.peerId = peerIdFromPrivateKey(privateKey)
    this.privateKey = privateKey
    const pubsub = {
      addEventListener: this.#target.addEventListener.bind(this.#target),
      removeEventListener: this.#target.removeEventListener.bind(this.#target),
      subscribe: async () => {
        air.stations.filter(other => other !== this).forEach(other => {
          other.#see(this)
          this.#see(other)
        })
        return true
      },
      unsubscribe: async () => true,
      requestSubscribers: async () => [],
      getSubscribers: () => air.stations.filter(other => other !== this).map(({ peerId }) => peerId),
      publish: async (_topic: string, data: Uint8Array, { to }: { to: PeerId[] }) => {
        to.forEach(peerId => { air.carry(this, peerId, data) })
        return { recipients: to, acked: [], failed: [] }
      }
    }
    const components = { peerId: this.peerId, privateKey, datastore, logger: defaultLogger(), pubsub }
    this.service = sessions(init)(components)
    this.service.addEventListener('message', ({ detail: { data } }) => { this.heard.push(toString(data)) })
  }

  get dropped (): Record<string, number> {
    return this.service.diagnostics().dropped
  }

  async say (to: Station, text: string): Promise<void> {
    await this.service.send(to.peerId, fromString(text))
  }

  /** DirectSub vouches for who sent it */
  arrive (from: PeerId, data: Uint8Array): void {
    this.#dispatch('message', { type: 'unsigned', from, topic: TOPIC, data, sequenceNumber: 0n, epoch: 1 })
  }

  /** A peer that is on no station is on the topic, or is not any more */
  #see (other: Station): void {
    const subscriptions = [{ topic: TOPIC, subscribe: true }]
    this.#dispatch('subscription-change', { peerId: other.peerId, subscriptions, reason: 'announced' })
  }

  #dispatch (type: string, detail: unknown): void {
    this.#target.dispatchEvent(new CustomEvent(type, { detail }))
  }
}
