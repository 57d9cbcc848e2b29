import { expect } from 'aegir/chai'
import { Key } from 'interface-datastore/key'
import { WatchedDatastore } from '../fixtures/datastores.ts'
import { IS_LONG } from '../fixtures/effort.ts'
import { newStory, Story, tell } from '../fixtures/log-story.ts'
import { allOf, closeLogs, collect, expectSound, FINGERPRINT_KEY, headsOf, idsOf, name, SMALL, text, texts } from '../fixtures/logs.ts'
import { until } from '../fixtures/nodes.ts'
import { newestManifest, pagesIn, pagesNamed } from '../fixtures/stored-pages.ts'
import type { Sizes } from '../../src/log/constants.ts'
import type { Log } from '../../src/log/index.ts'
import type { Change } from '../fixtures/datastores.ts'

/**
 * Sizes under which there are two checkpoints in a story, and a dozen with their merges, so that there are hundreds of writes: of so
 * many one is tried, and of fewer where there is less time
 */
const CASES: Array<{ what: string, sizes: Partial<Sizes>, step: number }> = [
  { what: 'a log in memory', sizes: {}, step: IS_LONG ? 1 : 11 },
  { what: 'a log of many runs', sizes: SMALL, step: IS_LONG ? 9 : 61 }
]
const STEP = IS_LONG ? 1 : 7

/** All that there is to see of a log, but for what a program marked */
interface Face {
  ids: string[]
  heads: string[]
  arrivals: string[]
  fingerprint: string
  length: number
  bytes: number
}

async function faceOf (log: Log): Promise<Face> {
  const entries = await allOf(log)
  const { count, fingerprint } = await log.fingerprint({}, FINGERPRINT_KEY)
  expect([log.length, count]).to.deep.equal([entries.length, entries.length])

  return {
    ids: entries.map(name),
    heads: await headsOf(log),
    arrivals: (await collect(log.arrivals())).map(({ arrival, entry }) => `${arrival} ${name(entry)}`),
    fingerprint: fingerprint.join(),
    length: log.length,
    bytes: log.diagnostics().bytes
  }
}

async function emptyFace (story: Story): Promise<Face> {
  return story.read(new WatchedDatastore(), faceOf)
}

/** What was said to be stored is there, and what was said to be gone is not: of what was under way nobody knows */
function expectKept ({ events }: Story, ids: string[], after: number): void {
  const here = new Set(ids)

  events.forEach((wishes, id) => {
    const last = wishes.findLast(({ done }) => done <= after)
    const isUnderWay = wishes.some(({ asked, done }) => asked < after && done > after)

    if (!isUnderWay && here.has(id) !== (last?.isIn ?? false)) {
      expect.fail(`${id} is ${here.has(id) ? 'there' : 'missing'} after ${after} writes: ${JSON.stringify(wishes)}`)
    }
  })
}

function isPage ([{ key }]: Change[]): boolean {
  return /\/\w{8}\/\w{4}p$/.test(key)
}

function isRecord ([{ key }]: Change[]): boolean {
  return /\/\w{8}\/\w{4}r$/.test(key)
}

function isManifest ([{ key }]: Change[]): boolean {
  return key.includes('/manifest/')
}

/**
 * What a crash may leave of a write: nothing, or, of one that is not written over another, the beginning of it. Stores write a value as
 * one where another one lies; that a new one is torn was seen in files
 */
function tornBy (writes: Change[][], k: number): Change[][] {
  const [{ key, value }] = writes[k]
  const isNew = isManifest(writes[k]) || !writes.slice(0, k).flat().some(before => before.key === key)
  return [[], ...value == null || !isNew ? [] : [0.5, 0.95].map(share => [{ key, value: value.subarray(0, value.byteLength * share) }])]
}

/** Opens what a crash left twice, with an append between: what is found is one of these, and goes on from there */
async function expectOneOf (story: Story, writes: Change[][], faces: Face[]): Promise<void> {
  const datastore = WatchedDatastore.from(writes)
  const face = await story.read(datastore, faceOf)
  expect(face).to.deep.equal(faces.find(({ ids }) => ids.join() === face.ids.join()) ?? faces[0])
  await closeLogs()

  await story.read(WatchedDatastore.from(writes), async log => {
    const next = await log.append(text('after the crash'))
    expect(next.parents.map(id => name({ id })).sort()).to.deep.equal(face.heads)
    const after = await faceOf(log)
    expect(after.ids).to.deep.equal([...face.ids, name(next)])
  })
  expect(await story.read(datastore, faceOf)).to.deep.equal(face)
  await closeLogs()
}

