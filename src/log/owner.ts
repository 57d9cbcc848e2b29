import { toString } from 'uint8arrays/to-string'
import { systemClock } from '../runtime/clock.ts'
import { Mailboxes } from '../runtime/mailbox.ts'
import { StoreInUseError, WriteFailedError } from './errors.ts'
import { alone, decodeLease, encodeLease, heldLocks, hold, holderOf, leaseFor, locks, whereIs } from './lease.ts'
import type { Lease } from './lease.ts'
import type { Clock, Timer } from '../runtime/clock.ts'
import type { Datastore, Key } from 'interface-datastore'

/** Milliseconds between two renewals of a lease: others may miss two of them. A guess */
const RENEW_MS = 10_000
/** Milliseconds until a new owner looks whether another process took the store at the same moment. A guess */
const CONFIRM_MS = 500
/** Milliseconds that an owner has to answer. A guess */
const ANSWER_MS = 1_000
/** Looks at the store, and turns of the event loop, while an owner is waited for: on a busy store both take longer */
const LOOKS = 4
/** Milliseconds that opening may take before it holds up others no longer. A guess */
const DEADLINE_MS = 10_000
/** Stands for a token that could not be read */
const UNREADABLE = ''
const CLOSE = 'nothing of it is written here any more. Close it, and open it again when the other one is closed'

export interface Ownership {
  /** Throws a StoreInUseError if the store was given up, or somebody else has taken it over. Ask before each write */
  check (): void
  /** Gives the store up. Never throws because the disk failed */
  release (): Promise<void>
}

export interface OwnerInit {
  datastore: Datastore
  /** Where the lease lies */
  key: Key
  /** The log's id, for messages */
  name: string
  clock: Clock
}

/** All tokens of this realm begin with it, so that one of an owner that is gone is known for ever */
const REALM = `${toString(crypto.getRandomValues(new Uint8Array(16)), 'base64url')}.`
let taken = 0
/** Owners in this realm by their tokens. A log that is garbage, but was never closed, owns nothing any more */
const owners = new Map<string, WeakRef<Owner>>()
const garbage = new FinalizationRegistry<string>(token => { owners.delete(token) })
/** The keys under which a datastore object is in use */
const inUse = new WeakMap<Datastore, Set<string>>()
/** In this realm, a store is taken or given up by one at a time under each key: the stores may be the same */
const turns = new Mailboxes({ name: 'owners of logs', clock: systemClock, deadline: DEADLINE_MS, capacity: Infinity })

/**
 * Makes the caller the only owner of a log's place in a store: two would write over each other.
 *
 * The owner leaves a lease there. Whoever finds a lease asks whether its owner lives:
 *
 * - in this realm: whether it still reads and writes this very store. If it cannot, it loses the store
 * - in another tab: whether a lock of the browser is held, which ends with the tab. A frozen tab holds it
 * - in another process of this machine: whether that process lives. A stopped one does
 * - on another machine, or in another thread: whether it renewed its lease lately
 *
 * Only the last is a matter of trust: an owner that was stopped for LEASE_MS may write until its next renewal tells it
 * that it has lost the store. And two processes that open a store at the same moment may both get it: one of them loses
 * the store after CONFIRM_MS.
 *
 * Throws a StoreInUseError
 */
export async function ownStore (init: OwnerInit): Promise<Ownership> {
  const owner = new Owner(init)

  try {
    await owner.take()
    return owner
  } catch (err) {
    await owner.release()
    throw err
  }
}

class Owner implements Ownership {
  readonly #init: OwnerInit
  readonly #path: string
  readonly #token = `${REALM}${taken++}`
  /** Why it does not own the store any more */
  #lost?: StoreInUseError
  /** The lease that ours is written over, until we own the store */
  #before?: Lease
  #released?: Promise<void>
  #renewal?: Timer
  /** Resolves when none of our writes is under way */
  #written = Promise.resolve()
  #unlock = (): void => {}

  constructor (init: OwnerInit) {
    this.#init = init
    this.#path = init.key.toString()
    const paths = inUse.get(init.datastore) ?? new Set()

    if (paths.has(this.#path)) {
      throw this.#inUse('on this datastore already: use that log, or close it')
    }

    inUse.set(init.datastore, paths.add(this.#path))
  }

  check (): void {
    if (this.#lost != null) {
      throw this.#lost
    }
  }

  async take (): Promise<void> {
    await turns.turn(this.#path, async signal => alone(`sheaf:${this.#path}`, signal, async () => {
      // whoever finds our lease finds the lock as well
      this.#unlock = await hold(this.#lockOf(this.#token))
      await this.#claim(signal)
    }))
  }

  async release (): Promise<void> {
    if (this.#released == null) {
      this.#lose('is closed')
      inUse.get(this.#init.datastore)?.delete(this.#path)
      this.#released = turns.turn(this.#path, async () => this.#clear()).catch(() => {
        // the lease stays in the store, where others see that nobody holds it
      })
    }

    return this.#released
  }

