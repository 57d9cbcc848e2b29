import { expect } from 'aegir/chai'
import { turns, WatchedDatastore } from '../fixtures/datastores.ts'
import { closeLogs, collect, expectSound, headsOf, idsOf, name, nameOfError, newKey, newLog, outcomes, said, saidIn, SetClock, SMALL, text, texts, watched } from '../fixtures/logs.ts'
import type { Entry } from '../../src/log/index.ts'

function numbers (from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, i) => `${from + i}`)
}

function sizeOf ({ bytes, proof }: Entry): number {
  return bytes.byteLength + proof.byteLength
}

describe('removing', () => {
  afterEach(closeLogs)

  it('takes entries out, tells of each, and says how many went', async () => {
    const log = await newLog()
    const seen = watched(log)
    const entries = await log.appendMany(texts(40))
    const gone = [3, 17, 16, 0].map(i => entries[i])

    expect(await log.remove(gone.map(({ id }) => id))).to.equal(4)
    expect(seen.removed.sort()).to.deep.equal(gone.map(said).sort())
    expect(await Promise.all(gone.map(async ({ id }) => log.has(id)))).to.deep.equal([false, false, false, false])
    expect(await Promise.all(gone.map(async ({ id }) => log.get(id)))).to.deep.equal([undefined, undefined, undefined, undefined])
    expect(await log.remove(gone.map(({ id }) => id))).to.equal(0)
    await expectSound(log, gone)
  })

  it('takes out an entry once that is named twice', async () => {
    const log = await newLog()
    const seen = watched(log)
    const [entry] = await log.appendMany(texts(3))

    expect(await log.remove([entry.id, entry.id])).to.equal(1)
    expect(seen.removed).to.deep.equal(['0'])
  })

  it('takes out entries of a group', async () => {
    const log = await newLog()
    const entries = await log.appendMany(texts(40), { group: text('a group') })

    expect(await log.remove(entries.slice(0, 20).map(({ id }) => id))).to.equal(20)
    await expectSound(log)
  })

  it('takes out entries without a group from a log that was opened again, and has others with one', async () => {
    const datastore = new WatchedDatastore()
    const privateKey = await newKey()
    const first = await newLog({ datastore, privateKey })
    const plain = await first.append(text('plain'))
    await first.append(text('grouped'), { group: text('a group') })
    await first.close()
    const second = await newLog({ datastore, privateKey })

    expect(await second.remove([plain.id])).to.equal(1)
    expect((await expectSound(second)).map(said)).to.deep.equal(['grouped'])
    await second.close()
    expect((await expectSound(await newLog({ datastore, privateKey }))).map(said)).to.deep.equal(['grouped'])
  })

  it('makes no head of what the removed one stood on: the log knows that it is none', async () => {
    const log = await newLog()
    const entries = await log.appendMany(texts(3))
    await log.remove([entries[2].id])

    expect(await headsOf(log)).to.deep.equal([])
    const next = await log.append(text('next'))
    expect(next.parents).to.deep.equal([])
    expect(next.previous?.equals(entries[2].id)).to.equal(true)
  })

  it('makes two logs say the same of what they hold in the end, whatever was removed from one', async () => {
    const [author, whole, other] = await Promise.all([newLog(), newLog(), newLog()])
    const entries = await author.appendMany(texts(6))
    await whole.join(entries)
    await whole.remove(entries.slice(3).map(({ id }) => id))
    await other.join(entries.slice(0, 3))

    expect(await idsOf(whole)).to.deep.equal(await idsOf(other))
    const key = text('key')
    expect(await whole.fingerprint({}, key)).to.deep.equal(await other.fingerprint({}, key))
  })

  it('lets an entry come back, as no head if somebody stands on it', async () => {
    const log = await newLog()
    const entries = await log.appendMany(texts(3))
    await log.remove([entries[0].id])
    await log.join([entries[0]])

    expect(await idsOf(log)).to.deep.equal(entries.map(name))
    await expectSound(log)
  })

  it('lets an entry come back, as no head when what stood on it is gone', async () => {
    const log = await newLog()
    const entries = await log.appendMany(texts(2))
    await log.remove(entries.map(({ id }) => id))
    await log.join([entries[0]])

    expect(await idsOf(log)).to.deep.equal([name(entries[0])])
    expect(await headsOf(log)).to.deep.equal([])
  })

  it('takes nothing from the proofs of those that were signed with it, which others believe', async () => {
    const datastore = new WatchedDatastore()
    const privateKey = await newKey()
    const [log, other] = await Promise.all([newLog({ datastore, privateKey }), newLog()])
    const entries = await log.appendMany(texts(150))
    const left = entries.filter((_, i) => i % 5 === 0 || i > 140)
    await log.remove(entries.filter(entry => !left.includes(entry)).map(({ id }) => id))
    await log.close()
    const again = await newLog({ datastore, privateKey })
    const read = await expectSound(again, entries)

    expect(read.map(({ proof }) => proof)).to.deep.equal(left.map(({ proof }) => proof))
    // alone, so that none can vouch for another
    for (const entry of read) {
      expect(outcomes(await other.join([entry]))).to.deep.equal(['added'])
    }
  })

  it('lets a head come back as one', async () => {
    const log = await newLog()
    const entries = await log.appendMany(texts(3))
    await log.remove([entries[2].id])
    await log.join([entries[2]])

    expect(await headsOf(log)).to.deep.equal([name(entries[2])])
    await expectSound(log)
  })

  it('goes on from the last own entry, also where that is gone', async () => {
    const log = await newLog()
    const last = await log.append(text('gone'))
    await log.remove([last.id])
    const next = await log.append(text('next'))

    expect(next.previous?.equals(last.id)).to.equal(true)
    await expectSound(log)
  })

  it('takes the bytes of what is gone off the disk, once a quarter of all is gone, when the log is closed', async () => {
    const datastore = new WatchedDatastore()
    const privateKey = await newKey()
    const log = await newLog({ datastore, privateKey })
    await log.appendMany(texts(40, 'secret of old '))
    const entries = await log.appendMany(texts(60, 'kept '))
    await log.trim({ length: 60 })
    // the first checkpoint still needs the records as they were, the next one does not
    await log.close()
    const second = await newLog({ datastore, privateKey })
    await second.append(text('one more'))
    await second.close()

    expect(await storedTexts(datastore, /secret of old \d+/g)).to.deep.equal([])
    expect(await storedTexts(datastore, /kept \d+/g)).to.have.lengthOf(60)
    const third = await newLog({ datastore, privateKey })
    expect((await expectSound(third)).map(name).slice(0, -1)).to.deep.equal(entries.map(name))
  })

  it('takes the bytes of what is gone off the disk while it goes on, and no reader in the middle brings them back', async () => {
    const datastore = new WatchedDatastore()
    const privateKey = await newKey()
    const log = await newLog({ datastore, privateKey }, SMALL)
    const gone: Entry[] = []
    gone.push(...await log.appendMany(texts(60, 'secret ')))
    const kept = await log.appendMany(texts(20, 'kept '))
    // whoever reads has a record in hand while that is written anew
    const readers: Array<AsyncGenerator<unknown>> = [log.entries(), log.arrivals()]
    await Promise.all(readers.map(async reader => reader.next()))
    await log.remove(gone.map(({ id }) => id))

    for (let i = 0; i < 8; i++) {
      gone.push(...await log.appendMany(texts(10, `secret of later ${i} `)))
    }

    await Promise.all(readers.map(collect))
    expect(await log.get(gone[3].id)).to.equal(undefined)
    await log.remove(gone.map(({ id }) => id))
    await log.close()
    const second = await newLog({ datastore, privateKey }, SMALL)
    kept.push(await second.append(text('kept at last')))
    await second.close()

    expect(await storedTexts(datastore, /secret (of later \d+ )?\d+/g)).to.deep.equal([])
    const again = await newLog({ datastore, privateKey }, SMALL)
    expect((await expectSound(again, gone)).map(name)).to.deep.equal(kept.map(name))
  })

  it('comes to rest: a log that is opened and closed writes nothing any more where nothing more is gone', async () => {
    const datastore = new WatchedDatastore()
    const privateKey = await newKey()
    const log = await newLog({ datastore, privateKey }, SMALL)
    await log.appendMany(texts(100))
    await log.trim({ length: 50 })
    await log.close()
    const written: string[][] = []

    do {
      const { length } = datastore.writes
      await (await newLog({ datastore, privateKey }, SMALL)).close()
      // to delete once more what is deleted costs next to nothing
      written.push(datastore.writes.slice(length).flat().filter(({ value }) => value != null).map(({ key }) => key))
    } while (written.at(-1)?.length !== 0 && written.length < 10)

    expect(written.at(-1)).to.deep.equal([])
  })
})

