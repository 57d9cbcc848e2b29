import { MalformedError } from '../../runtime/errors.ts'
import { encodePage } from './pages.ts'
import { compareKeys } from './tree-keys.ts'
import type { Inner, TreeChild, TreeNode } from './tree-inner.ts'

/** A node as it was when it was flushed: encoded when it is asked for, so that many are written in slices, or before it changes */
export class Page {
  readonly id: number
  #node?: TreeNode
  #bytes?: Uint8Array

  constructor (id: number, node: TreeNode) {
    this.id = id
    this.#node = node
    node.flushed = this
  }

  get bytes (): Uint8Array {
    this.freeze()
    return this.#bytes!
  }

  /** The node is about to change */
  freeze (): void {
    if (this.#node != null) {
      this.#bytes = encodePage(this.#node, this.id)
      this.#node.flushed = undefined
      this.#node = undefined
    }
  }
}

interface Idle {
  parent: Inner
  slot: number
  node: TreeNode
}

/** What changed, as pages from `nextPage` on: each behind those below it, the root last */
export function writeChanged (root: TreeChild, nextPage: number): Page[] {
  const pages: Page[] = []

  const write = (child: TreeChild): void => {
    if (typeof child === 'number' || child.page !== 0) {
      return
    }
    if (child.kind === 'inner') {
      child.children.forEach(write)
    }
    child.page = nextPage + pages.length
    pages.push(new Page(child.page, child))
  }

  write(root)
  return pages
}

/** Lets go of nodes below `root` that did not change, those used longest ago first. Returns how many: `wanted` or all */
export function forgetIdle (root: TreeNode, wanted: number): number {
  const idle: Idle[] = []
  gatherIdle(root, idle)
  // what uses a node uses those above it, and of equal ones those above were gathered later: nothing goes before what is below it
  idle.sort((a, b) => a.node.used - b.node.used)
  const gone = idle.slice(0, wanted)

  for (const { parent, slot, node } of gone) {
    parent.children[slot] = node.page
  }

  return gone.length
}

/** Whether a page that was loaded is as what lies above it says: its level, its count, and the key that all are below */
export function expectFit (node: TreeNode, level: number, count: number, end?: Uint8Array): void {
  const last = node.kind === 'leaf' ? node.keyAt(node.size - 1) : node.firstOf(node.size - 1)

  if (node.level !== level || node.count !== count || (end != null && compareKeys(last, 0, end, 0, end.byteLength) >= 0)) {
    throw new MalformedError(`page ${node.page} is not what the one above it says`)
  }
}

function gatherIdle (node: TreeNode, idle: Idle[]): void {
  if (node.kind === 'leaf') {
    return
  }

  node.children.forEach((child, slot) => {
    if (typeof child !== 'number') {
      gatherIdle(child, idle)
      if (child.page !== 0) {
        idle.push({ parent: node, slot, node: child })
      }
    }
  })
}
