import { expect } from 'aegir/chai'
import { MemoryDatastore } from 'datastore-core'
import { Key } from 'interface-datastore'
import { toString } from 'uint8arrays/to-string'
import { turns, WatchedDatastore } from '../fixtures/datastores.ts'
import { closeLogs, expectSound, idsOf, name, nameOfError, newKey, newLog, outcomes, said, saidIn, SMALL, text, texts, watched, WindClock } from '../fixtures/logs.ts'
import { until } from '../fixtures/nodes.ts'
import type { Change } from '../fixtures/datastores.ts'
import type { Batch } from 'interface-datastore'

describe('a log on a disk that is slow', () => {
  afterEach(closeLogs)

  it('loses nothing of what comes meanwhile, and keeps its order', async () => {
    const datastore = new WatchedDatastore()
    datastore.beforeWrite = async () => turns(7)
    datastore.afterGet = async () => turns(2)
    const privateKey = await newKey()
    const [log, other] = await Promise.all([newLog({ datastore, privateKey }), newLog()])
    const foreign = await other.appendMany(texts(30, 'f'))
    const appends: Array<Promise<unknown>> = []

    for (let i = 0; i < 30; i++) {
      appends.push(log.append(text(`${i}`)), log.join([foreign[29 - i]]).then(outcomes))
      await turns(i % 5)
    }

    await Promise.all(appends)
    const entries = await expectSound(log)
    expect(entries.map(said).filter(data => !data.startsWith('f'))).to.deep.equal(Array.from({ length: 30 }, (_, i) => `${i}`))
    expect(entries).to.have.lengthOf(60)
    await log.close()
    expect(await idsOf(await newLog({ datastore, privateKey }))).to.deep.equal(entries.map(name))
  })

  it('finds all of what was appended while a record was read', async () => {
    const datastore = new WatchedDatastore()
    const log = await newLog({ datastore })
    const first = await log.append(text('first'))
    const gate = Promise.withResolvers<void>()
    const read = Promise.withResolvers<void>()
    datastore.afterGet = async () => {
      read.resolve()
      await gate.promise
    }
    const reading = log.get(first.id)
    await read.promise
    const later = await log.appendMany(texts(40))
    gate.resolve()
    datastore.afterGet = undefined
    await reading

    expect((await Promise.all(later.map(async ({ id }) => log.get(id)))).filter(entry => entry == null)).to.deep.equal([])
    await expectSound(log)
  })

  it('refuses what takes too long, and everything after it, until it is opened again', async () => {
    const clock = new WindClock()
    const datastore = new WatchedDatastore()
    const privateKey = await newKey()
    const log = await newLog({ datastore, privateKey, clock })
    const before = await log.append(text('before'))
    const stuck = Promise.withResolvers<void>()
    const reached = Promise.withResolvers<void>()
    datastore.beforeWrite = async () => {
      reached.resolve()
      await stuck.promise
    }
    const append = nameOfError(log.append(text('stuck')))
    await reached.promise
    clock.wind(122_001)
    const first = await Promise.race([append, turns(20).then(() => 'it hangs')])
    const second = await nameOfError(log.append(text('after')))
    datastore.beforeWrite = undefined
    stuck.resolve()
    await turns(5)
    await Promise.allSettled([log.close()])

    expect([first, second]).to.deep.equal(['StoreFailedError', 'StoreFailedError'])
    const again = await newLog({ datastore, privateKey, clock })
    expect(await again.has(before.id)).to.equal(true)
    await again.append(text('after'))
    await expectSound(again)
  })
})

/** A disk that rots all pages of the index as it reads them */
class RottenDatastore extends WatchedDatastore {
  isRotten = false

  async get (key: Key): Promise<Uint8Array> {
    const value = await super.get(key)

    if (this.isRotten && key.toString().endsWith('p')) {
      const changed = Uint8Array.from(value)
      changed[changed.byteLength >> 1] ^= 1
      return changed
    }

    return value
  }
}