/** What of the values in a store matches */
async function storedTexts (datastore: WatchedDatastore, pattern: RegExp): Promise<string[]> {
  const found: string[] = []
  for await (const { value } of datastore.query({})) {
    found.push(...new TextDecoder('latin1').decode(value).match(pattern) ?? [])
  }
  return found
}

describe('trimming', () => {
  afterEach(closeLogs)

  it('by length takes the oldest', async () => {
    const log = await newLog()
    const seen = watched(log)
    await log.appendMany(texts(1200))

    expect(await log.trim({ length: 1150 })).to.equal(50)
    expect(await log.trim({ length: 30 })).to.equal(1120)
    expect(await saidIn(log)).to.deep.equal(numbers(1170, 1200))
    expect(seen.removed).to.deep.equal(numbers(0, 1170))
    expect(await log.trim({ length: 30 })).to.equal(0)
    await expectSound(log)
  })

  it('by bytes takes no more than it has to', async () => {
    const log = await newLog()
    const entries = await log.appendMany(texts(20))
    const bytes = entries.slice(12).reduce((sum, entry) => sum + sizeOf(entry), 0)
    await log.trim({ bytes })
    expect(await saidIn(log)).to.deep.equal(numbers(12, 20))
    await log.trim({ bytes: bytes - 1 })

    expect(await saidIn(log)).to.deep.equal(numbers(13, 20))
    expect(log.diagnostics().bytes).to.be.at.most(bytes)
  })

  it('by age takes what is older', async () => {
    const clock = new SetClock(1_000)
    const log = await newLog({ clock })
    for (const time of [1_000, 2_000, 3_000, 4_000]) {
      clock.time = time
      await log.append(text(`${time}`))
    }

    expect(await log.trim({ age: 3_000 })).to.equal(0)
    clock.time = 5_000
    expect(await log.trim({ age: 2_000 })).to.equal(2)
    expect(await saidIn(log)).to.deep.equal(['3000', '4000'])
  })

  it('by a predicate takes what it says, wherever it is', async () => {
    const log = await newLog()
    const entries = await log.appendMany(texts(10))

    expect(await log.trim({ when: entry => Number(said(entry)) % 3 === 0 })).to.equal(4)
    expect(await saidIn(log)).to.deep.equal(['1', '2', '4', '5', '7', '8'])
    await expectSound(log, entries)
  })

  it('takes all, and nothing where nothing is asked for', async () => {
    const log = await newLog()
    await log.appendMany(texts(600))

    expect(await log.trim({})).to.equal(0)
    expect(await log.trim({ length: 0 })).to.equal(600)
    expect([log.length, log.diagnostics().bytes, await log.heads()]).to.deep.equal([0, 0, []])
    await log.append(text('new'))
    expect(await saidIn(log)).to.deep.equal(['new'])
  })

  it('never takes what is to be kept, and others in its place', async () => {
    const log = await newLog({ keep: entry => Number(said(entry)) < 3 })
    await log.appendMany(texts(10))
    await log.trim({ length: 5 })
    expect(await saidIn(log)).to.deep.equal(['0', '1', '2', '8', '9'])
    await log.trim({ length: 0, when: () => true })

    expect(await saidIn(log)).to.deep.equal(['0', '1', '2'])
  })

  it('ends when its signal aborts, or the predicate throws, and the log is as good as before', async () => {
    const log = await newLog()
    await log.appendMany(texts(10))

    expect(await nameOfError(log.trim({ length: 0, signal: AbortSignal.abort(new RangeError('no')) }))).to.equal('RangeError')
    expect(await nameOfError(log.trim({ when: () => { throw new TypeError('thrown') } }))).to.equal('TypeError')
    expect(log.length).to.equal(10)
    await expectSound(log)
  })

  it('reads no entries when nothing has to go', async () => {
    const datastore = new WatchedDatastore()
    const log = await newLog({ datastore })
    await log.appendMany(texts(2000))
    let reads = 0
    datastore.afterGet = () => { reads++ }
    await log.trim({ length: 2000, bytes: 10_000_000 })

    expect(reads).to.equal(0)
  })

  it('reads little more than what has to go, however much there is', async () => {
    const datastore = new WatchedDatastore()
    const privateKey = await newKey()
    const first = await newLog({ datastore, privateKey }, SMALL)
    await first.appendMany(texts(1_000))
    await first.close()

    const again = WatchedDatastore.from(datastore.writes)
    const log = await newLog({ datastore: again, privateKey }, SMALL)
    const read: string[] = []
    again.afterGet = key => { read.push(key) }
    expect(await log.trim({ length: 999 })).to.equal(1)
    expect(await log.trim({ age: 3_600_000 })).to.equal(0)
    // 1,000 entries lie in 63 records. Pages are read for merges, too
    expect(read.filter(key => key.endsWith('r')).length).to.be.below(40)
  })

  it('again and again keeps what is stored as small as the log is', async () => {
    const datastore = new WatchedDatastore()
    const privateKey = await newKey()
    const sizes: number[] = []

    for (let i = 0; i < 18; i++) {
      const log = await newLog({ datastore, privateKey }, { mergeRuns: 3 })
      await log.appendMany(texts(300))
      await log.trim({ length: 50 })
      await log.close()
      let bytes = 0
      for await (const { value } of datastore.query({})) {
        bytes += value.byteLength
      }
      sizes.push(bytes)
    }

    // it grows until runs are merged, twice over: all are after nine of them
    expect(Math.max(...sizes.slice(9))).to.be.below(Math.max(...sizes.slice(0, 9)) * 1.2)
  })
})

