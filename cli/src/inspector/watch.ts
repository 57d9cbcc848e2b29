import { mailboxes } from 'libp2p-sheaf'
import { statusOf } from '../safety.ts'
import { previewOf } from './core/words.ts'
import { Lag } from './lag.ts'
import type { EntryFact, Facts, ProgressFact } from './core/facts.ts'
import type { Libp2p, PeerId } from '@libp2p/interface'
import type { DirectSub, Entry, Sessions, SharedLog, StayConnected, Transfers } from 'libp2p-sheaf'

/** What the page is about */
export interface Source {
  node: Libp2p<{ connected: StayConnected, pubsub: DirectSub, transfers: Transfers, sessions?: Sessions }>
  log: SharedLog
  /** Undefined: in memory */
  store?: string
  /** Milliseconds since 1970 */
  startedAt: number
}

/** The latest entries that the page shows */
const ENTRIES = 8

/** Milliseconds for which it is shown that entries come from a peer, after the last one that came */
const RUN_SHOWN = 5_000

/** Peers from which entries come at the same time, as far as that is shown. A guess */
const MAX_RUNS = 50

/** Reasons are few, but some carry names */
const MAX_REASONS = 50

/**
 * Looks at a node while somebody looks at the page. What it costs, it costs only then: it listens to the log, measures
 * the event loop, and reads entries
 */
export class Watch {
  readonly #source: Source
  readonly #lag = new Lag()
  readonly #entries: EntryFact[] = []
  /** Those that came since the last look: nobody reads the others of a burst */
  #arrived: Entry[] = []
  readonly #runs = new Map<string, ProgressFact & { at: number }>()

  static async open (source: Source): Promise<Watch> {
    const watch = new Watch(source)

    try {
      await watch.#readLatest()
      return watch
    } catch (err) {
      watch.close()
      throw err
    }
  }

  private constructor (source: Source) {
    this.#source = source
    source.log.addEventListener('entry:add', this.#onAdd)
    source.log.addEventListener('sync:progress', this.#onProgress)
  }

  close (): void {
    this.#lag.stop()
    this.#source.log.removeEventListener('entry:add', this.#onAdd)
    this.#source.log.removeEventListener('sync:progress', this.#onProgress)
  }

  /** Throws a LogClosedError once the log is closed */
  look (): Facts {
    const { node, log, store, startedAt } = this.#source
    const { pubsub, connected, transfers, sessions } = node.services
    const now = Date.now()
    const diagnostics = log.diagnostics()
    const signals = pubsub.diagnostics()
    this.#show(this.#arrived.splice(0))

    return {
      now,
      startedAt,
      addresses: node.getMultiaddrs().map(address => address.toString()),
      status: statusOf({ log, self: node.peerId, store, isRunning: true }),
      logProblems: diagnostics.log.problems.map(({ message }) => message),
      segments: log.replicators().map(({ peerId, segments }) => ({ peer: peerId.toString(), segments })),
      present: diagnostics.peers.map(named),
      neighbours: signals.peers.map(neighbourOf),
      connections: node.getConnections().map(({ remotePeer, direction, limits }) => ({
        peer: remotePeer.toString(), isOutbound: direction === 'outbound', isLimited: limits != null
      })),
      known: connected.diagnostics().peers,
      progress: this.#progress(now),
      entries: [...this.#entries],
      sessions: sessions == null ? undefined : sessionsOf(sessions),
      transfers: transfers.diagnostics().transfers.map(named),
      mailboxes: mailboxes(),
      lag: this.#lag.read(),
      dropped: [
        ...reasons('DirectSub', signals.dropped),
        ...reasons('the log', diagnostics.log.dropped),
        ...reasons('replication', diagnostics.dropped),
        ...reasons('transfers', transfers.diagnostics().dropped),
        ...reasons('sessions', sessions?.diagnostics().dropped ?? {})
      ]
    }
  }

  /** Those that were there before somebody looked */
  async #readLatest (): Promise<void> {
    const latest: Entry[] = []

    for await (const entry of this.#source.log.entries({ reverse: true })) {
      latest.unshift(entry)

      if (latest.length === ENTRIES) {
        break
      }
    }

    this.#show(latest)
  }

  #show (entries: Entry[]): void {
    const shown = new Set(this.#entries.map(({ id }) => id))
    const self = this.#source.node.peerId
    this.#entries.push(...entries.map(entry => entryOf(entry, self)).filter(({ id }) => !shown.has(id)))
    this.#entries.splice(0, Math.max(0, this.#entries.length - ENTRIES))
  }

  #progress (now: number): ProgressFact[] {
    for (const [peer, { at }] of this.#runs) {
      if (now - at > RUN_SHOWN) {
        this.#runs.delete(peer)
      }
    }

    return [...this.#runs.values()].map(({ peer, done, total }) => ({ peer, done, total }))
  }

  readonly #onAdd = ({ detail: { entry } }: CustomEvent<{ entry: Entry }>): void => {
    this.#arrived.push(entry)

    // a hundred thousand a second may come: those at the front are let go of now and then
    if (this.#arrived.length >= 4 * ENTRIES) {
      this.#arrived = this.#arrived.slice(-ENTRIES)
    }
  }

  readonly #onProgress = (
    { detail: { peerId, done, total } }: CustomEvent<{ peerId: PeerId, done: number, total: number }>
  ): void => {
    const peer = peerId.toString()

    if (this.#runs.has(peer) || this.#runs.size < MAX_RUNS) {
      this.#runs.set(peer, { peer, done, total, at: Date.now() })
    }
  }
}

function named <T extends { peerId: PeerId }> ({ peerId, ...rest }: T): Omit<T, 'peerId'> & { peer: string } {
  return { ...rest, peer: peerId.toString() }
}

function neighbourOf (
  { peerId, status, ...sizes }: ReturnType<DirectSub['diagnostics']>['peers'][number]
): Facts['neighbours'][number] {
  const size = (name: string): number => Number(sizes[name] ?? 0)
  return {
    peer: peerId.toString(),
    status,
    control: size('control'),
    data: size('data'),
    bulk: size('bulk'),
    repair: size('repair'),
    waiting: size('waiting'),
    inFlight: size('inFlight'),
    faults: size('faults')
  }
}

/** Without the names of keys: a page has no use for them */
function sessionsOf (sessions: Sessions): Facts['sessions'] {
  const { peers, ...rest } = sessions.diagnostics()
  return { ...rest, peers: peers.map(({ key, ...session }) => named(session)) }
}

/** Reads the data once: each read copies it */
function entryOf (entry: Entry, self: PeerId): EntryFact {
  const { id, author, clock, data } = entry
  return {
    id: id.toString(),
    author: author.toString(),
    own: author.equals(self),
    time: Number(clock.time),
    size: data.byteLength,
    text: previewOf(data)
  }
}

function reasons (part: string, counts: Record<string, number>): Facts['dropped'] {
  return Object.entries(counts).slice(0, MAX_REASONS).map(([reason, count]) => ({ part, reason, count }))
}
