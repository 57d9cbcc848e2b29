import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { expect } from 'aegir/chai'
import { MemoryDatastore } from 'datastore-core'
import { EntryId } from '../../src/log/entry-id.ts'
import { newSystemClock } from '../../src/runtime/clock.ts'
import { heldStore, turns, WatchedDatastore } from '../fixtures/datastores.ts'
import { allOf, closeLogs, collect, expectSound, FINGERPRINT_KEY, headsOf, name, nameOfError, newKey, newLog, outcomes, said, saidIn, SetClock, text, texts } from '../fixtures/logs.ts'
import type { RingId } from '../../src/log/entry-id.ts'
import type { Entry } from '../../src/log/index.ts'

const NOBODY = new EntryId(new Uint8Array(32).fill(7))

describe('a log', () => {
  afterEach(closeLogs)

  it('holds what was appended: data, author, clock, and what it stands on', async () => {
    const privateKey = await newKey()
    const log = await newLog({ privateKey })
    const first = await log.append(text('first'))
    const second = await log.append(text('second'))

    expect(said(second)).to.equal('second')
    expect(second.author.equals(peerIdFromPrivateKey(privateKey))).to.equal(true)
    expect(second.clock).to.deep.equal({ time: 1_000_000n, counter: 1 })
    expect([first.previous, first.parents]).to.deep.equal([undefined, []])
    expect(second.previous?.equals(first.id)).to.equal(true)
    expect(second.parents.map(id => id.toString())).to.deep.equal([first.id.toString()])
    await expectSound(log)
  })

  it('finds an entry by its id, and says so of none that it has not', async () => {
    const log = await newLog()
    const { id } = await log.append(text('here'))

    expect(said(await log.get(id) as Entry)).to.equal('here')
    expect([await log.has(id), await log.has(NOBODY)]).to.deep.equal([true, false])
    expect(await log.get(NOBODY)).to.equal(undefined)
  })

  it('is empty before anything is in it', async () => {
    const log = await newLog()

    expect([log.length, await log.heads(), await allOf(log), await collect(log.arrivals())]).to.deep.equal([0, [], [], []])
    await expectSound(log)
  })

  it('appends many in their order, in batches of every size', async () => {
    const log = await newLog()

    for (const count of [0, 1, 2, 15, 16, 17, 63, 64, 65, 511, 512, 513, 1100]) {
      const entries = await log.appendMany(texts(count))
      expect(entries.map(said)).to.deep.equal(texts(count).map(bytes => said({ data: bytes } as unknown as Entry)))
    }

    const all = await expectSound(log)
    all.slice(1).forEach(({ previous }, i) => { expect(previous?.equals(all[i].id)).to.equal(true) })
  })

  it('appends many from a source that is asynchronous', async () => {
    const log = await newLog()
    const source = async function * (): AsyncGenerator<Uint8Array> { yield * texts(700) }

    expect((await log.appendMany(source())).map(said)).to.deep.equal(await saidIn(log))
  })

  it('keeps what came before when a source of many ends with an error', async () => {
    const log = await newLog()
    const source = async function * (): AsyncGenerator<Uint8Array> {
      yield * texts(600)
      throw new TypeError('the source failed')
    }

    expect(await nameOfError(log.appendMany(source()))).to.equal('TypeError')
    await log.append(text('after'))
    expect(log.length).to.be.oneOf([513, 1])
    await expectSound(log)
  })

  it('appends in the order in which it was asked to, however many ask at once', async () => {
    const log = await newLog()
    const entries = await Promise.all(texts(700).map(async data => log.append(data)))

    expect(entries.map(said)).to.deep.equal(texts(700).map(data => new TextDecoder().decode(data)))
    expect((await expectSound(log)).map(name)).to.deep.equal(entries.map(name))
  })

  it('lets whoever appended use the bytes of his data again', async () => {
    const log = await newLog()
    const data = text('mine')
    const entry = await log.append(data)
    data.fill(0)

    expect(said(entry)).to.equal('mine')
    await log.append(text('next'))
    expect(await saidIn(log)).to.deep.equal(['mine', 'next'])
    await expectSound(log)
  })

  it('lets whoever appended use the bytes of the group again', async () => {
    const log = await newLog()
    const group = text('group')
    const entry = await log.append(text('mine'), { group })
    group.fill(0)

    expect(entry.group).to.deep.equal(text('group'))
    await log.append(text('next'), { group: text('group') })
    expect((await allOf(log)).map(({ group }) => group)).to.deep.equal([text('group'), text('group')])
    await expectSound(log)
  })

  it('reads from any entry on, up and down', async () => {
    const log = await newLog()
    const entries = await log.appendMany(texts(300))
    const read = async (from: number, reverse: boolean): Promise<string[]> => (await collect(log.entries({ from: entries[from].id, reverse }))).map(name)
    const ids = entries.map(name)

    for (const from of [0, 1, 127, 128, 129, 298, 299]) {
      expect(await read(from, false)).to.deep.equal(ids.slice(from))
      expect(await read(from, true)).to.deep.equal(ids.slice(0, from + 1).reverse())
    }

    expect(await collect(log.entries({ from: NOBODY }))).to.deep.equal([])
  })

  it('reads from any moment on, up and down', async () => {
    const clock = new SetClock()
    const [log, other] = await Promise.all([newLog({ clock }), newLog({ clock })])
    const entries = await log.appendMany(texts(200))
    clock.time += 10
    // some of the same moment
    const [same] = await Promise.all([log.append(text('mine')), other.append(text('theirs'))])
    await log.join(await allOf(other))
    const ids = (await allOf(log)).map(name)
    const read = async (from: Entry['clock'], reverse = false): Promise<string[]> => (await collect(log.entries({ from, reverse }))).map(name)

    expect(await read({ time: 0n, counter: 0 })).to.deep.equal(ids)
    expect(await read({ time: 0n, counter: 0 }, true)).to.deep.equal([])
    expect(await read(entries[150].clock)).to.deep.equal(ids.slice(150))
    expect(await read(entries[150].clock, true)).to.deep.equal(ids.slice(0, 151).reverse())
    expect(await read({ time: same.clock.time - 1n, counter: 0 })).to.deep.equal(ids.slice(200))
    expect(await read(same.clock)).to.deep.equal(ids.slice(200))
    expect(await read(same.clock, true)).to.deep.equal(ids.toReversed())
    expect(await read({ time: same.clock.time + 1n, counter: 0 })).to.deep.equal([])
  })

  it('ends a reading when its signal aborts, also between two entries', async () => {
    const log = await newLog()
    await log.appendMany(texts(300))

    for (const read of [(signal: AbortSignal) => log.entries({ signal }), (signal: AbortSignal) => log.arrivals(0, { signal })]) {
      const controller = new AbortController()
      let seen = 0
      const reading = (async () => {
        for await (const entry of read(controller.signal)) {
          expect(entry).to.be.ok()
          if (++seen === 150) {
            controller.abort(new RangeError('enough'))
          }
        }
      })()

      expect(await nameOfError(reading)).to.equal('RangeError')
      expect(seen).to.be.within(150, 256)
    }
  })

  it('reads on while entries are added and removed', async () => {
    const log = await newLog()
    const entries = await log.appendMany(texts(400))
    const seen: string[] = []

    for await (const entry of log.entries()) {
      seen.push(name(entry))

      if (seen.length === 50) {
        await log.remove(entries.slice(300, 310).map(({ id }) => id))
        await log.appendMany(texts(5, 'late '))
      }
    }

    const late = (await allOf(log)).slice(-5).map(name)
    expect(seen).to.deep.equal([...entries.slice(0, 300), ...entries.slice(310)].map(name).concat(late))
  })

  it('numbers what came in the order in which it came, from 0 on', async () => {
    const [log, other] = await Promise.all([newLog(), newLog({ clock: new SetClock(999_000) })])
    const own = await log.appendMany(texts(3))
    const older = await other.appendMany(texts(3))
    await log.join(older)
    const arrivals = await collect(log.arrivals())

    expect(arrivals.map(({ arrival }) => arrival)).to.deep.equal([0, 1, 2, 3, 4, 5])
    expect(arrivals.map(({ entry }) => name(entry))).to.deep.equal([...own, ...older].map(name))
    expect((await collect(log.arrivals(4))).map(({ arrival }) => arrival)).to.deep.equal([4, 5])
    expect(await collect(log.arrivals(6))).to.deep.equal([])
    expect((await allOf(log)).map(name)).to.deep.equal([...older, ...own].map(name))
  })

  it('keeps the mark of each program apart, 0 to begin with', async () => {
    const log = await newLog()
    await log.mark('a', 5)
    await log.mark('a/b', 300)
    await log.mark('a', 70_000)

    expect(await Promise.all(['a', 'a/b', 'b'].map(async program => log.marked(program)))).to.deep.equal([70_000, 300, 0])
  })

  it('has for heads what nobody stands on', async () => {
    const [log, ...others] = await Promise.all([newLog(), newLog(), newLog()])
    const foreign = await Promise.all(others.map(async (other, i) => other.append(text(`head ${i}`))))
    const own = await log.append(text('own'))
    await log.join(foreign)
    expect(await headsOf(log)).to.deep.equal([...foreign, own].map(name).sort())

    const both = await log.append(text('all of them'))
    expect(both.parents.map(id => name({ id })).sort()).to.deep.equal([...foreign, own].map(name).sort())
    expect(await headsOf(log)).to.deep.equal([name(both)])
  })

  it('counts every entry in one range of the ring, those of a group at one place', async () => {
    const log = await newLog()
    const group = text('a group')
    const together = await log.appendMany(texts(20), { group })
    await log.appendMany(texts(80))
    const all = await log.idsInRange({}, { limit: 1000 })
    const [first] = together

    expect(all).to.have.lengthOf(100)
    expect(first.group).to.deep.equal(group)
    const at = all.findIndex(id => together.some(entry => entry.id.equals(id)))
    expect(all.slice(at, at + 20).map(id => name({ id })).sort()).to.deep.equal(together.map(name).sort())
    expect(await log.has(first.id)).to.equal(true)
  })

  it('names ids of a range in pages, each from where the last one ended', async () => {
    const log = await newLog()
    await log.appendMany(texts(30), { group: text('a') })
    await log.appendMany(texts(170))

    for (const range of [{}, { from: 2 ** 30 }, { to: 2 ** 31 }, { from: 2 ** 30, to: 3 * 2 ** 30 }]) {
      const whole = (await log.idsInRange(range, { limit: 1000 })).map(id => name({ id }))
      const paged: string[] = []
      let after: RingId | undefined

      do {
        const page = await log.idsInRange(range, { limit: 7, after })
        paged.push(...page.map(id => name({ id })))
        after = page.length < 7 ? undefined : page[6]
      } while (after != null)

      expect(paged).to.deep.equal(whole)
      expect((await log.fingerprint(range, FINGERPRINT_KEY)).count).to.equal(whole.length)
    }
  })

  it('goes on with the ids of a range behind one that was removed meanwhile', async () => {
    const log = await newLog()
    await log.appendMany(texts(30))
    const all = (await log.idsInRange({}, { limit: 30 })).map(id => name({ id }))
    const page = await log.idsInRange({}, { limit: 10 })
    await log.remove([page[9]])

    expect((await log.idsInRange({}, { limit: 10, after: page[9] })).map(id => name({ id }))).to.deep.equal(all.slice(10, 20))
  })

  it('goes on with the ids of a range behind one of a group that was removed meanwhile, however many went', async () => {
    const log = await newLog()

    for (let i = 0; i < 40; i++) {
      await log.appendMany(texts(5), { group: text(`group ${i}`) })
    }

    const range = { from: 2 ** 30, to: 3 * 2 ** 30 }
    const whole = await log.idsInRange(range, { limit: 1000 })
    const visited: RingId[] = []
    let page = await log.idsInRange(range, { limit: 7 })

    while (page.length > 0) {
      visited.push(...page)
      await log.remove(page)
      page = await log.idsInRange(range, { limit: 7, after: page[page.length - 1] })
    }

    expect(visited.map(id => name({ id }))).to.deep.equal(whole.map(id => name({ id })))
    expect(visited.every(({ position }) => position >= range.from && position < range.to)).to.equal(true)
    expect(await log.idsInRange(range, { limit: 1000 })).to.deep.equal([])
    expect(log.length).to.equal(200 - whole.length)
  })

  it('takes a range that ends before it begins for one that goes round', async () => {
    const log = await newLog()
    await log.appendMany(texts(10), { group: text('a') })
    await log.appendMany(texts(60))
    const [from, to] = [3 * 2 ** 30, 2 ** 30]
    const round = [...await log.idsInRange({ from }, { limit: 100 }), ...await log.idsInRange({ to }, { limit: 100 })].map(id => name({ id }))
    const paged: string[] = []
    let after: RingId | undefined

    do {
      const page = await log.idsInRange({ from, to }, { limit: 7, after })
      paged.push(...page.map(id => name({ id })))
      after = page.length < 7 ? undefined : page[6]
    } while (after != null)

    expect(paged).to.deep.equal(round)
    expect((await log.fingerprint({ from, to }, FINGERPRINT_KEY)).count).to.equal(round.length)
  })

  it('takes a range that ends where it begins for all of the ring', async () => {
    const log = await newLog()
    await log.appendMany(texts(40))
    const all = await log.fingerprint({}, FINGERPRINT_KEY)
    const round = { from: 2 ** 31, to: 2 ** 31 }

    expect(await log.fingerprint(round, FINGERPRINT_KEY)).to.deep.equal(all)
    expect(await log.idsInRange(round, { limit: 100 })).to.have.lengthOf(40)
  })

  it('says another fingerprint for another key, another range and another set', async () => {
    const log = await newLog()
    await log.appendMany(texts(40))
    const seen = [await log.fingerprint({}, FINGERPRINT_KEY), await log.fingerprint({}, new Uint8Array(16)), await log.fingerprint({ to: 2 ** 31 }, FINGERPRINT_KEY)]
    await log.append(text('one more'))
    seen.push(await log.fingerprint({}, FINGERPRINT_KEY))

    expect(new Set(seen.map(({ fingerprint }) => fingerprint.join())).size).to.equal(4)
    expect(seen.every(({ fingerprint }) => fingerprint.byteLength === 16)).to.equal(true)
  })
})

