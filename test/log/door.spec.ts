import { expect } from 'aegir/chai'
import { MemoryDatastore } from 'datastore-core'
import { heldStore, WatchedDatastore } from '../fixtures/datastores.ts'
import { closeLogs, expectSound, nameOfError, newLog, outcomes, said, saidIn, text, texts, WindClock } from '../fixtures/logs.ts'
import { until } from '../fixtures/nodes.ts'
import type { Log } from '../../src/log/index.ts'

describe('the door of a log', () => {
  afterEach(closeLogs)

  it('refuses content that no entry can have, by name, and nothing changes', async () => {
    const log = await newLog()
    const before = await log.append(text('before'))
    const refused = await Promise.all([
      nameOfError(log.append(new Uint8Array(16 * 1024 * 1024 + 1))),
      nameOfError(log.append(text('x'), { group: new Uint8Array(65) })),
      nameOfError(log.append(text('x'), { replicas: 256 })),
      nameOfError(log.append(text('x'), { replicas: -1 })),
      nameOfError(log.append(text('x'), { replicas: 1.5 })),
      nameOfError(log.append(text('x'), { replicas: NaN })),
      nameOfError(log.appendMany([text('a'), text('b')], { replicas: 256 })),
      nameOfError(log.appendMany([new Uint8Array(16 * 1024 * 1024 + 1), text('b')]))
    ])

    expect(refused).to.deep.equal(refused.map(() => 'InvalidContentError'))
    expect(await saidIn(log)).to.deep.equal(['before'])
    expect((await log.append(text('after'))).previous?.equals(before.id)).to.equal(true)
    await expectSound(log)
  })

  it('takes content as large as an entry may have', async () => {
    const log = await newLog()
    const largest = new Uint8Array(16 * 1024 * 1024)
    const entry = await log.append(largest, { group: new Uint8Array(64).fill(1), replicas: 255 })

    expect((await log.get(entry.id))?.data.byteLength).to.equal(largest.byteLength)
    await log.append(new Uint8Array(0))
    await expectSound(log)
  })

  it('copies the first 4 MiB of an array at once, and the others as it writes them', async () => {
    const log = await newLog()
    const items: Uint8Array[] = Array.from({ length: 10 }, (_, i) => new Uint8Array(1024 * 1024).fill(i))
    const appending = log.appendMany(items)
    items.forEach(item => { item.fill(99) })
    items.push(text('late'))
    const entries = await appending

    expect(entries.map(({ data }) => data[0])).to.deep.equal([0, 1, 2, 3, 4, ...new Array(5).fill(99)])
    await expectSound(log)
  })

  it('looks at all of an array before it appends any of it', async () => {
    const log = await newLog()
    const items: unknown[] = Array.from({ length: 10 }, () => new Uint8Array(1024 * 1024))

    expect(await nameOfError(log.appendMany([...items, 'text'] as Uint8Array[]))).to.equal('InvalidContentError')
    expect(await nameOfError(log.appendMany([...items, new Uint8Array(16 * 1024 * 1024 + 1)] as Uint8Array[]))).to.equal('InvalidContentError')
    expect(log.length).to.equal(0)
  })

  it('appends beside those whose content is refused', async () => {
    const log = await newLog()
    const all = await Promise.all([text('a'), new Uint8Array(17_000_000), text('b')].map(async data => nameOfError(log.append(data))))

    expect(all).to.deep.equal(['none', 'InvalidContentError', 'none'])
    expect(await saidIn(log)).to.deep.equal(['a', 'b'])
  })

  it('refuses an id that is empty, or too long in bytes', async () => {
    expect(await nameOfError(newLog({ id: '' }))).to.equal('InvalidLogIdError')
    expect(await nameOfError(newLog({ id: 'x'.repeat(513) }))).to.equal('InvalidLogIdError')
    expect(await nameOfError(newLog({ id: 'ü'.repeat(257) }))).to.equal('InvalidLogIdError')
    expect((await newLog({ id: 'ü'.repeat(256) })).status).to.equal('open')
  })

  it('opens one log of an id on a datastore, and again when that is closed', async () => {
    const datastore = new MemoryDatastore()
    const first = await newLog({ datastore })

    expect(await nameOfError(newLog({ datastore }))).to.equal('StoreInUseError')
    expect((await newLog({ datastore, id: 'another' })).status).to.equal('open')
    expect((await newLog()).status).to.equal('open')
    await first.close()
    expect((await newLog({ datastore })).status).to.equal('open')
  })

  it('may be tried again when opening failed', async () => {
    const datastore = new WatchedDatastore()
    await (await newLog({ datastore })).append(text('here'))
    await closeLogs()
    const { afterGet } = datastore
    datastore.afterGet = () => { throw new RangeError('not now') }

    expect(await nameOfError(newLog({ datastore }))).to.equal('StoreFailedError')
    datastore.afterGet = afterGet
    expect(await saidIn(await newLog({ datastore }))).to.deep.equal(['here'])
  })

  it('keeps logs of one datastore apart, also where the id of one begins with that of the other', async () => {
    const datastore = new MemoryDatastore()
    const logs = await Promise.all(['a', 'ab', 'a/b', 'a/'].map(async id => newLog({ datastore, id })))
    await Promise.all(logs.map(async log => log.append(text(log.id))))
    await logs[0].drop()

    expect(await Promise.all(logs.slice(1).map(saidIn))).to.deep.equal([['ab'], ['a/b'], ['a/']])
    expect(await saidIn(await newLog({ datastore, id: 'a' }))).to.deep.equal([])
  })

  it('is shut to whoever would change a log that is closed', async () => {
    const log = await newLog()
    const { id } = await log.append(text('here'))
    await log.close()
    const refused = await Promise.all([
      log.append(text('x')), log.appendMany(texts(2)), log.appendMany([]), log.join([]), log.remove([id]), log.trim({ length: 0 }), log.mark('a', 1), log.drop()
    ].map(nameOfError))

    expect(refused).to.deep.equal(refused.map(() => 'LogClosedError'))
    expect(log.status).to.equal('closed')
    await log.close()
  })

  it('refuses a mark that is no number of an arrival', async () => {
    const log = await newLog()
    await log.mark('a', 3)

    const refused = await Promise.all([-1, 1.5, NaN, Infinity, 2 ** 60].map(async wrong => nameOfError(log.mark('a', wrong))))

    expect(refused).to.deep.equal(refused.map(() => 'InvalidMarkError'))
    expect(await log.marked('a')).to.equal(3)
  })

  it('refuses more appends than it can hold, and takes others when there is room again', async () => {
    const { datastore, reached, release } = heldStore()
    const log = await newLog({ datastore })
    const controller = new AbortController()
    const first = log.append(text('first'))
    await reached
    const names = Array.from({ length: 260 }, async () => nameOfError(log.appendMany(texts(256), { signal: controller.signal })))
    // one is being written, one may be signed meanwhile, and 256 wait: no other one ends before the first is written
    expect(await Promise.race(names)).to.equal('TooManyAppendsError')
    controller.abort()
    release()

    expect((await Promise.all(names)).filter(error => error === 'TooManyAppendsError')).to.have.lengthOf.within(1, 4)
    await first
    await log.append(text('last'))
    expect(log.diagnostics().pending).to.equal(0)
  })
})

