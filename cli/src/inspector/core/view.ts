import { safetyOf } from '../../safety.ts'
import { bytesInWords, count, percent, short } from '../../text.ts'
import { peersOf } from './peers.ts'
import { ringOf } from './ring.ts'
import { ownerInWords, sentence, timeInWords, visible } from './words.ts'
import type { EntryFact, Facts } from './facts.ts'
import type { Level, PeerView } from './peers.ts'
import type { RingView } from './ring.ts'
import type { Safety } from '../../safety.ts'

export interface SyncView {
  peer: string
  name: string
  level: Level
  words: string
  /** From 0 to 1; missing: nobody knows how much there is to come */
  done?: number
}

export interface SessionView {
  peer: string
  name: string
  epoch: number
  /** What happens to its key */
  round: string
  connected: boolean
  queued: string
  problem?: string
}

export interface TransferView {
  id: string
  peer: string
  name: string
  direction: string
  state: string
  words: string
  done?: number
}

export interface MailboxView {
  name: string
  owner: string
  depth: number
  age: number
  longest: number
}

export interface EntryView extends EntryFact {
  name: string
  bytes: string
}

/** The page, without its looks: words to show, and shares to draw */
export interface View {
  log: string
  node: { peer: string, name: string, addresses: string[], store: string, uptime: string }
  safety: { level: Level, answer: string, why: string }
  /** What is not as it should be, or good to know */
  problems: string[]
  numbers: Array<{ name: string, value: string }>
  ring: RingView & { words: string }
  peers: PeerView[]
  hiddenPeers: number
  /** Peers that this node would like to be connected to, and is not */
  missing: Array<{ name: string, words: string }>
  sync: SyncView[]
  entries: EntryView[]
  sessions?: { mode: string, crypto: string, problem?: string, peers: SessionView[], hidden: number }
  transfers: TransferView[]
  mailboxes: MailboxView[]
  hiddenMailboxes: number
  lag?: { median: number, longest: number }
  dropped: Facts['dropped']
}

/** Rows of one table, at most: who looks for one among more of them asks `--json` or the metrics */
const MAX_ROWS = 50

const LEVELS: Record<Safety['answer'], Level> = {
  yes: 'good', 'by what others say, yes': 'wait', 'not yet': 'wait', 'not quite': 'wait', no: 'bad', unknown: 'idle'
}

export function viewOf (facts: Facts): View {
  const { status, addresses, mailboxes } = facts
  const { rows, hidden } = peersOf(facts)
  const ring = ringView(facts)
  const problems = [...status.problems, ...facts.logProblems].map(problem => sentence(visible(problem)))

  return {
    log: visible(status.log),
    node: {
      peer: status.peer,
      name: short(status.peer),
      addresses,
      store: status.store == null ? 'in memory, and gone when this ends' : visible(status.store),
      uptime: timeInWords(facts.now - facts.startedAt)
    },
    safety: safetyView(safetyOf(status), problems),
    problems: problems.slice(0, MAX_ROWS),
    numbers: numbersOf(facts, ring),
    ring,
    peers: rows,
    hiddenPeers: hidden,
    missing: missingOf(facts).slice(0, MAX_ROWS),
    sync: syncOf(facts).slice(0, MAX_ROWS),
    entries: facts.entries.map(entry => ({
      ...entry, name: entry.own ? 'this node' : short(entry.author), bytes: bytesInWords(entry.size)
    })).reverse(),
    sessions: sessionsOf(facts.sessions),
    transfers: facts.transfers.slice(0, MAX_ROWS).map(transferView),
    mailboxes: [...mailboxes].sort((a, b) => b.depth - a.depth || b.age - a.age).slice(0, MAX_ROWS)
      .map(({ name, owner, depth, age, longest }) => ({
        name, owner: visible(ownerInWords(owner)), depth, age: Math.round(age), longest: Math.round(longest)
      })),
    hiddenMailboxes: Math.max(0, mailboxes.length - MAX_ROWS),
    lag: facts.lag,
    dropped: facts.dropped.slice(0, MAX_ROWS)
  }
}

function safetyView ({ answer, why }: Safety, problems: string[]): View['safety'] {
  return {
    level: LEVELS[answer],
    answer: answer.charAt(0).toUpperCase() + answer.slice(1),
    why: answer === 'not quite'
      ? `There ${problems.length === 1 ? 'is one thing' : `are ${problems.length} things`} to look at, listed below.`
      : sentence(why)
  }
}