describe('the store of a log after a crash', () => {
  afterEach(closeLogs)

  for (const { what, sizes, step } of CASES) {
    it(`of ${what} has all that was stored, whole and true, between any two writes`, async () => {
      const story = await newStory(sizes)
      await tell(story)
      await closeLogs()
      const { writes } = story.datastore

      for (let k = 0; k <= writes.length; k += step) {
        await story.read(WatchedDatastore.from(writes.slice(0, k)), async log => {
          const entries = await expectSound(log, story.removedBefore(k))
          expectKept(story, entries.map(name), k)
          expect(await log.marked('a program')).to.equal(story.marks.findLast(({ at }) => at <= k)?.arrival ?? await log.marked('a program'))
        })
        await closeLogs()
      }
    }).timeout(120_000)

    it(`of ${what} is as before a write that was torn, or as after it, however it was torn`, async () => {
      const story = await newStory(sizes)
      await tell(story)
      await closeLogs()
      const { writes } = story.datastore

      for (let k = 0; k < writes.length; k += step) {
        const before = await story.read(WatchedDatastore.from(writes.slice(0, k)), faceOf)
        await closeLogs()
        const after = await story.read(WatchedDatastore.from(writes.slice(0, k + 1)), faceOf)
        await closeLogs()

        for (const torn of tornBy(writes, k)) {
          await expectOneOf(story, [...writes.slice(0, k), torn], [before, after])
        }
      }
    }).timeout(240_000)

    it(`of ${what} goes on as well after a second crash, in the writes that followed the first one`, async () => {
      const story = await newStory(sizes)
      await story.open()
      await story.append(5)
      await story.append(40)
      await closeLogs()
      const { writes } = story.datastore
      const k = writes.findLastIndex(isRecord)

      for (const torn of tornBy(writes, k)) {
        const datastore = WatchedDatastore.from([...writes.slice(0, k), torn])
        const before = await story.read(datastore, async log => {
          const face = await faceOf(log)
          await log.appendMany(texts(20, 'again '))
          return face
        })
        await closeLogs()
        const second = datastore.writes.slice()
        const faces = [before]

        for (let i = 0; i < second.length; i++) {
          const all = [...writes.slice(0, k), torn, ...second]
          faces.push(await story.read(WatchedDatastore.from(all.slice(0, k + i + 2)), faceOf))
          await closeLogs()

          for (const again of tornBy(all, k + i + 1)) {
            await expectOneOf(story, [...all.slice(0, k + i + 1), again], faces.slice(-2))
          }
        }
      }
    }).timeout(240_000)
  }

  it('does not take a record that lies where another one should for that one', async () => {
    const story = await newStory()
    await story.open()
    await story.append(5)
    await story.append(5)
    await closeLogs()
    const records = story.datastore.writes.filter(isRecord)
    const first = await story.read(WatchedDatastore.from(records.slice(0, 1)), faceOf)
    await closeLogs()

    await expectOneOf(story, [records[0], [{ key: records[1][0].key, value: records[0][0].value }]], [first])
    await expectOneOf(story, [[{ key: records[0][0].key, value: records[1][0].value }]], [await emptyFace(story)])
  })

  it('has what was removed before it came back, each time', async () => {
    const story = await newStory()
    await story.open()
    await story.append(3)
    await story.join(0, 30)
    await story.remove(20)
    await story.join(0, 30)
    await story.remove(25)
    await story.append(2)
    const before = await faceOf(story.log)
    await closeLogs()
    const { writes } = story.datastore

    await expectOneOf(story, writes.slice(0, writes.findIndex(isPage)), [before])
    await expectOneOf(story, writes, [before])
  })

  it('has all of it when any page of its index is gone, or all are: of what was removed some may come back', async () => {
    const story = await newStory(SMALL)
    await tell(story)
    await closeLogs()
    const { writes, keys } = story.datastore
    const whole = await story.read(WatchedDatastore.from(writes), faceOf)
    await closeLogs()
    const pages = keys.filter(key => key.endsWith('p'))
    expect(pages.length).to.be.above(8)

    for (const gone of [pages, ...pages.map(page => [page])]) {
      await story.read(WatchedDatastore.from([...writes, gone.map(key => ({ key }))]), async log => {
        // whoever needs a page finds out that it is gone
        await Promise.all([allOf(log), log.fingerprint({ from: 1 }, FINGERPRINT_KEY), log.heads()])
        const here = new Set((await faceOf(log)).ids)
        expect(whole.ids.filter(id => !here.has(id))).to.deep.equal([])
        const known = new Set([...whole.ids, ...story.removed.map(({ entry }) => name(entry))])
        expect([...here].filter(id => !known.has(id))).to.deep.equal([])
        await log.append(text('after the repair'))
        expect(gone.length === 1 || log.diagnostics().problems.some(({ kind }) => kind === 'damage')).to.equal(true)
      })
      await closeLogs()
    }
  }).timeout(60_000)

  for (const isLost of [false, true]) {
    it(`says one thing of records that were read before they ${isLost ? 'were lost' : 'rotted'}, when its index is made anew`, async () => {
      // all records stay in memory, once they were read
      const story = await newStory({ ...SMALL, cacheBytes: 1024 * 1024 })
      await tell(story)
      await closeLogs()
      const { writes } = story.datastore
      const records = story.datastore.keys.filter(key => key.endsWith('r')).map(key => new Key(key))
      let lost = 0

      for (const record of records) {
        const datastore = WatchedDatastore.from(writes)
        const lacking = await story.read(datastore, async log => {
          const before = await collect(log.arrivals())
          await (isLost ? datastore.delete(record) : datastore.put(record, (await datastore.get(record)).map(byte => byte ^ 1)))
          await Promise.all(datastore.keys.filter(key => key.endsWith('p')).map(async key => datastore.delete(new Key(key))))
          // whoever needs a page finds out that it is gone
          await Promise.all([log.fingerprint({ from: 1 }, FINGERPRINT_KEY), log.heads()])
          const { ids, arrivals } = await faceOf(log)
          expect(arrivals.map(arrival => arrival.split(' ')[1]).sort(), `${record}`).to.deep.equal(ids.sort())
          return before.length - ids.length
        })
        lost += lacking
        await closeLogs()
      }

      expect(lost).to.be.above(0)
    }).timeout(60_000)
  }

  it('leaves no pages behind that no manifest names', async () => {
    const story = await newStory(SMALL)
    await tell(story)
    await closeLogs()
    const { writes } = story.datastore

    for (let k = 1; k < writes.length; k += 5 * STEP) {
      const datastore = WatchedDatastore.from(writes.slice(0, k))
      await story.read(datastore, async log => { await log.append(text('after the crash')) })
      await closeLogs()
      expect(pagesIn(datastore), `after ${k} writes`).to.deep.equal(await pagesNamed(datastore))
    }
  }).timeout(60_000)

  it('closes where pages cannot be deleted, and deletes them when it is closed again', async () => {
    const story = await newStory(SMALL)
    await tell(story)
    story.datastore.tear = changes => isPage(changes) && changes[0].value == null ? [] : undefined
    await story.close()
    const left = pagesIn(story.datastore)
    expect(left).to.deep.equal(await pagesNamed(story.datastore))
    expect((await newestManifest(story.datastore))?.freed).to.not.be.empty()
    story.datastore.tear = undefined

    await story.read(story.datastore, async log => { await log.append(text('next')) })
    await closeLogs()
    expect(pagesIn(story.datastore)).to.deep.equal(await pagesNamed(story.datastore))
    expect((await newestManifest(story.datastore))?.freed).to.deep.equal([])
    expect(pagesIn(story.datastore).length).to.be.below(left.length)
  })

  it('is not disturbed by a checkpoint that takes long: the log goes on, and has all of it after a crash at any time', async () => {
    const story = await newStory({ ...SMALL, checkpointEntries: 400, checkpointRecords: 100, checkpointBytes: 1024 * 1024 })
    await story.open()
    let other = Promise.withResolvers<void>()
    // pages wait until somebody else writes
    story.datastore.beforeWrite = async changes => {
      if (isPage(changes)) {
        await other.promise
      } else {
        other.resolve()
        other = Promise.withResolvers()
      }
    }
    await story.append(400)

    for (let i = 0; i < 4; i++) {
      await story.append(50)
      await story.remove(20)
    }

    const before = await faceOf(story.log)
    other.resolve()
    story.datastore.beforeWrite = undefined
    await story.close()
    const { writes } = story.datastore
    const [firstPage, manifest] = [isPage, isManifest].map(is => writes.findIndex(is))
    expect(writes.slice(firstPage, manifest).filter(isRecord).length).to.be.above(4)

    for (let k = firstPage + 1; k < manifest + 4; k += 2 * STEP) {
      await story.read(WatchedDatastore.from(writes.slice(0, k)), async log => { expectKept(story, await idsOf(log), k) })
      await closeLogs()
    }
    expect(await story.read(WatchedDatastore.from(writes), faceOf)).to.deep.equal(before)
  }).timeout(60_000)

  it('keeps what a checkpoint that failed was to hold, says that it failed, and writes it when there is room again', async () => {
    const story = await newStory(SMALL)
    await story.open()
    story.datastore.tear = changes => isPage(changes) ? [] : undefined
    await story.append(30)
    await story.append(30)
    await until(() => story.log.diagnostics().problems.some(({ kind }) => kind === 'disk'))
    expectKept(story, await idsOf(story.log), story.datastore.writes.length)
    // what memory holds has an end
    for (let i = 0; i < 5; i++) {
      await story.append(20)
    }
    expect(story.errors.map(({ name }) => name)).to.include('StoreFailedError')
    const { length } = await expectSound(story.log)
    expect(length).to.be.within(60, 120)

    story.datastore.tear = undefined
    story.errors.splice(0)
    await story.append(50)
    expect(story.errors).to.deep.equal([])
    const before = await faceOf(story.log)
    expect(before.length).to.equal(length + 50)
    await until(() => story.log.diagnostics().problems.length === 0)
    await story.close()
    const { writes } = story.datastore
    expect(await story.read(WatchedDatastore.from(writes), faceOf)).to.deep.equal(before)
    await closeLogs()
    // as well where it ends without a word
    await story.read(WatchedDatastore.from(writes.slice(0, writes.findIndex(isManifest))), async log => { expect(await log.heads()).to.be.ok() })
  })

  it('is empty or as it was when the crash comes while the log is dropped', async () => {
    const story = await newStory()
    await tell(story)
    const whole = await faceOf(story.log)
    await story.log.drop()
    await closeLogs()
    const { writes } = story.datastore
    const dropped = writes.findIndex(([{ key }]) => key.endsWith('/dropped'))

    for (let k = dropped; k < writes.length; k++) {
      for (const torn of tornBy(writes, k)) {
        const datastore = WatchedDatastore.from([...writes.slice(0, k), torn])
        const face = await story.read(datastore, faceOf)
        expect(face.ids).to.deep.equal(k === dropped && torn.length === 0 ? whole.ids : [])
        await closeLogs()
        expect(datastore.keys.length === 0).to.equal(face.ids.length === 0)
      }
    }
  }).timeout(60_000)
})

