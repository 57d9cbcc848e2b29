import { expect } from 'aegir/chai'
import { MemoryDatastore } from 'datastore-core'
import { compare } from 'uint8arrays/compare'
import { concat } from 'uint8arrays/concat'
import { toString } from 'uint8arrays/to-string'
import { encodeContent } from '../../src/log/core/entry.ts'
import { decodeEntry, Signer } from '../../src/log/signatures.ts'
import { turns, WatchedDatastore } from '../fixtures/datastores.ts'
import { IS_LONG } from '../fixtures/effort.ts'
import { allOf, closeLogs, collect, expectSound, headsOf, idsOf, LOG_ID, name, nameOfError, newKey, newLog, outcomes, said, SetClock, text, texts, watched, WindClock } from '../fixtures/logs.ts'
import { until } from '../fixtures/nodes.ts'
import { rowsStored } from '../fixtures/stored-pages.ts'
import type { RawEntry } from '../../src/log/core/types.ts'
import type { Entry, Log } from '../../src/log/index.ts'
import type { Timer } from '../../src/runtime/clock.ts'

function raw ({ bytes, proof }: Entry): { bytes: Uint8Array, proof: Uint8Array } {
  return { bytes: Uint8Array.from(bytes), proof: Uint8Array.from(proof) }
}

async function chain (length: number): Promise<Entry[]> {
  return (await newLog()).appendMany(texts(length))
}

describe('joining', () => {
  afterEach(closeLogs)

  it('adds what others made, once, and says so in the order in which it was asked', async () => {
    const log = await newLog()
    const entries = await chain(5)
    const [a, b, c, d, e] = entries.map(raw)

    expect(outcomes(await log.join([b, a]))).to.deep.equal(['added', 'added'])
    expect(outcomes(await log.join([e, a, c, b, d]))).to.deep.equal(['added', 'known', 'added', 'known', 'added'])
    expect(await idsOf(log)).to.deep.equal(entries.map(name))
    await expectSound(log)
  })

  it('takes an entry that is there twice among many for one', async () => {
    const log = await newLog()
    const [a, b] = (await chain(2)).map(raw)
    let events = 0
    log.addEventListener('entry:add', () => { events++ })

    expect(outcomes(await log.join([a, b, a, b, b]))).to.not.include('refused')
    expect([log.length, events]).to.deep.equal([2, 2])
    await expectSound(log)
  })

  it('takes in none, and knows its own', async () => {
    const log = await newLog()
    const own = await log.append(text('own'))

    expect(await log.join([])).to.deep.equal([])
    expect(outcomes(await log.join([raw(own)]))).to.deep.equal(['known'])
  })

  it('refuses by name what is no entry, or not true, and takes the others', async () => {
    const log = await newLog()
    const [a, b, c] = (await chain(3)).map(raw)
    const foreign = await (await newLog({ id: 'another log' })).append(text('elsewhere'))
    const joined = await log.join([a, { bytes: new Uint8Array(3), proof: a.proof }, raw(foreign), b, { bytes: c.bytes, proof: new Uint8Array(0) }])

    expect(outcomes(joined)).to.deep.equal(['added', 'MalformedError', 'FalseProofError', 'added', 'MalformedError'])
    expect(joined.map(({ id }) => id != null)).to.deep.equal([true, false, true, true, true])
    expect(log.diagnostics().dropped).to.deep.equal({ MalformedError: 2, FalseProofError: 1 })
    await expectSound(log)
  })

  it('takes each entry by its own proof: a later one of its author does not stand in for it', async () => {
    const [log, third] = await Promise.all([newLog(), newLog()])
    const [a, b] = (await chain(2)).map(raw)
    const junk = { bytes: a.bytes, proof: new Uint8Array(4000) }

    expect(outcomes(await log.join([junk, b]))).to.deep.equal(['MalformedError', 'added'])
    // the good one is not known by then, and is passed on with its proof
    expect(outcomes(await log.join([a]))).to.deep.equal(['added'])
    expect(outcomes(await third.join((await allOf(log)).map(raw)))).to.deep.equal(['added', 'added'])
    await expectSound(log)
  })

  it('refuses proofs of any size that no entry can have, and keeps none of their bytes', async () => {
    const log = await newLog()
    const [a, b] = (await chain(2)).map(raw)

    for (const size of [0, 1, 4632, 1_040_000]) {
      expect(outcomes(await log.join([{ bytes: a.bytes, proof: new Uint8Array(size) }]))).to.deep.equal(['MalformedError'])
    }
    expect(outcomes(await log.join([{ bytes: a.bytes, proof: concat([a.proof, new Uint8Array(1_040_000)]) }, b]))).to.deep.equal(['MalformedError', 'added'])
    expect(log.diagnostics().bytes).to.equal(b.bytes.byteLength + b.proof.byteLength)
  })

  it('keeps its own copy: whoever handed the bytes in may use them again', async () => {
    const log = await newLog()
    const handed = (await chain(3)).map(raw)
    await log.join(handed)
    handed.forEach(({ bytes, proof }) => {
      bytes.fill(0)
      proof.fill(0)
    })
    // what lies together with them is written again
    await log.appendMany(texts(2, 'more '))

    expect((await allOf(log)).map(said)).to.deep.equal(['0', '1', '2', 'more 0', 'more 1'])
    await expectSound(log)
  })

  it('makes what is appended later than all that was joined', async () => {
    const log = await newLog({ clock: new SetClock(1_000_000) })
    const author = await newLog({ clock: new SetClock(1_025_000) })
    await log.join((await author.appendMany(texts(3))).map(raw))
    const own = await log.append(text('own'))

    expect(own.clock).to.deep.equal({ time: 1_025_000n, counter: 3 })
    expect((await idsOf(log)).at(-1)).to.equal(name(own))
  })

  it('ends when its signal aborts before anything is stored', async () => {
    const log = await newLog()
    const entries = (await chain(3)).map(raw)

    expect(await nameOfError(log.join(entries, { signal: AbortSignal.abort(new RangeError('no')) }))).to.equal('RangeError')
    expect(log.length).to.equal(0)
    expect(outcomes(await log.join(entries))).to.deep.equal(['added', 'added', 'added'])
  })

  it('adds many at once, in every order: also more than are verified before the first is stored', async () => {
    const log = await newLog()
    const entries = await chain(1300)
    const outcome = outcomes(await log.join([...entries.slice().reverse().map(raw), { bytes: new Uint8Array(3), proof: new Uint8Array(3) }]))

    expect(await idsOf(log)).to.deep.equal(entries.map(name))
    expect((await collect(log.arrivals())).map(({ entry }) => name(entry))).to.deep.equal(entries.map(name))
    expect(outcome).to.deep.equal([...entries.map(() => 'added'), 'MalformedError'])
    await expectSound(log)
  })
})

