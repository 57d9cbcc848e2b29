/**
 * One person in one browser, however many tabs it has open: `tabs()` has one of them lead, and all do the same.
 */
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { loadOrCreateSelfKey } from '@libp2p/config'
import { identify, identifyPush } from '@libp2p/identify'
import { peerIdFromString } from '@libp2p/peer-id'
import { webRTC } from '@libp2p/webrtc'
import { webSockets } from '@libp2p/websockets'
import { IDBDatastore } from 'datastore-idb'
import { createLibp2p } from 'libp2p'
import { directSub, sessions, sharedLogs, stayConnected, transfers } from 'libp2p-sheaf'
import { KeyValue } from 'libp2p-sheaf/database'
import { tabs } from 'libp2p-sheaf/tabs'
import { attempt, decode } from './common.ts'
import { Conversation, PROTOCOL } from './conversation.ts'
import { CARD, lead } from './leader.ts'
import type { Kept } from './conversation.ts'
import type { Leader, Shown } from './leader.ts'
import type { PeerId } from '@libp2p/interface'
import type { Profile as Tabs } from 'libp2p-sheaf/tabs'

const STORE = 'libp2p-sheaf-chat'
/** Conversations that are kept open. A guess: a page, not an archive */
const MAX_PEOPLE = 200
const MAX_NAME = 40
const NAME = 'name'
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
}

export interface Profile {
  readonly id: string
  /** Until this person has one, nobody hears of it */
  readonly name?: string
  /** Those who were met, whether they are here or away */
  readonly people: Person[]
  /** How many relays, and people, the leading tab has a connection to at present */
  readonly connections: number
  readonly tabs: Tabs<Leader>
  register (name: string): Promise<void>
  /** May be called twice, and at any time */
  close (): Promise<void>
}

/** Joins the tabs of this person: its key is made at the first visit */
export async function openProfile ({ relays, onChange, direct = true }: ProfileInit): Promise<Profile> {
  const profile = await tabs<Leader>({
    name: STORE,
    openDatastore: async () => {
      const store = new IDBDatastore(STORE)
      await store.open()
      return store
    },
    createNode: async ({ datastore }) => createLibp2p({
      privateKey: await loadOrCreateSelfKey(datastore),
      datastore,
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
        connected: stayConnected(),
        sessions: sessions({ createWorker: () => new Worker('session-worker.js', { type: 'module' }) }),
        logs: sharedLogs(),
        transfers: transfers()
      }
    }),
    methods: (node, options) => lead(node, relays, options)
  })
  const closing = new AbortController()
  const people = new Map<string, Person>()
  let shown: Shown = { connections: 0, here: [], files: {} }
  let name: string | undefined
  let isHere = false
  let me!: PeerId
  let kept!: KeyValue<Kept>

  const leads = (): boolean => profile.state.status === 'leading'

  function meet (id: string): Person | undefined {
    if (!people.has(id) && people.size < MAX_PEOPLE) {
      const conversation = new Conversation({
        profile,
        me,
        peer: peerIdFromString(id),
        onChange,
        keep: async (what, value) => {
          await (value == null ? kept.delete(`${id}/${what}`) : kept.put(`${id}/${what}`, value))
        },
        fileOf: file => shown.files[file]
      })
      people.set(id, { id, name: id.slice(-6), isHere: false, conversation })
      onChange()
    }
    return people.get(id)
  }

  /** What is kept beside the logs is the same in all tabs */
  function onKept (key: string, value?: Kept): void {
    const [id, what] = key.split('/')
    const person = id === me.toString() ? undefined : meet(id)

    if (id === me.toString()) {
      name = String(value)
    } else if (what === NAME) {
      person != null && (person.name = String(value))
    } else {
      person?.conversation.onKept(what, value)
    }

    onChange()
  }

  async function load (): Promise<void> {
    me = await profile.call('whoAmI', undefined, { repeats: true })
    kept = await KeyValue.open(profile.logs, `libp2p-sheaf/chat/kept/${me}`, { confidential: true, replicators: [me] })
    const changes = kept.watch({ signal: closing.signal })

    for await (const { key, value } of kept.entries({ local: true })) {
      onKept(key, value)
    }

    attempt(follow(changes))
  }

  /** As the leading tab sees it, and the next one if it is gone */
  async function watch (name: string): Promise<void> {
    for await (const now of profile.stream('watch', name, { repeats: true, signal: closing.signal })) {
      shown = now
      now.here.forEach(id => { meet(id)?.isHere === false && people.get(id)?.conversation.deliver() })
      people.forEach(person => {
        person.isHere = now.here.includes(person.id)
        person.conversation.onFiles()
      })
      onChange()
    }
  }

  async function follow (changes: AsyncIterable<{ key: string, value?: Kept }>): Promise<void> {
    for await (const { key, value } of changes) {
      onKept(key, value)
      appear()
    }
  }

  /** Once this person has a name, and what is kept is there */
  function appear (): void {
    if (name != null && !isHere) {
      isHere = true
      attempt(watch(name))
    }
  }

  const loading = load()
  // at once: what nobody handles is lost to the page
  profile.sessions.handle(CARD, async ({ from, data }) => {
    await loading
    const called = String(decode(data)).slice(0, MAX_NAME)
    leads() && meet(from.toString())?.name !== called && await kept.put(`${from}/${NAME}`, called)
  })
  profile.sessions.handle(PROTOCOL, async ({ from, data }) => {
    await loading
    meet(from.toString())?.conversation.hear(decode(data))
  })
  await loading
  appear()
  profile.addEventListener('change', () => {
    // what the one before has not delivered
    leads() && people.forEach(({ conversation }) => { conversation.deliver() })
    onChange()
  })

  return {
    id: me.toString(),
    tabs: profile,
    get name () { return name },
    get people () { return [...people.values()] },
    get connections () { return profile.state.status === 'electing' ? 0 : shown.connections },
    register: async called => { await kept.put(`${me}/${NAME}`, called.trim().slice(0, MAX_NAME)) },
    close: async () => {
      closing.abort()
      await profile.stop()
    }
  }
}
