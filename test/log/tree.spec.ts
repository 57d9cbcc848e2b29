import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { compare } from 'uint8arrays/compare'
import { addLanes, expandId, LANES } from '../../src/log/core/lanes.ts'
import { decodePage, decodeRoot, encodePage, encodeRoot, PagesMissing } from '../../src/log/core/pages.ts'
import { Inner } from '../../src/log/core/tree-inner.ts'
import { Leaf } from '../../src/log/core/tree-leaf.ts'
import { Tree } from '../../src/log/core/tree.ts'
import { crc32 } from '../../src/runtime/crc32.ts'
import { MalformedError } from '../../src/runtime/errors.ts'
import { randomInt, seededRandom } from '../../src/runtime/random.ts'
import { Mutator } from '../fuzz/mutate.ts'
import type { TreeRoot } from '../../src/log/core/pages.ts'
import type { Random } from '../../src/runtime/random.ts'

const KEY = 36

function randomKey (random: Random, size = KEY): Uint8Array {
  return Uint8Array.from({ length: size }, () => randomInt(random, 256))
}

/** Different keys, in no order */
function randomKeys (seed: number, count: number, size = KEY): Uint8Array[] {
  const random = seededRandom(seed)
  return Array.from({ length: count }, () => randomKey(random, size))
}

/** A key with a number before its id, as those are that come in ascending order */
function numbered (number: number): Uint8Array {
  const key = new Uint8Array(40)
  new DataView(key.buffer).setUint32(4, number)
  return key
}

function sumOf (keys: Uint8Array[]): Uint32Array {
  const sum = new Uint32Array(LANES)
  const lanes = new Uint32Array(LANES)

  for (const key of keys) {
    expandId(key, key.byteLength - 32, lanes)
    addLanes(sum, 0, lanes)
  }

  return sum
}

/** A tree whose pages lie in a map, which has them only once they are flushed */
class Stored {
  readonly store = new Map<number, Uint8Array>()
  readonly #isSummed: boolean
  readonly #keySize: number
  tree: Tree
  root: TreeRoot = { page: 0, count: 0, depth: 0 }
  nextPage = 1
  loads = 0

