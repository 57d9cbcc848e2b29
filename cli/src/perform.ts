import { setTimeout } from 'node:timers/promises'
import { ask, reach, serve } from './beside.ts'
import { FailedError, ReaderGoneError, StoreInUseError, UsageError } from './errors.ts'
import { MEMORY, shared } from './flags.ts'
import { join, openLog, openNode } from './node.ts'
import { ownName } from './own-name.ts'
import { hasStore } from './store.ts'
import { bytesOf, count, quote, textLinesOf } from './text.ts'
import { WORKS } from './works.ts'
import type { WorkOptions } from './command.ts'
import type { Event } from './events.ts'
import type { Options } from './flags.ts'
import type { OpenNode } from './node.ts'

/**
 * Milliseconds for which somebody may have the store and not answer: a node that starts or ends, and another command
 */
const PATIENCE = 5_000
const RETRY_INTERVAL = 100

/** On the store, or by whoever has it */
export async function * perform (
  work: keyof typeof WORKS, options: Options, signal: AbortSignal
): AsyncGenerator<Event> {
  let stored = 0

  try {
    for await (const event of attempt(work, options, signal)) {
      stored += event.type === 'stored' ? 1 : 0
      yield event
    }
    signal.throwIfAborted()
  } catch (err) {
    if (signal.aborted && WORKS[work].isWriting && !(signal.reason instanceof ReaderGoneError)) {
      yield { type: 'note', message: `Interrupted: ${count(stored, 'entry is', 'entries are')} known to be stored` }
    }
    throw err
  }
}

async function * attempt (
  work: keyof typeof WORKS, options: Options, signal: AbortSignal
): AsyncGenerator<Event> {
  const store = await storeFor(work, options)
  const { log, follow, last, texts } = options
  const workOptions: WorkOptions = { follow, last, total: texts.length > 0 ? texts.length : undefined }
  const deadline = performance.now() + PATIENCE

  for (;;) {
    try {
      // who looks at a store is not to be found, and finds nobody
      const isToRead = !WORKS[work].isWriting
      const opened = await openNode({ store, listen: [], isOffline: options.join.length === 0, isToRead })
      yield * here(work, opened, workOptions, options, signal)
      return
    } catch (err) {
      if (!(err instanceof StoreInUseError)) {
        throw err
      }

      const socket = await reach(store)

      if (socket != null) {
        yield * ask(
          socket, { work, log, join: options.join.map(String), options: workOptions }, inputOf(work, options, signal),
          signal
        )
        return
      }
      if (performance.now() > deadline) {
        throw new FailedError(`${store} is in use by another process, which does not answer: ` +
          `end that one, or --join its address and give this command a store of its own, such as --store ${MEMORY}`)
      }
      await setTimeout(RETRY_INTERVAL, undefined, { signal })
    }
  }
}

async function storeFor (work: keyof typeof WORKS, { store, join, raw, texts }: Options): Promise<string> {
  const isJoining = join.length > 0

  if (raw && texts.length > 0) {
    throw new UsageError('--raw is for what comes from stdin: leave it out, or the TEXT')
  }

  if (store === MEMORY && !isJoining) {
    throw new UsageError(`--store ${MEMORY} keeps nothing: name a node with --join, or a directory`)
  }
  if (store === MEMORY || WORKS[work].isWriting || await hasStore(store)) {
    return store
  }
  if (!isJoining) {
    throw new FailedError(`There is no store in ${store}: '${ownName()} peer --store ${quote(store)}' makes one; ` +
      'or name a node with --join')
  }
  // who only looks leaves nothing behind
  return MEMORY
}

async function * here (
  work: keyof typeof WORKS, opened: OpenNode, workOptions: WorkOptions, options: Options, signal: AbortSignal
): AsyncGenerator<Event> {
  const { node, store: { dir, isReadOnly } } = opened
  let close = opened.close
  let isFailed = false

  try {
    if (isReadOnly) {
      yield { type: 'note', message: `The store in ${dir} is read-only: this reads it, and keeps nothing` }
    } else if (dir != null) {
      const stop = await serve(dir, opened).catch(() => undefined)
      close = async () => {
        await stop?.()
        await opened.close()
      }
    }

    const share = dir != null ? undefined : shared(WORKS[work].isKeeping(options) ? 'full' : 'none')
    const log = await openLog(opened, options.log, share)
    await join(node, log, options.join, signal)
    yield * WORKS[work].work({
      node,
      log,
      isJoined: options.join.length > 0,
      isRunning: false,
      store: dir,
      options: workOptions,
      input: inputOf(work, options, signal),
      signal
    })
  } catch (err) {
    isFailed = true
    throw err
  } finally {
    // a disk that is full fails once more when the store is closed: the first failure says what is stored
    await close().catch(err => {
      if (!isFailed) {
        throw err
      }
    })
  }
}

async function * inputOf (
  work: keyof typeof WORKS, { texts, raw }: Options, signal: AbortSignal
): AsyncGenerator<Uint8Array> {
  if (texts.length > 0) {
    yield * texts.map(text => new TextEncoder().encode(text))
  } else if (WORKS[work].takes != null) {
    const stop = (): void => { process.stdin.destroy() }
    signal.addEventListener('abort', stop)
    yield * raw ? [await bytesOf(process.stdin)] : textLinesOf(process.stdin)
  }
}
