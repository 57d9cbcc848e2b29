import { FailedError, oneLine } from './errors.ts'
import { others } from './log.ts'
import { count } from './text.ts'
import type { LogCommand, WorkContext } from './command.ts'
import type { Event } from './events.ts'

/** Entries that are under way at once: those that wait together are signed together */
const UNDER_WAY = 1_024

/** Milliseconds for which nobody may say that anything is stored */
const ACK_TIMEOUT = 10_000

export const append: LogCommand = {
  takes: '[TEXT ...]',
  about: 'append to a log what is said, or the lines of stdin',
  more: `Appends each TEXT, or else each line of stdin, and prints the ids of the entries, in order, once they are
stored: here, and with --join at another node, too. Where a node runs with the store, it is the one that appends, and
sees to it that others get them. A TEXT that begins with a dash stands behind a '--'.`,
  examples: [
    ["sheaf append 'hello' 'hello again'", 'two entries, to the log of the store in ./data'],
    ['sheaf append --log notes < notes.txt', 'an entry for each line of a file'],
    [
      'sheaf append --store memory --join /ip4/127.0.0.1/tcp/4001 hi',
      'keeps nothing here: another node has it when this ends'
    ]
  ],
  flags: ['log', 'store', 'join', 'json', 'help'],
  isWriting: true,
  isEndless: () => false,
  isKeeping: () => false,
  work,
  words: event => event.type === 'stored' && 'id' in event ? event.id : undefined
}

async function * work (context: WorkContext): AsyncGenerator<Event> {
  const { log, isJoined, options: { total }, input, signal } = context

  if (isJoined && others(log).length === 0) {
    throw new FailedError(`Nobody who was joined keeps '${log.id}', so nothing is appended: ` +
      'is it the --log that they have?')
  }

  const patience = new AbortController()
  const giveUp = AbortSignal.any([signal, patience.signal])
  let begun = 0
  let done = 0
  const timer = setTimeout(() => {
    // whoever types may take his time
    if (begun > done) {
      patience.abort()
    }
  }, ACK_TIMEOUT)
  const begin = async (text: string): Promise<Event> => {
    begun++
    timer.refresh()
    return appendOne(context, text, giveUp)
  }

  try {
    for await (const event of inOrder(input, begin)) {
      timer.refresh()
      yield event
      yield { type: 'progress', what: 'appended', done: ++done, total }
    }
  } catch (err: any) {
    signal.throwIfAborted()
    const before = `${count(done, 'entry', 'entries')} ${done === 1 ? 'is' : 'are'} stored`
    throw new FailedError(patience.signal.aborted
      ? `${before}; of what followed, no other node has said within ${ACK_TIMEOUT / 1_000} s that it has it: ` +
        `${context.store == null ? 'append it again' : `it is in ${context.store}, and goes there when it can`}`
      : `${before}; the next one is not: ${oneLine(err)}`)
  } finally {
    clearTimeout(timer)
  }
}

async function appendOne ({ log, isJoined }: WorkContext, text: string, signal: AbortSignal): Promise<Event> {
  // who runs on sees to the others by itself, and who is alone has nobody
  const { id } = await log.append(new TextEncoder().encode(text), isJoined ? { ack: 1, signal } : {})
  return { type: 'stored', id: id.toString(), others: isJoined ? 1 : 0 }
}

/**
 * Begins with the next ones while the first are under way, and hands out what comes of them as soon as it can, in order
 */
async function * inOrder<T, R> (input: AsyncIterable<T>, start: (item: T) => Promise<R>): AsyncGenerator<R> {
  const items = input[Symbol.asyncIterator]()
  const underWay: Array<Promise<R>> = []
  let next: Promise<IteratorResult<T>> | undefined
  let isEnd = false

  while (!isEnd || underWay.length > 0) {
    if (!isEnd && underWay.length < UNDER_WAY) {
      next ??= items.next()
    }

    const first = underWay[0]?.then(() => undefined)
    const item = await Promise.race([first, next].filter(one => one != null))

    if (item == null) {
      yield await (underWay.shift() as Promise<R>)
      continue
    }

    next = undefined

    if (item.done === true) {
      isEnd = true
    } else {
      const one = start(item.value)
      // whoever waits for it hears of it when its turn comes
      one.catch(() => {})
      underWay.push(one)
    }
  }
}