describe('a log on a disk that fails', () => {
  afterEach(closeLogs)

  for (const reason of [undefined, null, 'a word']) {
    it(`says so by name, also where the datastore rejects with ${reason}`, async () => {
      const datastore = new WatchedDatastore()
      const log = await newLog({ datastore })
      await log.append(text('before'))
      // eslint-disable-next-line @typescript-eslint/only-throw-error
      datastore.beforeWrite = () => { throw reason }

      expect(await nameOfError(log.append(text('failed')))).to.equal('StoreFailedError')
      datastore.beforeWrite = undefined
      await log.append(text('after'))
      expect(await saidIn(log)).to.deep.equal(['before', 'after'])
    })
  }

  for (const count of [30, 60, 300]) {
    it(`says so where it never gives back the index that it was given, of ${count} entries, and makes no end of indexes`, async () => {
      const datastore = new RottenDatastore()
      const privateKey = await newKey()
      const log = await newLog({ datastore, privateKey }, SMALL)
      const { id } = (await log.appendMany(texts(count)))[0]
      await log.close()
      datastore.isRotten = true
      const again = await newLog({ datastore, privateKey }, SMALL)
      const wrong = await again.has(id).then(has => has ? 'none' : 'not found', err => err.name)

      expect(wrong).to.be.oneOf(['StoreFailedError', 'none'])
      expect(datastore.writes.length).to.be.lessThan(2000)
      await again.close().catch(() => {})
      datastore.isRotten = false
      expect(await saidIn(await newLog({ datastore, privateKey }, SMALL))).to.deep.equal(Array.from({ length: count }, (_, i) => `${i}`))
    })
  }

  it('rejects the appends of the write that failed, and goes on', async () => {
    const datastore = new WatchedDatastore()
    const privateKey = await newKey()
    const log = await newLog({ datastore, privateKey })
    const before = await log.append(text('before'))
    datastore.tear = () => {
      datastore.tear = undefined
      return []
    }
    const failed = await Promise.all([nameOfError(log.append(text('a'))), nameOfError(log.append(text('b')))])
    const after = await log.append(text('after'))

    expect(failed).to.deep.equal(['StoreFailedError', 'StoreFailedError'])
    expect(after.previous?.equals(before.id)).to.equal(true)
    expect((await expectSound(log)).map(said)).to.deep.equal(['before', 'after'])
    await log.close()
    expect((await expectSound(await newLog({ datastore, privateKey }))).map(said)).to.deep.equal(['before', 'after'])
  })

  it('takes what is appended once the write has failed, also where the loop was held and others get a turn first', async () => {
    const datastore = new WatchedDatastore()
    const hold = (): boolean => {
      const until = performance.now() + 10
      while (performance.now() < until) { /* holds the loop */ }
      return true
    }
    const log = await newLog({ datastore, canAppend: hold })

    for (let i = 0; i < 5; i++) {
      datastore.tear = () => {
        datastore.tear = undefined
        return []
      }
      expect(await nameOfError(log.append(text('failed')))).to.equal('StoreFailedError')
      expect(await nameOfError(log.append(text(`after ${i}`)))).to.equal('none')
    }

    expect(await saidIn(log)).to.deep.equal(Array.from({ length: 5 }, (_, i) => `after ${i}`))
    await expectSound(log)
  })

  it('rejects what stood on the write that failed, too, and takes it when it is appended again', async () => {
    const datastore = new WatchedDatastore()
    const log = await newLog({ datastore })
    let isFirst = true
    datastore.tear = () => {
      const torn = isFirst ? [] : undefined
      isFirst = false
      return torn
    }
    const many = await Promise.all(Array.from({ length: 4 }, async (_, i) => nameOfError(log.appendMany(texts(512, `${i} `)))))
    const stored = await saidIn(log)

    expect(many[0]).to.equal('StoreFailedError')
    many.forEach((error, i) => {
      const all = texts(512, `${i} `).map(bytes => toString(bytes))
      const here = stored.filter(data => data.startsWith(`${i} `))
      // of many that were rejected there may be some, but none behind one that is missing
      expect(here.findIndex((data, k) => data !== all[k]), `${error} for many number ${i}: ${here[0]} is the first that is there`).to.equal(-1)
      expect(error !== 'none' || here.length === 512).to.equal(true)
    })
    await log.appendMany(texts(512, '0 '))
    await expectSound(log)
  })

  it('adds nothing of a join that failed, and all of it when it is tried again', async () => {
    const datastore = new WatchedDatastore()
    const [log, other] = await Promise.all([newLog({ datastore }), newLog()])
    const entries = await other.appendMany(texts(20))
    datastore.tear = () => []
    expect(await nameOfError(log.join(entries))).to.equal('StoreFailedError')
    expect(log.length).to.equal(0)
    datastore.tear = undefined

    expect(new Set(outcomes(await log.join(entries)))).to.deep.equal(new Set(['added']))
    await expectSound(log)
  })

  it('takes what it lost out of the index also when the disk is full as it finds that out, once there is room again', async () => {
    const datastore = new WatchedDatastore()
    const privateKey = await newKey()
    const first = await newLog({ datastore, privateKey })
    const lost = await first.appendMany(texts(20))
    await first.append(text('stays'))
    await first.close()
    const record = datastore.keys.find(key => key.endsWith('r')) ?? ''
    await datastore.delete(new Key(record, false))
    const log = await newLog({ datastore, privateKey })
    datastore.tear = () => []
    // a walk finds fewer entries than there should be
    expect(await saidIn(log)).to.deep.equal(['stays'])
    await turns(20)
    expect(log.length).to.equal(21)
    datastore.tear = undefined
    await log.append(text('room'))

    await until(() => log.length === 2)
    expect(await log.has(lost[3].id)).to.equal(false)
    expect(log.diagnostics().problems.map(({ kind }) => kind)).to.include('damage')
    expect((await expectSound(log)).map(said)).to.deep.equal(['stays', 'room'])
  })

  it('finds out each time that a walk meets fewer entries than before, also in the same stretch', async () => {
    const datastore = new WatchedDatastore()
    // no record stays in memory
    const log = await newLog({ datastore }, { recordEntries: 5, cacheBytes: 1 })
    await log.appendMany(texts(20))

    for (const left of [15, 10, 5]) {
      await datastore.delete(new Key(datastore.keys.find(key => key.endsWith('r')) ?? '', false))
      expect(await saidIn(log)).to.have.lengthOf(left)
      await until(() => log.length === left)
    }

    await expectSound(log)
  })

  it('removes nothing of what the disk did not take, tells of none of it, and takes it out when it is asked again', async () => {
    const datastore = new WatchedDatastore()
    const log = await newLog({ datastore })
    const entries = await log.appendMany(texts(20))
    const { removed } = watched(log)
    datastore.tear = () => []
    expect(await nameOfError(log.remove([entries[0].id]))).to.equal('StoreFailedError')
    datastore.tear = undefined

    // whoever keeps a state by the events has to know
    expect([await log.has(entries[0].id), removed]).to.deep.equal([true, []])
    await expectSound(log)
    expect(await log.remove([entries[0].id])).to.equal(1)
    expect([await log.has(entries[0].id), removed]).to.deep.equal([false, ['0']])
    await expectSound(log)
  })

  it('tells of a removal that is stored, also when it cannot write a checkpoint behind it', async () => {
    const datastore = new WatchedDatastore()
    const log = await newLog({ datastore }, SMALL)
    const entries = await log.appendMany(texts(35))
    const { removed } = watched(log)
    const isData = ({ key }: Change): boolean => key.endsWith('r')
    datastore.tear = changes => changes.some(isData) ? undefined : []

    for (let i = 0; i < 30; i++) {
      expect(await nameOfError(log.remove([entries[i].id]))).to.equal('none')
    }

    datastore.tear = undefined
    expect(removed).to.deep.equal(entries.slice(0, 30).map(said))
    expect((await expectSound(log)).map(said)).to.deep.equal(entries.slice(30).map(said))
  })

  it('is as good as any after a restart when the disk said that it failed, and had written all', async () => {
    const datastore = new WatchedDatastore()
    const privateKey = await newKey()
    const log = await newLog({ datastore, privateKey })
    await log.append(text('before'))
    datastore.tear = changes => changes
    expect(await nameOfError(log.append(text('rejected')))).to.equal('StoreFailedError')
    datastore.tear = undefined
    expect((await expectSound(log)).map(said)).to.deep.equal(['before'])
    await log.close()

    // what was rejected may be there: nobody can know what such a disk did
    const again = await newLog({ datastore, privateKey })
    expect((await expectSound(again)).map(said)).to.include('before')
    await again.append(text('after'))
    await expectSound(again)
  })

  it('says that its checkpoint could not be written, and has all after it is opened again', async () => {
    const datastore = new WatchedDatastore()
    const privateKey = await newKey()
    const log = await newLog({ datastore, privateKey })
    const entries = await log.appendMany(texts(300))
    datastore.tear = changes => changes.slice(0, 1)
    expect(await nameOfError(log.close())).to.equal('StoreFailedError')
    datastore.tear = undefined

    expect(log.status).to.equal('closed')
    expect((await expectSound(await newLog({ datastore, privateKey }))).map(name)).to.deep.equal(entries.map(name))
  })

  it('is never asked for a batch: one of IndexedDB says that it stored what it did not, and others are stored in part', async () => {
    const datastore = new UnbatchedDatastore()
    const privateKey = await newKey()
    const log = await newLog({ datastore, privateKey }, SMALL)
    const entries = await log.appendMany(texts(100))
    await log.remove(entries.slice(0, 60).map(({ id }) => id))
    await log.close()
    const again = await newLog({ datastore, privateKey }, SMALL)
    expect((await expectSound(again)).map(name)).to.deep.equal(entries.slice(60).map(name))
    await again.drop()
  })
})

class UnbatchedDatastore extends MemoryDatastore {
  batch (): Batch {
    throw new RangeError('a batch')
  }
}
