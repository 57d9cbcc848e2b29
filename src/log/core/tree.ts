import { MalformedError } from '../../runtime/errors.ts'
import { expandId, LANES } from './lanes.ts'
import { decodePage, PagesMissing } from './pages.ts'
import { capacityOf, Inner } from './tree-inner.ts'
import { compareKeys, expectSize } from './tree-keys.ts'
import { Leaf } from './tree-leaf.ts'
import { expectFit, forgetIdle, writeChanged } from './tree-pages.ts'
import { TreePath } from './tree-path.ts'
import { RangeKeys, RangeSummary } from './tree-range.ts'
import { ID_AT } from './types.ts'
import type { TreeRoot } from './pages.ts'
import type { TreeChild, TreeNode, Weighed } from './tree-inner.ts'
import type { Page } from './tree-pages.ts'
import type { Summary } from './tree-range.ts'

export interface TreeInit {
  /** Bytes of a key */
  keySize: number
  /** Whether each node has the sum of the ids below it, see lanes.ts: then the id lies in a key from ID_AT on */
  isSummed: boolean
  /** What the last flush returned. Without it: an empty tree */
  root?: TreeRoot
  /** No page from this number on is in use */
  nextPage?: number
}

export interface KeysInit {
  /** Ascending: where to begin. Descending: what to begin below. Without it: at the end where there is nothing before */
  from?: Uint8Array
  limit: number
  reverse?: boolean
}

export interface Flushed {
  pages: Page[]
  /** Pages that no tree needs once `root` is stored */
  freed: number[]
  root: TreeRoot
  nextPage: number
}

/**
 * An ordered set of keys of one length: a B+tree of pages, of which those that are used are in memory.
 *
 * An operation that needs a page which is not there throws `PagesMissing` before it changes anything. Whoever called it reads
 * those pages, hands them to `load`, and calls again.
 *
 * Pages are never overwritten: `flush` writes all that changed since the last one under new ids. So write its pages, then its
 * root, then delete what it freed (or all in one batch), and a crash in between leaves a whole tree. A flush that was not
 * written is lost with its tree: open the old root again. The tree may change while it is written. Evict only when it is.
 */
export class Tree {
  readonly #keySize: number
  #root: TreeChild
  /** Levels of inner nodes */
  #depth: number
  #count: number
  readonly #sum?: Uint32Array
  #nextPage: number
  #freed: number[] = []
  #loaded = 0
  /** Whether there may be pages that are not in memory */
  #isPartial: boolean
  /** Operations so far: what was used in none of the last ones is evicted first */
  #now = 0
  /** The way of the operation at hand to its leaf */
  readonly #path: TreePath
  /** What the operation at hand adds to the sums */
  readonly #lanes = new Uint32Array(LANES)

  constructor ({ keySize, isSummed, root, nextPage }: TreeInit) {
    if (root != null && root.count > 0 && isSummed !== (root.sum != null)) {
      throw new MalformedError('the root is that of another kind of tree')
    }

    this.#keySize = keySize
    this.#path = new TreePath(keySize)
    this.#count = root?.count ?? 0
    this.#depth = root?.depth ?? 0
    this.#sum = isSummed ? root?.sum?.slice() ?? new Uint32Array(LANES) : undefined
    // the root is written last
    this.#nextPage = nextPage ?? (root?.page ?? 0) + 1
    this.#root = root == null || root.page === 0 ? this.#born(new Leaf(keySize)) : root.page
    this.#isPartial = typeof this.#root === 'number'
  }

  get count (): number {
    return this.#count
  }

  /** How many pages are in memory */
  get loaded (): number {
    return this.#loaded
  }

  /** Surely all pages are in memory: `missing` need not be asked */
  get isWhole (): boolean {
    return !this.#isPartial
  }

  /** False: it is there already */
  insert (key: Uint8Array): boolean {
    const leaf = this.#descend(key)
    const at = leaf.countBelow(key)

    if (leaf.isAt(at, key)) {
      return false
    }

    this.#change(leaf, key, 1)
    this.#grow(leaf.insert(at, key))
    return true
  }