  async #claim (signal: AbortSignal): Promise<void> {
    const suspects = await this.#suspects()
    signal.throwIfAborted()
    await this.#write()
    const verdicts = await Promise.all(suspects.map(async owner => this.#challenge(owner)))
    const lease = await this.#read()

    if (lease == null) {
      throw new WriteFailedError('The datastore did not store what it said it did: it may be full')
    }
    if (lease.token !== this.#token) {
      throw this.#inUse(lease.token.startsWith(REALM)
        ? 'through another datastore object here: use that log, or close it'
        : `${whereIs(lease)}: close it there`)
    }

    signal.throwIfAborted()
    suspects.filter((_, i) => verdicts[i] === 'loses').forEach(owner => {
      owner.#lose(`was opened anew in this program: ${CLOSE}`)
    })
    this.#before = undefined
    owners.set(this.#token, new WeakRef(this))
    garbage.register(this, this.#token)

    if (locks == null) {
      this.#renewIn(CONFIRM_MS, false)
    }
  }

  /** Those in this realm that may own the store. Throws a StoreInUseError if somebody outside of it does */
  async #suspects (): Promise<Owner[]> {
    let lease = await this.#read()

    if (lease?.token === UNREADABLE) {
      // not every store writes a value at once: it may be under way
      await atMost(this.#init.clock, ANSWER_MS / LOOKS)
      lease = await this.#read()
    }
    if (lease == null) {
      return []
    }

    this.#before = lease
    const owner = ownerOf(lease)

    if (owner != null) {
      return [owner]
    }

    if (lease.token === UNREADABLE || isOwnerless(lease)) {
      // it has rotted, or a write of somebody dead was late: it may lie where the lease of an owner did
      await this.#expectNoOtherTab()
      return [...owners.values()].flatMap(ref => ref.deref() ?? []).filter(owner => owner.#path === this.#path)
    }

    const holder = await holderOf(lease, this.#lockOf(lease.token), this.#init.clock)

    if (holder != null) {
      throw this.#inUse(holder)
    }

    return []
  }

  /** One that owns another store under this key is refused along with those that own ours: nothing tells them apart */
  async #expectNoOtherTab (): Promise<void> {
    const [all, ours] = [this.#lockOf(''), this.#lockOf(REALM)]

    if ((await heldLocks()).some(name => name.startsWith(all) && !name.startsWith(ours))) {
      throw this.#inUse('in another tab or worker, or was: close it there')
    }
  }

  /** What becomes of an owner if our lease is still in the store afterwards. Whoever cannot answer cannot write */
  async #challenge (owner: Owner): Promise<'keeps' | 'loses'> {
    let verdict: 'keeps' | 'loses' | undefined
    const answer = owner.#answer(this.#token)
      .then(sees => { verdict = sees ? 'loses' : 'keeps' }, () => { verdict = 'loses' })

    for (let i = 0; i < LOOKS; i++) {
      await atMost(this.#init.clock, ANSWER_MS / LOOKS, answer)

      if (verdict != null) {
        return verdict
      }

      await this.#read()
    }

    return 'loses'
  }

  /** Whether that lease lies in our store. If not, the other store is a copy. If so, ours is put back: we live */
  async #answer (token: string): Promise<boolean> {
    const sees = (await this.#read())?.token === token

    if (sees) {
      await this.#write()
    }

    return sees
  }

  #renewIn (ms: number, isDue: boolean): void {
    // a log that nobody closed is kept in memory by no timer, and keeps no process alive
    const owner = new WeakRef(this)
    const timer: Timer & { unref?(): void } = this.#init.clock.after(ms, () => { void owner.deref()?.renew(isDue) })
    timer.unref?.()
    this.#renewal = timer
  }

  async renew (isDue: boolean): Promise<void> {
    try {
      const lease = await this.#read()
      const isOurs = lease?.token === this.#token

      if (!isOurs && !isOwnerless(lease)) {
        this.#lose(`was opened ${lease?.pid == null ? 'elsewhere' : whereIs(lease)} meanwhile: ${CLOSE}`)
      } else if (isDue || !isOurs) {
        await this.#write()
      }
    } catch {
      // the disk may do better the next time: until then the lease grows old, and no more happens
    }

    if (this.#lost == null) {
      this.#renewIn(RENEW_MS, true)
    }
  }

  #lose (what: string): void {
    this.#lost ??= new StoreInUseError(`The log '${this.#init.name}' ${what}`)
    this.#renewal?.cancel()
    owners.delete(this.#token)
  }

  /** Removes our lease. If we never came to own the store, whoever does gets back its own */
  async #clear (): Promise<void> {
    const { datastore, key } = this.#init
    await this.#written

    try {
      if ((await this.#read())?.token === this.#token) {
        await (this.#before == null ? datastore.delete(key) : datastore.put(key, encodeLease(this.#before)))
      }
    } finally {
      this.#unlock()
    }
  }

  async #read (): Promise<Lease | undefined> {
    try {
      return decodeLease(await this.#init.datastore.get(this.#init.key)) ?? { token: UNREADABLE }
    } catch (err: any) {
      if (err.name !== 'NotFoundError') {
        throw err
      }
    }
  }

  /** Once the store is lost, no write of ours begins */
  async #write (): Promise<void> {
    if (this.#lost == null) {
      const { datastore, key, clock } = this.#init
      const put = (async () => datastore.put(key, encodeLease(leaseFor(this.#token, clock))))()
      this.#written = Promise.allSettled([this.#written, put]).then(() => {})
      await put
    }
  }

  #lockOf (token: string): string {
    return `sheaf:${this.#path}:${token}`
  }

  #inUse (where: string): StoreInUseError {
    return new StoreInUseError(`The log '${this.#init.name}' is open ${where}`)
  }
}

function ownerOf (lease?: Lease): Owner | undefined {
  return owners.get(lease?.token ?? UNREADABLE)?.deref()
}

/** Whether it was made in this realm, by somebody who is not an owner: not yet, or no more */
function isOwnerless (lease?: Lease): boolean {
  return lease != null && lease.token.startsWith(REALM) && ownerOf(lease) == null
}

/** Resolves when the work is done, or when the time is over */
async function atMost (clock: Clock, ms: number, work?: Promise<void>): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = clock.after(ms, resolve)
  await Promise.race(work == null ? [promise] : [promise, work])
  timer.cancel()
}