describe('joining in any order', () => {
  afterEach(closeLogs)

  it('waits for nobody: children go in before their parents, and the heads are right all the same', async () => {
    const log = await newLog()
    const entries = await chain(3)
    const stranger = await (await newLog()).append(text('a stranger'))

    for (const entry of [entries[2], stranger, entries[0], entries[1]]) {
      expect(outcomes(await log.join([raw(entry)]))).to.deep.equal(['added'])
      await expectSound(log)
    }
    expect(await headsOf(log)).to.deep.equal([entries[2], stranger].map(name).sort())
  })

  it('takes a child whose parent canAppend refuses', async () => {
    const log = await newLog({ canAppend: entry => said(entry) !== '0' })
    const entries = (await chain(2)).map(raw)

    expect(outcomes(await log.join(entries))).to.deep.equal(['AppendRefusedError', 'added'])
    expect((await allOf(log)).map(said)).to.deep.equal(['1'])
    await expectSound(log)
  })

  it('makes no head of a parent that comes behind its child of another author', async () => {
    const [log, author, other] = await Promise.all([newLog(), newLog(), newLog()])
    const parent = await author.append(text('parent'))
    await other.join([parent])
    const child = await other.append(text('child'))

    await log.join([raw(child)])
    await log.join([raw(parent)])
    expect(await headsOf(log)).to.deep.equal([name(child)])
    await expectSound(log)
  })

  it('makes no head of a parent that a clock dated behind its child, also where both come at once', async () => {
    const datastore = new WatchedDatastore()
    const init = { datastore, privateKey: await newKey() }
    const log = await newLog(init)
    const signers = await Promise.all([1, 2].map(async () => new Signer(await newKey(), LOG_ID)))
    const parent = await entryOf(signers[0], 999_000, [])
    const child = await entryOf(signers[1], 998_000, [parent.id])
    await log.join([child.raw, parent.raw])

    const heads = [toString(child.id, 'base16')]
    expect(await headsOf(log)).to.deep.equal(heads)
    await expectSound(log)
    // as well when it is read from its record
    const again = await newLog({ ...init, datastore: WatchedDatastore.from(datastore.writes) })
    expect(await headsOf(again)).to.deep.equal(heads)
    await log.close()
    expect(await headsOf(await newLog(init))).to.deep.equal(heads)
  })
})