/** Says something once, and hangs then */
async function * stalling (): AsyncGenerator<Uint8Array> {
  yield text('first')
  await new Promise(() => {})
}

describe('a source that hangs', () => {
  afterEach(closeLogs)

  for (const call of ['appendMany', 'import'] as const) {
    it(`does not hold up an ${call} that is aborted`, async () => {
      const log = await newLog()
      const controller = new AbortController()
      const calling = nameOfError(log[call](stalling(), { signal: controller.signal }))
      controller.abort(new RangeError('enough'))

      expect(await calling).to.equal('RangeError')
      await expectSound(log)
    })

    it(`does not hold up an ${call} of a log that is closed`, async () => {
      const log = await newLog()
      const calling = nameOfError(log[call](stalling()))
      await log.close()

      expect(await calling).to.equal('LogClosedError')
    })
  }

  it('is told to end when the append fails', async () => {
    const ended = Promise.withResolvers<void>()
    const log = await newLog({ canAppend: () => false })
    const source = async function * (): AsyncGenerator<Uint8Array> {
      try {
        for (;;) {
          yield text('refused')
        }
      } finally {
        ended.resolve()
      }
    }

    expect(await nameOfError(log.appendMany(source()))).to.equal('AppendRefusedError')
    await ended.promise
  })
})