/** All bytes that an entry hands out, and those of what it hands out */
function bytesOf ({ id, data, bytes, proof, group, previous, parents }: Entry): Uint8Array[] {
  return [id.bytes, data, bytes, proof, group, ...[previous, ...parents].flatMap(id => id?.bytes ?? [])]
}

function spoil (entry: Entry): void {
  bytesOf(entry).forEach(bytes => bytes.fill(0xff))
}

describe('names of logs and programs', () => {
  afterEach(closeLogs)

  it('that would be stored as others are refused', async () => {
    for (const id of ['', '\ud800', 'a\udfffb', 'x'.repeat(513), 5, null, undefined] as any[]) {
      expect(await nameOfError(newLog({ id }))).to.equal('InvalidLogIdError')
    }

    const log = await newLog({ id: 'x'.repeat(512) })

    for (const program of ['', '\ud800', 'x'.repeat(1025), 5, undefined] as any[]) {
      expect(await nameOfError(log.mark(program, 1))).to.equal('InvalidMarkError')
      expect(await nameOfError(log.marked(program))).to.equal('InvalidMarkError')
    }

    await log.mark('\u{1f331}/..%00', 7)
    expect(await log.marked('\u{1f331}/..%00')).to.equal(7)
  })
})

describe('bytes that a log hands out, or was handed', () => {
  afterEach(closeLogs)

  it('are copies: whoever changes those of an entry changes nothing, here or on the disk', async () => {
    const datastore = new MemoryDatastore()
    const privateKey = await newKey()
    const [log, other] = await Promise.all([newLog({ datastore, privateKey }), newLog()])
    const told: Entry[] = []
    log.addEventListener('entry:add', ({ detail: { entry } }) => {
      spoil(entry)
      told.push(entry)
    })
    const appended = [await log.append(text('one'), { group: text('group') }), ...await log.appendMany(texts(20))]
    await log.join(await other.appendMany(texts(3, 'f')))
    const before = (await allOf(log)).map(entry => bytesOf(entry).join())

    for (const entry of [...appended, ...told, ...await allOf(log), ...await log.heads(), ...(await collect(log.arrivals())).map(({ entry }) => entry)]) {
      spoil(entry)
    }

    // what lies together with them is written after
    await log.append(text('after'))
    expect((await allOf(log)).slice(0, -1).map(entry => bytesOf(entry).join())).to.deep.equal(before)
    await expectSound(log)
    await log.close()
    const again = await newLog({ datastore, privateKey })
    expect((await expectSound(again)).slice(0, -1).map(entry => bytesOf(entry).join())).to.deep.equal(before)
  })

  it('are copies also of an entry that is told to be gone, and that comes back', async () => {
    const log = await newLog()
    const [first, second] = await log.appendMany(texts(2))
    const raw = { bytes: first.bytes, proof: first.proof }
    log.addEventListener('entry:remove', ({ detail: { entry } }) => { spoil(entry) })
    await log.remove([first.id])
    await log.join([raw])
    raw.bytes.fill(0)
    raw.proof.fill(0)

    expect((await allOf(log)).map(name)).to.deep.equal([first, second].map(name))
    await expectSound(log)
  })

  it('are copies of ids: a changed one names what it named', async () => {
    const log = await newLog()
    const entry = await log.append(text('here'))
    const bytes = entry.id.bytes
    const id = new EntryId(bytes)
    bytes.fill(0)
    id.bytes.fill(0)
    const [onRing] = await log.idsInRange({}, { limit: 1 })
    onRing.bytes.fill(0)

    expect(await Promise.all([id, onRing, entry.id].map(async id => log.has(id)))).to.deep.equal([true, true, true])
  })

  it('may be changed while an append of them is still to be written', async () => {
    const { datastore, reached, release } = heldStore()
    const log = await newLog({ datastore })
    const [data, group] = [text('mine'), text('group')]
    const appending = log.append(data, { group })
    await reached
    data.fill(0)
    group.fill(0)
    release()
    const entry = await appending

    expect([said(entry), new TextDecoder().decode(entry.group)]).to.deep.equal(['mine', 'group'])
    await expectSound(log)
  })

  it('may be changed while many are still to be written: those of an array after the call, others when the next one is asked for', async () => {
    const { datastore, reached, release } = heldStore()
    const log = await newLog({ datastore })
    const items = texts(700)
    const wanted = items.map(data => new TextDecoder().decode(data))
    const buffer = new Uint8Array(8)
    const reused = function * (): Generator<Uint8Array> {
      for (let i = 0; i < 300; i++) {
        yield buffer.fill(i % 100)
      }
    }
    const appending = log.appendMany(items)
    items.forEach(data => data.fill(0))
    await reached
    release()
    const appended = await appending
    const more = await log.appendMany(reused())

    expect(appended.map(said)).to.deep.equal(wanted)
    expect(more.map(({ data }) => data.join())).to.deep.equal(Array.from({ length: 300 }, (_, i) => new Uint8Array(8).fill(i % 100).join()))
    await expectSound(log)
  })
})