describe('the store of a log on a disk that fails once', () => {
  afterEach(closeLogs)

  it('reads a page again that could not be read, and once for all who want it', async () => {
    const story = await newStory()
    await story.open()
    await story.append(1_000)
    await story.close()
    const datastore = WatchedDatastore.from(story.datastore.writes)

    await story.read(datastore, async log => {
      const read: string[] = []
      const get = datastore.get.bind(datastore)
      datastore.get = key => {
        if (read.push(key.toString()) === 1) {
          // as some stores do, before they return a promise
          throw new Error('the disk is busy')
        }
        return get(key)
      }
      const halves = async (): Promise<string[]> => {
        const settled = await Promise.allSettled([1, 2, 3, 4].map(async from => log.fingerprint({ from, to: 2 ** 31 }, FINGERPRINT_KEY)))
        return settled.map(({ status }) => status)
      }
      expect(await halves()).to.include('rejected')
      read.splice(1)
      expect(await halves()).to.deep.equal(new Array(4).fill('fulfilled'))
      expect(read.length).to.be.greaterThan(1)
      expect(new Set(read.slice(1)).size, 'a page was read twice').to.equal(read.length - 1)
    })
  })

  for (const { what, sizes, step } of CASES) {
    it(`of ${what} keeps what it said is stored, whatever became of the write that failed, now and after a restart`, async () => {
      const first = await newStory(sizes)
      await tell(first)
      const { length } = first.datastore.writes
      await closeLogs()

      for (let k = 0; k < length; k += step) {
        for (const isWritten of [false, true]) {
          const story = new Story(first.privateKey, first.foreign, sizes)
          story.datastore.tear = changes => {
            if (story.datastore.writes.length === k) {
              story.datastore.tear = undefined
              // the count of writes goes on, as if it had been one
              const torn = isWritten ? changes : []
              story.datastore.writes.push(torn)
              return torn
            }
          }
          await tell(story)
          const { length: after } = story.datastore.writes
          const removed = story.removedBefore(after)
          expectKept(story, (await expectSound(story.log, removed)).map(name), after)
          await closeLogs()

          await story.read(story.datastore, async log => {
            expectKept(story, (await expectSound(log, removed)).map(name), after)
            await log.append(text('after the restart'))
            await expectSound(log, removed)
          })
          await closeLogs()
        }
      }
    }).timeout(240_000)
  }
})
