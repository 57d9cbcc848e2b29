import { equals } from 'uint8arrays/equals'
import { keyOfBytes } from '../../runtime/keys.ts'
import type { DecodedEntry } from './types.ts'

/** All that matters here of an entry */
export type Link = Pick<DecodedEntry, 'id' | 'author' | 'previous'>

/**
 * How it stands with an entry: its own proof is true · an entry that is covered names it as its author's previous one ·
 * neither, up to now or for good
 */
export type Cover = 'proved' | 'vouched' | 'none'

/** An entry, and what was handed in of it: perhaps more than once, each time with another proof */
interface Node {
  author: Uint8Array
  /** Where its copies stand in what was handed in */
  copies: number[]
  /** What it vouches for, if it is covered */
  previous?: Node
  /** Entries that may yet vouch for it */
  waitsFor: number
  /** Copies whose proof was not looked at yet */
  left: number
  isCovered: boolean
}

/**
 * Which proofs of many have to be looked at, and in which order. Those at the tip of an author's chain come first: a true one
 * vouches for all below it. Only where none does, is the next one below asked for its own. So no proof is looked at twice, and
 * no entry is covered but by a true proof: its own, or one further up its author's chain.
 *
 * It takes the ids to be the hashes of what the entries say. Ids that name each other in a circle, which hashes can not, are
 * never asked for, and never covered.
 */
export class Covering {
  readonly #nodes: Node[] = []
  readonly #covers: Cover[]
  #ready: number[] = []

  constructor (links: Link[]) {
    this.#covers = links.map(() => 'none')
    const nodes = new Map<string, Node>()

    links.forEach(({ id, author }, i) => {
      const key = keyOfBytes(id)
      let node = nodes.get(key)

      if (node == null) {
        node = { author, copies: [], previous: undefined, waitsFor: 0, left: 0, isCovered: false }
        nodes.set(key, node)
      }

      node.copies.push(i)
      node.left++
      this.#nodes.push(node)
    })

    links.forEach(({ previous }, i) => { this.#link(i, previous, nodes) })
    this.#nodes.forEach((node, i) => {
      if (node.waitsFor === 0) {
        this.#ready.push(i)
      }
    })
  }

  /** Whose proofs are to be looked at now. None: all is said, once those that were handed out are settled */
  next (): number[] {
    const ready = this.#ready
    this.#ready = []
    return ready
  }

  /** Whether the proof of an entry that `next` named is true */
  settle (i: number, isTrue: boolean): void {
    const node = this.#nodes[i]
    node.left--

    if (isTrue) {
      this.#covers[i] = 'proved'
      node.isCovered = true
      this.#vouch(node.previous)
    } else if (node.left === 0 && !node.isCovered && node.previous != null && --node.previous.waitsFor === 0) {
      this.#ready.push(...node.previous.copies)
    }
  }

  /** One for each entry that was handed in */
  get covers (): readonly Cover[] {
    return this.#covers
  }

  /** Only its own author vouches for an entry: that somebody else names it as his says nothing */
  #link (i: number, previous: Uint8Array | undefined, nodes: Map<string, Node>): void {
    const node = this.#nodes[i]
    const target = previous == null ? undefined : nodes.get(keyOfBytes(previous))

    // copies say the same, so one link for all of them
    if (target != null && node.copies[0] === i && equals(target.author, node.author)) {
      node.previous = target
      target.waitsFor++
    }
  }

  #vouch (node: Node | undefined): void {
    for (; node != null && !node.isCovered; node = node.previous) {
      node.isCovered = true
      node.copies.forEach(i => { this.#covers[i] = 'vouched' })
    }
  }
}