async function entryOf (signer: Signer, time: number, parents: Uint8Array[]): Promise<{ id: Uint8Array, raw: RawEntry }> {
  const { bytes, id } = await decodeEntry({
    bytes: encodeContent({ time, counter: 0, author: signer.author, parents, group: new Uint8Array(0), replicas: 0, data: text('data') }),
    proof: new Uint8Array(0)
  })
  return { id, raw: { bytes, proof: (await signer.prove(1, () => [id])).proofOf(0) } }
}

describe('parents that never come', () => {
  afterEach(closeLogs)

  it('are remembered up to a number: of more, those that were named longest ago are forgotten, and the others are no heads', async () => {
    const datastore = new WatchedDatastore()
    const [log, signer] = [await newLog({ datastore }, { checkpointEntries: 300, checkpointBytes: 1024 * 1024, mergeRuns: 2 }), new Signer(await newKey(), LOG_ID)]
    const batches = IS_LONG ? 100 : 12
    const late: Entry[] = []
    const wrong: number[] = []
    const rows: number[] = []

    // 64 in each of 64 entries. One of them is an entry, which comes two batches later: 8,000 others were named meanwhile
    for (let batch = 0; batch < batches; batch++) {
      late.push(await (await newLog()).append(text(`${batch}`)))
      await log.join(await childrenOf(signer, batch, late[batch].id.bytes))
      const parent = late[batch - 2]

      if (parent != null) {
        await log.join([raw(parent)])
        if ((await log.heads()).some(({ id }) => id.equals(parent.id))) {
          wrong.push(batch)
        }
        await log.remove([parent.id])
      }

      await log.trim({ length: 64 })
      rows.push(await rowsStored(datastore, 'named'))
    }

    expect(wrong, 'batches whose parent became a head').to.deep.equal([])
    // a merge forgets what is more than 65,536 in the runs that it is of, which are not all there are: of 393,000 that is half
    expect(rows.at(-1)).to.be.below(IS_LONG ? 260_000 : Infinity)
  }).timeout(120_000)
})

/** 64 entries, each of which names 64 parents that nobody has: but for one of them, which names this one */
async function childrenOf (signer: Signer, batch: number, parent: Uint8Array): Promise<RawEntry[]> {
  const absent = (number: number): Uint8Array => {
    const id = new Uint8Array(32)
    new DataView(id.buffer).setUint32(0, number)
    return id
  }
  const decoded = await Promise.all(Array.from({ length: 64 }, async (_, i) => {
    const first = (batch * 64 + i) * 64
    const parents = Array.from({ length: 64 }, (_, k) => i === 0 && k === 0 ? parent : absent(first + k)).sort(compare)
    const bytes = encodeContent({
      time: 1_000_000, counter: batch * 64 + i, author: signer.author, parents, group: new Uint8Array(0), replicas: 0, data: new Uint8Array(0)
    })
    return decodeEntry({ bytes, proof: new Uint8Array(0) })
  }))
  const proofs = await signer.prove(decoded.length, () => decoded.map(({ id }) => id))
  return decoded.map(({ bytes }, i) => ({ bytes, proof: proofs.proofOf(i) }))
}

