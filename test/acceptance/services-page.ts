/**
 * A page with the services of the chat, and nothing to look at: numbered messages over sessions, what became of them,
 * and new keys when a test wants them. The chat's own `openProfile()` starts it.
 */
import type { SessionState, StayConnected } from '../../src/index.ts'
import type { Profile as Tabs } from '../../src/tabs/index.ts'
import type { PeerId } from '@libp2p/interface'

interface Conversation {
  peer: PeerId
  messages: Array<{ text: string, state: string }>
  say (content: { text: string }): Promise<void>
}

interface Profile {
  id: string
  name?: string
  tabs: Tabs
  people: Array<{ id: string, name: string, isHere: boolean, conversation: Conversation }>
  connections: number
  register (name: string): Promise<void>
  close (): Promise<void>
}

interface Chat {
  openProfile (init: unknown): Promise<Profile>
}

export interface Seen {
  /** Of the other side, in the order in which they came */
  heard: number[]
  /** Of those sent here, in the order in which they were said to have arrived */
  delivered: number[]
  /** Why messages, and new keys, failed */
  failed: string[]
  resyncs: string[]
  epochs: number[]
}

export interface ServicesPage {
  /** Resolves to the id of the person, which is made at the first call */
  open (name: string, relays: string[]): Promise<string>
  /** The relays that there are from now on */
  relays (relays: string[]): void
  here (): string[]
  connections (): number
  /** So many messages, from this number on: all at once */
  send (to: string, from: number, count: number): void
  /** Resolves to the epoch, or to why there is none */
  rekey (to: string): void
  seen (): Seen
  /** Through the conversation of the chat, which remembers it. Resolves when it is stored */
  write (to: string, texts: string[]): Promise<void>
  /** What the conversation shows: texts of the other side, and those of this one that are not known to have arrived */
  read (of: string): { heard: string[], queued: string[] }
  state (of: string): SessionState | undefined
  dialled (): ReturnType<StayConnected['diagnostics']>
  close (): Promise<void>
}

const PROTOCOL = 'libp2p-sheaf/acceptance'
const seen: Seen = { heard: [], delivered: [], failed: [], resyncs: [], epochs: [] }
let profile: Profile
let named: string[] = []

function conversationWith (id: string): Conversation {
  const person = profile.people.find(person => person.id === id)

  if (person == null) {
    throw new Error(`nobody has the id ${id}`)
  }

  return person.conversation
}

const page: ServicesPage = {
  open: async (name, relays) => {
    // a script of its own, as the chat's page has it
    const script = './profile.js'
    const chat: Chat = await import(script)
    named = relays
    profile = await chat.openProfile({ relays: async () => named, onChange: () => {}, direct: false })
    const { sessions } = profile.tabs
    sessions.addEventListener('session:epoch', ({ detail: { epoch } }) => { seen.epochs.push(epoch) })
    sessions.addEventListener('session:resync', ({ detail: { reason } }) => { seen.resyncs.push(reason) })
    sessions.handle(PROTOCOL, ({ data }) => {
      seen.heard.push(new DataView(data.buffer, data.byteOffset).getUint32(0))
    })

    // from now on others hear of it
    if (profile.name == null) {
      await profile.register(name)
    }
    return profile.id
  },
  relays: relays => { named = relays },
  here: () => profile.people.filter(({ isHere }) => isHere).map(({ id }) => id),
  connections: () => profile.connections,
  send: (to, from, count) => {
    for (let i = from; i < from + count; i++) {
      const data = new Uint8Array(4)
      new DataView(data.buffer).setUint32(0, i)
      profile.tabs.sessions.send(conversationWith(to).peer, data, { protocol: PROTOCOL }).then(
        () => { seen.delivered.push(i) },
        err => { seen.failed.push(`${i}: ${err.name}`) }
      )
    }
  },
  rekey: to => {
    profile.tabs.sessions.rekey(conversationWith(to).peer).catch(err => { seen.failed.push(`rekey: ${err.name}`) })
  },
  write: async (to, texts) => {
    await Promise.all(texts.map(async text => conversationWith(to).say({ text })))
  },
  read: of => {
    const { messages } = conversationWith(of)
    const textsOf = (state: string): string[] =>
      messages.filter(message => message.state === state).map(({ text }) => text)
    return { heard: textsOf('received'), queued: textsOf('queued') }
  },
  seen: () => seen,
  state: of => {
    const { peerId, ...state } = profile.tabs.node?.services.sessions.state(conversationWith(of).peer) ?? {}
    return state as SessionState
  },
  dialled: () => profile.tabs.node?.services.connected.diagnostics(),
  close: async () => profile.close()
}

Object.assign(globalThis, { page })
