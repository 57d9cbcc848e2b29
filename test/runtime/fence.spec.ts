import { expect } from 'aegir/chai'
import { BaseDatastore, MemoryDatastore } from 'datastore-core'
import { Key } from 'interface-datastore'
import { StoreInUseError } from '../../src/runtime/errors.ts'
import { setFence } from '../../src/runtime/fence.ts'
import { StoreOwner } from '../../src/runtime/store-owner.ts'
import { SetClock, nameOfError } from '../fixtures/logs.ts'
import type { Datastore } from 'interface-datastore'

const KEY = new Key('/sheaf/log/fenced/owner')

/** One object of several that are over one disk */
class Shared extends BaseDatastore {
  readonly #disk: MemoryDatastore

  constructor (disk: MemoryDatastore) {
    super()
    this.#disk = disk
  }

  put (key: Key, value: Uint8Array): Key {
    return this.#disk.put(key, value) as Key
  }

  get (key: Key): Uint8Array {
    return this.#disk.get(key) as Uint8Array
  }

  delete (key: Key): void {
    this.#disk.delete(key)
  }
}

describe('a store behind a fence', () => {
  let disk: MemoryDatastore
  let leader: object

  beforeEach(() => { disk = new MemoryDatastore() })

  /** A datastore that may be written while its owner leads */
  function fenced (owner: object, name = 'profile'): Datastore {
    const datastore = new Shared(disk)
    setFence(datastore, {
      name,
      check: () => {
        if (leader !== owner) {
          throw new StoreInUseError('another one leads')
        }
      }
    })
    return datastore
  }

  async function open (datastore: Datastore): Promise<StoreOwner> {
    return StoreOwner.open({ datastore, key: KEY, name: 'It', clock: new SetClock() })
  }

  it('is taken over from who was fenced off, who may not write any more', async () => {
    const [a, b] = [{}, {}]
    leader = a
    const first = await open(fenced(a))
    first.check()
    leader = b
    const second = await open(fenced(b))
    second.check()
    expect(() => { first.check() }).to.throw(StoreInUseError, 'another one leads')
    await first.release()
    second.check()
    await second.release()
  })

  it('is not taken over from who has no fence, or another one', async () => {
    const a = leader = {}
    const plain = await open(new Shared(disk))
    expect(await nameOfError(open(fenced(a)))).to.equal('StoreInUseError')
    await plain.release()
    const other = await open(fenced(a, 'another profile'))
    expect(await nameOfError(open(fenced(a)))).to.equal('StoreInUseError')
    await other.release()
  })
})