describe('dropping', () => {
  afterEach(closeLogs)

  it('leaves no key behind, also of a log that was opened again, and of marks', async () => {
    const datastore = new WatchedDatastore()
    const privateKey = await newKey()
    const first = await newLog({ datastore, privateKey })
    await first.appendMany(texts(700), { group: text('g') })
    await first.mark('a program', 5)
    await first.close()
    const second = await newLog({ datastore, privateKey })
    await second.appendMany(texts(700))
    await second.trim({ length: 900 })
    await second.drop()

    expect(datastore.keys).to.deep.equal([])
    expect(second.status).to.equal('closed')
    const third = await newLog({ datastore, privateKey })
    expect([third.length, await third.marked('a program')]).to.deep.equal([0, 0])
    expect((await third.append(text('anew'))).previous).to.equal(undefined)
  })

  it('leaves no key behind while appends and marks are under way', async () => {
    const datastore = new WatchedDatastore()
    datastore.beforeWrite = async () => turns(3)
    const log = await newLog({ datastore })
    const under = [log.append(text('a')), log.appendMany(texts(300)), log.mark('a program', 3)]
    const dropping = log.drop()
    await Promise.allSettled([...under, dropping])

    expect(datastore.keys).to.deep.equal([])
  })

  it('counts when it comes after a close that is under way', async () => {
    const datastore = new WatchedDatastore()
    const log = await newLog({ datastore })
    await log.append(text('a'))
    await Promise.all([log.close(), log.drop()])

    expect(datastore.keys).to.deep.equal([])
  })

  it('says of nothing that it is still there', async () => {
    const log = await newLog()
    const { id } = await log.append(text('a'))
    await log.drop()
    const answer = async (asked: Promise<unknown>): Promise<unknown> => asked.catch(err => err.name)

    expect(await answer(log.has(id))).to.be.oneOf([false, 'LogClosedError'])
    expect(await answer(log.get(id))).to.be.oneOf([undefined, 'LogClosedError'])
    expect(await answer(collect(log.entries()).then(({ length }) => length))).to.be.oneOf([0, 'LogClosedError'])
    expect(await answer(log.fingerprint({}, text('key')).then(({ count }) => count))).to.be.oneOf([0, 'LogClosedError'])
  })
})
