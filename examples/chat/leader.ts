/**
 * What the tab that leads does for all tabs, as it has the node: it says that this person is here, sees who else is,
 * looks for relays, and moves files. Each tab asks for it by `call()` and `stream()`.
 */
import { Changes, encode } from './common.ts'
import { Files } from './files.ts'
import type { FileState, Outgoing } from './files.ts'
import type { Libp2p, PeerId } from '@libp2p/interface'
import type { DirectSub, Sessions, SharedLogs, StayConnected, Transfers } from 'libp2p-sheaf'

/** Who is on this topic is here. Names are not said on it: they go to each one sealed, so relays do not know them */
const PEOPLE = 'libp2p-sheaf/chat/people'
/** Of sessions: somebody says its name */
export const CARD = 'libp2p-sheaf/chat/card'
/** Milliseconds between two looks for the list of relays while none is connected */
const RELAYS_AGAIN = 3000

export type Services = {
  pubsub: DirectSub
  connected: StayConnected
  sessions: Sessions
  logs: SharedLogs
  transfers: Transfers
}

interface Options {
  signal: AbortSignal
}

/** What all tabs show alike */
export interface Shown {
  /** To how many relays, and people, there is a connection */
  connections: number
  /** The ids of those who are here */
  here: string[]
  files: Record<string, FileState>
}

/** What a tab can ask for */
export type Leader = {
  whoAmI (arg: undefined): Promise<PeerId>
  /** This person is here, under its name, and sees who else is: what is so now, and again when it changes */
  watch (name: string, options: Options): AsyncGenerator<Shown>
  /** Resolves when the other side has all of the file */
  send (file: Outgoing, options: Options): Promise<void>
  /** Yields how much of `have` is right, and then the rest of the file */
  receive (file: { id: string, have: Blob }, options: Options): AsyncGenerator<number | Uint8Array>
  stop (id: string): Promise<void>
}

/**
 * `relays`: asked when this person is here, and again while none is connected. `signal` aborts when another tab leads
 */
export function lead (node: Libp2p<Services>, relays: () => Promise<string[]>, { signal: leading }: Options): Leader {
  const { pubsub, connected, sessions, transfers } = node.services
  const changes = new Changes()
  const files = new Files(transfers, changes, leading)
  const known = new Set<string>()
  let name: string | undefined

  /** Said again whenever the other side is back, so nobody waits for it */
  const introduce = (peers = pubsub.getSubscribers(PEOPLE)): void => {
    peers.forEach(peerId => { name != null && sessions.send(peerId, encode(name), { protocol: CARD }).catch(() => {}) })
  }

  /** A relay that is not named any more is looked for no more, and a new one is */
  const look = async (): Promise<void> => {
    const named = await relays()
    known.forEach(relay => { named.includes(relay) || connected.remove(relay) })
    named.forEach(relay => { known.has(relay) || connected.add(relay) })
    known.clear()
    named.forEach(relay => known.add(relay))
  }
  const lookAgain = (): void => {
    look().catch(() => {
      // who says which relays there are is away, too: those that are known stay so
    })
  }

  pubsub.addEventListener('subscription-change', ({ detail: { peerId, subscriptions } }) => {
    subscriptions.some(({ topic, subscribe }) => topic === PEOPLE && subscribe) && introduce([peerId])
    changes.tell()
  })
  node.addEventListener('connection:open', () => { changes.tell() })
  node.addEventListener('connection:close', () => { changes.tell() })

  return {
    whoAmI: async () => node.peerId,
    watch: async function * (called, { signal }) {
      if (name == null) {
        name = called
        lookAgain()
        const looking = setInterval(() => { pubsub.getPeers().length === 0 && lookAgain() }, RELAYS_AGAIN)
        leading.addEventListener('abort', () => { clearInterval(looking) })
        // resolves when the neighbours know it, which nobody waits for
        pubsub.subscribe(PEOPLE).catch(() => {})
      }

      for (;;) {
        const change = changes.next(signal)
        // it is waited for below
        change.catch(() => {})
        yield {
          connections: pubsub.getPeers().length,
          here: pubsub.getSubscribers(PEOPLE).map(String),
          files: files.states
        }
        await change
      }
    },
    send: async (file, options) => files.send(file, options),
    receive: (file, options) => files.receive(file, options),
    stop: async id => { files.stop(id) }
  }
}
