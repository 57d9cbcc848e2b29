import { toString } from 'uint8arrays/to-string'
import { systemClock } from './clock.ts'
import { StoreFailedError, StoreInUseError } from './errors.ts'
import { fenceOf } from './fence.ts'
import { Mailboxes } from './mailbox.ts'
import {
  ANONYMOUS, decodeLease, encodeLease, grace, GRACE_MS, hold, holderOf, leaseFor, locks, whereIs
} from './store-lease.ts'
import type { Clock, Timer } from './clock.ts'
import type { Lease } from './store-lease.ts'
import type { Datastore, Key } from 'interface-datastore'

/** Milliseconds between two renewals of a lease: others may miss two of them. A guess */
const RENEW_MS = 10_000
/** Milliseconds that opening may take before it holds up others no longer. A guess */
const DEADLINE_MS = 10_000
const CLOSE = 'nothing of it is written here any more. Close it, and open it again when the other one is closed'

export interface OwnerInit {
  datastore: Datastore
  /** Where the lease lies */
  key: Key
  /** What lies in the store, as messages begin with it: "The log 'a'" */
  name: string
  clock: Clock
}

/** All tokens of this realm begin with it, so that one of an owner that is gone is known for ever */
const REALM = `${toString(crypto.getRandomValues(new Uint8Array(16)), 'base64url')}.`
let made = 0
/** The owners in this realm by their tokens. One that is garbage, but was never released, owns nothing any more */
const owners = new Map<string, WeakRef<StoreOwner>>()
const garbage = new FinalizationRegistry<{ token: string, unlock(): void }>(({ token, unlock }) => {
  owners.delete(token)
  unlock()
})
/** In this realm, a store is taken or released by one at a time under each key: two stores may be the same */
const turns = new Mailboxes({ name: 'owners of stores', clock: systemClock, deadline: DEADLINE_MS, capacity: Infinity })

/**
 * The only owner of a place in a store: two would write over each other. The lease of the owner lies there, and others
 * are refused while the owner lives:
 *
 * - in this realm, whoever opens the store has the owner renew its lease, and looks whether that appears in its own
 * store. An owner that does not answer keeps the store. An owner whose disk fails cannot write, and loses it
 * - in a browser, the owner holds a lock, which ends with the tab. A frozen tab holds it
 * - on the same machine, the owner lives as long as its process. A stopped process lives
 * - behind a fence (fence.ts), the owner is who the fence says: whoever had it before is gone, or may not write
 * - elsewhere, and in another thread, a lease counts for LEASE_MS. An owner that stood still for longer may write until
 * its next renewal tells it that it has lost the store
 *
 * Two processes that open a store at the same moment may both get it: one of them loses it after GRACE_MS.
 */
export class StoreOwner {
  readonly #init: OwnerInit
  /** What names of locks begin with */
  readonly #place: string
  readonly #token = `${REALM}${made++}.`
  /** How often the lease was written */
  #beat = 0
  /** Why it does not own the store any more */
  #lost?: StoreInUseError
  #timer?: Timer
  /** Resolves when no write of the lease is under way */
  #idle = Promise.resolve()
  #unlock = (): void => {}

  private constructor (init: OwnerInit) {
    this.#init = init
    this.#place = `sheaf:${init.key.toString()}`
  }