describe('the moments of a log', () => {
  afterEach(closeLogs)

  it('are those of the wall clock, also when the machine slept and what it measures time with did not count that', async () => {
    let unix = 1_000_000
    const clock = newSystemClock(() => unix, () => 5_000)
    const other = new SetClock(unix)
    const [log, author] = await Promise.all([newLog({ clock }), newLog({ clock: other })])
    await log.append(text('in the evening'))
    unix += 8 * 3600 * 1000
    other.time = unix

    expect(outcomes(await log.join([await author.append(text('fresh'))]))).to.deep.equal(['added'])
    expect((await log.append(text('in the morning'))).clock.time).to.equal(BigInt(unix))
    expect(outcomes(await author.join(await allOf(log)))).to.deep.equal(['added', 'known', 'added'])
  })

  it('do not go back with the wall clock', async () => {
    let unix = 1_000_000
    const log = await newLog({ clock: newSystemClock(() => unix, () => 5_000) })
    const before = await log.append(text('before'))
    unix -= 3600 * 1000

    expect((await log.append(text('after'))).clock).to.deep.equal({ time: before.clock.time, counter: 1 })
    await expectSound(log)
  })

  it('are right from the append on that follows the repair of a clock that was ahead: others take all but what it made meanwhile', async () => {
    const years = 5 * 365 * 24 * 3600 * 1000
    const clock = new SetClock()
    const datastore = new MemoryDatastore()
    const privateKey = await newKey()
    const log = await newLog({ clock, datastore, privateKey })
    const other = await newLog()
    const before = await log.append(text('before'))
    clock.time += years
    const wrong = await log.append(text('wrong'))
    clock.time -= years - 1000
    const after = [await log.append(text('after')), await log.append(text('after that'))]
    await log.close()
    const again = await newLog({ clock, datastore, privateKey })
    after.push(...await again.appendMany(texts(3, 'after opening ')), await again.append(text('the last')))

    expect(after.map(({ clock: { time } }) => Number(time))).to.deep.equal(after.map(() => clock.time))
    expect(after.every(({ clock: { counter } }, i) => i === 0 || counter > after[i - 1].clock.counter)).to.equal(true)
    expect(outcomes(await other.join([before, wrong, ...after]))).to.deep.equal(['added', 'waiting', ...after.map(() => 'added')])
    expect((await allOf(other)).map(said)).to.deep.equal([before, ...after].map(said))
    await expectSound(again)
  })

  it('are those of one chain after the repair of a clock: nobody takes it for a key that is used in two places', async () => {
    const clock = new SetClock()
    const [log, other] = await Promise.all([newLog({ clock }), newLog()])
    const before = await log.append(text('before'))
    clock.time += 24 * 3600 * 1000
    const wrong = await log.append(text('wrong'))
    clock.time -= 24 * 3600 * 1000 - 1000
    const after: Entry[] = []

    for (let i = 0; i < 4; i++) {
      after.push(await log.append(text(`after ${i}`)))
    }

    await other.join([before, wrong, ...after])
    expect(after.slice(1).map(({ previous }) => previous?.toString())).to.deep.equal(after.slice(0, -1).map(({ id }) => id.toString()))
    expect([...other.diagnostics().problems, ...log.diagnostics().problems]).to.deep.equal([])
    expect(await headsOf(other)).to.deep.equal([name(after[3])])
  })

  it('that no entry can have may be asked for: there is nothing before the first one, and nothing behind the last', async () => {
    const log = await newLog()
    const ids = (await log.appendMany(texts(10))).map(name)
    const read = async (time: bigint, counter: number, reverse: boolean): Promise<string[]> => (await collect(log.entries({ from: { time, counter }, reverse }))).map(name)

    for (const time of [2n ** 48n, 2n ** 48n + 1_000_000n, 2n ** 60n, 2n ** 80n]) {
      expect(await read(time, 0, false)).to.deep.equal([])
      expect(await read(time, 0, true)).to.deep.equal(ids.toReversed())
    }
    for (const time of [-1n, -(2n ** 48n), -(2n ** 80n)]) {
      expect(await read(time, 0, false)).to.deep.equal(ids)
      expect(await read(time, 0, true)).to.deep.equal([])
    }

    const { time } = (await allOf(log))[0].clock
    expect(await read(time, -1, false)).to.deep.equal(ids)
    expect(await read(time, -1, true)).to.deep.equal([])
    expect(await read(time, 65_536, false)).to.deep.equal([])
    expect(await read(time, 65_536, true)).to.deep.equal(ids.toReversed())
  })
})