describe('an entry whose clock is ahead', () => {
  afterEach(closeLogs)

  /** One that is 60 s ahead, one that is a millisecond more, and one that is a second more */
  async function ahead (): Promise<{ clock: WindClock, datastore: WatchedDatastore, log: Log, all: Array<ReturnType<typeof raw>> }> {
    const [clock, other, datastore] = [new WindClock(), new SetClock(1_060_000), new WatchedDatastore()]
    const author = await newLog({ clock: other })
    const entries = [await author.append(text('near'))]
    other.time += 1
    entries.push(await author.append(text('far')))
    other.time += 1000
    entries.push(await author.append(text('farther')))
    return { clock, datastore, log: await newLog({ clock, datastore }), all: entries.map(raw) }
  }

  it('sets one timer with all that came with it: setting one looks at each that waits', async () => {
    class CountingClock extends WindClock {
      timers = 0

      after (ms: number, fn: () => void): Timer {
        this.timers++
        return super.after(ms, fn)
      }
    }
    const clock = new CountingClock()
    const [log, other] = await Promise.all([newLog({ clock }), newLog({ clock: new SetClock(2_000_000) })])
    const entries = await other.appendMany(texts(200))
    const before = clock.timers
    await log.join(entries)

    expect(log.diagnostics().waiting).to.equal(200)
    // the disk has some, too
    expect(clock.timers - before).to.be.lessThan(20)
  })

  it('by more than 60 s waits, and is not in the log', async () => {
    const { log, all } = await ahead()

    expect(outcomes(await log.join(all))).to.deep.equal(['added', 'waiting', 'waiting'])
    expect((await allOf(log)).map(said)).to.deep.equal(['near'])
    expect(log.diagnostics().waiting).to.equal(2)
    expect(outcomes(await log.join(all))).to.deep.equal(['known', 'waiting', 'waiting'])
    expect(log.diagnostics().waiting).to.equal(2)
    await expectSound(log)
  })

  it('goes in by itself when its time has come, and is told of', async () => {
    const { clock, log, all } = await ahead()
    const { added } = watched(log)
    await log.join(all)
    clock.wind(1)
    await until(() => log.length === 2)
    expect((await allOf(log)).map(said)).to.deep.equal(['near', 'far'])
    clock.wind(1000)
    await until(() => log.length === 3)

    // an entry lets go of its room when it is stored, which is after it is in the log
    await until(() => log.diagnostics().waiting === 0)
    expect(added).to.deep.equal([[0, 'near'], [1, 'far'], [2, 'farther']])
    expect(outcomes(await log.join(all))).to.deep.equal(['known', 'known', 'known'])
    await expectSound(log)
  })

  it('keeps waiting while the disk does not take it, and goes in when the disk does', async () => {
    const { clock, datastore, log, all } = await ahead()
    await log.join(all)
    datastore.tear = () => []
    clock.wind(2000)
    await turns(20)
    expect([log.length, log.diagnostics().waiting]).to.deep.equal([1, 2])
    datastore.tear = undefined
    clock.wind(2000)

    await until(() => log.length === 3)
    expect(log.diagnostics().waiting).to.equal(0)
    await expectSound(log)
  })

  it('is there once, also when somebody brings it again at the moment when its time comes', async () => {
    const { clock, log, all } = await ahead()
    const { added } = watched(log)
    await log.join(all)
    const again = log.join(all)
    clock.wind(2000)
    await again
    await until(() => log.length === 3 && log.diagnostics().waiting === 0)

    expect(added.map(([, data]) => data).sort()).to.deep.equal(['far', 'farther', 'near'])
    await expectSound(log)
  })

  it('is asked about when its time has come, not before', async () => {
    const { clock, all } = await ahead()
    const asked: string[] = []
    const log = await newLog({
      clock,
      canAppend: entry => {
        asked.push(said(entry))
        return said(entry) !== 'far'
      }
    })
    await log.join(all)
    expect(asked).to.deep.equal(['near'])
    clock.wind(2000)
    await until(() => log.length === 2)

    expect(asked).to.deep.equal(['near', 'far', 'farther'])
    expect((await allOf(log)).map(said)).to.deep.equal(['near', 'farther'])
  })

  it('has to prove itself as any other one before it waits', async () => {
    const { log, all: [near, far] } = await ahead()

    expect(outcomes(await log.join([{ bytes: far.bytes, proof: near.proof }]))).to.deep.equal(['FalseProofError'])
    expect(log.diagnostics().waiting).to.equal(0)
  })

  it('is only in memory: it has to come again when the log was closed', async () => {
    const datastore = new MemoryDatastore()
    const { clock, all } = await ahead()
    const log = await newLog({ datastore, clock })
    await log.join(all)
    await log.close()
    expect(log.diagnostics().waiting).to.equal(0)
    const again = await newLog({ datastore, clock })

    expect((await allOf(again)).map(said)).to.deep.equal(['near'])
    expect(outcomes(await again.join(all))).to.deep.equal(['known', 'waiting', 'waiting'])
  })

  it('is refused by name where there is no room for more of them', async () => {
    const [log, author] = await Promise.all([newLog(), newLog({ clock: new SetClock(2_000_000) })])
    const large = new Uint8Array(1024 * 1024)
    const entries = await author.appendMany([large, large, large, large, large].map((bytes, i) => bytes.slice(i)))
    const joined = await log.join(entries.map(raw))

    expect(outcomes(joined).sort()).to.deep.equal(['FutureEntryError', 'FutureEntryError', 'waiting', 'waiting', 'waiting'])
    expect(log.diagnostics().waiting).to.equal(3)
    expect(log.diagnostics().dropped).to.deep.equal({ FutureEntryError: 2 })
  })
})

