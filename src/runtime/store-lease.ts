import { encodeString } from './codec.ts'
import { crc32 } from './crc32.ts'
import type { Clock } from './clock.ts'

/** What the owner of a store leaves there, so that others find out whether the owner lives */
export interface Lease {
  /** Names the owner. No token begins with another one */
  token: string
  /** How often the owner has written its lease */
  beat: number
  /** Unix time in milliseconds */
  renewed: number
  host?: string
  /** Machine and PID namespace: containers may share a store and the name of a host, and have pids of their own */
  place?: string
  pid?: number
  /** When the process began, where the system says so: a pid is used again */
  started?: string
}

/** Stands for a lease that does not say whose it is. Every token begins with its token */
export const ANONYMOUS: Lease = { token: '', beat: 0, renewed: 0 }
/** Milliseconds for which a lease counts where nobody can say whether its owner lives. A guess */
const LEASE_MS = 30_000
/** Milliseconds that others get to end what they have begun: to write a lease, to answer, to free a lock. A guess */
export const GRACE_MS = 500

// Node has locks as well, but each process its own ones
const isNode = typeof process !== 'undefined' && process.versions?.node != null
/** What all tabs of a browser share */
export const locks = isNode ? undefined : globalThis.navigator?.locks
// an import would be one for browsers, too. Node 22.2 cannot do this: its processes count as those of another host
const fs = isNode ? process.getBuiltinModule?.('node:fs') : undefined
const os = isNode ? process.getBuiltinModule?.('node:os') : undefined
let thisProcess: Partial<Lease> | undefined

/** A checksum, then JSON: a later release can add to it, and earlier ones still find the token */
export function encodeLease (lease: Lease): Uint8Array {
  const json = JSON.stringify(lease)
  return encodeString(`${crc32(encodeString(json))} ${json}`)
}

/** ANONYMOUS: the lease is torn, or has rotted */
export function decodeLease (bytes: Uint8Array): Lease {
  const [, crc, json = ''] = /^(\d+) (.+)$/s.exec(new TextDecoder().decode(bytes)) ?? []
  return crc === `${crc32(encodeString(json))}` ? JSON.parse(json) : ANONYMOUS
}

/** The lease of an owner in this process */
export function leaseFor (token: string, beat: number, clock: Clock): Lease {
  thisProcess ??= os == null
    ? {}
    : {
        host: os.hostname(),
        place: `${contentOf('/etc/machine-id')} ${orEmpty(() => fs?.readlinkSync('/proc/self/ns/pid'))}`,
        pid: process.pid,
        started: startOf(process.pid)
      }
  return { token, beat, renewed: Math.floor(clock.now()), ...thisProcess }
}

/** Where the owner is: what a lease says of it */
export function whereIs ({ pid, host }: Lease): string {
  return pid == null ? 'in another tab or worker' : `in process ${pid} on host '${host}'`
}

/** Where the owner is, and what to do about it; undefined: it is gone. Only for owners outside of this realm */
export async function holderOf (
  lease: Lease, clock: Clock, isTheirs: (lock: string) => boolean
): Promise<string | undefined> {
  if (locks != null) {
    const isFree = async (): Promise<boolean> => !(await locks.query()).held?.some(({ name = '' }) => isTheirs(name))
    // a page that is loaded anew may meet the lock of the page before
    const isLeft = await isFree() || await grace(clock).then(isFree)
    return isLeft ? undefined : `${whereIs(lease)}: close it there, or let one tab lead, and open it for all`
  }

  const { host, place, pid, started } = leaseFor('', 0, clock)
  const isHere = pid != null && lease.host === host && lease.place === place
  const isThisProcess = isHere && lease.pid === pid && lease.started === started

  if (isHere && !isThisProcess) {
    // however long ago it renewed: it may be stopped, and go on
    return isAlive(lease, clock) ? `${whereIs(lease)}: close it there` : undefined
  }

  // a lease from the future is as old as one from the past: one of the clocks was wrong
  const left = LEASE_MS - Math.abs(clock.now() - lease.renewed)
  const where = isThisProcess ? 'in another thread of this process, or by another copy of this library' : whereIs(lease)
  return left > 0 ? `${where}: close it there, or wait ${Math.ceil(left / 1000)} s if that is gone for good` : undefined
}

/** Holds a lock, if there are any, until the returned function is called */
export async function hold (lock: string): Promise<() => void> {
  const [held, ended] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  locks?.request(lock, async () => {
    held.resolve()
    await ended.promise
  }).catch(held.reject)
  await (locks == null ? undefined : held.promise)
  return ended.resolve
}

export async function grace (clock: Clock): Promise<void> {
  return new Promise(resolve => { clock.after(GRACE_MS, resolve) })
}

function isAlive ({ pid = 0, started, renewed }: Lease, clock: Clock): boolean {
  try {
    process.kill(pid, 0)
  } catch (err: any) {
    // of a process of somebody else we are told that we may not
    if (err.code === 'ESRCH') {
      return false
    }
  }

  // macOS and Windows do not say when it began. One that renewed before the machine was started does not live
  return started == null
    ? renewed > clock.now() - (os?.uptime() ?? Infinity) * 1000
    : started === (startOf(pid) ?? started)
}

/** Which boot of the machine, and how many ticks later. Only Linux says so, see proc(5) */
function startOf (pid: number): string | undefined {
  const stat = contentOf(`/proc/${pid}/stat`)
  // from the third field on: the second one, a name, may have spaces and parentheses in it
  const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  // a zombie was killed, and its parent has not asked what became of it: no lease names such a start
  return state === 'Z' ? state : fields[18] && `${contentOf('/proc/sys/kernel/random/boot_id')} ${fields[18]}`
}

function contentOf (path: string): string {
  return orEmpty(() => fs?.readFileSync(path, 'utf8').trim())
}

function orEmpty (read: () => string | undefined): string {
  try {
    return read() ?? ''
  } catch {
    // there is no such file, or it is not for us: only Linux has them
    return ''
  }
}