describe('canAppend', () => {
  afterEach(closeLogs)

  const ways = [
    ['at once', (is: boolean) => is],
    ['later', async (is: boolean) => is],
    // as promises of libraries and of other realms do
    ['by something that is no Promise of ours', (is: boolean) => ({ then: (resolve: (is: boolean) => void) => { resolve(is) } }) as Promise<boolean>]
  ] as const

  for (const [how, wrap] of ways) {
    it(`lets in what it says of our own, when it says so ${how}`, async () => {
      const asked: string[] = []
      const log = await newLog({
        canAppend: entry => {
          asked.push(said(entry))
          return wrap(!said(entry).startsWith('bad'))
        }
      })
      const first = await log.append(text('good 1'))
      const names = await Promise.all(['bad 1', 'good 2', 'bad 2', 'good 3'].map(async data => nameOfError(log.append(text(data)))))

      expect(names).to.deep.equal(['AppendRefusedError', 'none', 'AppendRefusedError', 'none'])
      expect(asked).to.deep.equal(['good 1', 'bad 1', 'good 2', 'bad 2', 'good 3'])
      const all = await expectSound(log)
      expect(all.map(said)).to.deep.equal(['good 1', 'good 2', 'good 3'])
      expect(all[1].previous?.equals(first.id)).to.equal(true)
    })

    it(`lets in what it says of others', when it says so ${how}`, async () => {
      const [other, log] = await Promise.all([newLog(), newLog({ canAppend: entry => wrap(!said(entry).startsWith('bad')) })])
      const entries = await other.appendMany(['good 1', 'bad', 'good 2'].map(text))
      const joined = await log.join(entries)

      expect(joined.map(({ status }) => status)).to.deep.equal(['added', 'refused', 'added'])
      expect(joined.map(({ id }) => id?.toString())).to.deep.equal(entries.map(({ id }) => id.toString()))
      expect(await saidIn(log)).to.deep.equal(['good 1', 'good 2'])
      expect(log.diagnostics().dropped.AppendRefusedError).to.equal(1)
      await expectSound(log)
    })
  }

  it('refuses all of many with one of them', async () => {
    const log = await newLog({ canAppend: entry => said(entry) !== '2' })

    expect(await nameOfError(log.appendMany(texts(5)))).to.equal('AppendRefusedError')
    expect(log.length).to.equal(0)
    expect(await nameOfError(log.append(text('fine')))).to.equal('none')
  })

  it('that throws refuses with what it threw, and the next one goes on', async () => {
    const log = await newLog({
      canAppend: entry => {
        if (said(entry) === 'x') {
          throw new RangeError('thrown')
        }
        return true
      }
    })

    expect(await nameOfError(log.append(text('x')))).to.equal('RangeError')
    expect(await nameOfError(log.append(text('y')))).to.equal('none')
    await expectSound(log)
  })

  it('that does not say anything in time refuses by name, and the log goes on', async () => {
    const clock = new WindClock()
    const late = Promise.withResolvers<boolean>()
    const log = await newLog({ clock, canAppend: entry => said(entry) === 'slow' ? late.promise : true })
    const slow = nameOfError(log.append(text('slow')))
    const behind = log.append(text('behind it'))
    await until(() => clock.waits(30_000))
    clock.wind(30_000)

    expect(await slow).to.equal('AppendRefusedError')
    expect(said(await behind)).to.equal('behind it')
    late.resolve(true)
    await log.append(text('after'))
    expect(await saidIn(log)).to.deep.equal(['behind it', 'after'])
    await expectSound(log)
  })

  it('that does not say anything of an entry of others in time refuses that, and not those that came with it', async () => {
    const clock = new WindClock()
    const [other, log] = await Promise.all([newLog(), newLog({ clock, canAppend: entry => said(entry) === '1' ? new Promise(() => {}) : true })])
    const joined = log.join(await other.appendMany(texts(3)))
    await until(() => clock.waits(30_000))
    clock.wind(30_000)

    expect(outcomes(await joined)).to.deep.equal(['added', 'AppendRefusedError', 'added'])
    await expectSound(log)
  })

  it('that says nothing of many entries holds up a close for its time once, and not for each of them', async () => {
    const clock = new WindClock()
    const log = await newLog({ clock, canAppend: () => new Promise(() => {}) })
    const appends = Array.from({ length: 5 }, async () => nameOfError(log.append(text('x'))))
    const closing = log.close()
    await until(() => clock.waits(30_000))
    clock.wind(30_000)
    // those behind it have no time left
    await until(() => {
      clock.wind(0)
      return log.status === 'closed'
    })
    await closing

    expect(clock.time).to.equal(1_030_000)
    expect(await Promise.all(appends)).to.deep.equal(new Array(5).fill('AppendRefusedError'))
  })

  it('that waits for an append of its own is refused in the end, and both the log and that append go on', async () => {
    const clock = new WindClock()
    const inner: Array<Promise<string>> = []
    const log: Log = await newLog({
      clock,
      canAppend: async entry => {
        if (said(entry) === 'outer') {
          inner.push(log.append(text('inner')).then(said))
          await inner[0]
        }
        return true
      }
    })
    const outer = nameOfError(log.append(text('outer')))
    await until(() => clock.waits(30_000))
    clock.wind(30_000)

    expect(await outer).to.equal('AppendRefusedError')
    expect(await inner[0]).to.equal('inner')
    expect(await saidIn(log)).to.deep.equal(['inner'])
    await expectSound(log)
  })

  for (const [how, fail] of [['throws', () => { throw new RangeError('thrown') }], ['rejects', async () => { throw new RangeError('thrown') }]] as const) {
    it(`that ${how} at an entry of others refuses that one, not those that came with it, and takes it when it is offered again`, async () => {
      let isBroken = true
      const [other, log] = await Promise.all([newLog(), newLog({ canAppend: entry => isBroken && said(entry) === '1' ? fail() : true })])
      const entries = await other.appendMany(texts(3))
      const joined = await log.join(entries)

      expect(outcomes(joined)).to.deep.equal(['added', 'AppendRefusedError', 'added'])
      expect(joined[1]).to.have.nested.property('reason.message').that.includes('thrown')
      expect(joined[1]).to.have.nested.property('reason.cause.name', 'RangeError')
      isBroken = false
      expect(outcomes(await log.join(entries))).to.deep.equal(['known', 'added', 'known'])
      await expectSound(log)
    })
  }

  it('is not asked about what is known', async () => {
    let asked = 0
    const [other, log] = await Promise.all([newLog(), newLog({ canAppend: () => ++asked > 0 })])
    const entries = await other.appendMany(texts(3))
    await log.join(entries)
    const joined = await log.join(entries)

    expect(joined.map(({ status }) => status)).to.deep.equal(['known', 'known', 'known'])
    expect(asked).to.equal(3)
  })
})
