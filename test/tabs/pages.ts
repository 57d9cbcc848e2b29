/**
 * What a page of pages.node.ts can do with a profile, whose store lies in the IndexedDB that all pages share
 */
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { loadOrCreateSelfKey } from '@libp2p/config'
import { identify } from '@libp2p/identify'
import { peerIdFromString } from '@libp2p/peer-id'
import { webSockets } from '@libp2p/websockets'
import { multiaddr } from '@multiformats/multiaddr'
import { IDBDatastore } from 'datastore-idb'
import { createLibp2p } from 'libp2p'
import { toString } from 'uint8arrays/to-string'
import { Documents, KeyValue } from '../../src/database/index.ts'
import { directSub, sessions, sharedLogs } from '../../src/index.ts'
import { encodeString } from '../../src/runtime/codec.ts'
import { tabs } from '../../src/tabs/index.ts'
import type { SharedLog } from '../../src/index.ts'
import type { Profile } from '../../src/tabs/index.ts'

interface Post {
  id: string
  author: string
}

export interface TabPage {
  /** `address`: of a peer that the node dials */
  open (address?: string): Promise<void>
  status (): string
  append (words: string[]): Promise<void>
  /** Begins to append, each by itself; `settled` says what became of it */
  beginToAppend (words: string[]): void
  beginToSend (peer: string, words: string[]): void
  settled (): Promise<string[]>
  /** How many have an outcome */
  countSettled (): number
  read (): Promise<string[]>
  put (key: string, value: string): Promise<void>
  get (key: string): Promise<string | undefined>
  putPost (post: Post): Promise<void>
  postsOf (author: string): Promise<string[]>
  /** Stands still, as a page does whose script does not end */
  block (ms: number): void
  stop (): Promise<void>
}

let profile: Profile
let log: SharedLog
let users: KeyValue<string>
let posts: Documents<Post>
let outcomes: Array<Promise<string>> = []
let countSettled = 0

function note (work: Promise<unknown>): void {
  outcomes.push(work.then(() => 'done', (err: Error) => `${err.name}: ${err.message}`).finally(() => { countSettled++ }))
}

const page: TabPage = {
  open: async address => {
    profile = await tabs({
      name: 'pages',
      openDatastore: async () => {
        const datastore = new IDBDatastore('pages')
        await datastore.open()
        return datastore
      },
      createNode: async ({ datastore }) => {
        const node = await createLibp2p({
          datastore,
          privateKey: await loadOrCreateSelfKey(datastore),
          transports: [webSockets()],
          connectionEncrypters: [noise()],
          streamMuxers: [yamux()],
          connectionGater: { denyDialMultiaddr: () => false },
          services: { identify: identify(), pubsub: directSub(), sessions: sessions(), logs: sharedLogs() }
        })
        if (address != null) {
          // what is sent waits for the peer
          node.dial(multiaddr(address)).catch(() => {})
        }
        return node
      }
    })
    log = await profile.logs.open('notes')
  },
  status: () => profile.state.status,
  append: async words => {
    await Promise.all(words.map(async word => log.append(encodeString(word))))
  },
  beginToAppend: words => {
    words.forEach(word => { note(log.append(encodeString(word))) })
  },
  beginToSend: (peer, words) => {
    words.forEach(word => { note(profile.sessions.send(peerIdFromString(peer), encodeString(word))) })
  },
  settled: async () => {
    const all = await Promise.all(outcomes)
    outcomes = []
    countSettled = 0
    return all
  },
  countSettled: () => countSettled,
  read: async () => {
    const all: string[] = []
    for await (const { data } of log.entries()) {
      all.push(toString(data))
    }
    return all
  },
  put: async (key, value) => {
    users ??= await KeyValue.open<string>(profile.logs, 'users')
    await users.put(key, value)
  },
  get: async key => {
    users ??= await KeyValue.open<string>(profile.logs, 'users')
    return users.get(key)
  },
  putPost: async post => {
    posts ??= await Documents.open<Post>(profile.logs, 'posts', { indexes: ['author'] })
    await posts.put(post)
  },
  postsOf: async author => {
    posts ??= await Documents.open<Post>(profile.logs, 'posts', { indexes: ['author'] })
    const ids: string[] = []
    for await (const { id } of posts.query({ where: { author } })) {
      ids.push(id)
    }
    return ids.sort()
  },
  block: ms => {
    setTimeout(() => {
      const end = Date.now() + ms
      while (Date.now() < end) {
        // as long as it takes
      }
    })
  },
  stop: async () => profile.stop()
}

Object.assign(globalThis, { page })
