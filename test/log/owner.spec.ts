import { expect } from 'aegir/chai'
import { BaseDatastore, MemoryDatastore } from 'datastore-core'
import { Key } from 'interface-datastore'
import { decodeLease, encodeLease } from '../../src/log/lease.ts'
import { ownStore } from '../../src/log/owner.ts'
import { VirtualClock } from '../../src/runtime/clock.ts'
import { randomInt, seededRandom } from '../../src/runtime/random.ts'
import { deleteStores, diskStore, IS_NODE, turns } from '../fixtures/datastores.ts'
import { nameOfError, SetClock } from '../fixtures/logs.ts'
import type { Lease } from '../../src/log/lease.ts'
import type { OwnerInit, Ownership } from '../../src/log/owner.ts'
import type { Datastore } from 'interface-datastore'

const KEY = new Key('/sheaf/log/test/owner')
const PATH = KEY.toString()

type Operation = 'put' | 'get' | 'delete'

/** One datastore object of several that are over one disk */
class SharingDatastore extends BaseDatastore {
  readonly disk: Map<string, Uint8Array>
  readonly done: Operation[] = []
  /** Asked before each operation: it may throw, and take its time */
  before: (operation: Operation) => Promise<void> | void = () => {}

  constructor (disk = new Map<string, Uint8Array>()) {
    super()
    this.disk = disk
  }

  async put (key: Key, value: Uint8Array): Promise<Key> {
    await this.before('put')
    this.done.push('put')
    this.disk.set(key.toString(), Uint8Array.from(value))
    return key
  }

  async get (key: Key): Promise<Uint8Array> {
    await this.before('get')
    this.done.push('get')
    return this.disk.get(key.toString()) ?? new MemoryDatastore().get(key)
  }

  async delete (key: Key): Promise<void> {
    await this.before('delete')
    this.done.push('delete')
    this.disk.delete(key.toString())
  }

  /** Another object over the same disk */
  again (): SharingDatastore {
    return new SharingDatastore(this.disk)
  }

  /** An object over what this moment left on the disk */
  copy (): SharingDatastore {
    return new SharingDatastore(new Map(this.disk))
  }

  lease (): Lease | undefined {
    const bytes = this.disk.get(PATH)
    return bytes == null ? undefined : decodeLease(bytes)
  }
}

const open = new Set<Ownership>()

async function own (datastore: Datastore, init: Partial<OwnerInit> = {}): Promise<Ownership> {
  const ownership = await ownStore({ datastore, key: KEY, name: 'a log', clock: new SetClock(), ...init })
  open.add(ownership)
  return ownership
}

/** Whether a store can be had, or why it cannot */
async function attempt (datastore: Datastore, init: Partial<OwnerInit> = {}): Promise<string> {
  return nameOfError(own(datastore, init))
}

function standing (ownership: Ownership): string {
  try {
    ownership.check()
    return 'owns it'
  } catch (err: any) {
    return err.name
  }
}

async function messageOf (promise: Promise<unknown>): Promise<string> {
  return promise.then(() => '', (err: Error) => err.message)
}

/** Lets virtual time pass until the work has ended */
async function during <T> (clock: VirtualClock, work: Promise<T>): Promise<T> {
  const settled = work.then(() => true, () => true)

  while (!await Promise.race([settled, turns(2).then(() => false)])) {
    clock.advance(10)
  }

  return work
}

function fails (): never {
  throw new Error('the disk is gone')
}

async function hangs (): Promise<never> {
  return new Promise(() => {})
}

