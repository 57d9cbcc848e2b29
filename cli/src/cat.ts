import { compare } from 'uint8arrays/compare'
import { caughtUp } from './catching-up.ts'
import { FailedError } from './errors.ts'
import { bytesOf, entryEvent, textOf } from './events.ts'
import { keptHere, others } from './log.ts'
import { count, percent, printable } from './text.ts'
import type { LogCommand, WorkContext } from './command.ts'
import type { Event } from './events.ts'
import type { Entry, SharedLog } from 'libp2p-sheaf'

/** Entries that may wait for whoever reads what is followed */
const MAX_WAITING = 65_536

export const cat: LogCommand = {
  about: 'print a log, and with -f what arrives',
  more: `Prints the entries of a log in its order, which is the same at all nodes: a line each, as it was appended. With
--join it first catches up with the nodes that are joined; with --store memory, or where there is no store, it reads
from them and keeps nothing.`,
  examples: [
    ['sheaf cat', 'what is in ./data, whether a node runs with it or not'],
    ['sheaf cat -f --last 10 --log notes', 'the last ten lines, and what arrives from now on'],
    ['sheaf cat --json --store memory --join /ip4/127.0.0.1/tcp/4001', 'with authors and times, from another node']
  ],
  flags: ['log', 'store', 'join', 'last', 'follow', 'raw', 'json', 'help'],
  isWriting: false,
  isEndless: ({ follow }) => follow,
  // only what is kept here arrives by itself
  isKeeping: ({ follow }) => follow,
  work,
  words: (event, { raw }) => {
    if (event.type === 'entry' && raw) {
      return bytesOf(event)
    }
    if (event.type === 'entry') {
      return process.stdout.isTTY ? printable(textOf(event)) : textOf(event)
    }
  }
}

async function * work ({ node, log, isJoined, options: { follow, last }, signal }: WorkContext): AsyncGenerator<Event> {
  const arriving = follow ? new Arriving(log) : undefined

  if (isJoined && others(log).length === 0) {
    throw new FailedError(`Nobody who was joined keeps '${log.id}': is it the --log that they have?`)
  }
  if (isJoined && keptHere(log) > 0) {
    yield * caughtUp(log, signal)
  }

  let isEmpty = true
  /** Of those that are to be shown, the ones read so far; undefined: all are */
  const tail: Entry[] | undefined = last == null ? undefined : []

  for await (const entry of last != null && keptHere(log) === 1 ? lastOf(log, last, signal) : all(log, signal)) {
    isEmpty = false
    arriving?.shown(entry)

    if (tail == null) {
      yield entryEvent(entry, node.peerId)
    } else {
      tail.push(entry)
      tail.length > (last ?? 0) && tail.shift()
    }
  }

  yield * (tail ?? []).map(entry => entryEvent(entry, node.peerId))

  if (isEmpty && last !== 0) {
    yield { type: 'note', message: `Nothing is in '${log.id}' yet: is it the --log that was meant?` }
  }
  if (arriving != null) {
    if (keptHere(log) < 1) {
      yield {
        type: 'note',
        message: `This node is to keep ${percent(keptHere(log))} of the entries: only those are shown as they arrive`
      }
    }
    for await (const entry of arriving.read(signal)) {
      yield entryEvent(entry, node.peerId)
    }
  }
}

/** Without reading what comes before it. All is here */
async function * lastOf (log: SharedLog, count: number, signal: AbortSignal): AsyncGenerator<Entry> {
  const entries: Entry[] = []

  for await (const entry of count > 0 ? log.entries({ reverse: true, signal }) : []) {
    entries.push(entry)

    if (entries.length === count) {
      break
    }
  }
  yield * entries.reverse()
}

/** What is here, and between it what only others have */
async function * all (log: SharedLog, signal: AbortSignal): AsyncGenerator<Entry> {
  const elsewhere: Entry[] = []
  let isAll = true

  try {
    // it comes in another order, so it is put in order here
    for await (const entry of keptHere(log) < 1 ? log.elsewhere({ signal }) : []) {
      elsewhere.push(entry)
    }
  } catch (err: any) {
    if (err.name !== 'NoReplicatorError') {
      throw err
    }
    isAll = false
  }

  elsewhere.sort(order)
  let next = 0

  for await (const entry of log.entries({ signal })) {
    while (next < elsewhere.length && order(elsewhere[next], entry) < 0) {
      yield elsewhere[next++]
    }
    if (next < elsewhere.length && elsewhere[next].id.equals(entry.id)) {
      next++
    }
    yield entry
  }

  yield * elsewhere.slice(next)

  if (!isAll) {
    throw new FailedError(`That is not all: ${percent(1 - keptHere(log))} of the entries are for others to keep, ` +
      'and nobody shows all of those. --join somebody who keeps them')
  }
}

/** The order of the log */
function order (a: Entry, b: Entry): number {
  return Number(a.clock.time - b.clock.time) || a.clock.counter - b.clock.counter || compare(a.id.bytes, b.id.bytes)
}

/** What arrives while it is read: kept by name, and fetched when its turn comes */
class Arriving {
  readonly #log: SharedLog
  readonly #ids = new Map<string, Entry['id']>()
  #wake = Promise.withResolvers<void>()
  readonly #onAdd = ({ detail: { entry: { id } } }: CustomEvent<{ entry: Entry }>): void => {
    this.#ids.set(id.toString(), id)
    this.#wake.resolve()
  }

  constructor (log: SharedLog) {
    this.#log = log
    log.addEventListener('entry:add', this.#onAdd)
  }

  /** It was among those that were here */
  shown ({ id }: Entry): void {
    // most have not arrived just now: then there is no need to write the name
    if (this.#ids.size > 0) {
      this.#ids.delete(id.toString())
    }
  }

  /** Until the signal says otherwise */
  async * read (signal: AbortSignal): AsyncGenerator<Entry> {
    const stop = (): void => { this.#wake.resolve() }
    signal.addEventListener('abort', stop)

    try {
      while (!signal.aborted) {
        for (const [name, id] of this.#ids) {
          if (this.#ids.size > MAX_WAITING) {
            throw new FailedError(`${count(this.#ids.size, 'entry', 'entries')} wait for whoever reads this: ` +
              'begin again with one that is faster')
          }

          this.#ids.delete(name)
          const entry = await this.#log.get(id)

          // it may be with others by now
          if (entry != null) {
            yield entry
          }
        }

        this.#wake = Promise.withResolvers()

        if (this.#ids.size === 0 && !signal.aborted) {
          await this.#wake.promise
        }
      }
    } finally {
      signal.removeEventListener('abort', stop)
      this.#log.removeEventListener('entry:add', this.#onAdd)
    }
  }
}
