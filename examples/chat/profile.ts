/**
 * One person in one browser: all of libp2p is behind `openProfile()`.
 */
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import { identify, identifyPush } from '@libp2p/identify'
import { peerIdFromString } from '@libp2p/peer-id'
import { webRTC } from '@libp2p/webrtc'
import { webSockets } from '@libp2p/websockets'
import { IDBDatastore } from 'datastore-idb'
import { Key } from 'interface-datastore'
import { createLibp2p } from 'libp2p'
import { directSub, sessions, sharedLogs, stayConnected, transfers } from 'libp2p-sheaf'
import { Conversation, PROTOCOL, decode, encode } from './conversation.ts'
import type { SharedLogs, Sessions, StayConnected, Transfers } from 'libp2p-sheaf'

/** Who is on this topic is here. Names are not said on it: they go to each one sealed, so relays do not know them */
const PEOPLE = 'libp2p-sheaf/chat/people'
const CARD = 'libp2p-sheaf/chat/card'
const KEY = new Key('/chat/key')
const NAME = new Key('/chat/name')
const CONTACTS = new Key('/chat/contacts')
/** Conversations that are kept open. A guess: a page, not an archive */
const MAX_PEOPLE = 200
const MAX_NAME = 40
/** Milliseconds between two looks for the list of relays while none is connected */
const RELAYS_AGAIN = 3000
/** Milliseconds between two pings, so that a relay that swallows everything is noticed within 15 s */
const PING_INTERVAL = 5000

export interface Person {
  id: string
  name: string
  isHere: boolean
  conversation: Conversation
}

export interface ProfileInit {
  /** Asked at the start, and again while no relay is connected: one that is not named any more is let go of */
  relays (): Promise<string[]>
  /** Called when anything is not as it was */
  onChange (): void
  /**
   * Go from browser to browser where that is possible
   *
   * @default true
   */
  direct?: boolean
  /**
   * Milliseconds after which a session wants a new key
   *
   * @default as sessions() says
   */
  rekeyAge?: number
}

export interface Services {
  sessions: Sessions
  logs: SharedLogs
  transfers: Transfers
  connected: StayConnected
}

/** Where the profile lies. It is there once somebody registered */
export async function openStore (): Promise<IDBDatastore> {
  const store = new IDBDatastore('libp2p-sheaf-chat')
  await store.open()
  return store
}

export async function nameIn (store: IDBDatastore): Promise<string | undefined> {
  return await store.has(NAME) ? decode<string>(await store.get(NAME)) : undefined
}

export async function register (store: IDBDatastore, name: string): Promise<void> {
  await store.put(KEY, privateKeyToProtobuf(await generateKeyPair('Ed25519')))
  await store.put(NAME, encode(name.trim().slice(0, MAX_NAME)))
}

export interface Profile {
  readonly id: string
  readonly name: string
  /** Those who were met, whether they are here or away */
  readonly people: Person[]
  /** How many relays, and people, this page has a connection to at present */
  readonly connections: number
  readonly node: { services: Services }
  /** May be called twice, and at any time */
  close (): Promise<void>
}

