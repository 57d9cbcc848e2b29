import { compareAt, keyAt, signAt } from './page.ts'
import { ADD, REMOVE, SPECS } from './rows.ts'
import { compareCursors } from './scan.ts'
import type { Rows } from './page.ts'
import type { TableName } from './rows.ts'
import type { Cursor } from './scan.ts'

/** Rows that come piece by piece */
class Input implements Cursor {
  rows?: Rows
  index = 0
  isAtEnd = false

  next (): void {
    if (++this.index === this.rows?.size) {
      this.rows = undefined
    }
  }
}

export interface MergeInit {
  table: TableName
  inputs: number
  pageRows: number
  /** There is no older run: nothing is left that a row could remove */
  isBottom: boolean
}

/** What a merge came to: it wants rows of an input, has a page full, or is through */
export type Merged = { wants: number } | { page: Rows } | 'sliced' | 'done'

/**
 * Makes one run of several: rows that cancel each other are left out.
 */
export class Merge {
  readonly #init: MergeInit
  readonly #inputs: Input[]
  readonly #stride: number
  #page: Rows

  constructor (init: MergeInit) {
    this.#init = init
    this.#inputs = Array.from({ length: init.inputs }, () => new Input())
    this.#stride = SPECS[init.table].width + 1
    this.#page = this.#newPage()
  }

  /** The next rows of an input; undefined: there are none */
  feed (input: number, rows?: Rows): void {
    const one = this.#inputs[input]
    one.rows = rows != null && rows.size > 0 ? rows : undefined
    one.index = 0
    one.isAtEnd = rows == null
  }

  /** Goes on for so many rows at most */
  step (maxRows: number): Merged {
    for (let i = 0; i < maxRows; i++) {
      const wants = this.#inputs.findIndex(({ rows, isAtEnd }) => rows == null && !isAtEnd)

      if (wants >= 0) {
        return { wants }
      }
      if (this.#page.size === this.#init.pageRows) {
        return { page: this.#take() }
      }

      const first = this.#first()

      if (first == null) {
        return this.#page.size > 0 ? { page: this.#take() } : 'done'
      }

      this.#merge(first)
    }

    return 'sliced'
  }

  #first (): Input | undefined {
    let best: Input | undefined

    for (const input of this.#inputs) {
      if (input.rows != null && (best == null || compareCursors(input, best) < 0)) {
        best = input
      }
    }

    return best
  }

  #merge (first: Input): void {
    const key = keyAt(first.rows as Rows, first.index)
    let count = 0

    for (const input of this.#inputs) {
      if (input.rows != null && compareAt(input.rows.bytes, input.index * this.#stride, key) === 0) {
        count += signAt(input.rows, input.index)
        input.next()
      }
    }

    if (count > 0 || (count < 0 && !this.#init.isBottom)) {
      this.#page.bytes.set(key, this.#page.size * this.#stride)
      this.#page.bytes[(this.#page.size + 1) * this.#stride - 1] = count > 0 ? ADD : REMOVE
      this.#page.size++
    }
  }

  #take (): Rows {
    const page = this.#page
    this.#page = this.#newPage()
    return page
  }

  #newPage (): Rows {
    return { bytes: new Uint8Array(this.#init.pageRows * this.#stride), stride: this.#stride, size: 0 }
  }
}