  constructor (keys: Uint8Array[] = [], isSummed = true) {
    this.#isSummed = isSummed
    this.#keySize = keys[0]?.byteLength ?? KEY
    this.tree = new Tree({ keySize: this.#keySize, isSummed })
    keys.forEach(key => { this.tree.insert(key) })
  }

  /** Does it again until all pages are there that it needs */
  do<T> (operation: (tree: Tree) => T): T {
    for (;;) {
      try {
        return operation(this.tree)
      } catch (err) {
        if (!(err instanceof PagesMissing)) {
          throw err
        }
        this.load(err.pages)
      }
    }
  }

  load (pages: number[]): void {
    for (const page of pages) {
      const bytes = this.store.get(page)?.slice() ?? new Uint8Array(0)
      expect(this.tree.load(page, bytes)).to.equal(true)
      // they belong to whoever read them
      bytes.fill(0)
      this.loads++
    }
  }

  /** Checks that what is stored is the tree, all of it, and nothing else */
  flush (): void {
    const { pages, freed, root, nextPage } = this.tree.flush()

    for (const { id, bytes } of pages) {
      expect(this.store.has(id)).to.equal(false)
      this.store.set(id, bytes)
    }
    for (const page of freed) {
      expect(this.store.delete(page)).to.equal(true)
    }

    this.root = decodeRoot(encodeRoot(root))
    this.nextPage = nextPage
    expect(this.root).to.deep.equal(this.#isSummed ? root : { page: root.page, count: root.count, depth: root.depth })
    expect([...this.store.keys()].sort((a, b) => a - b)).to.deep.equal(this.#reachable(root.page).sort((a, b) => a - b))
  }

  /** From what is stored alone */
  reopen (): void {
    this.tree = new Tree({ keySize: this.#keySize, isSummed: this.#isSummed, root: this.root, nextPage: this.nextPage })
  }

  #reachable (page: number): number[] {
    const bytes = this.store.get(page)

    if (bytes == null) {
      expect(page).to.equal(0)
      return []
    }

    const node = decodePage(bytes, page, this.#keySize, this.#isSummed)
    return [page, ...node.kind === 'leaf' ? [] : node.children.flatMap(child => this.#reachable(Number(child)))]
  }
}

/** The same set, as an array in order */
class Naive {
  keys: Uint8Array[] = []

  rank (key: Uint8Array): number {
    let low = 0
    for (let high = this.keys.length; low < high;) {
      const middle = (low + high) >>> 1
      if (compare(this.keys[middle], key) < 0) {
        low = middle + 1
      } else {
        high = middle
      }
    }
    return low
  }

  has (key: Uint8Array): boolean {
    const found = this.keys[this.rank(key)]
    return found != null && compare(found, key) === 0
  }

  insert (key: Uint8Array): boolean {
    const isNew = !this.has(key)
    if (isNew) {
      this.keys.splice(this.rank(key), 0, key)
    }
    return isNew
  }

  delete (key: Uint8Array): boolean {
    const isThere = this.has(key)
    if (isThere) {
      this.keys.splice(this.rank(key), 1)
    }
    return isThere
  }
}

/** Asks everything that can be asked, around two keys */
function compareAll (stored: Stored, naive: Naive, a: Uint8Array, b: Uint8Array, limit: number): void {
  const [from, to] = [naive.rank(a), naive.rank(b)]
  const { keys } = naive

  expect(stored.tree.count).to.equal(keys.length)
  expect(stored.do(tree => tree.has(a))).to.equal(naive.has(a))
  expect(stored.do(tree => tree.rank(a))).to.equal(from)
  expect(stored.do(tree => tree.at(from))).to.deep.equal(keys[from])
  expect(stored.do(tree => tree.first())).to.deep.equal(keys[0])
  expect(stored.do(tree => tree.last())).to.deep.equal(keys.at(-1))
  expect(stored.do(tree => tree.keys({ from: a, limit }))).to.deep.equal(keys.slice(from, from + limit))
  expect(stored.do(tree => tree.keys({ from: a, limit, reverse: true }))).to.deep.equal(keys.slice(Math.max(from - limit, 0), from).reverse())
  expect(stored.do(tree => tree.keys({ limit }))).to.deep.equal(keys.slice(0, limit))
  expect(stored.do(tree => tree.keys({ limit, reverse: true }))).to.deep.equal(keys.toReversed().slice(0, limit))

  for (const [start, end] of [[a, b], [a, undefined], [undefined, b], [undefined, undefined]]) {
    const part = keys.slice(start == null ? 0 : from, end == null ? undefined : to)
    expect(stored.do(tree => tree.summary(start, end))).to.deep.equal({ count: part.length, sum: sumOf(part) })
  }
}

/** 20,000 operations in waves: the tree grows to some thousand keys, and shrinks to few */
function randomRun (seed: number): void {
  const random = seededRandom(seed)
  const pool = randomKeys(seed, 12_000)
  const stored = new Stored()
  const naive = new Naive()

  for (let i = 0; i < 20_000; i++) {
    const key = pool[randomInt(random, pool.length)]
    const isInsert = randomInt(random, 10) < (i % 14_000 < 8000 ? 9 : 1)

    if (isInsert) {
      expect(stored.do(tree => tree.insert(key))).to.equal(naive.insert(key))
    } else {
      // what is there, as a rule
      const there = naive.keys[randomInt(random, Math.max(naive.keys.length, 1))] ?? key
      const gone = randomInt(random, 10) === 0 ? key : there
      expect(stored.do(tree => tree.delete(gone))).to.equal(naive.delete(gone))
    }

    switch (randomInt(random, 500)) {
      case 0:
        stored.flush()
        break
      case 1:
        stored.flush()
        stored.tree.evict(0)
        expect(stored.tree.loaded).to.be.at.most(1)
        stored.reopen()
        break
      case 2:
        stored.tree.evict(randomInt(random, 60))
        break
      case 3:
        compareAll(stored, naive, key, pool[randomInt(random, pool.length)], randomInt(random, 400))
        break
    }
  }

  stored.flush()
  expect(stored.do(tree => tree.keys({ limit: Infinity }))).to.deep.equal(naive.keys)
  naive.keys.forEach(key => { expect(stored.do(tree => tree.delete(key))).to.equal(true) })
  stored.flush()
  expect(stored.store.size).to.equal(0)
}

describe('a tree', () => {
  it('is a sorted array, whatever is put in and taken out, flushed, forgotten and opened again', () => {
    fc.assert(fc.property(fc.integer(), randomRun), { numRuns: 5, seed: 1, endOnFailure: true })
  })

  it('is a sorted array while it is small, and while it is empty', () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(7)), { maxLength: 40 }), steps => {
      const pool = randomKeys(3, 8)
      const stored = new Stored()
      const naive = new Naive()

      for (const [isInsert, i] of steps) {
        expect(isInsert ? stored.tree.insert(pool[i]) : stored.tree.delete(pool[i])).to.equal(isInsert ? naive.insert(pool[i]) : naive.delete(pool[i]))
        compareAll(stored, naive, pool[i], pool[7 - i], 3)
        stored.flush()
      }
    }), { numRuns: 50, seed: 2 })
  })

  it('says the same of every range, in whatever order its keys came', () => {
    const keys = randomKeys(4, 9000)
    const random = seededRandom(5)
    const sorted = keys.toSorted(compare)
    const trees = [keys, sorted, sorted.toReversed()].map(keys => new Stored(keys).tree)
    // one that had to forget as much again
    trees.push(new Stored([...keys, ...randomKeys(6, 9000)]).tree)
    randomKeys(6, 9000).forEach(key => { trees[3].delete(key) })

    for (let i = 0; i < 200; i++) {
      const [from, to] = [randomKey(random), randomKey(random)]
      const summaries = trees.map(tree => tree.summary(from, to))
      summaries.forEach(summary => { expect(summary).to.deep.equal(summaries[0]) })
    }
  })

  it('has ranges that are the sum of their parts', () => {
    const { tree } = new Stored(randomKeys(7, 9000))
    const random = seededRandom(8)

    for (let i = 0; i < 200; i++) {
      const cuts = [undefined, ...randomKeys(randomInt(random, 1e6), 3).sort(compare), undefined]
      const sum = new Uint32Array(LANES)
      let count = 0

      for (let part = 1; part < cuts.length; part++) {
        const summary = tree.summary(cuts[part - 1], cuts[part])
        count += summary.count
        addLanes(sum, 0, summary.sum ?? new Uint32Array(LANES))
      }

      expect({ count, sum }).to.deep.equal(tree.summary())
    }
  })

  it('knows nothing of a range that ends before it begins', () => {
    const keys = randomKeys(9, 500).sort(compare)
    const { tree } = new Stored(keys)

    expect(tree.summary(keys[9], keys[9])).to.deep.equal({ count: 0, sum: new Uint32Array(LANES) })
    expect(tree.summary(keys[400], keys[9])).to.deep.equal({ count: 0, sum: new Uint32Array(LANES) })
  })

  it('has no sums where none are asked for', () => {
    const stored = new Stored(randomKeys(9, 9000, 40), false)
    stored.flush()
    stored.reopen()

    expect(stored.tree.summary()).to.deep.equal({ count: 9000, sum: undefined })
    expect(() => new Tree({ keySize: 40, isSummed: true, root: stored.root })).to.throw(MalformedError)
  })

  it('fills its pages when keys come in ascending order, those that fill a gap, too', () => {
    const early = Array.from({ length: 20 * 128 }, (_, i) => numbered(i))
    const late = Array.from({ length: 20 * 128 }, (_, i) => numbered(10_000 + i))
    expect(new Stored(early, false).tree.loaded).to.equal(1 + 20)
    expect(new Stored([...late, ...early], false).tree.loaded).to.be.at.most(1 + 42)
  })

  it('is as small as its keys are few, wherever they were taken out', () => {
    const keys = randomKeys(10, 20_000)
    const { tree } = new Stored(keys)
    keys.slice(0, 19_000).forEach(key => { tree.delete(key) })

    expect(tree.count).to.equal(1000)
    expect(tree.loaded).to.be.at.most(1000 / 32 + 2)
  })

  it('refuses keys of another length', () => {
    const { tree } = new Stored()
    expect(() => tree.insert(new Uint8Array(KEY + 1))).to.throw(RangeError)
    expect(() => tree.has(new Uint8Array(KEY - 1))).to.throw(RangeError)
    expect(() => tree.summary(undefined, new Uint8Array(4))).to.throw(RangeError)
  })

  it('hands out copies, and keeps its own', () => {
    const { tree } = new Stored(randomKeys(11, 10))
    const key = randomKey(seededRandom(12))
    tree.insert(key)
    tree.keys({ limit: 20 }).forEach(copy => copy.fill(0))
    const was = key.slice()
    key.fill(0)

    expect(tree.has(was)).to.equal(true)
    expect(tree.first()).to.not.deep.equal(key)
  })
})

describe('the pages of a tree', () => {
  it('are as before when some are missing, and are said before anything changes', () => {
    const keys = randomKeys(13, 9000).sort(compare)
    const other = randomKeys(14, 1)[0]
    const stored = new Stored(keys)
    stored.flush()
    stored.reopen()

    for (const operation of [
      (tree: Tree) => tree.insert(other),
      (tree: Tree) => tree.delete(keys[0]),
      (tree: Tree) => tree.summary(keys[0], keys[1]),
      (tree: Tree) => tree.keys({ limit: Infinity })
    ]) {
      for (let level = 0; level <= stored.root.depth; level++) {
        expect(() => operation(stored.tree)).to.throw(PagesMissing).with.property('pages').that.is.not.empty()
        expect(stored.tree.flush()).to.deep.equal({ pages: [], freed: [], root: stored.root, nextPage: stored.nextPage })
        stored.load(stored.tree.missing([keys[0], keys[1], other]))
      }
      stored.reopen()
    }
  })

  it('of a batch are there after as many rounds as there are levels', () => {
    const stored = new Stored(randomKeys(15, 9000))
    const batch = randomKeys(16, 300)
    stored.flush()
    stored.reopen()

    for (let level = 0; level <= stored.root.depth; level++) {
      expect(stored.tree.missing(batch)).to.not.be.empty()
      stored.load(stored.tree.missing(batch))
    }

    expect(stored.tree.missing(batch)).to.be.empty()
    batch.forEach(key => { stored.tree.insert(key) })
    expect(stored.tree.count).to.equal(9300)
  })

  it('that a summary needs are two a level, and none for all there is', () => {
    const keys = randomKeys(17, 20_000).sort(compare)
    const stored = new Stored(keys)
    stored.flush()
    stored.reopen()

    expect(stored.tree.summary()).to.deep.equal({ count: 20_000, sum: sumOf(keys) })
    expect(stored.loads).to.equal(0)
    expect(stored.do(tree => tree.summary(keys[100], keys[19_900])).count).to.equal(19_800)
    expect(stored.loads).to.equal(1 + 2 * stored.root.depth)
  })

  it('that changed are all that is written, and what they were is all that is freed', () => {
    const stored = new Stored(randomKeys(18, 20_000))
    stored.flush()
    stored.tree.insert(randomKey(seededRandom(19)))
    const { pages, freed } = stored.tree.flush()

    expect(pages).to.have.lengthOf(stored.root.depth + 1)
    expect(freed).to.have.lengthOf(stored.root.depth + 1)
  })

  it('of an old root are whole when a crash comes before the new one is written', () => {
    const keys = randomKeys(20, 9000)
    const stored = new Stored(keys)
    stored.flush()
    keys.slice(0, 3000).forEach(key => { stored.tree.delete(key) })
    randomKeys(21, 3000).forEach(key => { stored.tree.insert(key) })
    stored.tree.flush().pages.forEach(({ id, bytes }) => stored.store.set(id, bytes))

    stored.reopen()
    expect(stored.do(tree => tree.keys({ limit: Infinity }))).to.deep.equal(keys.sort(compare))
  })

  it('are written as they were when they were flushed, however the tree changes meanwhile', () => {
    const stored = new Stored(randomKeys(25, 9000))
    const random = seededRandom(26)

    for (let round = 0; round < 5; round++) {
      const flushed = stored.tree.flush()
      const before = stored.tree.keys({ limit: Infinity })
      const summary = stored.tree.summary()

      flushed.pages.forEach(({ id, bytes }, i) => {
        stored.store.set(id, bytes)
        // comes and goes by turns: nodes are cut, and put together
        for (let k = 0; k < 60; k++) {
          const key = stored.tree.at(randomInt(random, stored.tree.count))

          if ((i + round) % 5 < 2 || key == null) {
            stored.tree.insert(randomKey(random))
          } else {
            stored.tree.delete(key)
          }
        }
      })
      const reopened = new Stored()
      stored.store.forEach((bytes, id) => reopened.store.set(id, bytes))
      reopened.root = flushed.root
      reopened.nextPage = flushed.nextPage
      reopened.reopen()

      expect(reopened.do(tree => tree.keys({ limit: Infinity }))).to.deep.equal(before)
      expect(reopened.do(tree => tree.summary())).to.deep.equal(summary)
      // what is freed is what is not in the next one any more
      expect(new Set(flushed.freed).size).to.equal(flushed.freed.length)
      flushed.freed.forEach(page => { expect(stored.store.delete(page)).to.equal(true) })
    }
  })

  it('are forgotten in the order of their last use, but for those that changed', () => {
    const keys = randomKeys(22, 20_000).sort(compare)
    const stored = new Stored(keys)
    stored.tree.evict(1)
    expect(stored.tree.loaded).to.be.above(150)

    stored.flush()
    stored.tree.has(keys[0])
    stored.tree.has(keys[10_000])
    const kept = 1 + 2 * stored.root.depth
    stored.tree.evict(kept)
    expect(stored.tree.loaded).to.equal(kept)
    expect(stored.tree.has(keys[0]) && stored.tree.has(keys[10_000])).to.equal(true)

    stored.tree.delete(keys[0])
    stored.tree.evict(1)
    expect(stored.tree.loaded).to.equal(1 + stored.root.depth)
    stored.flush()
    stored.tree.evict(0)
    expect(stored.tree.loaded).to.equal(1)
  })

  it('are let be when they come twice, or when the tree has moved on', () => {
    const keys = randomKeys(23, 2000)
    const stored = new Stored(keys)
    stored.flush()
    const { root, store } = stored
    const bytes = store.get(root.page) ?? new Uint8Array(0)
    stored.reopen()

    expect(stored.tree.load(root.page, bytes)).to.equal(true)
    expect(stored.tree.load(root.page, bytes)).to.equal(false)
    expect(stored.tree.loaded).to.equal(1)
    stored.do(tree => tree.insert(randomKey(seededRandom(24))))
    expect(stored.tree.load(root.page, bytes)).to.equal(false)
  })

  it('are refused when they are another one, of another tree, or not what the one above says', () => {
    const stored = new Stored(randomKeys(25, 2000))
    const [first, second] = [...(stored.flush(), stored.store.keys())]
    const bytes = stored.store.get(first) ?? new Uint8Array(0)
    stored.reopen()

    expect(() => stored.tree.load(second, bytes)).to.throw(MalformedError, 'not page')
    expect(() => decodePage(bytes, first, KEY + 4, true)).to.throw(MalformedError, 'keys')
    const root = { ...stored.root, count: 1999 }
    const { page } = root
    expect(() => new Tree({ keySize: KEY, isSummed: true, root }).load(page, stored.store.get(page) ?? bytes)).to.throw(MalformedError, 'above')
  })
})

describe('a page that no flush writes', () => {
  const keys = randomKeys(30, 200).sort(compare)

  function inner (...children: Array<{ first: Uint8Array, page: number, count: number }>): Uint8Array {
    const node = new Inner(1, KEY, false)
    children.forEach(({ first, page, count }, slot) => { node.put(slot, first, page, { count, at: 0 }) })
    return encodePage(node, 9)
  }

  function refusal (bytes: Uint8Array): string {
    try {
      decodePage(bytes, 9, KEY, false)
    } catch (err) {
      return err instanceof MalformedError ? err.message : 'another error'
    }
    return ''
  }

  it('is refused when it says what cannot be', () => {
    const [a, b] = [{ first: keys[0], page: 3, count: 2 }, { first: keys[1], page: 4, count: 1 }]

    expect(refusal(inner(a, b))).to.equal('')
    expect(refusal(inner(b, a))).to.include('out of order')
    expect(refusal(inner(a, { ...b, first: keys[0] }))).to.include('out of order')
    expect(refusal(inner(a, { ...b, page: 3 }))).to.include('twice')
    expect(refusal(inner(a, { ...b, page: 0 }))).to.include('cannot')
    expect(refusal(inner(a, { ...b, page: 9 }))).to.include('cannot')
    expect(refusal(inner(a, { ...b, count: 0 }))).to.include('cannot')
    expect(refusal(inner())).to.include('of 0')
    expect(refusal(encodePage(new Leaf(KEY), 9))).to.include('of 0')
    expect(refusal(encodePage(new Leaf(KEY, Uint8Array.from([...keys[1], ...keys[0]]), 2), 9))).to.include('out of order')
    expect(refusal(encodePage(new Leaf(KEY, new Uint8Array(KEY * 129), 129), 9))).to.include('of 129')
  })

  it('is refused when it is not what the one above it says', () => {
    const stored = new Stored(keys, false)
    stored.flush()
    stored.reopen()
    stored.load([stored.root.page])
    const [first, last] = [keys[0], keys[199]].map(key => stored.tree.missing([key])[0])
    const whole = decodePage(stored.store.get(first) ?? new Uint8Array(0), first, KEY, false)
    const reaching = new Leaf(KEY, Uint8Array.from(keys.slice(1, whole.size).concat(keys[199]).flatMap(key => [...key])), whole.size)
    const higher = new Inner(1, KEY, false)
    higher.put(0, keys[199], first, { count: keys.length - whole.size, at: 0 })

    expect(() => stored.tree.load(first, encodePage(reaching, first))).to.throw(MalformedError, 'above')
    expect(() => stored.tree.load(last, encodePage(higher, last))).to.throw(MalformedError, 'above')
    expect(stored.tree.load(first, encodePage(whole, first))).to.equal(true)
  })
})

describe('broken bytes', () => {
  /** With a checksum as it should be, to get at what lies behind it */
  function seal (bytes: Uint8Array): Uint8Array {
    if (bytes.byteLength >= 4) {
      new DataView(bytes.buffer, bytes.byteOffset).setUint32(bytes.byteLength - 4, crc32(bytes.subarray(0, -4)), true)
    }
    return bytes
  }

  function refusals (read: (bytes: Uint8Array) => unknown, corpus: Uint8Array[], runs: number): number {
    const mutator = new Mutator(26)
    let refused = 0

    for (let run = 0; run < runs; run++) {
      mutator.begin(run)
      const bytes = mutator.mutate(corpus)
      try {
        read(run % 4 === 0 ? bytes : seal(bytes))
      } catch (err) {
        expect(err).to.be.an.instanceOf(MalformedError)
        refused++
      }
    }

    return refused
  }

  it('of a page are malformed, and nothing worse', () => {
    const stored = new Stored(randomKeys(27, 700))
    stored.flush()
    const { root, store, nextPage } = stored
    const few = [...store.values()].filter(({ byteLength }) => byteLength < 4096)

    // the page of the root is tried in its place, where it has to fit, too
    expect(refusals(bytes => { new Tree({ keySize: KEY, isSummed: true, root, nextPage }).load(root.page, bytes) }, few, 10_000)).to.be.above(9000)
    expect(refusals(bytes => { decodePage(bytes, 1, KEY, true) }, few, 10_000)).to.be.above(5000)
  })

  it('of a root are malformed, and nothing worse', () => {
    const roots = [new Stored(), new Stored(randomKeys(28, 300)), new Stored(randomKeys(28, 300), false)].map(({ tree }) => encodeRoot(tree.flush().root))
    expect(refusals(decodeRoot, roots, 10_000)).to.be.above(3000)
  })

  it('are found wherever a single bit is wrong', () => {
    const [{ bytes }] = new Stored(randomKeys(29, 2)).tree.flush().pages
    expect(crc32(new TextEncoder().encode('123456789'))).to.equal(0xCBF43926)

    for (let bit = 0; bit < bytes.byteLength * 8; bit++) {
      const wrong = bytes.slice()
      wrong[bit >> 3] ^= 1 << (bit & 7)
      expect(() => decodePage(wrong, 1, KEY, true)).to.throw(MalformedError)
    }
  })
})