  /** False: it is not there */
  delete (key: Uint8Array): boolean {
    const leaf = this.#descend(key)
    const at = leaf.countBelow(key)

    if (!leaf.isAt(at, key)) {
      return false
    }

    this.#change(leaf, key, -1)
    leaf.remove(at)
    this.#shrink(leaf)
    return true
  }

  has (key: Uint8Array): boolean {
    const leaf = this.#descend(key)
    return leaf.isAt(leaf.countBelow(key), key)
  }

  /** How many keys are below it */
  rank (key: Uint8Array): number {
    return this.#descend(key).countBelow(key) + this.#path.countBefore()
  }

  at (index: number): Uint8Array | undefined {
    return index < 0 ? undefined : this.#slice(index, index + 1)[0]
  }

  first (): Uint8Array | undefined {
    return this.at(0)
  }

  last (): Uint8Array | undefined {
    return this.at(this.#count - 1)
  }

  /** The keys from `from` on, or downwards from below `from`: copies, at most `limit` */
  keys ({ from, limit, reverse = false }: KeysInit): Uint8Array[] {
    if (reverse) {
      const end = from == null ? this.#count : this.rank(from)
      return this.#slice(Math.max(end - limit, 0), end).reverse()
    }

    const start = from == null ? 0 : this.rank(from)
    return this.#slice(start, start + limit)
  }

  /** Of the keys that are not below `from`, and below `to`. Without an end it goes as far as the keys do */
  summary (from?: Uint8Array, to?: Uint8Array): Summary {
    const range = new RangeSummary(this.#sum != null, ++this.#now)

    for (const bound of [from, to]) {
      if (bound != null) {
        expectSize(bound, this.#keySize)
      }
    }
    if (from == null || to == null || compareKeys(from, 0, to, 0, this.#keySize) < 0) {
      range.add(this.#root, this.#weighed(), from, to)
    }
    if (range.missing.length > 0) {
      throw new PagesMissing(range.missing)
    }

    return { count: range.count, sum: range.sum }
  }

  /**
   * Which pages inserting or deleting these keys would ask for next. With as many rounds of `load` as the tree has levels,
   * all are there
   */
  missing (keys: Uint8Array[]): number[] {
    const pages = new Set<number>()

    for (const key of keys) {
      const found = this.#path.find(this.#root, key, this.#now)
      if (typeof found === 'number') {
        pages.add(found)
      }
    }

    return [...pages]
  }

  /**
   * Puts a page in its place. False: the tree has none for it any more, or it is there already. What cannot have been
   * written for this tree is a `MalformedError`
   */
  load (id: number, bytes: Uint8Array): boolean {
    const node = decodePage(bytes, id, this.#keySize, this.#sum != null)
    this.#now++

    if (this.#root === id) {
      expectFit(node, this.#depth, this.#count)
      this.#root = this.#born(node)
      return true
    }
    if (this.#path.find(this.#root, node.first, this.#now) !== id) {
      return false
    }

    const { parent, slot } = this.#path.last
    expectFit(node, parent.level - 1, parent.counts[slot], slot + 1 < parent.size ? parent.firstOf(slot + 1) : undefined)
    parent.children[slot] = this.#born(node)
    return true
  }

  /** Gives every page that changed a new id, and takes all as stored from here on: what changes meanwhile is in the next one */
  flush (): Flushed {
    const pages = this.#count === 0 ? [] : writeChanged(this.#root, this.#nextPage)
    const page = typeof this.#root === 'number' ? this.#root : this.#root.page
    const freed = this.#freed
    this.#freed = []
    this.#nextPage += pages.length

    return {
      pages,
      freed,
      root: { page, count: this.#count, depth: this.#depth, sum: this.#sum?.slice() },
      nextPage: this.#nextPage
    }
  }

  /** Forgets pages that did not change, those used longest ago first, until `max` are in memory. The root stays */
  evict (max: number): void {
    if (this.#loaded > max && typeof this.#root !== 'number') {
      this.#loaded -= forgetIdle(this.#root, this.#loaded - max)
      this.#isPartial = true
    }
  }

  #descend (key: Uint8Array): Leaf {
    this.#now++
    const found = this.#path.find(this.#root, key, this.#now)

    if (typeof found === 'number') {
      throw new PagesMissing([found])
    }

    return found
  }

  #slice (start: number, end: number): Uint8Array[] {
    const range = new RangeKeys(++this.#now)
    const last = Math.min(end, this.#count)

    if (start < last) {
      range.add(this.#root, start, last)
    }
    if (range.missing.length > 0) {
      throw new PagesMissing(range.missing)
    }

    return range.keys
  }

  #weighed (): Weighed {
    return { count: this.#count, sums: this.#sum, at: 0 }
  }

  /** Accounts on the way down for a key that comes (1) or goes (-1) */
  #change (leaf: Leaf, key: Uint8Array, by: 1 | -1): void {
    this.#count += by

    if (this.#sum != null) {
      expandId(key, ID_AT, this.#lanes)
      for (let i = 0; i < LANES; i++) {
        this.#lanes[i] = Math.imul(this.#lanes[i], by)
        this.#sum[i] += this.#lanes[i]
      }
    }

    this.#path.fromRoot((inner, slot) => {
      this.#touch(inner)
      inner.change(slot, key, by, this.#lanes)
    })
    this.#touch(leaf)
  }

  /** A leaf was cut in two: the nodes on the way to it take in the other half */
  #grow (right: TreeNode | undefined): void {
    for (let above = this.#path.length - 1; above >= 0 && right != null; above--) {
      const { parent, slot } = this.#path.step(above)
      right = parent.adopt(slot, this.#born(right))
    }

    if (right != null && typeof this.#root !== 'number') {
      this.#born(right)
      const root = this.#born(new Inner(++this.#depth, this.#keySize, this.#sum != null))
      root.put(0, this.#root.first, this.#root, this.#weighed())
      root.adopt(0, right)
      this.#root = root
    }
  }

  /** A key is gone: so is a node that has none left, and one that has few goes into a neighbour */
  #shrink (leaf: Leaf): void {
    let node: TreeNode = leaf

    for (let above = this.#path.length - 1; above >= 0; above--) {
      const { parent, slot } = this.#path.step(above)

      if (node.size === 0) {
        parent.remove(slot)
        this.#loaded--
      } else if (node.size > capacityOf(node) / 4 || !(this.#merge(parent, slot - 1) || this.#merge(parent, slot))) {
        break
      }

      node = parent
    }

    if (this.#count === 0) {
      this.#loaded = 0
      this.#depth = 0
      this.#root = this.#born(new Leaf(this.#keySize))
    }

    while (typeof this.#root !== 'number' && this.#root.kind === 'inner' && this.#root.size === 1) {
      this.#root = this.#root.children[0]
      this.#loaded--
      this.#depth--
    }
  }

  /** Puts the child in `slot` and that behind it together if both are in memory, and some room is left */
  #merge (parent: Inner, slot: number): boolean {
    const left = parent.children[slot]
    const right = parent.children[slot + 1]

    if (typeof left !== 'object' || typeof right !== 'object' || left.size + right.size > capacityOf(left) * 3 / 4) {
      return false
    }

    this.#touch(left)
    this.#touch(right)

    if (left.kind === 'leaf' && right.kind === 'leaf') {
      left.append(right)
    } else if (left.kind === 'inner' && right.kind === 'inner') {
      left.append(right)
    }

    parent.join(slot)
    this.#loaded--
    return true
  }

  /** It is not as it was stored any more. First those above it: they say where it was */
  #touch (node: TreeNode): void {
    node.used = this.#now
    if (node.page !== 0) {
      node.flushed?.freeze()
      this.#freed.push(node.page)
      node.page = 0
    }
  }

  #born<T extends TreeNode> (node: T): T {
    this.#loaded++
    node.used = this.#now
    return node
  }
}
