import { NoLocksError } from './errors.ts'

/** The Web Locks of an origin, as much of them as is used. A lock ends with the tab that holds it */
export interface Locks {
  /**
   * Calls `hold` when the lock is free, or at once with `steal`, and holds it until that resolves. Rejects with an
   * AbortError when somebody steals it, or the signal aborts before it was granted
   */
  request (name: string, options: { steal?: boolean, signal?: AbortSignal }, hold: () => Promise<void>): Promise<void>
  /** Names of all locks that are held */
  held (): Promise<string[]>
}

/** Where messages of one name come from, and go to */
export interface Channel {
  post (message: unknown): void
  close (): void
}

/** What tabs share */
export interface Ports {
  locks: Locks
  /** `onMessage` gets what others post under this name, in the order of each of them, and nothing of our own */
  channel (name: string, onMessage: (message: any) => void): Channel
}

/** Those of the browser. Throws a NoLocksError where there are none */
export function browserPorts (): Ports {
  const { navigator, BroadcastChannel } = globalThis

  if (navigator?.locks == null || BroadcastChannel == null) {
    throw new NoLocksError('Tabs share a node by Web Locks and a BroadcastChannel, which are not here: ' +
      'browsers have them in pages from https, and from localhost')
  }

  return {
    locks: {
      request: async (name, options, hold) => {
        await navigator.locks.request(name, options, async () => hold())
      },
      held: async () => ((await navigator.locks.query()).held ?? []).map(({ name = '' }) => name)
    },
    channel: (name, onMessage) => {
      const channel = new BroadcastChannel(name)
      channel.onmessage = ({ data }) => { onMessage(data) }
      return {
        post: message => { channel.postMessage(message) },
        close: () => { channel.close() }
      }
    }
  }
}
