import { decodeString, encodeString, Reader, Writer } from '../runtime/codec.ts'
import { crc32 } from '../runtime/crc32.ts'
import { MalformedError } from '../runtime/errors.ts'
import type { Clock } from '../runtime/clock.ts'

/**
 * What an owner leaves in its store, and how others find out whether it lives. A browser needs no more than the token:
 * the owner holds a lock that is named by it.
 */
export interface Lease {
  token: string
  host?: string
  /** Machine and PID namespace: containers may share a store and the name of a host, and have pids of their own */
  place?: string
  pid?: number
  /** When the process began: a pid is used again */
  started?: string
  /** Unix time in milliseconds */
  renewed?: number
}

/** Milliseconds for which a lease counts where nobody can say whether its owner lives. A guess */
export const LEASE_MS = 30_000
/** Milliseconds after which the lock of a page that was left is free. A guess: Chromium needed none in 60 reloads */
const FREE_MS = 300

// Node has locks as well, but each process its own ones
const isNode = typeof process !== 'undefined' && process.versions?.node != null
export const locks = isNode ? undefined : globalThis.navigator?.locks
// an import would be one for browsers, too. Node 22.2 cannot do this: its processes count as those of another host
const fs = isNode ? process.getBuiltinModule?.('node:fs') : undefined
const os = isNode ? process.getBuiltinModule?.('node:os') : undefined

/** CRC-32, then JSON: a later release can add to it, and earlier ones still find the token */
export function encodeLease (lease: Lease): Uint8Array {
  const json = encodeString(JSON.stringify(lease))
  return new Writer().uvarint(crc32(json)).raw(json).finish()
}

/** undefined: it is torn, or has rotted */
export function decodeLease (bytes: Uint8Array): Lease | undefined {
  try {
    const reader = new Reader(bytes)
    const crc = reader.uvarint()
    const json = reader.rest()
    return crc === crc32(json) ? JSON.parse(decodeString(json)) : undefined
  } catch (err) {
    if (err instanceof MalformedError || err instanceof SyntaxError) {
      return undefined
    }
    throw err
  }
}

/** The lease of an owner in this process */
export function leaseFor (token: string, clock: Clock): Lease {
  return locks == null ? { token, ...thisProcess(), renewed: wall(clock) } : { token }
}

/** Where the owner is: what a lease says of it */
export function whereIs ({ pid, host }: Lease): string {
  return pid == null ? 'in another tab or worker' : `in process ${pid} on host '${host}'`
}

/** Where the owner is, and what to do about it; undefined: it is gone. For leases that nobody in this realm wrote */
export async function holderOf (lease: Lease, lock: string, clock: Clock): Promise<string | undefined> {
  if (locks != null) {
    return await isHeld(lock, clock)
      ? `${whereIs(lease)}: close it there, or let one tab lead, and open it for all`
      : undefined
  }

  const { host, place, pid, started } = thisProcess()
  const isHere = pid != null && lease.host === host && lease.place === place
  const isThisProcess = isHere && lease.pid === pid && lease.started === started

  if (isHere && !isThisProcess) {
    // however long ago it renewed: it may be stopped, and go on
    return isAlive(lease, clock) ? `${whereIs(lease)}: close it there` : undefined
  }

  // a lease from the future is as old as one from the past: one of the clocks was wrong
  const left = LEASE_MS - Math.abs(wall(clock) - (lease.renewed ?? -Infinity))
  const where = isThisProcess ? 'in another thread of this process, or by another copy of this library' : whereIs(lease)
  return left > 0 ? `${where}: close it there, or wait ${Math.ceil(left / 1000)} s if that is gone for good` : undefined
}

/** Runs it while nobody else in this browser runs anything under this name */
export async function alone <T> (name: string, signal: AbortSignal, run: () => Promise<T>): Promise<T> {
  return locks == null ? run() : locks.request(name, { signal }, run)
}

/** Resolves when the lock is held; what it resolves with gives it up */
export async function hold (name: string): Promise<() => void> {
  const held = Promise.withResolvers<void>()
  const ended = Promise.withResolvers<void>()
  locks?.request(name, async () => {
    held.resolve()
    await ended.promise
  }).catch(held.reject)

  if (locks != null) {
    await held.promise
  }

  return ended.resolve
}

/** The names of all locks that are held in this browser, in this tab and others */
export async function heldLocks (): Promise<string[]> {
  const { held = [] } = await locks?.query() ?? {}
  return held.map(({ name = '' }) => name)
}

/** Asked with patience: nothing says that a page that is loaded anew comes after the end of its own lock */
async function isHeld (name: string, clock: Clock): Promise<boolean> {
  const controller = new AbortController()
  const timer = clock.after(FREE_MS, () => { controller.abort() })

  try {
    await locks?.request(name, { signal: controller.signal }, () => {})
    return false
  } catch (err) {
    if (controller.signal.aborted) {
      return true
    }
    throw err
  } finally {
    timer.cancel()
  }
}

function wall (clock: Clock): number {
  return Math.floor(clock.now())
}

let self: Omit<Lease, 'token' | 'renewed'> | undefined

function thisProcess (): NonNullable<typeof self> {
  self ??= fs == null || os == null
    ? {}
    : {
        host: os.hostname(),
        place: [contentOf('/etc/machine-id'), targetOf('/proc/self/ns/pid')].join(' '),
        pid: process.pid,
        started: startOf(process.pid)
      }
  return self
}

function isAlive ({ pid = 0, started, renewed = 0 }: Lease, clock: Clock): boolean {
  try {
    process.kill(pid, 0)
  } catch (err: any) {
    // of a process of somebody else we are told that we may not
    if (err.code === 'ESRCH') {
      return false
    }
  }

  const now = startOf(pid)

  if (started == null) {
    // macOS and Windows do not say. One that renewed before the machine was started does not live
    return renewed > wall(clock) - (os?.uptime() ?? Infinity) * 1000
  }

  return now == null || now === started
}

/**
 * Which boot of the machine, and how many ticks later: only Linux says so. A zombie has no start that any lease names:
 * it was killed, and its parent has not asked what became of it
 */
function startOf (pid: number): string | undefined {
  const stat = contentOf(`/proc/${pid}/stat`)
  // from the third field of proc(5) on: the second one, a name, may have spaces and parentheses in it
  const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const start = state === 'Z' || state === 'X' ? 'dead' : fields[18]
  return start == null ? undefined : `${contentOf('/proc/sys/kernel/random/boot_id')} ${start}`
}

/** Empty where there is no such file, or not for us */
function contentOf (path: string): string {
  try {
    return fs?.readFileSync(path, 'utf8').trim() ?? ''
  } catch {
    return ''
  }
}

function targetOf (link: string): string {
  try {
    return fs?.readlinkSync(link) ?? ''
  } catch {
    return ''
  }
}
