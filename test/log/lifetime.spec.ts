import { expect } from 'aegir/chai'
import { deleteStores, diskStore, IS_NODE, turns, WatchedDatastore } from '../fixtures/datastores.ts'
import { allOf, closeLogs, collect, expectSound, FINGERPRINT_KEY, headsOf, idsOf, name, nameOfError, newKey, newLog, said, SetClock, SMALL, text, texts } from '../fixtures/logs.ts'
import type { Log } from '../../src/log/index.ts'

/** All that others can see of a log */
async function faceOf (log: Log): Promise<unknown> {
  const ranges = [{}, { to: 2 ** 31 }, { from: 2 ** 31 }, { from: 2 ** 29, to: 3 * 2 ** 29 }]
  return {
    ids: await idsOf(log),
    heads: await headsOf(log),
    arrivals: (await collect(log.arrivals())).map(({ arrival, entry }) => `${arrival} ${name(entry)} ${entry.proof.join()}`),
    fingerprints: await Promise.all(ranges.map(async range => log.fingerprint(range, FINGERPRINT_KEY))),
    marks: await Promise.all(['a', 'b'].map(async program => log.marked(program))),
    length: log.length,
    bytes: log.diagnostics().bytes
  }
}

describe('closing a log', () => {
  afterEach(closeLogs)

  it('is what the end of a block does that uses it', async () => {
    const log = await newLog({})
    await log[Symbol.asyncDispose]()
    expect(log.status).to.equal('closed')
  })

  it('ends appends that are under way: all of them are stored, and those behind it refused', async () => {
    const datastore = new WatchedDatastore()
    datastore.beforeWrite = async () => turns(2)
    const privateKey = await newKey()
    const log = await newLog({ datastore, privateKey })
    const under = [...Array.from({ length: 20 }, async (_, i) => log.append(text(`${i}`))), log.appendMany(texts(512, 'many '))]
    await turns(1)
    const closing = log.close()
    expect(log.status).to.equal('closing')
    expect(await nameOfError(log.append(text('too late')))).to.equal('LogClosedError')
    const settled = await Promise.allSettled(under)
    await closing

    expect(settled.map(({ status }) => status)).to.deep.equal(settled.map(() => 'fulfilled'))
    expect(log.status).to.equal('closed')
    expect(await allOf(await newLog({ datastore, privateKey }))).to.have.lengthOf(532)
  })

  it('settles each of many appends that come before, during and behind it', async () => {
    const datastore = new WatchedDatastore()
    datastore.beforeWrite = async () => turns(1)
    const privateKey = await newKey()
    const log = await newLog({ datastore, privateKey })
    const appends: Array<Promise<string>> = []

    for (let i = 0; i < 60; i++) {
      appends.push(log.append(text(`${i}`)).then(said, err => err.name))
      if (i === 30) {
        void log.close()
      }
      await turns(i % 3)
    }

    const results = await Promise.all(appends)
    const stored = (await allOf(await newLog({ datastore, privateKey: await newKey(), id: log.id }))).map(said)
    expect(results.slice(0, 31)).to.deep.equal(stored)
    expect(new Set(results.slice(31))).to.deep.equal(new Set(['LogClosedError']))
  })

  it('keeps every append that it resolved, and rejects none that is stored, whenever the close comes', async () => {
    for (let pause = 0; pause < 12; pause++) {
      const datastore = new WatchedDatastore()
      datastore.beforeWrite = async () => turns(1)
      const privateKey = await newKey()
      const log = await newLog({ datastore, privateKey })
      const told: string[] = []
      log.addEventListener('entry:add', ({ detail: { entry } }) => { told.push(said(entry)) })
      const settled = Promise.all(Array.from({ length: 12 }, async (_, i) => {
        await turns(i)
        return log.append(text(`${i}`)).then(said, err => err.name as string)
      }))
      await turns(pause)
      await log.close()
      const results = (await settled).filter(result => result !== 'LogClosedError')
      const stored = (await allOf(await newLog({ datastore, privateKey }))).map(said)

      expect(results.every(result => /^\d+$/.test(result))).to.equal(true)
      expect(stored).to.deep.equal(results)
      expect(told).to.deep.equal(results)
    }
  })

  it('is done once, whoever asks', async () => {
    const log = await newLog()
    await log.append(text('a'))
    await Promise.all([log.close(), log.close()])
    await log.close()

    expect(log.status).to.equal('closed')
  })

  it('writes nothing where nothing changed', async () => {
    const datastore = new WatchedDatastore()
    const privateKey = await newKey()
    const first = await newLog({ datastore, privateKey })
    await first.append(text('a'))
    await first.close()
    const { length } = datastore.writes
    const second = await newLog({ datastore, privateKey })
    await allOf(second)
    await second.close()

    expect(datastore.writes.slice(length).flat()).to.deep.equal([])
  })
})

