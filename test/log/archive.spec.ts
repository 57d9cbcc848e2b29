import { expect } from 'aegir/chai'
import { pipe } from 'it-pipe'
import { Uint8ArrayList } from 'uint8arraylist'
import { concat } from 'uint8arrays/concat'
import { allOf, closeLogs, collect, expectSound, name, nameOfError, newLog, saidIn, SetClock, SMALL, text, texts } from '../fixtures/logs.ts'
import type { Entry, Log } from '../../src/log/index.ts'

/** Bytes of the head of an archive of 'a log' */
const HEAD = 'libp2p-sheaf log 1\n'.length + 1 + 'a log'.length

async function archive (log: Log): Promise<Uint8Array> {
  return concat(await collect(log.export()))
}

async function filled (): Promise<Log> {
  const log = await newLog()
  await log.append(text('alone'))
  await log.appendMany(texts(300))
  await log.append(new Uint8Array(200_000), { group: text('large') })
  return log
}

/** Fails behind its first chunk */
async function * failing (): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(1)
  throw new Error('no disk')
}

describe('an archive of a log', () => {
  afterEach(closeLogs)

  it('brings another log the same entries, in the same order, and again nothing new', async () => {
    const log = await filled()
    const other = await newLog()

    expect(await pipe(log.export(), async source => other.import(source)))
      .to.deep.equal({ added: 302, known: 0, waiting: 0, refused: 0 })
    expect((await allOf(other)).map(name)).to.deep.equal((await allOf(log)).map(name))
    expect(await other.import(log.export())).to.deep.equal({ added: 0, known: 302, waiting: 0, refused: 0 })
    await expectSound(other)
  })

  it('is taken however the source cuts it, from lists of chunks, and from memory that is used again', async () => {
    const log = await filled()
    const bytes = await archive(log)
    const [bytewise, lists, reused] = await Promise.all([newLog(), newLog(), newLog()])
    const memory = new Uint8Array(1000)

    await bytewise.import(Array.from(bytes.subarray(0, 5_000), byte => Uint8Array.of(byte))).catch(() => {})
    expect(bytewise.length).to.be.greaterThan(5)
    expect(await lists.import([new Uint8ArrayList(bytes.subarray(0, 30), new Uint8Array(0)), new Uint8ArrayList(bytes.subarray(30))]))
      .to.have.property('added', 302)
    expect(await reused.import((function * () {
      for (let at = 0; at < bytes.byteLength; at += memory.byteLength) {
        const chunk = bytes.subarray(at, at + memory.byteLength)
        memory.set(chunk)
        yield memory.subarray(0, chunk.byteLength)
        memory.fill(0)
      }
    })())).to.have.property('added', 302)
  })

  it('is taken from a Buffer that is used again, whose slice is no copy', async () => {
    const bytes = await archive(await filled())
    const log = await newLog()
    // as a Buffer is, in browsers too
    class Sharing extends Uint8Array<ArrayBuffer> {
      override slice (from?: number, to?: number): Sharing {
        return this.subarray(from, to) as Sharing
      }
    }
    const memory = new Sharing(new ArrayBuffer(1000))

    expect(await log.import((function * () {
      for (let at = 0; at < bytes.byteLength; at += memory.byteLength) {
        const chunk = bytes.subarray(at, at + memory.byteLength)
        memory.set(chunk)
        yield memory.subarray(0, chunk.byteLength)
        memory.fill(0)
      }
    })())).to.deep.equal({ added: 302, known: 0, waiting: 0, refused: 0 })
  })

  it('that comes as something else than chunks of bytes is refused by name', async () => {
    const log = await newLog()
    const bytes = await archive(log)

    for (const source of ['text', ['text'], bytes, [1, 2], null, undefined, {}] as any[]) {
      expect(await nameOfError(log.import(source))).to.equal('InvalidArchiveError')
    }
  })

  it('goes on where another one ended, and both may lie one behind the other', async () => {
    const log = await filled()
    const [first, second] = [await allOf(log), await newLog()]
    const before = await archive(log)
    await log.appendMany(texts(10, 'later '))
    const rest = concat(await collect(log.export({ from: (first.at(-1) as Entry).id })))

    expect(await second.import([before, rest])).to.deep.equal({ added: 312, known: 1, waiting: 0, refused: 0 })
    expect(rest.byteLength).to.be.lessThan(before.byteLength)
    expect(await saidIn(second)).to.deep.equal(await saidIn(log))
  })

  it('is not begun at an entry that is not here: it would be empty, and look like a backup', async () => {
    const log = await filled()
    const [first] = await allOf(log)
    await log.remove([first.id])

    expect(await nameOfError(collect(log.export({ from: first.id })))).to.equal('InvalidEntryIdError')
    expect((await collect(log.export({ from: first.clock }))).length).to.be.greaterThan(0)
  })

  it('is not begun at what is no entry and no moment', async () => {
    const log = await filled()
    const [{ id, clock }] = await allOf(log)

    for (const from of [`${id}`, 5, {}, { time: NaN, counter: 0 }, { time: 1.5, counter: 0 }, { ...clock, counter: undefined }] as any[]) {
      expect(await nameOfError(collect(log.export({ from })))).to.equal('InvalidOptionsError')
      expect(await nameOfError(collect(log.entries({ from })))).to.equal('InvalidOptionsError')
    }
  })

  it('ends with an error when its log is dropped meanwhile: it would look like all there was', async () => {
    const log = await newLog({}, SMALL)
    await log.appendMany(Array.from({ length: 1000 }, () => new Uint8Array(500)))
    const chunks = log.export()
    await chunks.next()
    await log.drop()

    expect(await nameOfError(collect(chunks))).to.equal('LogClosedError')
  })

  it('of an empty log is one', async () => {
    const [log, other] = await Promise.all([newLog(), newLog()])
    expect(await other.import(log.export())).to.deep.equal({ added: 0, known: 0, waiting: 0, refused: 0 })
  })

  it('that is cut off anywhere says so, and leaves all entries that came before', async () => {
    const log = await newLog()
    await log.appendMany(texts(5))
    const bytes = await archive(log)
    const lengths: number[] = []

    for (let length = 0; length < bytes.byteLength; length++) {
      const other = await newLog()
      const err = await other.import([bytes.subarray(0, length)]).catch(err => err)

      expect(err.name, `after ${length} bytes`).to.equal('ArchiveCutError')
      expect(err.imported.added).to.equal(other.length)
      lengths.push(other.length)
      await other.close()
    }

    expect(lengths).to.deep.equal(lengths.toSorted((a, b) => a - b))
    expect(new Set(lengths)).to.deep.equal(new Set([0, 1, 2, 3, 4, 5]))
  })

  it('with any byte changed brings nothing that is not true', async () => {
    const log = await newLog()
    await log.appendMany(texts(3))
    const bytes = await archive(log)
    const truth = new Set((await allOf(log)).map(name))

    for (let at = 0; at < bytes.byteLength; at++) {
      const other = await newLog()
      const changed = Uint8Array.from(bytes)
      changed[at] ^= 1 << (at % 8)
      const result = await other.import([changed]).catch(err => err)
      const entries = await allOf(other)

      expect(entries.every(entry => truth.has(name(entry))), `byte ${at}`).to.equal(true)
      expect(result instanceof Error || result.refused > 0 || entries.length === 3, `byte ${at}`).to.equal(true)
      expect(entries.length === 3 && !(result instanceof Error) && at > 0, `byte ${at} goes unnoticed`).to.equal(false)
      await other.close()
    }
  })

  it('of another log, and what is no archive, is refused by name, and nothing changes', async () => {
    const log = await filled()
    const [other, same] = await Promise.all([newLog({ id: 'another log' }), newLog()])

    expect(await nameOfError(other.import(log.export()))).to.equal('InvalidArchiveError')
    expect(await nameOfError(same.import([new Uint8Array(100)]))).to.equal('InvalidArchiveError')
    expect([other.length, same.length]).to.deep.equal([0, 0])
    // what it announces is not waited for, nor held
    const endless = concat([(await archive(log)).subarray(0, HEAD), Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x7f)])
    expect(await nameOfError(same.import([endless]))).to.equal('InvalidArchiveError')
    expect(await nameOfError(same.import([concat([endless.subarray(0, HEAD), new Uint8Array(8).fill(0xff)])]))).to.equal('InvalidArchiveError')
  })

  it('may hold what the log refuses, and entries whose time has not come', async () => {
    const clock = new SetClock()
    const early = await newLog({ clock: new SetClock(clock.time + 600_000) })
    await early.append(text('too early'))
    const picky = await newLog({ canAppend: () => false })

    expect(await picky.import((await filled()).export())).to.deep.equal({ added: 0, known: 0, waiting: 0, refused: 302 })
    expect(await (await newLog({ clock })).import(early.export())).to.have.property('waiting', 1)
  })

  it('ends when its signal aborts, also while the source says nothing, and closes the source', async () => {
    const log = await newLog()
    const controller = new AbortController()
    let isClosed = false
    const silent = {
      [Symbol.asyncIterator]: () => ({
        next: async () => new Promise<IteratorResult<Uint8Array>>(() => {}),
        return: async () => {
          isClosed = true
          return { done: true as const, value: undefined }
        }
      })
    }
    const importing = log.import(silent, { signal: controller.signal })
    controller.abort(new Error('enough'))

    await expect(importing).to.eventually.be.rejectedWith('enough')
    expect(isClosed).to.equal(true)
    await expect(log.import(failing())).to.eventually.be.rejectedWith('no disk')
  })
})
