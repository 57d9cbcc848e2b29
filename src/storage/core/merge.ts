import { nearest, takeKey } from './cursor.ts'
import { ADD, REMOVE } from './rows.ts'
import type { Cursor } from './cursor.ts'
import type { Rows, TableSpec } from './rows.ts'

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
  spec: TableSpec
  inputs: number
  pageRows: number
  /** There is no older run: nothing is left that a row could remove */
  isBottom: boolean
}

/** What a merge came to: it wants rows of an input, has a page full, has done as much as it was to, or is through */
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
    this.#stride = init.spec.width + 1
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

      const first = nearest(this.#inputs)

      if (first == null) {
        return this.#page.size > 0 ? { page: this.#take() } : 'done'
      }

      const { key, count } = takeKey(this.#inputs, first)

      if (count > 0 || (count < 0 && !this.#init.isBottom)) {
        this.#page.bytes.set(key, this.#page.size * this.#stride)
        this.#page.bytes[++this.#page.size * this.#stride - 1] = count > 0 ? ADD : REMOVE
      }
    }

    return 'sliced'
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
