import { generateKeyPair } from '@libp2p/crypto/keys'
import { expect } from 'aegir/chai'
import { compare } from 'uint8arrays/compare'
import { toString } from 'uint8arrays/to-string'
import { Authors } from '../../../src/log/core/authors.ts'
import { encodeContent } from '../../../src/log/core/entry.ts'
import { compareEntries } from '../../../src/log/core/hybrid-clock.ts'
import { readHeadRow, SPECS } from '../../../src/log/core/rows.ts'
import { decodeEntry, Signer } from '../../../src/log/signatures.ts'
import { randomInt, seededRandom } from '../../../src/runtime/random.ts'
import { sha256 } from '../../../src/runtime/sha256.ts'
import { successor } from '../../../src/storage/core/rows.ts'
import { all } from '../../../src/storage/core/run.ts'
import { Table } from '../../../src/storage/core/table.ts'
import { WatchedDatastore } from '../../fixtures/datastores.ts'
import { IS_LONG } from '../../fixtures/effort.ts'
import { allOf, closeLogs, headsOf, inOrder, LOG_ID, name, newKey, newLog, SMALL, text } from '../../fixtures/logs.ts'
import { makeRun, MemoryPages, pagesOf } from '../../fixtures/runs.ts'
import type { Authored, AuthorsChange } from '../../../src/log/core/authors.ts'
import type { Random } from '../../../src/runtime/random.ts'

function hex (bytes: Uint8Array): string {
  return toString(bytes, 'base16')
}

/** What is in one of them alone, or twice: the first ones */
function differences (found: string[], expected: string[]): string[] {
  const [here, wanted] = [new Set(found), new Set(expected)]
  return [
    ...expected.filter(id => !here.has(id)).map(id => `missing ${id}`),
    ...found.filter((id, i) => !wanted.has(id) || found[i - 1] === id).map(id => `too many ${id}`)
  ].slice(0, 5)
}

function authorOf (number: number): Uint8Array {
  return text(`author ${number}`)
}

/** What one write does: some entries come, then some go */
interface Write {
  added?: Authored[]
  removed?: Uint8Array[]
}

