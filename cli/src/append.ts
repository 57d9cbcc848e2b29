import { FailedError, oneLine } from './errors.ts'
import { others } from './log.ts'
import { count } from './text.ts'
import type { LogCommand, WorkContext } from './command.ts'
import type { Event } from './events.ts'

/** Entries that are under way at once: those that wait together are signed together */
const UNDER_WAY = 1_024

/** Bytes of an entry that may be too large: nothing behind it is begun before it is stored */
const LARGE_BYTES = 65_536

/** Milliseconds for which nobody may say that anything is stored */
const ACK_TIMEOUT = 10_000

export const append: LogCommand = {
  takes: '[TEXT ...]',
  about: 'append to a log what is said, or the lines of stdin',
  more: `Appends each TEXT, or else each line of stdin, and prints the ids of the entries, in order, once they are
stored: here, and with --join at another node, too. Where a node runs with the store, it is the one that appends, and
sees to it that others get them. A TEXT that begins with a dash stands behind a '--'. Lines that are no text in
UTF-8 are refused: with --raw all of stdin is one entry, byte for byte.`,
  examples: [
    ["sheaf append 'hello' 'hello again'", 'two entries, to the log of the store in ./data'],
    ['sheaf append --log notes < notes.txt', 'an entry for each line of a file'],
    ['sheaf append --raw < photo.jpg', 'one entry: sheaf cat --raw --last 1 > photo.jpg gets it back'],
    [
      'sheaf append --store memory --join /ip4/127.0.0.1/tcp/4001 hi',
      'keeps nothing here: another node has it when this ends'
    ]
  ],
  flags: ['log', 'store', 'join', 'raw', 'json', 'help'],
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
  const begin = async (data: Uint8Array): Promise<Event> => {
    begun++
    timer.refresh()
    return appendOne(context, data, giveUp)
  }
  const underWay: Array<Promise<Event>> = []

  try {
    for await (const event of inOrder(input, begin, underWay)) {
      timer.refresh()
      yield event
      yield { type: 'progress', what: 'appended', done: ++done, total }
    }
  } catch (err: any) {
    signal.throwIfAborted()
    // what was begun behind the one that failed goes on: what became of it is said, too
    const behind = (await Promise.allSettled(underWay)).flatMap(one => one.status === 'fulfilled' ? [one.value] : [])
    yield * behind
    throw new FailedError(`${areStored(done)}; ${patience.signal.aborted
      ? `of what followed, no other node has said within ${ACK_TIMEOUT / 1_000} s that it has it: ` +
        `${context.store == null ? 'append it again' : `it is in ${context.store}, and goes there when it can`}`
      : `the next one is not: ${oneLine(err)}`}${behind.length === 0
      ? ''
      : `. Of those behind it ${areStored(behind.length)}, as they were under way`}`)
  } finally {
    clearTimeout(timer)
  }
}

const areStored = (entries: number): string =>
  `${count(entries, 'entry', 'entries')} ${entries === 1 ? 'is' : 'are'} stored`

async function appendOne ({ log, isJoined }: WorkContext, data: Uint8Array, signal: AbortSignal): Promise<Event> {
  // who runs on sees to the others by itself, and who is alone has nobody
  const { id } = await log.append(data, isJoined ? { ack: 1, signal } : {})
  return { type: 'stored', id: id.toString(), others: isJoined ? 1 : 0 }
}

/**
 * Begins with the next ones while the first are under way, and hands out what comes of them as soon as it can, in
 * order. Those that are under way when it throws, behind the one that failed, stay in the list
 */
async function * inOrder <R> (
  input: AsyncIterable<Uint8Array>, start: (item: Uint8Array) => Promise<R>, underWay: Array<Promise<R>>
): AsyncGenerator<R> {
  const items = input[Symbol.asyncIterator]()
  let next: Promise<IteratorResult<Uint8Array>> | undefined
  /** Nothing is begun beside it */
  let large: Uint8Array | undefined
  let isEnd = false
  let failure: Error | undefined
  const fail = (err: Error): IteratorResult<Uint8Array> => {
    failure = err
    return { done: true, value: undefined }
  }
  const begin = (item: Uint8Array): void => {
    const one = start(item)
    // whoever waits for it hears of it when its turn comes
    one.catch(() => {})
    underWay.push(one)
  }

  while (!isEnd || large != null || underWay.length > 0) {
    if (large != null && underWay.length === 0) {
      begin(large)
      large = undefined
      yield await (underWay.shift() as Promise<R>)
      continue
    }
    if (!isEnd && large == null && underWay.length < UNDER_WAY) {
      // what came before an input that fails is no worse for that
      next ??= items.next().catch(fail)
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
    } else if (item.value.byteLength > LARGE_BYTES) {
      large = item.value
    } else {
      begin(item.value)
    }
  }

  if (failure != null) {
    throw failure
  }
}