describe('the owner of a store', () => {
  afterEach(async () => {
    await Promise.all([...open].map(async ownership => ownership.release()))
    open.clear()
    await deleteStores()
  })

  it('gets a store that nobody has, and leaves a lease there until it gives the store up', async () => {
    const datastore = new SharingDatastore()
    const ownership = await own(datastore)
    expect([standing(ownership), [...datastore.disk.keys()]]).to.deep.equal(['owns it', [PATH]])
    await ownership.release()
    await ownership.release()

    expect([standing(ownership), datastore.disk.size]).to.deep.equal(['StoreInUseError', 0])
    expect(await attempt(datastore)).to.equal('none')
  })

  it('keeps others out who use its very datastore object, without a look at the disk', async () => {
    const datastore = new SharingDatastore()
    const ownership = await own(datastore)
    const before = datastore.done.length

    expect(await messageOf(own(datastore)))
      .to.equal('The log \'a log\' is open on this datastore already: use that log, or close it')
    expect([datastore.done.length, standing(ownership)]).to.deep.equal([before, 'owns it'])
    expect(await attempt(datastore, { key: new Key('/sheaf/log/other/owner') })).to.equal('none')
  })

  it('keeps others out who came to the same store by another datastore object', async () => {
    const datastore = new SharingDatastore()
    const ownership = await own(datastore)
    const { token } = datastore.lease() ?? {}

    expect(await messageOf(own(datastore.again())))
      .to.equal('The log \'a log\' is open through another datastore object here: use that log, or close it')
    expect([standing(ownership), datastore.lease()?.token]).to.deep.equal(['owns it', token])
    await ownership.release()
    expect(await attempt(datastore.again())).to.equal('none')
  })

  it('keeps others out where the disk takes its time', async () => {
    const datastore = new SharingDatastore()
    const slow = datastore.again()
    datastore.before = slow.before = async () => turns(7)
    const ownership = await own(datastore)

    expect([await attempt(slow), standing(ownership)]).to.deep.equal(['StoreInUseError', 'owns it'])
  })

  it('is one of all that come at the same moment', async () => {
    const disk = new SharingDatastore()
    const random = seededRandom(1)

    for (let round = 0; round < 5; round++) {
      const datastores = Array.from({ length: 9 }, () => disk.again())
      datastores.forEach(datastore => { datastore.before = async () => turns(randomInt(random, 8)) })
      const outcomes = await Promise.allSettled(datastores.map(async datastore => own(datastore)))
      const [winner, ...others] = outcomes.flatMap(outcome => outcome.status === 'fulfilled' ? [outcome.value] : [])
      expect(others).to.deep.equal([])
      expect(standing(winner)).to.equal('owns it')
      await winner.release()
    }
  })

  it('does not mind that a copy of its store is opened, nor does the owner of the copy', async () => {
    const datastore = new SharingDatastore()
    const original = await own(datastore)
    const copy = await own(datastore.copy())
    const writes = datastore.done.filter(operation => operation !== 'get')

    expect([standing(original), standing(copy), writes]).to.deep.equal(['owns it', 'owns it', ['put']])
    expect(await attempt(datastore.again())).to.equal('StoreInUseError')
  })

  it('does not keep anybody from a copy when it is gone from the original', async () => {
    const datastore = new SharingDatastore()
    const ownership = await own(datastore)
    const copies = [datastore.copy(), datastore.copy()]
    await ownership.release()

    expect(await Promise.all(copies.map(async copy => attempt(copy)))).to.deep.equal(['none', 'none'])
  })

  for (const dead of ['put', 'get'] as Operation[]) {
    it(`loses its store when it fails to ${dead}`, async () => {
      const datastore = new SharingDatastore()
      const old = await own(datastore)
      datastore.before = operation => { operation === dead && fails() }
      const next = await own(datastore.again())

      expect([standing(old), standing(next)]).to.deep.equal(['StoreInUseError', 'owns it'])
      expect(() => { old.check() }).to.throw(/'a log' was opened anew in this program: nothing of it is written/)
      datastore.before = () => {}
      await old.release()
      expect([standing(next), await attempt(datastore.again())]).to.deep.equal(['owns it', 'StoreInUseError'])
    })

    it(`loses its store when it hangs as it is to ${dead}`, async () => {
      const datastore = new SharingDatastore()
      const clock = new VirtualClock()
      const old = await own(datastore, { clock })
      datastore.before = async operation => operation === dead ? hangs() : undefined
      const started = clock.now()
      const next = await during(clock, own(datastore.again(), { clock }))

      expect([standing(old), standing(next)]).to.deep.equal(['StoreInUseError', 'owns it'])
      expect(clock.now() - started).to.be.at.least(1000)
      open.delete(old)
    })
  }

  it('keeps its store when it is slow because the store is', async () => {
    const datastore = new SharingDatastore()
    const clock = new VirtualClock()
    const ownership = await own(datastore, { clock })
    const other = datastore.again()
    datastore.before = other.before = async () => new Promise(resolve => { clock.after(1500, resolve) })

    expect(await during(clock, attempt(other, { clock }))).to.equal('StoreInUseError')
    expect(standing(ownership)).to.equal('owns it')
    datastore.before = () => {}
  })

  it('is found when its lease has rotted, and not missed when it is gone', async () => {
    const datastore = new SharingDatastore()
    const ownership = await own(datastore)
    const lease = datastore.disk.get(PATH) ?? new Uint8Array()
    lease[20] ^= 1
    expect([await attempt(datastore.again()), standing(ownership)]).to.deep.equal(['StoreInUseError', 'owns it'])

    await ownership.release()
    datastore.disk.set(PATH, lease)
    expect(await attempt(datastore.again())).to.equal('none')
  })

  it('is not kept out by a lease that was torn, at whatever length', async () => {
    const whole = encodeLease({ token: 'x', host: 'y', pid: 1, renewed: 1_000_000 })

    for (let length = 0; length < whole.byteLength; length += 11) {
      const datastore = new SharingDatastore(new Map([[PATH, whole.slice(0, length)]]))
      expect(await attempt(datastore, { clock: new SetClock() }), `${length} bytes`).to.equal('none')
    }
  })

  it('gives its store up without an error when the disk fails, and keeps nobody out after that', async () => {
    const datastore = new SharingDatastore()
    const ownership = await own(datastore)
    datastore.before = fails
    await ownership.release()

    expect([datastore.disk.size, standing(ownership)]).to.deep.equal([1, 'StoreInUseError'])
    expect(await attempt(datastore.again())).to.equal('none')
  })

  it('can be made at the second attempt when the disk failed at the first', async () => {
    for (const failing of ['get', 'put'] as Operation[]) {
      const datastore = new SharingDatastore()
      datastore.before = operation => { operation === failing && fails() }
      expect(await messageOf(own(datastore))).to.equal('the disk is gone')
      datastore.before = () => {}
      expect(await attempt(datastore)).to.equal('none')
    }
  })

  it('gets its lease back when an opener breaks down half-way, and loses nothing', async () => {
    const datastore = new SharingDatastore()
    const ownership = await own(datastore)
    const { token } = datastore.lease() ?? {}
    const clock = new VirtualClock()
    const opener = datastore.again()
    let reads = 0
    opener.before = operation => { operation === 'get' && ++reads === 2 && fails() }
    const gate = Promise.withResolvers<void>()
    datastore.before = async () => gate.promise

    expect(await during(clock, messageOf(own(opener, { clock })))).to.equal('the disk is gone')
    expect([datastore.lease()?.token, standing(ownership)]).to.deep.equal([token, 'owns it'])
    gate.resolve()
    expect(await attempt(datastore.again())).to.equal('StoreInUseError')
  })

  it('is refused by a datastore that does not store what it says', async () => {
    const datastore = new SharingDatastore()
    datastore.put = async key => key
    expect(await attempt(datastore)).to.equal('WriteFailedError')
  })

  it('is told apart in what the platform stores with', async () => {
    const { datastore, reopen } = await diskStore()
    const ownership = await own(datastore)
    expect(await attempt(datastore)).to.equal('StoreInUseError')
    const again = await reopen()
    // the first object is closed: whoever used it cannot write
    const next = await own(again)
    expect([standing(ownership), standing(next)]).to.deep.equal(['StoreInUseError', 'owns it'])
    await next.release()
    expect(await again.has(KEY)).to.equal(false)
  })

  if (!IS_NODE) {
    /** As another tab does it that owns a store under this key */
    const holdAs = async (token: string): Promise<() => void> => {
      const held = Promise.withResolvers<void>()
      const ended = Promise.withResolvers<void>()
      void navigator.locks.request(`sheaf:${PATH}:${token}`, async () => {
        held.resolve()
        await ended.promise
      })
      await held.promise
      return ended.resolve
    }

    it('keeps out those who opened the same IndexedDB once more', async () => {
      const { IDBDatastore } = await import('datastore-idb')
      const { datastore } = await diskStore()
      const ownership = await own(datastore)
      const other = new IDBDatastore((datastore as InstanceType<typeof IDBDatastore>)['location'])
      await other.open()

      expect([await attempt(other), standing(ownership)]).to.deep.equal(['StoreInUseError', 'owns it'])
      await ownership.release()
      expect(await attempt(other)).to.equal('none')
      await Promise.all([...open].map(async each => each.release()))
      await other.close()
    })

    it('keeps a tab out for as long as its own exists, however old its lease', async () => {
      const datastore = new SharingDatastore(new Map([[PATH, encodeLease({ token: 'of another tab' })]]))
      const close = await holdAs('of another tab')
      expect(await messageOf(own(datastore)))
        .to.match(/'a log' is open in another tab or worker: close it there, or let one tab lead/)
      expect(datastore.lease()?.token).to.equal('of another tab')
      close()
      expect(await attempt(datastore)).to.equal('none')
    })

    it('is given a moment to go: a page that is loaded anew does not meet its own lock', async () => {
      const clock = new VirtualClock()
      const datastore = new SharingDatastore(new Map([[PATH, encodeLease({ token: 'of this tab before' })]]))
      const close = await holdAs('of this tab before')
      const opening = attempt(datastore, { clock })
      let isWaiting = false

      while (!isWaiting) {
        const { pending = [] } = await navigator.locks.query()
        isWaiting = pending.some(({ name = '' }) => name.endsWith('of this tab before'))
      }

      clock.advance(200)
      close()
      expect(await opening).to.equal('none')
    })

    it('keeps a tab out when its lease has rotted', async () => {
      const datastore = new SharingDatastore(new Map([[PATH, Uint8Array.from([1, 2, 3])]]))
      const close = await holdAs('of another tab')
      expect(await attempt(datastore)).to.equal('StoreInUseError')
      close()
      expect(await attempt(datastore)).to.equal('none')
    })

    it('waits for a tab that is taking the store', async () => {
      const datastore = new SharingDatastore()
      const gate = Promise.withResolvers<void>()
      const taking = navigator.locks.request(`sheaf:${PATH}`, async () => gate.promise)
      const opening = own(datastore)
      await turns(20)
      expect(datastore.done).to.deep.equal([])
      gate.resolve()
      await taking
      expect(standing(await opening)).to.equal('owns it')
    })

    it('holds no lock once it has given its store up', async () => {
      const key = new Key('/sheaf/log/locks/owner')
      /** The browser takes a moment to free a lock */
      const untilHeld = async (count: number): Promise<void> => {
        for (;;) {
          const { held = [] } = await navigator.locks.query()

          if (held.filter(({ name = '' }) => name.startsWith(`sheaf:${key.toString()}`)).length === count) {
            return
          }
          await turns(1)
        }
      }
      const datastore = new SharingDatastore()
      const ownership = await own(datastore, { key })
      expect(await attempt(datastore.again(), { key })).to.equal('StoreInUseError')
      await untilHeld(1)
      await ownership.release()
      await untilHeld(0)
    })
  }
})