/** Authors over tables of tiny pages, and a list of all that they were told */
class Pair {
  readonly source = new MemoryPages()
  readonly #authorTable = new Table(SPECS.authors, this.source)
  readonly #headTable = new Table(SPECS.heads, this.source)
  readonly authors = new Authors(this.#authorTable, this.#headTable)
  readonly entries: Authored[] = []
  readonly #here = new Map<string, Authored>()
  readonly #named = new Set<string>()

  /** Says of each entry that came whether it stands on what another one of its author stands on */
  write ({ added = [], removed = [] }: Write): boolean[] {
    const { change, forks } = this.prepare({ added, removed })
    // from here on no page is needed
    this.source.forget()
    change.apply()

    for (const entry of added) {
      entry.parents.forEach(parent => this.#named.add(hex(parent)))
      this.entries.push(entry)
      this.#here.set(hex(entry.id), entry)
    }

    removed.forEach(id => { this.#here.delete(hex(id)) })
    return forks
  }

  prepare ({ added = [], removed = [] }: Write): { change: AuthorsChange, forks: boolean[] } {
    return this.source.answer(() => {
      const change = this.authors.change()
      const named = new Set<string>()
      // as an index does it: what is missing for them is read together
      const forks = all(added, entry => {
        const isNamed = this.#named.has(hex(entry.id)) || named.has(hex(entry.id))
        entry.parents.forEach(parent => named.add(hex(parent)))
        return change.add(entry, isNamed)
      })
      removed.forEach(id => { change.remove(id) })
      return { change, forks }
    })
  }

  /** What was said becomes runs, of which some are merged */
  checkpoint (): void {
    for (const table of [this.#authorTable, this.#headTable]) {
      const tiny = { spec: table.spec, pageRows: 20, partPages: 5 }
      table.thaw(makeRun(this.source, { ...tiny, inputs: [table.freeze()], isBottom: table.runs.length === 0 }))

      if (table.runs.length > 3) {
        const runs = table.runs.slice()
        table.replace(runs, makeRun(this.source, { ...tiny, inputs: runs.map(run => pagesOf(this.source, table.spec, run)), isBottom: true }))
      }
    }
    this.source.forget()
  }

  naiveLatest (): Map<string, Authored> {
    return new Map(this.entries.slice().sort(compareEntries).map(entry => [hex(entry.author), entry]))
  }

  naiveHeads (): string[] {
    return [...this.naiveLatest().values()].map(({ id }) => hex(id)).filter(id => this.#here.has(id) && !this.#named.has(id)).sort()
  }

  get headCount (): number {
    return this.#headTable.count
  }

  /** All heads, so many at a time */
  heads (limit: number): string[] {
    const heads: string[] = []

    for (let from: Uint8Array | undefined, isEnd = false; !isEnd;) {
      const rows = this.source.answer(() => this.#headTable.scan({ from, limit }))
      const ids = rows.map(row => readHeadRow(row).id)
      const next = rows.length < limit ? undefined : successor(rows[limit - 1])
      heads.push(...ids.map(hex))
      from = next
      isEnd = next == null
    }

    return heads.sort()
  }

  expectSame (): void {
    const heads = this.naiveHeads()
    expect(differences(this.heads(Infinity), heads)).to.deep.equal([])
    expect(differences(this.heads(256), heads), 'in slices').to.deep.equal([])
    expect(this.headCount).to.equal(heads.length)
    const some = this.source.answer(() => this.authors.someHeads(5)).map(hex)
    expect(some.length).to.equal(Math.min(5, heads.length))
    expect(some.filter(id => !heads.includes(id))).to.deep.equal([])

    const naive = [...this.naiveLatest().values()]
    const latest = naive.map(({ author, id }) => `${hex(author)} ${hex(id)}`)
    const found = naive.map(({ author }) => `${hex(author)} ${hex(this.latest(author) ?? new Uint8Array(0))}`)
    expect(differences(found, latest), 'the latest ones').to.deep.equal([])
  }

  latest (author: Uint8Array): Uint8Array | undefined {
    return this.source.answer(() => this.authors.latest(author))?.id
  }
}

/** Made in order, each on top of some of what came shortly before */
function someEntries (count: number, authors: number, random: Random): Authored[] {
  const entries: Authored[] = []
  const tips = new Map<number, Uint8Array>()

  for (let i = 0; i < count; i++) {
    const number = randomInt(random, authors)
    const parents = [1, 2, 3].filter(() => random() < 0.4).flatMap(() => entries.slice(-1 - randomInt(random, 30))[0]?.id ?? [])
    const id = sha256(text(`entry ${i} ${random()}`))
    entries.push({ author: authorOf(number), id, time: 1000 + (i >> 2), counter: i & 3, previous: tips.get(number), parents })
    tips.set(number, id)
  }

  return entries
}

function shuffledNearby <T> (items: T[], random: Random): T[] {
  const all = items.slice()
  for (let i = 0; i + 1 < all.length; i++) {
    const k = Math.min(all.length - 1, i + randomInt(random, 20));
    [all[i], all[k]] = [all[k], all[i]]
  }
  return all
}

/** One that stands on this one, if there is one */
function entryOf (number: number, time: number, previous?: Uint8Array): Authored {
  return { author: authorOf(number), id: sha256(text(`${number} at ${time}`)), time, counter: 0, previous, parents: previous == null ? [] : [previous] }
}

describe('the latest entries of authors', () => {
  for (const [what, authors] of [['few', 5], ['many', 4000]] as const) {
    it(`and which of them are heads are right for ${what} authors, in whatever order entries come and go`, () => {
      const random = seededRandom(authors)
      const pair = new Pair()
      const entries = shuffledNearby(someEntries(IS_LONG ? 9000 : 3000, authors, random), random)
      let checked = 700

      for (let at = 0; at < entries.length;) {
        const added = entries.slice(at, at + randomInt(random, 40))
        const known = [...pair.entries, ...added]
        const removed = added.filter(() => random() < 0.1).map(() => known[randomInt(random, known.length)].id)
        // some go before others come, and some of those that come go at once
        if (random() < 0.3) {
          pair.write({ removed })
          pair.write({ added })
        } else {
          pair.write({ added, removed })
        }
        // some come again
        pair.write({ added: pair.entries.slice(-500).filter(({ id }) => random() < 0.02 && removed.includes(id)) })
        at += added.length

        if (at > checked) {
          checked += 1500
          pair.expectSame()
          pair.checkpoint()
        }
      }

      pair.expectSame()
      pair.checkpoint()
      pair.expectSame()
    }).timeout(60_000)
  }

  it('are known from the tables alone: nothing of them stays in memory', () => {
    const pair = new Pair()
    const entries = Array.from({ length: 6000 }, (_, i) => entryOf(i, 1000 + i))

    for (let i = 0; i < entries.length; i += 100) {
      pair.write({ added: entries.slice(i, i + 100) })
    }

    pair.checkpoint()

    for (const { author, id } of entries) {
      // what was read for one says nothing of the next
      pair.source.forget()
      const { reads } = pair.source
      expect(hex(pair.latest(author) ?? new Uint8Array(0))).to.equal(hex(id))
      expect(pair.source.reads).to.be.above(reads)
    }
  }).timeout(60_000)

  it('are none of an author whom nobody knows', () => {
    expect(new Pair().latest(authorOf(1))).to.equal(undefined)
  })

  it('stay as they are until a change is applied, which needs no pages', () => {
    const pair = new Pair()
    const base = [1, 2, 3].map(number => entryOf(number, 1000))
    pair.write({ added: base })
    pair.checkpoint()
    const write = { added: [entryOf(1, 1001, base[0].id), entryOf(4, 1001, base[1].id)], removed: [base[2].id] }
    pair.prepare(write)
    pair.expectSame()
    expect(pair.naiveHeads()).to.deep.equal(base.map(({ id }) => hex(id)).sort())

    pair.write(write)
    pair.expectSame()
    expect(pair.naiveHeads()).to.deep.equal(write.added.map(({ id }) => hex(id)).sort())
  })

  it('come back as heads, or not, as if they had never gone', () => {
    const pair = new Pair()
    const [first, second] = [entryOf(0, 1000), entryOf(1, 1001)]
    pair.write({ added: [first], removed: [first.id] })
    expect(pair.headCount).to.equal(0)
    pair.write({ added: [first] })
    expect(pair.headCount).to.equal(1)
    pair.write({ removed: [first.id] })
    pair.write({ added: [{ ...second, parents: [first.id] }] })
    pair.write({ added: [first] })

    pair.expectSame()
    expect(pair.heads(10)).to.deep.equal([hex(second.id)])
  })

  it('are no heads if their author made another one on them, though a clock that ran backwards dated that before', () => {
    const pair = new Pair()
    const [first, second] = [entryOf(0, 2000), { ...entryOf(0, 1000, entryOf(0, 2000).id), parents: [] }]
    pair.write({ added: [second] })
    pair.write({ added: [first] })

    expect(hex(pair.latest(first.author) ?? new Uint8Array(0))).to.equal(hex(first.id))
    expect(pair.heads(10)).to.deep.equal([])
  })

  for (const isOneWrite of [true, false]) {
    it(`say of two that stand on one that they do, once each, in ${isOneWrite ? 'one write' : 'several'}`, () => {
      const pair = new Pair()
      const base = sha256(text('base'))
      const [a, b] = [entryOf(1, 1, base), entryOf(1, 2, base)]
      // the same once more is no other one
      const added = [a, b, entryOf(1, 3, b.id), entryOf(1, 3, b.id)]
      const forks = isOneWrite ? pair.write({ added }) : added.flatMap(entry => pair.write({ added: [entry] }))

      expect(forks).to.deep.equal([false, true, false, false])
    })
  }
})

describe('a log of many authors', () => {
  afterEach(closeLogs)

  it('knows all heads, and stands on 64 of them at most', async () => {
    const count = IS_LONG ? 2000 : 200
    const log = await newLog({}, { ...SMALL, checkpointEntries: 300, checkpointRecords: 60, checkpointBytes: 256 * 1024, cacheBytes: 64 * 1024 })
    const raws = await Promise.all(Array.from({ length: count }, async (_, i) => {
      const signer = new Signer(await generateKeyPair('Ed25519'), LOG_ID)
      const { bytes, id } = await decodeEntry({
        bytes: encodeContent({ time: 1_000_000 + i % 50, counter: i, author: signer.author, parents: [], group: new Uint8Array(0), replicas: 0, data: text(`${i}`) }),
        proof: new Uint8Array(0)
      })
      return { bytes, proof: (await signer.prove(1, () => [id])).proofOf(0) }
    }))

    for (let i = 0; i < raws.length; i += 100) {
      await log.join(raws.slice(i, i + 100))
    }

    const entries = await allOf(log)
    expect(differences(await headsOf(log), entries.map(name).sort())).to.deep.equal([])
    const next = await log.append(text('next'))
    expect(next.parents).to.have.lengthOf(64)
    expect(next.parents.map(({ bytes }) => hex(bytes))).to.deep.equal(next.parents.map(({ bytes }) => bytes).sort(compare).map(hex))
    const named = new Set(next.parents.map(id => name({ id })))
    expect(differences(await headsOf(log), [...entries.map(name).filter(id => !named.has(id)), name(next)].sort())).to.deep.equal([])
    expect(log.diagnostics().heads).to.equal(count - 63)
    expect((await allOf(log)).map(name)).to.deep.equal(inOrder([...entries, next]).map(name))
    await log.close()
  }).timeout(60_000)

  it('has them again when it is opened', async () => {
    const datastore = new WatchedDatastore()
    const privateKey = await newKey()
    const others = await Promise.all(Array.from({ length: 60 }, async () => newLog()))
    const log = await newLog({ datastore, privateKey }, SMALL)

    for (const [i, other] of others.entries()) {
      await log.join([await other.append(text(`${i}`))])
    }

    const heads = await headsOf(log)
    await log.close()
    const again = await newLog({ datastore, privateKey }, SMALL)
    expect(heads).to.have.lengthOf(60)
    expect(await headsOf(again)).to.deep.equal(heads)
    await again.append(text('all of them'))
    expect(await headsOf(again)).to.have.lengthOf(1)
  })
})
