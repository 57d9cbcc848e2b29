import { LogClosedError } from '../log/errors.ts'
import { SafeEventEmitter } from '../runtime/events.ts'
import { checkCall } from './options.ts'
import type { OpenOptions, SharedLog, SharedLogEvents } from './index.ts'

/** A log, and the options that it has for all who opened it */
export interface Opened {
  log: SharedLog
  options: OpenOptions
}

type Listening = Parameters<SharedLog['addEventListener']>

/** What answers at once. Of a closed log, the first ones throw, and the others tell what they know */
const THROWING = ['entries', 'export', 'elsewhere', 'arrivals', 'shelf', 'diagnostics']
const TELLING = ['replicators', 'coverage', 'synced', 'dispatchEvent', 'safeDispatchEvent', 'listenerCount']

/**
 * What one open() gives: the log, until this handle is closed, whatever others do with theirs. The handle checks the
 * options of each call, and takes its listeners with it. A proxy, as all else is the log's.
 */
export function handleOf (opened: Opened): SharedLog {
  const { log } = opened
  const listening = new Set<Listening>()
  let closing: Promise<void> | undefined

  const expectOpen = (): void => {
    if (closing != null) {
      throw new LogClosedError(`The log '${log.id}' was closed by who asks it now: open it again`)
    }
  }
  const close = async (): Promise<void> => {
    const closed = new SafeEventEmitter<SharedLogEvents>(() => {})
    await log.close()

    for (const args of listening) {
      log.removeEventListener(...args)

      // the log goes on, but not for those who listen here
      if (args[0] === 'close' && log.status === 'open') {
        closed.addEventListener(...args)
      }
    }

    closed.safeDispatchEvent('close', {})
  }
  const own: Partial<SharedLog> = {
    close: async () => {
      closing ??= close()
      await closing
    },
    [Symbol.asyncDispose]: async () => own.close?.(),
    drop: async () => {
      await (closing ?? log.drop())
    },
    replicate: async (replicate) => {
      expectOpen()
      checkCall('replicate', [replicate])
      await log.replicate(replicate)
      opened.options = { ...opened.options, replicate }
    },
    unreplicate: async () => own.replicate?.(false),
    addEventListener: (...args: Listening) => {
      const [type, , options] = args
      log.addEventListener(...args)
      listening.add(args)

      if (typeof options === 'object' && options.once === true) {
        log.addEventListener(type, () => { listening.delete(args) }, { once: true })
      }
    },
    removeEventListener: (...[type, listener, options]: any[]) => {
      log.removeEventListener(type, listener, options)
      listening.forEach(known => { known[0] === type && known[1] === listener && listening.delete(known) })
    }
  }

  return new Proxy(log, {
    get: (_, name: keyof SharedLog) => {
      const value: any = own[name] ?? log[name]

      if (name === 'status') {
        return closing != null && value === 'open' ? 'closed' : value
      }
      if (typeof value !== 'function' || Object.hasOwn(own, name)) {
        return value
      }
      if (typeof name === 'symbol' || TELLING.includes(name) || name in Object.prototype) {
        return value.bind(log)
      }

      const call = (...args: unknown[]): unknown => {
        expectOpen()
        checkCall(name, args)
        return value.apply(log, args)
      }
      return THROWING.includes(name) ? call : async (...args: unknown[]) => call(...args)
    }
  })
}