  /** Throws a StoreInUseError if somebody else owns the store */
  static async open (init: OwnerInit): Promise<StoreOwner> {
    const owner = new StoreOwner(init)

    try {
      await turns.turn(owner.#place, async ({ signal }) => {
        const take = async (): Promise<void> => owner.#take(signal)
        // one at a time of all tabs
        await (locks == null ? take() : locks.request(owner.#place, { signal }, take))
      })
      return owner
    } catch (err) {
      await owner.release()
      throw err
    }
  }

  /** Throws a StoreInUseError if the store was released, or somebody else has taken it over. Ask before each write */
  check (): void {
    if (this.#lost != null) {
      throw this.#lost
    }

    fenceOf(this.#init.datastore)?.check()
  }

  /** Gives the store up. Never throws because the disk failed */
  async release (): Promise<void> {
    this.#lose('is closed')
    await turns.turn(this.#place, async ({ signal }) => {
      await this.#idle

      if (this.#beat > 0 && (await this.#read())?.token === this.#token && !signal.aborted) {
        await this.#init.datastore.delete(this.#init.key)
      }
    }).catch(() => {
      // the lease stays in the store, where others see that nobody holds it
    })
    void this.#idle.then(this.#unlock)
  }

  /** What names of locks end with; empty: there is no fence */
  get #fence (): string {
    const fence = fenceOf(this.#init.datastore)
    return fence == null ? '' : `:${fence.name}`
  }

  async #take (signal: AbortSignal): Promise<void> {
    const holder = await this.#findHolder()
    signal.throwIfAborted()

    if (holder != null) {
      throw this.#inUse(holder)
    }

    // whoever finds our lease finds the lock as well
    this.#unlock = await hold(`${this.#place}:${this.#token}${this.#fence}`)
    await this.#write()
    const lease = await this.#read()
    signal.throwIfAborted()

    if (lease?.token !== this.#token) {
      throw lease == null
        ? new StoreFailedError('The datastore did not store what it said it did: it may be full')
        : this.#inUse(`${whereIs(lease)}: close it there`)
    }

    owners.set(this.#token, new WeakRef(this))
    garbage.register(this, { token: this.#token, unlock: this.#unlock })
    this.#renewIn(GRACE_MS)
  }

  /** Where the store is open, and what to do about it; undefined: we may have it */
  async #findHolder (): Promise<string | undefined> {
    const { datastore, clock } = this.#init
    const here = [...owners.values()].flatMap(ref => ref.deref() ?? []).filter(owner => owner.#place === this.#place)
      // one that the fence keeps from writing is no holder
      .filter(owner => this.#fence === '' || owner.#fence !== this.#fence)

    if (here.some(owner => owner.#init.datastore === datastore)) {
      return 'on this datastore already: use that one, or close it'
    }

    let lease = await this.#read()

    if (lease === ANONYMOUS) {
      // not every store writes a value at once
      await grace(clock)
      lease = await this.#read()
    }
    if (lease == null) {
      return
    }

    const { token } = lease
    const fence = this.#fence
    const isTheirs = (lock: string): boolean => lock.startsWith(`${this.#place}:${token}`) && !lock.includes(REALM) &&
      // a tab that stands still holds its locks, and the fence keeps it from writing
      (fence === '' || !lock.endsWith(fence))
    const holders = await Promise.all([
      token.startsWith(REALM) ? undefined : holderOf(lease, clock, isTheirs),
      // an anonymous lease may be that of each of them
      ...here.filter(owner => owner.#token.startsWith(token)).map(async owner => this.#challenge(owner))
    ])
    return holders.find(holder => holder != null)
  }

  /** Whether an owner in this realm keeps our store: where it is open, and what to do about it */
  async #challenge (owner: StoreOwner): Promise<string | undefined> {
    const before = owner.#beat
    const renewal = owner.renew().then(() => 'renewed', () => 'failed')
    const outcome = await Promise.race([renewal, grace(this.#init.clock)])

    if (outcome == null) {
      return 'through another datastore object here, which does not answer: use that one, or close it'
    }
    if (outcome === 'failed') {
      owner.#lose(`was opened anew in this program: ${CLOSE}`)
      return
    }

    const lease = await this.#read()
    // in a copy of its store lies an older one
    const isHere = lease?.token === owner.#token && lease.beat > before
    return isHere ? 'through another datastore object here: use that one, or close it' : undefined
  }

  /** Writes the lease again, unless an owner outside of this realm has the store. For other owners and the timer */
  async renew (): Promise<void> {
    try {
      const lease = await this.#read()

      if (lease == null || (lease !== ANONYMOUS && !lease.token.startsWith(REALM))) {
        this.#lose(`was opened ${lease?.pid == null ? 'elsewhere' : whereIs(lease)} meanwhile: ${CLOSE}`)
      }
      if (this.#lost == null) {
        await this.#write()
      }
    } finally {
      this.#renewIn(RENEW_MS)
    }
  }

  /** Where there are locks, nothing is renewed. The timer keeps neither garbage in memory nor a process alive */
  #renewIn (ms: number): void {
    this.#timer?.cancel()

    if (locks == null && this.#lost == null) {
      const owner = new WeakRef(this)
      this.#timer = this.#init.clock.after(ms, () => {
        // if the disk fails, it may do better the next time: until then the lease grows old, and no more happens
        owner.deref()?.renew().catch(() => {})
      })
      this.#timer.unref?.()
    }
  }

  #lose (what: string): void {
    this.#lost ??= new StoreInUseError(`${this.#init.name} ${what}`)
    this.#timer?.cancel()
    owners.delete(this.#token)
  }

  async #read (): Promise<Lease | undefined> {
    try {
      return decodeLease(await this.#init.datastore.get(this.#init.key))
    } catch (err: any) {
      if (err.name !== 'NotFoundError') {
        throw err
      }
    }
  }

  async #write (): Promise<void> {
    const { datastore, key, clock } = this.#init
    const put = (async () => datastore.put(key, encodeLease(leaseFor(this.#token, ++this.#beat, clock))))()
    this.#idle = Promise.allSettled([this.#idle, put]).then(() => {})
    await put
  }

  #inUse (where: string): StoreInUseError {
    return new StoreInUseError(`${this.#init.name} is open ${where}`)
  }
}
