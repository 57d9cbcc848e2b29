import { expect } from 'aegir/chai'
import { CHECKPOINT_ENTRIES } from '../../src/log/constants.ts'
import { seededRandom } from '../../src/runtime/random.ts'
import { IS_NODE, tearsOf, turns, WatchedDatastore } from '../fixtures/datastores.ts'
import { newStory, Story, tell } from '../fixtures/log-story.ts'
import { allOf, closeLogs, collect, expectSound, FINGERPRINT_KEY, headsOf, idsOf, name, text, texts } from '../fixtures/logs.ts'
import { until } from '../fixtures/nodes.ts'
import type { Log } from '../../src/log/index.ts'
import type { Change } from '../fixtures/datastores.ts'

/** A browser tries fewer of the ways in which a write may be torn */
const TEARS = IS_NODE ? { beginnings: 8, subsets: 4 } : { beginnings: 2, subsets: 1 }

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

function isOfTrees (changes: Change[]): boolean {
  return changes.some(({ key }) => key.includes('/page/'))
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

  it('has all that was stored, whole and true, between any two writes', async () => {
    const story = await newStory()
    await tell(story)
    await closeLogs()
    const { writes } = story.datastore

    for (let k = 0; k <= writes.length; k++) {
      await story.read(WatchedDatastore.from(writes.slice(0, k)), async log => {
        const entries = await expectSound(log, story.removedBefore(k))
        expectKept(story, entries.map(name), k)
        expect(await log.marked('a program')).to.equal(story.marks.findLast(({ at }) => at <= k)?.arrival ?? await log.marked('a program'))
      })
      await closeLogs()
    }
  }).timeout(60_000)

  it('is as before a write that was torn, or as after it, however it was torn', async () => {
    const story = await newStory()
    const random = seededRandom(3)
    await tell(story)
    await closeLogs()
    const { writes } = story.datastore
    let before = await story.read(new WatchedDatastore(), faceOf)

    for (let k = 0; k < writes.length; k++) {
      await closeLogs()
      const after = await story.read(WatchedDatastore.from(writes.slice(0, k + 1)), faceOf)

      for (const torn of tearsOf(writes[k], random, TEARS)) {
        await expectOneOf(story, [...writes.slice(0, k), torn], [before, after])
      }
      before = after
    }
  }).timeout(120_000)

  it('goes on as well after a second crash, in the write that followed the first one', async () => {
    const story = await newStory()
    const random = seededRandom(4)
    await story.open()
    await story.append(5)
    await story.append(40)
    await closeLogs()
    const { writes } = story.datastore
    const isJournal = ({ key }: Change): boolean => key.includes('/journal/')
    const k = writes.findLastIndex(changes => changes.some(isJournal))

    for (const torn of tearsOf(writes[k], random, TEARS)) {
      const datastore = WatchedDatastore.from([...writes.slice(0, k), torn])
      const before = await story.read(datastore, async log => {
        const face = await faceOf(log)
        await log.appendMany(texts(20, 'again '))
        return face
      })
      const second = datastore.writes.slice()
      await closeLogs()
      const after = await story.read(WatchedDatastore.from([...writes.slice(0, k), torn, ...second]), faceOf)

      for (let i = 0; i < second.length; i++) {
        for (const again of tearsOf(second[i], random, TEARS)) {
          await expectOneOf(story, [...writes.slice(0, k), torn, ...second.slice(0, i), again], [before, after])
        }
      }
    }
  }).timeout(120_000)

  it('does not take blocks of a write that was torn for those of the next one', async () => {
    const story = await newStory()
    await story.open()
    await story.append(40)
    const isBlock = ({ key }: Change): boolean => key.includes('/block/')
    const datastore = new WatchedDatastore()
    await story.read(datastore, async log => { await log.appendMany(texts(40, 'another ')) })
    const [second] = datastore.writes
    await closeLogs()

    // nothing is left of the first write but its blocks, and nothing of the second one but its record
    await expectOneOf(story, [story.datastore.writes[0].filter(isBlock), second.filter(change => !isBlock(change))], [await emptyFace(story)])
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
    const state = writes.findIndex(changes => changes.some(({ key }) => key.endsWith('/state')))

    await expectOneOf(story, writes.slice(0, state), [before])
  })

  it('keeps its trees whole when the crash comes while many pages are written', async () => {
    const story = await newStory()
    const random = seededRandom(5)
    await story.open()
    await story.append(IS_NODE ? 4000 : 1000)
    await story.close()
    await story.open()
    await story.append(100)
    await story.remove(50)
    await story.append(3000)
    const before = await faceOf(story.log)
    const { length } = story.datastore.writes
    await story.close()
    await closeLogs()
    const { writes } = story.datastore
    expect(writes.length).to.be.above(length + 3)

    for (let k = length; k < writes.length; k++) {
      for (const torn of tearsOf(writes[k], random, { beginnings: 2, subsets: 1 })) {
        await expectOneOf(story, [...writes.slice(0, k), torn], [before])
      }
    }
  }).timeout(120_000)

  it('leaves no records behind that nobody reads any more', async () => {
    const story = await newStory()
    await tell(story)
    await closeLogs()
    const { writes } = story.datastore
    const state = writes.findLastIndex(changes => changes.some(({ key }) => key.endsWith('/state')))
    const datastore = WatchedDatastore.from(writes.slice(0, state + 1))
    await story.read(datastore, async log => { await log.append(text('after the crash')) })
    await closeLogs()

    expect(datastore.keys.filter(key => key.includes('/journal/'))).to.deep.equal([])
  })

  if (IS_NODE) {
    it('keeps its trees whole while they are written, and the log goes on', async () => {
      const story = await newStory()
      await story.open()
      let other = Promise.withResolvers<void>()
      // some pages wait until somebody else writes
      story.datastore.beforeWrite = async changes => {
        if (isOfTrees(changes)) {
          await other.promise
        } else {
          other.resolve()
          other = Promise.withResolvers()
        }
      }
      await story.append(CHECKPOINT_ENTRIES)

      for (let i = 0; i < 4; i++) {
        await story.append(50)
        await story.remove(20)
      }

      const before = await faceOf(story.log)
      other.resolve()
      story.datastore.beforeWrite = undefined
      await story.close()
      const { writes } = story.datastore
      const [firstPages, state] = ['/page/', '/state'].map(part => writes.findIndex(changes => changes.some(({ key }) => key.includes(part))))
      const beside = writes.slice(firstPages, state).filter(changes => changes.some(({ key }) => key.includes('/journal/')))
      expect(beside.length).to.be.above(4)

      for (const k of [firstPages + 1, firstPages + 6, state, state + 1, state + 2, state + 3]) {
        await story.read(WatchedDatastore.from(writes.slice(0, k)), async log => { expectKept(story, await idsOf(log), k) })
        await closeLogs()
      }
      expect(await story.read(WatchedDatastore.from(writes), faceOf)).to.deep.equal(before)
    }).timeout(60_000)

    it('writes no trees on top of such as could not be written, though somebody waits to do so', async () => {
      const story = await newStory()
      await story.open()
      const stuck = Promise.withResolvers<void>()
      const waits = Promise.withResolvers<void>()
      story.datastore.beforeWrite = async changes => {
        if (isOfTrees(changes)) {
          await stuck.promise
        }
      }
      let isFirst = true
      story.datastore.tear = changes => {
        const torn = isFirst && isOfTrees(changes) ? changes.slice(0, 5) : undefined
        isFirst &&= torn == null
        return torn
      }
      story.log.addEventListener('entry:add', () => {
        if (story.log.length >= 2 * CHECKPOINT_ENTRIES) {
          waits.resolve()
        }
      })
      const appended = story.append(2 * CHECKPOINT_ENTRIES + 1024)
      await waits.promise
      await turns(100)
      stuck.resolve()
      await appended
      await story.close()
      const { writes } = story.datastore

      await story.read(WatchedDatastore.from(writes), async log => { expect(log.length).to.be.at.least(2 * CHECKPOINT_ENTRIES) })
      expect(writes.some(changes => changes.some(({ key }) => key.endsWith('/state')))).to.equal(false)
    }).timeout(60_000)

    it('says at the next write that its trees could not be written, and has all after it is opened again', async () => {
      const story = await newStory()
      await story.open()
      let pages = 0
      story.datastore.tear = changes => isOfTrees(changes) && ++pages === 3 ? changes.slice(0, 5) : undefined
      await story.append(CHECKPOINT_ENTRIES)
      await until(() => pages === 3)
      await story.append(1)
      expect(story.errors.map(({ name }) => name)).to.deep.equal(['WriteFailedError'])
      await story.close()
      const { writes } = story.datastore

      await story.read(WatchedDatastore.from(writes), async log => { expectKept(story, await idsOf(log), writes.length) })
    }).timeout(60_000)
  }

  it('is empty or as it was when the crash comes while the log is dropped', async () => {
    const story = await newStory()
    await tell(story)
    const whole = await faceOf(story.log)
    const { length } = story.datastore.writes
    await story.log.drop()
    await closeLogs()
    const { writes } = story.datastore
    const random = seededRandom(6)

    for (let k = length; k < writes.length; k++) {
      for (const torn of [[], ...tearsOf(writes[k], random, TEARS)]) {
        const datastore = WatchedDatastore.from([...writes.slice(0, k), torn])
        const face = await story.read(datastore, faceOf)
        expect(face.ids).to.deep.equal(k === length && torn.length === 0 ? whole.ids : [])
        await closeLogs()
        expect(datastore.keys.length === 0).to.equal(face.ids.length === 0)
      }
    }
  })
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

  it('keeps what it said is stored, whatever became of the write that failed, now and after a restart', async () => {
    const random = seededRandom(7)
    const first = await newStory()
    await tell(first)
    const { length } = first.datastore.writes
    await closeLogs()

    for (let k = 0; k < length; k += IS_NODE ? 1 : 5) {
      for (let variant = 0; variant < (IS_NODE ? 4 : 1); variant++) {
        const story = new Story(first.privateKey, first.foreign)
        story.datastore.tear = changes => {
          if (story.datastore.writes.length === k) {
            story.datastore.tear = undefined
            // the count of writes goes on, as if it had been one
            const torn = [[], changes, changes.slice(0, 1), changes.filter(() => random() < 0.5)][variant]
            story.datastore.writes.push(torn)
            return torn
          }
        }
        await tell(story)
        expect(story.datastore.tear).to.equal(undefined)
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
  }).timeout(120_000)
})