describe('dropping a log', () => {
  afterEach(closeLogs)

  it('that is being closed drops it, or says that it did not, whenever it was asked', async () => {
    const seen = new Set<string>()

    for (let at = 0; at < 40; at++) {
      const datastore = new WatchedDatastore()
      datastore.beforeWrite = async () => turns(1)
      const log = await newLog({ datastore })
      await log.appendMany(texts(20))
      const closing = log.close()
      await turns(at)
      const dropped = await nameOfError(log.drop())
      await closing
      expect([dropped, datastore.keys.length > 0]).to.be.deep.oneOf([['none', false], ['LogClosedError', true]])
      seen.add(dropped)
    }

    expect([...seen].sort()).to.deep.equal(['LogClosedError', 'none'])
  })

  for (const end of ['close', 'drop'] as const) {
    it(`or closing it: who reads when ${end}() comes gets what is there, or an error, and never less`, async () => {
      const datastore = new WatchedDatastore()
      const log = await newLog({ datastore }, SMALL)

      for (let i = 0; i < 20; i++) {
        await log.appendMany(texts(20, `${i} `))
      }

      const entries = await allOf(log)
      datastore.afterGet = async () => turns(1)
      const reads = [
        ...entries.map(async ({ id }) => (await log.get(id))?.id.equals(id)),
        ...entries.map(async ({ id }) => log.has(id)),
        collect(log.entries()).then(all => all.length === entries.length),
        collect(log.arrivals()).then(all => all.length === entries.length),
        log.idsInRange({}, { limit: 10_000 }).then(ids => ids.length === entries.length),
        log.fingerprint({}, FINGERPRINT_KEY).then(({ count }) => count === entries.length)
      ].map(async read => read.catch(err => err.name))
      await turns(2)
      await log[end]()

      const outcomes = new Set(await Promise.all(reads))
      expect([...outcomes].filter(outcome => outcome !== true && outcome !== 'LogClosedError')).to.deep.equal([])
      expect(datastore.keys.length === 0).to.equal(end === 'drop')
    })
  }
})

describe('opening a log again', () => {
  afterEach(async () => {
    await closeLogs()
    await deleteStores()
  })

  for (const [how, isClosed] of [['that was closed', true], ['that was not', false]] as const) {
    it(`${how} finds the same entries, order, heads, arrivals, fingerprints and marks on the disk of the platform`, async () => {
      const disk = await diskStore()
      const privateKey = await newKey()
      const log = await newLog({ datastore: disk.datastore, privateKey })
      const others = await Promise.all([newLog(), newLog({ clock: new SetClock(999_990) })])
      await log.appendMany(texts(IS_NODE ? 300 : 60))
      await log.join((await others[0].appendMany(texts(20, 'f'), { group: text('g') })).slice(3))
      await log.append(text('between'))
      await log.join([await others[1].append(text('older'))])
      await log.trim({ length: 60 })
      await log.mark('a', 7)
      const before = await faceOf(log)
      const ownTip = (await allOf(log)).findLast(entry => said(entry) === 'between')
      if (isClosed) {
        await log.close()
      }

      const again = await newLog({ datastore: await disk.reopen(), privateKey })
      expect(await faceOf(again)).to.deep.equal(before)
      const next = await again.append(text('next'))
      expect(next.previous?.toString()).to.equal(ownTip?.id.toString())
      expect(next.parents.map(id => name({ id })).sort()).to.deep.equal((before as { heads: string[] }).heads)
      await expectSound(again)
    })
  }

  it('goes on numbering where it was, also when the last ones are gone', async () => {
    const disk = await diskStore()
    const log = await newLog({ datastore: disk.datastore })
    const entries = await log.appendMany(texts(10))
    await log.remove(entries.slice(8).map(({ id }) => id))
    await log.close()
    const again = await newLog({ datastore: await disk.reopen() })
    await again.append(text('next'))

    expect((await collect(again.arrivals(8))).map(({ arrival, entry }) => [arrival, said(entry)])).to.deep.equal([[10, 'next']])
  })

  it('with a clock that ran backwards never makes two entries equal or out of order', async () => {
    const disk = await diskStore()
    const privateKey = await newKey()
    const data = text('the same')
    let { datastore } = disk
    const ids: string[] = []

    for (const [i, time] of [5_000, 4_000, 1_000, 5_000, 0, 4_999, 6_000, 5_999].entries()) {
      const log = await newLog({ datastore, privateKey, clock: new SetClock(time) })
      ids.push(name(await log.append(data)), name(await log.append(data)))

      // some lives end without a word
      if (i % 2 === 0) {
        await log.close()
      }
      datastore = await disk.reopen()
    }

    const log = await newLog({ datastore, privateKey })
    expect(new Set(ids).size).to.equal(ids.length)
    expect((await expectSound(log)).map(name)).to.deep.equal(ids)
  })

  it('does not lose what it had heard of the time from entries that are gone', async () => {
    const disk = await diskStore()
    const privateKey = await newKey()
    const log = await newLog({ datastore: disk.datastore, privateKey, clock: new SetClock(5_000) })
    const gone = await log.append(text('gone'))
    await log.remove([gone.id])
    const again = await newLog({ datastore: await disk.reopen(), privateKey, clock: new SetClock(1_000) })

    expect((await again.append(text('next'))).clock).to.deep.equal({ time: 5_000n, counter: 1 })
  })

  it('does not ask whether an entry is true, or may be there', async () => {
    const datastore = new WatchedDatastore()
    await (await newLog({ datastore })).appendMany(texts(5))
    const again = await newLog({ datastore, canAppend: () => { throw new RangeError('asked') }, id: 'a log' }).catch(err => err.name)

    // the first one is open still
    expect(again).to.equal('StoreInUseError')
    await closeLogs()
    expect(await allOf(await newLog({ datastore, canAppend: () => { throw new RangeError('asked') } }))).to.have.lengthOf(5)
  })
})