function numbersOf ({ status }: Facts, { copies }: RingView): View['numbers'] {
  const here = status.replicators.filter(({ here }) => here).length
  const number = (value: number): string => value.toLocaleString('en')
  return [
    { name: status.length === 1 ? 'entry here' : 'entries here', value: number(status.length) },
    { name: 'of entries', value: bytesInWords(status.bytes) },
    { name: here === 1 ? 'replicator' : 'replicators', value: number(here) },
    {
      name: `${copies === 1 ? 'copy' : 'copies'} at least, ${status.wanted} wanted`,
      value: number(copies)
    }
  ]
}

function ringView ({ status, segments, present }: Facts): View['ring'] {
  const failing = new Set(present.filter(({ failing }) => failing != null).map(({ peer }) => peer))
  const here = new Map(status.replicators.map(({ peer, here }) => [peer, here]))
  const ring = ringOf(segments.map(({ peer, segments }) => ({
    peer, segments, counts: here.get(peer) === true && !failing.has(peer)
  })).sort((a, b) => a.peer < b.peer ? -1 : 1), status.wanted)
  const thin = ring.shares.filter(({ copies }) => copies < ring.wanted).reduce((sum, { share }) => sum + share, 0)

  return {
    ...ring,
    words: thin === 0
      ? `All entries have at least ${count(ring.copies, 'copy', 'copies')}.`
      : `${percent(thin)} of the entries have fewer than ${ring.wanted} copies.`
  }
}

function missingOf ({ known }: Facts): View['missing'] {
  const looked = known.filter(({ isKnown, state }) => isKnown && state !== 'connected')

  return looked.map(({ name, state, failures, retryIn }) => ({
    name: visible(name),
    words: state === 'dialling'
      ? 'is being dialled'
      : `did not answer ${count(failures, 'time')}; the next try is in ${timeInWords(retryIn)}`
  }))
}

function syncOf ({ now, status, progress }: Facts): SyncView[] {
  const under = new Map(progress.map(item => [item.peer, item]))
  const peers = status.peers.map(({ peer, equalAt, missing }): SyncView => {
    const run = under.get(peer)
    under.delete(peer)

    if (run != null) {
      return runView(run)
    }
    if (missing > 0) {
      return {
        peer,
        name: short(peer),
        level: 'wait',
        words: `has ${count(missing, 'entry', 'entries')} that ${missing === 1 ? 'is' : 'are'} not here yet`,
        done: status.length / (status.length + missing)
      }
    }
    return equalAt == null
      ? { peer, name: short(peer), level: 'wait', words: 'not compared yet' }
      : { peer, name: short(peer), level: 'good', words: `the same, ${timeInWords(now - equalAt)} ago`, done: 1 }
  })

  return [...peers, ...[...under.values()].map(runView)]
}

function runView ({ peer, done, total }: Facts['progress'][number]): SyncView {
  return {
    peer,
    name: short(peer),
    level: 'wait',
    words: `${done.toLocaleString('en')} of ${count(total, 'entry', 'entries')} fetched`,
    done: shareDone(done, total)
  }
}

const shareDone = (done: number, total: number): number => total === 0 ? 1 : done / total

const ROUNDS: Record<string, string> = {
  leader: 'this node asks for a new key', loser: 'the peer asks for a new key', idle: 'none', closed: 'closed'
}

function sessionsOf (sessions: Facts['sessions']): View['sessions'] {
  if (sessions == null) {
    return undefined
  }

  const { mode, crypto, problem, peers } = sessions
  return {
    mode,
    crypto: `${crypto.by}${crypto.waiting === 0 ? '' : `, ${crypto.waiting} waiting`}`,
    problem: problem == null ? undefined : sentence(visible(problem)),
    peers: peers.slice(0, MAX_ROWS).map(({ peer, epoch, role, isConnected, queued, problem }) => ({
      peer,
      name: short(peer),
      epoch,
      round: ROUNDS[role] ?? role,
      connected: isConnected,
      queued: queued.messages === 0
        ? 'nothing'
        : `${count(queued.messages, 'message')}, ${bytesInWords(queued.bytes)}`,
      problem: problem == null ? undefined : sentence(visible(problem))
    })),
    hidden: Math.max(0, peers.length - MAX_ROWS)
  }
}

function transferView ({ id, peer, direction, state, bytes, size }: Facts['transfers'][number]): TransferView {
  return {
    id: visible(id),
    peer,
    name: short(peer),
    direction: direction === 'in' ? 'from' : 'to',
    state,
    words: size == null ? bytesInWords(bytes) : `${bytesInWords(bytes)} of ${bytesInWords(size)}`,
    done: size == null ? undefined : shareDone(bytes, size)
  }
}