describe('appending much', () => {
  afterEach(closeLogs)

  it('of large data writes it in pieces, none of which is much larger than one entry', async () => {
    const datastore = new WatchedDatastore()
    const log = await newLog({ datastore })
    const large = new Uint8Array(4 * 1024 * 1024 - 100).fill(1)
    const sizes = [...Array.from({ length: 6 }, () => large), ...Array.from({ length: 30 }, () => new Uint8Array(300_000)), ...texts(300)]
    await log.appendMany(sizes)
    const puts = datastore.writes.flat().map(({ value }) => value?.byteLength ?? 0)

    expect(log.length).to.equal(sizes.length)
    expect(Math.max(...puts)).to.be.below(6 * 1024 * 1024)
    // small ones go together
    expect(datastore.writes.flat().filter(({ key }) => key.endsWith('r')).length).to.be.below(25)
  })

  it('with one signal does not take long to end when that aborts', async () => {
    const { datastore, reached, release } = heldStore()
    const log = await newLog({ datastore })
    const first = log.append(text('is written'))
    await reached
    const controller = new AbortController()
    // each listener of a signal makes adding the next one slower
    const listen = controller.signal.addEventListener.bind(controller.signal)
    let listeners = 0
    controller.signal.addEventListener = (...args: Parameters<typeof listen>) => {
      listeners++
      listen(...args)
    }
    const started = performance.now()
    const appends = Array.from({ length: 20_000 }, async (_, i) => nameOfError(log.append(text(`${i}`), { signal: controller.signal })))
    await turns(1)
    const begun = performance.now()
    const calling = begun - started
    controller.abort(new RangeError('enough'))
    // some may be signed by now, and wait for the one before them
    release()
    const names = await Promise.all(appends)
    const took = performance.now() - begun
    await first

    // one that the log had taken up to write it is written
    expect(names.filter(error => error === 'RangeError').length).to.be.at.least(19_000)
    expect(names.filter(error => error !== 'RangeError' && error !== 'none')).to.deep.equal([])
    expect(log.length).to.equal(1 + names.filter(error => error === 'none').length)
    expect(listeners).to.equal(1)
    // measured by what the calls took on the same machine: a fourth of it
    expect(took).to.be.below(3 * calling)
    expect(log.diagnostics().pending).to.equal(0)
  })

  it('that cannot be signed is rejected with the reason, and what comes after it is appended', async () => {
    const key = await generateKeyPair('secp256k1')
    let isLocked = true
    const privateKey = Object.create(key, {
      sign: {
        value: (message: Uint8Array) => {
          if (isLocked) {
            throw new RangeError('the key is locked')
          }
          return key.sign(message)
        }
      }
    })
    const log = await newLog({ privateKey })
    const appends = Promise.all([nameOfError(log.append(text('a'))), nameOfError(log.appendMany(texts(3)))])

    expect(await Promise.race([appends, turns(50).then(() => 'they hang')])).to.deep.equal(['RangeError', 'RangeError'])
    isLocked = false
    await log.append(text('b'))
    expect(await saidIn(log)).to.deep.equal(['b'])
    expect(log.diagnostics().pending).to.equal(0)
    await expectSound(log)
  })

  it('one by one, in memory, lets timers fire meanwhile', async () => {
    const log = await newLog()
    const fired: number[] = []
    let timer: ReturnType<typeof setTimeout>
    const tick = (): void => {
      fired.push(log.length)
      timer = setTimeout(tick)
    }
    timer = setTimeout(tick)

    // without a pause no timer would fire before the end, however long it takes
    for (let i = 0; i < 20_000 && fired.length < 3; i++) {
      await log.append(text(`${i}`))
    }

    clearTimeout(timer)
    expect(fired).to.have.lengthOf(3)
  })
})

