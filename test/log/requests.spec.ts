import { expect } from 'aegir/chai'
import { MemoryDatastore } from 'datastore-core'
import { allOf, closeLogs, collect, newKey, newLog, said, text, texts } from '../fixtures/logs.ts'
import type { Log } from '../../src/log/index.ts'

const REQUEST = Uint8Array.of(1, 2, 3)

describe('appends that name what asked for them', () => {
  afterEach(closeLogs)

  async function requestsIn (log: Log): Promise<Array<[said: string, request?: string]>> {
    return (await collect(log.arrivals())).map(({ entry }) => [said(entry), entry.request?.join()])
  }

  it('store that with their entries: who opens the log next finds it, and others are not told', async () => {
    const [datastore, privateKey] = [new MemoryDatastore(), await newKey()]
    const log = await newLog({ datastore, privateKey })
    const entry = await log.append(text('a'), { request: REQUEST })
    expect(entry.request).to.deep.equal(REQUEST)
    await log.append(text('b'))
    await log.appendMany(texts(2), { request: Uint8Array.of(4) })
    await log.close()

    const again = await newLog({ datastore, privateKey })
    expect(await requestsIn(again)).to.deep.equal([['a', '1,2,3'], ['b', undefined], ['0', '4'], ['1', '4']])
    expect(again.nextArrival).to.equal(4)

    const other = await newLog()
    await other.join(await allOf(again))
    expect((await requestsIn(other)).map(([, request]) => request)).to.deep.equal([undefined, undefined, undefined, undefined])
  })

  it('are found also when entries beside them were removed, and their record was written anew', async () => {
    const [datastore, privateKey] = [new MemoryDatastore(), await newKey()]
    const log = await newLog({ datastore, privateKey }, { checkpointRecords: 2 })
    const kept = Promise.all(texts(8).map(async (data, i) => log.append(data, { request: Uint8Array.of(i + 1) })))
    const entries = await kept
    await log.remove(entries.slice(1).map(({ id }) => id))
    await log.appendMany(texts(20, 'more '))
    await log.close()
    const again = await newLog({ datastore, privateKey })
    expect((await requestsIn(again))[0]).to.deep.equal(['0', '1'])
  })

  it('are refused with a request that is no name', async () => {
    const log = await newLog()
    await expect(log.append(text('a'), { request: new Uint8Array(0) })).to.eventually.be.rejected
      .with.property('name', 'InvalidContentError')
    await expect(log.append(text('a'), { request: new Uint8Array(65) })).to.eventually.be.rejected
      .with.property('name', 'InvalidContentError')
    expect(log.length).to.equal(0)
  })
})