/** Starts the node of a person who is registered */
export async function openProfile (store: IDBDatastore, init: ProfileInit): Promise<Profile> {
  const { onChange, direct = true, rekeyAge } = init
  const name = await nameIn(store) ?? ''
  const known = new Set(await init.relays())
  const node = await createLibp2p({
    privateKey: privateKeyFromProtobuf(await store.get(KEY)),
    datastore: store,
    addresses: { listen: direct ? ['/p2p-circuit', '/webrtc'] : [] },
    transports: [
      webSockets(),
      // behind routers, name STUN servers here: on one machine, and in one LAN, nobody outside needs to be asked
      ...direct ? [circuitRelayTransport(), webRTC({ rtcConfiguration: { iceServers: [] } })] : []
    ],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionMonitor: { pingInterval: PING_INTERVAL },
    // the relay may be on this machine
    connectionGater: { denyDialMultiaddr: () => false },
    services: {
      identify: identify(),
      // the relay learns of the way to us over itself, and tells others
      push: identifyPush(),
      pubsub: directSub(),
      connected: stayConnected({ known }),
      sessions: sessions({
        ...rekeyAge == null ? {} : { rekeyAge },
        createWorker: () => new Worker('session-worker.js', { type: 'module' })
      }),
      logs: sharedLogs(),
      transfers: transfers()
    }
  })
  const { pubsub, connected } = node.services
  const people = new Map<string, Person>()

  async function meet (id: string, called?: string): Promise<Person | undefined> {
    const before = people.get(id)

    if (before == null && people.size >= MAX_PEOPLE) {
      return undefined
    }

    const person = before ?? {
      id,
      name: id.slice(-6),
      isHere: pubsub.getSubscribers(PEOPLE).some(peer => peer.toString() === id),
      conversation: new Conversation(node.services, node.peerId, peerIdFromString(id), onChange)
    }
    people.set(id, person)
    person.name = called ?? person.name

    if (called != null) {
      await store.put(CONTACTS, encode(Array.from(people.values(), ({ id, name }) => ({ id, name }))))
    }

    onChange()
    return person
  }

  /** Says who we are, sealed. It is said again whenever the other side is back, so nobody waits for it */
  function introduce (id: string): void {
    node.services.sessions.send(peerIdFromString(id), encode(name), { protocol: CARD }).catch(() => {})
  }

  async function appeared (id: string): Promise<void> {
    const person = await meet(id)
    introduce(id)
    person?.conversation.deliver()
  }

  pubsub.addEventListener('subscription-change', ({ detail: { peerId, subscriptions } }) => {
    const id = peerId.toString()

    for (const { subscribe } of subscriptions.filter(({ topic }) => topic === PEOPLE)) {
      const person = people.get(id)
      person != null && (person.isHere = subscribe)
      subscribe && attempt(appeared(id))
      onChange()
    }
  })
  node.services.sessions.handle(CARD, async ({ from, data }) => {
    await meet(from.toString(), String(decode<string>(data)).slice(0, MAX_NAME))
  })
  node.services.sessions.handle(PROTOCOL, async ({ from, data }) => {
    (await meet(from.toString()))?.conversation.hear(decode(data))
  })
  node.services.transfers.handle(PROTOCOL, async offer => {
    (await meet(offer.from.toString()))?.conversation.offered(offer)
  })
  node.addEventListener('connection:open', onChange)
  node.addEventListener('connection:close', onChange)

  if (await store.has(CONTACTS)) {
    for (const { id, name } of decode<Array<{ id: string, name: string }>>(await store.get(CONTACTS))) {
      await meet(id, name)
    }
  }

  // they resolve when the neighbours know it, which nobody waits for
  attempt(pubsub.subscribe(PEOPLE))
  pubsub.getSubscribers(PEOPLE).forEach(peerId => { attempt(appeared(peerId.toString())) })

  /** A relay that is replaced is looked for no more, and the new one is */
  const looking = setInterval(() => {
    if (pubsub.getPeers().length === 0) {
      init.relays().then(relays => {
        relays.filter(relay => !known.has(relay)).forEach(relay => {
          known.add(relay)
          connected.add(relay)
        })
        known.forEach(relay => {
          if (!relays.includes(relay)) {
            known.delete(relay)
            connected.remove(relay)
          }
        })
      }, () => {
        // who says which relays there are is away, too: those that are known stay so
      })
    }
  }, RELAYS_AGAIN)

  return {
    id: node.peerId.toString(),
    name,
    node,
    get people () { return [...people.values()] },
    get connections () { return pubsub.getPeers().length },
    close: async () => {
      clearInterval(looking)
      await node.stop()
    }
  }
}

/** What fails because the node stops is of no interest to anybody */
function attempt (work: Promise<unknown>): void {
  work.catch(err => { err.name !== 'NotStartedError' && err.name !== 'AbortError' && reportError(err) })
}
