import { generateKeyPair } from '@libp2p/crypto/keys'
import { expect } from 'aegir/chai'
import { compare } from 'uint8arrays/compare'
import { toString } from 'uint8arrays/to-string'
import { Authors } from '../../../src/log/core/authors.ts'
import { encodeContent } from '../../../src/log/core/entry.ts'
import { compareEntries } from '../../../src/log/core/hybrid-clock.ts'
import { Table } from '../../../src/tables/core/table.ts'
import { decodeEntry, Signer } from '../../../src/log/signatures.ts'
import { randomInt, seededRandom } from '../../../src/runtime/random.ts'
import { sha256 } from '../../../src/runtime/sha256.ts'
import { IS_NODE, WatchedDatastore } from '../../fixtures/datastores.ts'
import { allOf, closeLogs, headsOf, inOrder, LOG_ID, name, newKey, newLog, SMALL, text } from '../../fixtures/logs.ts'
import { makeRun, MemoryPages, pagesOf } from '../../fixtures/runs.ts'
import type { Authored } from '../../../src/log/core/authors.ts'
import type { Rows } from '../../../src/tables/core/page.ts'
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

/** Authors over tables of tiny pages, and a list of all that they were told */
class Pair {
  readonly source = new MemoryPages()
  readonly #authorTable = new Table('authors', this.source)
  readonly #headTable = new Table('heads', this.source)
  readonly authors = new Authors(this.#authorTable, this.#headTable)
  readonly entries: Authored[] = []
  readonly #here = new Map<string, Authored>()
  readonly #named = new Set<string>()

  add (entry: Omit<Authored, 'isNamed'>): void {
    const { authors, source } = this
    source.answer(() => {
      authors.load(entry.author)
      entry.parents.forEach(parent => { authors.loadHead(parent) })
    })
    authors.add({ ...entry, isNamed: this.#named.has(hex(entry.id)) })
    entry.parents.forEach(parent => this.#named.add(hex(parent)))
    this.entries.push({ ...entry, isNamed: false })
    this.#here.set(hex(entry.id), { ...entry, isNamed: false })
  }

  remove (id: Uint8Array): void {
    this.source.answer(() => { this.authors.loadHead(id) })
    this.authors.remove(id)
    this.#here.delete(hex(id))
  }

  /** What was said becomes runs, of which some are merged */
  checkpoint (): void {
    this.authors.flush()

    for (const [name, table] of [['authors', this.#authorTable], ['heads', this.#headTable]] as const) {
      const tiny = { table: name, pageRows: 20, partPages: 5 }
      const rows: Rows[] = table.freeze()
      table.thaw(makeRun(this.source, { ...tiny, inputs: [rows], isBottom: table.runs.length === 0 }))

      if (table.runs.length > 3) {
        const runs = table.runs.slice()
        table.replace(runs, makeRun(this.source, { ...tiny, inputs: runs.map(run => pagesOf(this.source, name, run)), isBottom: true }))
      }
    }
    this.source.forget()
  }

  naiveHeads (): string[] {
    const latest = new Map(this.entries.slice().sort(compareEntries).map(entry => [hex(entry.author), entry]))
    return [...latest.values()].map(({ id }) => hex(id)).filter(id => this.#here.has(id) && !this.#named.has(id)).sort()
  }

  /** All heads, so many at a time */
  heads (limit: number): string[] {
    const heads: string[] = []

    for (let from: Uint8Array | undefined, isEnd = false; !isEnd;) {
      const { ids, next } = this.source.answer(() => this.authors.heads(limit, from))
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
    expect(this.authors.headCount).to.equal(heads.length)
    const some = this.source.answer(() => this.authors.heads(5)).ids.map(hex)
    expect(some.length).to.be.at.least(Math.min(5, heads.length))
    expect(some.filter(id => !heads.includes(id))).to.deep.equal([])
  }
}

/** Made in order, each on top of some of what came shortly before */
function someEntries (count: number, authors: number, random: Random): Array<Omit<Authored, 'isNamed'>> {
  const entries: Array<Omit<Authored, 'isNamed'>> = []
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

describe('the latest entries of authors', () => {
  for (const [what, authors] of [['few', 5], ['more than memory keeps', 4000]] as const) {
    it(`and which of them are heads are right for ${what} authors, in whatever order entries come and go`, () => {
      const random = seededRandom(authors)
      const pair = new Pair()
      const entries = shuffledNearby(someEntries(IS_NODE ? 9000 : 3000, authors, random), random)

      entries.forEach((entry, i) => {
        pair.add(entry)

        if (random() < 0.1) {
          pair.remove(pair.entries[randomInt(random, pair.entries.length)].id)
        }
        if (i % 64 === 0) {
          pair.authors.evict()
        }
        if (i % 1500 === 700) {
          pair.expectSame()
          pair.checkpoint()
        }
      })

      pair.expectSame()
      pair.authors.evict()
      pair.expectSame()
    }).timeout(60_000)
  }

  it('are known again after they left memory, and so many are left in it at most', () => {
    const pair = new Pair()
    const all = Array.from({ length: 6000 }, (_, i) => ({ author: authorOf(i), id: sha256(text(`${i}`)), time: 1000 + i, counter: 0, parents: [] }))

    for (const [i, entry] of all.entries()) {
      pair.add(entry)
      if (i % 100 === 0) {
        pair.authors.evict()
      }
    }

    pair.checkpoint()
    pair.authors.evict()
    let inMemory = 0

    for (const { author, id } of all) {
      const { reads } = pair.source
      expect(hex(pair.source.answer(() => pair.authors.load(author))?.id ?? new Uint8Array(0))).to.equal(hex(id))
      inMemory += pair.source.reads === reads ? 1 : 0
      // what was read for one says nothing of the next
      pair.source.forget()
      pair.authors.evict()
    }

    expect(inMemory).to.be.at.most(2200)
  }).timeout(60_000)

  it('come back as heads, or not, as if they had never gone', () => {
    const pair = new Pair()
    const [first, second] = [0, 1].map(i => ({ author: authorOf(i), id: sha256(text(`${i}`)), time: 1000 + i, counter: 0, parents: [] as Uint8Array[] }))
    pair.add(first)
    pair.remove(first.id)
    expect(pair.authors.headCount).to.equal(0)
    pair.add(first)
    expect(pair.authors.headCount).to.equal(1)
    pair.remove(first.id)
    pair.add({ ...second, parents: [first.id] })
    pair.add(first)

    pair.expectSame()
    expect(pair.heads(10)).to.deep.equal([hex(second.id)])
  })

  it('say of two that stand on one that they do, once each', () => {
    const { authors } = new Pair()
    const [author, base] = [authorOf(1), sha256(text('base'))]
    const entry = (number: number, previous: Uint8Array): Authored => {
      return { author, id: sha256(text(`${number}`)), time: number, counter: 0, previous, parents: [previous], isNamed: false }
    }
    const [a, b] = [entry(1, base), entry(2, base)]

    expect([authors.add(a), authors.add(b)]).to.deep.equal([false, true])
    expect(authors.add(entry(3, b.id))).to.equal(false)
    // the same once more is no other one
    expect(authors.add(entry(3, b.id))).to.equal(false)
  })
})

describe('a log of many authors', () => {
  afterEach(closeLogs)

  it('knows all heads, and stands on 64 of them at most', async () => {
    const count = IS_NODE ? 2000 : 200
    const log = await newLog({}, { ...SMALL, checkpointEntries: 300, checkpointRecords: 60, checkpointBytes: 256 * 1024, cacheBytes: 64 * 1024 })
    const raws = await Promise.all(Array.from({ length: count }, async (_, i) => {
      const signer = new Signer(await generateKeyPair('Ed25519'), LOG_ID)
      const { bytes, id } = await decodeEntry({
        bytes: encodeContent({ time: 1_000_000 + i % 50, counter: i, author: signer.author, parents: [], group: new Uint8Array(0), replicas: 0, data: text(`${i}`) }),
        proof: new Uint8Array(0)
      })
      return { bytes, proof: (await signer.prove([id])).proofOf(0) }
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
