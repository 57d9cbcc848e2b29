import { expect } from 'aegir/chai'
import { BaseDatastore, MemoryDatastore } from 'datastore-core'
import { Key } from 'interface-datastore'
import { randomInt, seededRandom } from '../../src/runtime/random.ts'
import { ANONYMOUS, decodeLease, encodeLease } from '../../src/runtime/store-lease.ts'
import { StoreOwner } from '../../src/runtime/store-owner.ts'
import { deleteStores, diskStore, IS_NODE, turns } from '../fixtures/datastores.ts'
import { nameOfError, SetClock } from '../fixtures/logs.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'
import type { Lease } from '../../src/runtime/store-lease.ts'
import type { OwnerInit } from '../../src/runtime/store-owner.ts'
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

const open = new Set<StoreOwner>()

async function own (datastore: Datastore, init: Partial<OwnerInit> = {}): Promise<StoreOwner> {
  const owner = await StoreOwner.open({ datastore, key: KEY, name: 'The log \'a\'', clock: new SetClock(), ...init })
  open.add(owner)
  return owner
}

/** Whether a store can be had, or why it cannot */
async function attempt (datastore: Datastore, init: Partial<OwnerInit> = {}): Promise<string> {
  return nameOfError(own(datastore, init))
}

function standing (owner: StoreOwner): string {
  try {
    owner.check()
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

describe('the owner of a store', () => {
  afterEach(async () => {
    await Promise.all([...open].map(async owner => owner.release()))
    open.clear()
    await deleteStores()
  })

  it('gets a store that nobody has, and leaves a lease there until it gives the store up', async () => {
    const datastore = new SharingDatastore()
    const owner = await own(datastore)
    expect([standing(owner), [...datastore.disk.keys()]]).to.deep.equal(['owns it', [PATH]])
    await owner.release()
    await owner.release()

    expect([standing(owner), datastore.disk.size]).to.deep.equal(['StoreInUseError', 0])
    expect(await attempt(datastore)).to.equal('none')
  })

  it('keeps others out who use its very datastore object, without a look at the disk', async () => {
    const datastore = new SharingDatastore()
    const owner = await own(datastore)
    const before = datastore.done.length

    expect(await messageOf(own(datastore)))
      .to.equal('The log \'a\' is open on this datastore already: use that one, or close it')
    expect([datastore.done.length, standing(owner)]).to.deep.equal([before, 'owns it'])
    expect(await attempt(datastore, { key: new Key('/sheaf/log/other/owner') })).to.equal('none')
  })

  it('keeps others out who came to the same store by another datastore object', async () => {
    const datastore = new SharingDatastore()
    const owner = await own(datastore)
    const { token } = datastore.lease() ?? {}

    expect(await messageOf(own(datastore.again())))
      .to.equal('The log \'a\' is open through another datastore object here: use that one, or close it')
    expect([standing(owner), datastore.lease()?.token]).to.deep.equal(['owns it', token])
    await owner.release()
    expect(await attempt(datastore.again())).to.equal('none')
  })

  it('keeps others out where the disk takes its time', async () => {
    const datastore = new SharingDatastore()
    const slow = datastore.again()
    datastore.before = slow.before = async () => turns(7)
    const owner = await own(datastore)

    expect([await attempt(slow), standing(owner)]).to.deep.equal(['StoreInUseError', 'owns it'])
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

    expect([standing(original), standing(copy)]).to.deep.equal(['owns it', 'owns it'])
    expect(await attempt(datastore.again())).to.equal('StoreInUseError')
    await copy.release()
    expect([standing(original), datastore.disk.size]).to.deep.equal(['owns it', 1])
  })

  it('does not keep anybody from a copy when it is gone from the original', async () => {
    const datastore = new SharingDatastore()
    const owner = await own(datastore)
    const copies = [datastore.copy(), datastore.copy()]
    await owner.release()

    expect(await Promise.all(copies.map(async copy => attempt(copy)))).to.deep.equal(['none', 'none'])
  })

  for (const dead of ['put', 'get'] as Operation[]) {
    it(`loses its store when it fails to ${dead}`, async () => {
      const datastore = new SharingDatastore()
      const old = await own(datastore)
      datastore.before = operation => { operation === dead && fails() }
      const next = await own(datastore.again())

      expect([standing(old), standing(next)]).to.deep.equal(['StoreInUseError', 'owns it'])
      expect(() => { old.check() }).to.throw(/'a' was opened anew in this program: nothing of it is written/)
      datastore.before = () => {}
      await old.release()
      expect([standing(next), await attempt(datastore.again())]).to.deep.equal(['owns it', 'StoreInUseError'])
    })

    it(`keeps its store when it hangs as it is to ${dead}, until it is closed`, async () => {
      const datastore = new SharingDatastore()
      const clock = new VirtualClock()
      const old = await own(datastore, { clock })
      const gate = Promise.withResolvers<void>()
      datastore.before = async operation => operation === dead ? gate.promise : undefined

      expect(await during(clock, messageOf(own(datastore.again(), { clock })))).to.equal(
        'The log \'a\' is open through another datastore object here, which does not answer: use that one, or close it')
      expect(standing(old)).to.equal('owns it')
      const releasing = old.release()
      gate.resolve()
      await releasing
      expect([datastore.disk.size, await attempt(datastore.again(), { clock })]).to.deep.equal([0, 'none'])
    })
  }

  it('keeps its store when it is slow because the store is', async () => {
    const datastore = new SharingDatastore()
    const clock = new VirtualClock()
    const owner = await own(datastore, { clock })
    const other = datastore.again()
    datastore.before = other.before = async () => new Promise(resolve => { clock.after(1500, resolve) })

    expect(await during(clock, attempt(other, { clock }))).to.equal('StoreInUseError')
    expect(standing(owner)).to.equal('owns it')
    await during(clock, owner.release())
    // nothing moves this clock any more, and owners are released after each test
    datastore.before = other.before = () => {}
  })

  it('is found when its lease has rotted, and not missed when it is gone', async () => {
    const datastore = new SharingDatastore()
    const owner = await own(datastore)
    const lease = datastore.disk.get(PATH) ?? new Uint8Array()
    lease[20] ^= 1
    expect([await attempt(datastore.again()), standing(owner)]).to.deep.equal(['StoreInUseError', 'owns it'])

    await owner.release()
    datastore.disk.set(PATH, lease)
    const clock = new VirtualClock()
    expect(await during(clock, attempt(datastore.again(), { clock }))).to.equal('none')
  })

  it('is not kept out by a lease that was torn, at whatever length', async () => {
    const whole = encodeLease({ token: 'x', beat: 1, host: 'y', pid: 1, renewed: 1_000_000 })

    for (let length = 0; length < whole.byteLength; length += 11) {
      const datastore = new SharingDatastore(new Map([[PATH, whole.slice(0, length)]]))
      const clock = new VirtualClock()
      expect(await during(clock, attempt(datastore, { clock })), `${length} bytes`).to.equal('none')
    }
  })

  it('gives its store up without an error when the disk fails, and keeps nobody out after that', async () => {
    const datastore = new SharingDatastore()
    const owner = await own(datastore)
    datastore.before = fails
    await owner.release()

    expect([datastore.disk.size, standing(owner)]).to.deep.equal([1, 'StoreInUseError'])
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

  it('loses nothing when an opener breaks down half-way', async () => {
    const datastore = new SharingDatastore()
    const owner = await own(datastore)
    const { token } = datastore.lease() ?? {}
    const opener = datastore.again()
    let reads = 0
    opener.before = operation => { operation === 'get' && ++reads === 2 && fails() }

    expect(await messageOf(own(opener))).to.equal('the disk is gone')
    expect([datastore.lease()?.token, standing(owner)]).to.deep.equal([token, 'owns it'])
    expect(await attempt(datastore.again())).to.equal('StoreInUseError')
  })

  it('is refused by a datastore that does not store what it says', async () => {
    const datastore = new SharingDatastore()
    datastore.put = async key => key
    expect(await attempt(datastore)).to.equal('StoreFailedError')
  })

  it('is told apart in what the platform stores with', async () => {
    const { datastore, reopen } = await diskStore()
    const owner = await own(datastore)
    expect(await attempt(datastore)).to.equal('StoreInUseError')
    const again = await reopen()
    // the first object is closed: whoever used it cannot write
    const next = await own(again)
    expect([standing(owner), standing(next)]).to.deep.equal(['StoreInUseError', 'owns it'])
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
      const owner = await own(datastore)
      const other = new IDBDatastore((datastore as InstanceType<typeof IDBDatastore>)['location'])
      await other.open()

      expect([await attempt(other), standing(owner)]).to.deep.equal(['StoreInUseError', 'owns it'])
      await owner.release()
      expect(await attempt(other)).to.equal('none')
      await Promise.all([...open].map(async each => each.release()))
      await other.close()
    })

    it('keeps a tab out for as long as its own exists, however old its lease', async () => {
      const datastore = new SharingDatastore(new Map([[PATH, encodeLease({ ...ANONYMOUS, token: 'of another tab' })]]))
      const close = await holdAs('of another tab')
      expect(await messageOf(own(datastore)))
        .to.match(/'a' is open in another tab or worker: close it there, or let one tab lead/)
      expect(datastore.lease()?.token).to.equal('of another tab')
      close()
      expect(await attempt(datastore)).to.equal('none')
    })

    it('is given a moment to go: a page that is loaded anew does not meet its own lock', async () => {
      const clock = new VirtualClock()
      const datastore = new SharingDatastore(new Map([[PATH, encodeLease({ ...ANONYMOUS, token: 'of this tab before' })]]))
      const close = await holdAs('of this tab before')
      let isFree = false
      const opening = attempt(datastore, { clock }).finally(() => { isFree = true })
      await turns(50)
      expect(isFree).to.equal(false)
      close()
      expect(await during(clock, opening)).to.equal('none')
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
      const owner = await own(datastore, { key })
      expect(await attempt(datastore.again(), { key })).to.equal('StoreInUseError')
      await untilHeld(1)
      await owner.release()
      await untilHeld(0)
    })
  }
})
