import { safetyInWords, safetyOf, statusOf } from './safety.ts'
import { bytesInWords, count, inLines, percent, ringInWords, short, WIDTH } from './text.ts'
import type { LogCommand, WorkContext } from './command.ts'
import type { Event, StatusEvent } from './events.ts'
import type { SharedLog } from 'libp2p-sheaf'

/**
 * Milliseconds for which nobody new may be heard of until those are all: some are only known through others. A guess
 */
const QUIET = 500

/** Where what is said begins, behind the name of it */
const NAME_COLUMN = 12

export const status: LogCommand = {
  about: 'what is in a log, who keeps it, and whether it is safe',
  more: `Says how much is in a log, who keeps which share of it, with whom it was compared, and whether every entry has
as many copies as it should. It asks the node that runs with the store; where none runs, it looks at the store alone,
and can tell of nobody else. With --join and without a store it says what can be seen of a log from outside.`,
  examples: [
    ['sheaf status', 'of the log in ./data'],
    ['sheaf status --store ./data2', 'of another node on this machine'],
    ['sheaf status --store memory --join /ip4/127.0.0.1/tcp/4001', 'of a log that others keep']
  ],
  flags: ['log', 'store', 'join', 'json', 'help'],
  isWriting: false,
  isEndless: () => false,
  isKeeping: () => false,
  work,
  words: event => event.type === 'status' ? inWords(event) : undefined
}

async function * work ({ node, log, store, isJoined, isRunning, signal }: WorkContext): AsyncGenerator<Event> {
  if (isJoined) {
    await introduced(log, signal)
  }

  yield statusOf({ log, self: node.peerId, store, isRunning })
}

/** Resolves when those who were joined have told of the others */
async function introduced (log: SharedLog, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, QUIET)
  const onJoin = (): void => { timer.refresh() }
  const onAbort = (): void => { reject(signal.reason) }
  log.addEventListener('replicator:join', onJoin)
  signal.addEventListener('abort', onAbort)

  try {
    await promise
  } finally {
    clearTimeout(timer)
    log.removeEventListener('replicator:join', onJoin)
    signal.removeEventListener('abort', onAbort)
  }
}

function inWords (event: StatusEvent): string {
  return [
    `'${event.log}' ${whereOf(event)}`,
    ...row('Here', event.store == null
      ? ['nothing: this is how it looks from outside']
      : [`${count(event.length, 'entry', 'entries')}, ${bytesInWords(event.bytes)}, ${count(event.heads, 'head')}`]),
    ...row('Kept by', event.replicators.length === 0 ? ['nobody who is here'] : event.replicators.map(keeperInWords)),
    ...row('Compared', event.peers.length === 0 ? ['with nobody'] : event.peers.map(comparedInWords)),
    ...row('Safe?', [safetyInWords(safetyOf(event))]),
    ...row('Mind', event.problems)
  ].join('\n')
}

function whereOf ({ store, running, peer }: StatusEvent): string {
  if (running) {
    return `in ${store}, at ${short(peer)}, which runs`
  }
  return store == null ? 'as others tell of it' : `in ${store}; no node runs with it`
}

/** A name, and behind it lines of which each begins in the same column */
function row (name: string, lines: string[]): string[] {
  return lines.flatMap(line => inLines(line, WIDTH - NAME_COLUMN))
    .map((line, i) => `  ${i === 0 ? name : ''}`.padEnd(NAME_COLUMN) + line)
}

function keeperInWords ({ peer, self, state, here, ring, entries }: StatusEvent['replicators'][number]): string {
  const what = ring === 1
    ? ringInWords(ring)
    : `${ringInWords(ring)}, so ${entries === 1 ? 'all' : percent(entries)} of the entries`
  const news = state === 'mature' ? '' : '; it has just come'
  return `${short(peer)}${self ? ' (this one)' : ''}: ` +
    `${what}${here ? news : '; it was lost just now, and is waited for'}`
}

function comparedInWords ({ peer, equalAt, missing }: StatusEvent['peers'][number]): string {
  if (missing > 0) {
    return `${short(peer)} has ${count(missing, 'entry', 'entries')} that ${missing === 1 ? 'is' : 'are'} not here yet`
  }
  return equalAt == null
    ? `${short(peer)}: not yet`
    : `${short(peer)} has the same, ${count(Math.max(0, Math.round((Date.now() - equalAt) / 1_000)), 'second')} ago`
}
