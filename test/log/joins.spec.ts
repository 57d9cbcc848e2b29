import { expect } from 'aegir/chai'
import { allOf, closeLogs, collect, expectSound, headsOf, idsOf, name, nameOfError, newLog, outcomes, said, SetClock, text, texts } from '../fixtures/logs.ts'
import type { EntryId } from '../../src/log/entry-id.ts'
import type { Entry, Log, LogInit } from '../../src/log/index.ts'

function raw ({ bytes, proof }: Entry): { bytes: Uint8Array, proof: Uint8Array } {
  return { bytes: Uint8Array.from(bytes), proof: Uint8Array.from(proof) }
}

/** A log that waits for parents, and what it asked for */
async function patientLog (init: Partial<LogInit> = {}): Promise<{ log: Log, asked: string[][] }> {
  const asked: string[][] = []
  const log = await newLog({ requestParents: ids => { asked.push(ids.map(id => name({ id }))) }, ...init })
  return { log, asked }
}

async function chain (length: number): Promise<Entry[]> {
  return (await newLog()).appendMany(texts(length))
}

function ids (entries: Entry[]): EntryId[] {
  return entries.map(({ id }) => id)
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

  it('takes entries that another one of their author vouches for, and says which were proved', async () => {
    const log = await newLog()
    const author = await newLog()
    const entries = [await author.append(text('a')), await author.append(text('b')), await author.append(text('c'))]
    await log.join(entries.map(raw))

    expect((await allOf(log)).map(({ isProved }) => isProved)).to.deep.equal([false, false, true])
    await expectSound(log)
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

  it('refuses an entry whose clock is too far ahead, by name, and takes it later', async () => {
    const [own, other] = [new SetClock(1_000_000), new SetClock(1_060_000)]
    const [log, author] = [await newLog({ clock: own }), await newLog({ clock: other })]
    const near = await author.append(text('60 s ahead'))
    other.time += 1
    const far = await author.append(text('60.001 s ahead'))
    other.time += 1000
    const farther = await author.append(text('61.001 s ahead'))
    const all = [near, far, farther].map(raw)

    expect(outcomes(await log.join(all))).to.deep.equal(['added', 'FutureEntryError', 'FutureEntryError'])
    own.time += 1
    expect(outcomes(await log.join(all))).to.deep.equal(['known', 'added', 'FutureEntryError'])
    own.time += 1000
    expect(outcomes(await log.join(all))).to.deep.equal(['known', 'known', 'added'])
    await expectSound(log)
  })

  it('makes what is appended later than all that was joined', async () => {
    const log = await newLog({ clock: new SetClock(1_000_000) })
    const author = await newLog({ clock: new SetClock(1_050_000) })
    await log.join((await author.appendMany(texts(3))).map(raw))
    const own = await log.append(text('own'))

    expect(own.clock).to.deep.equal({ time: 1_050_000n, counter: 3 })
    expect((await idsOf(log)).at(-1)).to.equal(name(own))
  })

  it('ends when its signal aborts before anything is stored', async () => {
    const log = await newLog()
    const entries = (await chain(3)).map(raw)

    expect(await nameOfError(log.join(entries, { signal: AbortSignal.abort(new RangeError('no')) }))).to.equal('RangeError')
    expect(log.length).to.equal(0)
    expect(outcomes(await log.join(entries))).to.deep.equal(['added', 'added', 'added'])
  })

  it('adds many at once, in every order', async () => {
    const log = await newLog()
    const entries = await chain(1300)
    await log.join(entries.slice().reverse().map(raw))

    expect(await idsOf(log)).to.deep.equal(entries.map(name))
    expect((await collect(log.arrivals())).map(({ entry }) => name(entry))).to.deep.equal(entries.map(name))
    await expectSound(log)
  })
})

describe('waiting for parents', () => {
  afterEach(closeLogs)

  it('is for nobody where nobody is asked for them: the heads are right all the same', async () => {
    const log = await newLog()
    const entries = await chain(3)
    const stranger = await (await newLog()).append(text('a stranger'))

    for (const entry of [entries[2], stranger, entries[0], entries[1]]) {
      expect(outcomes(await log.join([raw(entry)]))).to.deep.equal(['added'])
      await expectSound(log)
    }
    expect(await headsOf(log)).to.deep.equal([entries[2], stranger].map(name).sort())
  })

  it('keeps an entry out of the log, and asks for what it waits for', async () => {
    const { log, asked } = await patientLog()
    const [a, b] = await chain(2)

    expect(outcomes(await log.join([raw(b)]))).to.deep.equal(['waiting'])
    expect(asked).to.deep.equal([[name(a)]])
    expect([log.length, await log.has(b.id), log.diagnostics().waiting]).to.deep.equal([0, false, 1])
    expect(outcomes(await log.join([raw(b)]))).to.deep.equal(['waiting'])
    await expectSound(log)
  })

  it('ends when they come, and parents arrive before their children', async () => {
    const { log } = await patientLog()
    const entries = await chain(5)
    const [a, b, c, d, e] = entries.map(raw)
    expect(outcomes(await log.join([c, e]))).to.deep.equal(['waiting', 'waiting'])
    expect(outcomes(await log.join([d]))).to.deep.equal(['waiting'])
    expect(outcomes(await log.join([a]))).to.deep.equal(['added'])
    expect(outcomes(await log.join([b]))).to.deep.equal(['added'])

    expect((await collect(log.arrivals())).map(({ entry }) => name(entry))).to.deep.equal(entries.map(name))
    expect(log.diagnostics().waiting).to.equal(0)
    await expectSound(log)
  })

  it('does not hold up others', async () => {
    const { log } = await patientLog()
    const [[, child], [free]] = [await chain(2), await chain(1)]

    expect(outcomes(await log.join([child, free].map(raw)))).to.deep.equal(['waiting', 'added'])
    const own = await log.append(text('own'))
    expect(own.parents.map(id => name({ id }))).to.deep.equal([name(free)])
    await expectSound(log)
  })

  it('ends when nobody has them', async () => {
    const { log } = await patientLog()
    const entries = await chain(3)
    await log.join([raw(entries[2])])
    await log.giveUp(ids(entries.slice(0, 1)))
    expect(log.diagnostics().waiting).to.equal(1)
    await log.giveUp(ids(entries.slice(1, 2)))

    expect(log.diagnostics().waiting).to.equal(0)
    expect(await idsOf(log)).to.deep.equal([name(entries[2])])
    expect(outcomes(await log.join(entries.slice(0, 2).map(raw)))).to.deep.equal(['added', 'added'])
    await expectSound(log)
  })

  it('ends with the giving up of one, for all that stand on who waited for it', async () => {
    const { log } = await patientLog()
    const entries = await chain(4)
    await log.join(entries.slice(1).reverse().map(raw))
    expect(log.length).to.equal(0)
    await log.giveUp([entries[0].id])

    expect((await collect(log.arrivals())).map(({ entry }) => name(entry))).to.deep.equal(entries.slice(1).map(name))
    await expectSound(log)
  })

  it('ends when canAppend refuses the parent', async () => {
    const { log } = await patientLog({ canAppend: entry => said(entry) !== '0' })
    const entries = await chain(2)
    await log.join([raw(entries[1])])

    expect(outcomes(await log.join([raw(entries[0])]))).to.deep.equal(['AppendRefusedError'])
    expect(await idsOf(log)).to.deep.equal([name(entries[1])])
    await expectSound(log)
  })

  it('is over when the log is closed: who waited may come again', async () => {
    const { log } = await patientLog()
    const entries = await chain(2)
    await log.join([raw(entries[1])])
    await log.close()

    expect(log.diagnostics().waiting).to.equal(0)
  })

  it('does not lose who waited when a parent comes and canAppend throws', async () => {
    let isBroken = true
    const { log } = await patientLog({
      canAppend: entry => {
        if (isBroken && said(entry) === '1') {
          throw new RangeError('thrown')
        }
        return true
      }
    })
    const entries = (await chain(2)).map(raw)
    await log.join([entries[1]])
    expect(await nameOfError(log.join([entries[0]]))).to.equal('RangeError')
    isBroken = false
    await log.join([entries[0]])

    // nobody offers it again: it was 'waiting'
    expect([log.length, log.diagnostics().waiting]).to.deep.equal([2, 0])
    await expectSound(log)
  })
})