describe('appending with options', () => {
  afterEach(closeLogs)

  it('carries the group and the number of copies, to every one of many', async () => {
    const log = await newLog()
    const options = { group: text('a group'), replicas: 3 }
    const entries = [await log.append(text('one'), options), ...await log.appendMany(texts(3), options)]

    for (const { id } of entries) {
      const { group, replicas } = await log.get(id) as Entry
      expect({ group, replicas }).to.deep.equal(options)
    }
    const { group, replicas } = await log.append(text('plain'))
    expect([group.byteLength, replicas]).to.deep.equal([0, 0])
  })

  it('does not begin when the signal is aborted', async () => {
    const log = await newLog()
    const signal = AbortSignal.abort(new RangeError('no'))

    expect(await nameOfError(log.append(text('never'), { signal }))).to.equal('RangeError')
    expect(await nameOfError(log.appendMany(texts(3), { signal }))).to.equal('RangeError')
    expect(await nameOfError(log.append(text('never'), { signal: AbortSignal.abort() }))).to.equal('AbortError')
    await log.append(text('after'))
    expect(await saidIn(log)).to.deep.equal(['after'])
  })

  it('takes back what still waits when the signal aborts; what is being written stays', async () => {
    const { datastore, reached, release } = heldStore()
    const log = await newLog({ datastore })
    const controllers = [new AbortController(), new AbortController()]
    const writing = log.append(text('is written'), { signal: controllers[0].signal })
    await reached
    // the next one is signed meanwhile, these two are too much for it
    const next = log.appendMany(texts(512, 'next '))
    const waiting = log.append(text('waits'), { signal: controllers[1].signal })
    const behind = log.append(text('behind it'))
    controllers.forEach(controller => { controller.abort(new RangeError('too late')) })

    expect(await nameOfError(waiting)).to.equal('RangeError')
    release()
    expect(said(await writing)).to.equal('is written')
    await Promise.all([next, behind])
    expect((await saidIn(log)).filter(data => !data.startsWith('next'))).to.deep.equal(['is written', 'behind it'])
    expect(log.diagnostics().pending).to.equal(0)
    await expectSound(log)
  })
})
