import { setTimeout } from 'node:timers/promises'
import { ask, reach, serve } from './beside.ts'
import { FailedError, StoreInUseError, UsageError } from './errors.ts'
import { MEMORY, shared } from './flags.ts'
import { join, openLog, openNode } from './node.ts'
import { hasStore } from './store.ts'
import { linesOf, quote } from './text.ts'
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
  const store = await storeFor(work, options)
  const { texts, log, follow } = options
  const workOptions: WorkOptions = { follow, total: texts.length > 0 ? texts.length : undefined }
  const deadline = performance.now() + PATIENCE

  for (;;) {
    try {
      // who looks at a store is not to be found, and finds nobody
      const opened = await openNode({ store, listen: [], isOffline: options.join.length === 0 })
      yield * here(work, opened, workOptions, options, signal)
      return
    } catch (err) {
      if (!(err instanceof StoreInUseError)) {
        throw err
      }

      const socket = await reach(store)

      if (socket != null) {
        yield * ask(
          socket, { work, log, join: options.join.map(String), options: workOptions }, inputOf(work, texts, signal),
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

async function storeFor (work: keyof typeof WORKS, { store, join }: Options): Promise<string> {
  const isJoining = join.length > 0

  if (store === MEMORY && !isJoining) {
    throw new UsageError(`--store ${MEMORY} keeps nothing: name a node with --join, or a directory`)
  }
  if (store === MEMORY || WORKS[work].isWriting || await hasStore(store)) {
    return store
  }
  if (!isJoining) {
    throw new FailedError(`There is no store in ${store}: 'sheaf peer --store ${quote(store)}' makes one; ` +
      'or name a node with --join')
  }
  // who only looks leaves nothing behind
  return MEMORY
}

async function * here (
  work: keyof typeof WORKS, opened: OpenNode, workOptions: WorkOptions, options: Options, signal: AbortSignal
): AsyncGenerator<Event> {
  const { node, store: { dir } } = opened
  let close = opened.close

  try {
    if (dir != null) {
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
      input: inputOf(work, options.texts, signal),
      signal
    })
  } finally {
    await close()
  }
}

async function * inputOf (work: keyof typeof WORKS, texts: string[], signal: AbortSignal): AsyncGenerator<string> {
  if (texts.length > 0) {
    yield * texts
  } else if (WORKS[work].takes != null) {
    const stop = (): void => { process.stdin.destroy() }
    signal.addEventListener('abort', stop)
    yield * linesOf(process.stdin)
  }
}