describe('entries of one author, in several places', () => {
  afterEach(closeLogs)

  it('go on from the last one that came back, where the store of their author was lost', async () => {
    const [privateKey, keeper] = [await newKey(), await newLog()]
    const first = await newLog({ privateKey })
    await keeper.join((await first.appendMany(texts(3))).map(raw))
    await first.close()
    // in memory, or from a backup: nothing of it is left
    const second = await newLog({ privateKey })
    await second.join((await allOf(keeper)).map(raw))
    const next = await second.append(text('next'))

    expect(next.previous?.equals((await allOf(keeper))[2].id)).to.equal(true)
    expect(next.parents.map(id => name({ id }))).to.deep.equal([name((await allOf(keeper))[2])])
    await keeper.join([raw(next)])
    expect(keeper.diagnostics().problems).to.deep.equal([])
    expect(await headsOf(keeper)).to.deep.equal([name(next)])
    await expectSound(keeper)
  })

  it('name the one before also when entries of others came before the first append of a life', async () => {
    const [datastore, privateKey] = [new MemoryDatastore(), await newKey()]
    const first = await newLog({ datastore, privateKey })
    const tip = await first.append(text('the tip'))
    await first.close()
    const second = await newLog({ datastore, privateKey })
    const foreign = (await chain(3)).map(raw)
    await second.join(foreign)
    const next = await second.append(text('next'))

    expect(next.previous?.equals(tip.id)).to.equal(true)
    expect(next.parents).to.have.lengthOf(2)
    expect(await headsOf(second)).to.deep.equal([name(next)])
    await expectSound(second)
  })

  it('that stand on one are told of as a fork, once for each author, whoever notices', async () => {
    const [privateKey, keeper] = [await newKey(), await newLog()]
    const [here, there] = await Promise.all([newLog({ privateKey }), newLog({ privateKey })])
    const common = await here.append(text('common'))
    await there.join([raw(common)])
    const [a, b] = [await here.append(text('a')), await there.append(text('b'))]
    await keeper.join([common, a].map(raw))
    expect(keeper.diagnostics().problems).to.deep.equal([])
    await keeper.join([raw(b)])
    await here.join([raw(b)])

    for (const log of [keeper, here]) {
      const { problems } = log.diagnostics()
      expect(problems.map(({ kind }) => kind)).to.deep.equal(['fork'])
      expect(problems[0].message).to.include(a.author.toString()).and.include('two places')
      await expectSound(log)
    }
    // one of the two is its latest: where it goes on, there is one chain again
    const next = await here.append(text('next'))
    expect(await headsOf(here)).to.deep.equal([name(next)])
  })
})
