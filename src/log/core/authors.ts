import { equals } from 'uint8arrays/equals'
import { bytesOfKey, keyOfBytes } from '../../runtime/keys.ts'
import { sha256 } from '../../runtime/sha256.ts'
import { successor } from '../../storage/core/rows.ts'
import { compareEntries } from './hybrid-clock.ts'
import { AUTHOR_HASH, authorRow, headRow, readAuthorRow, readHeadRow } from './rows.ts'
import type { AuthorRow } from './rows.ts'
import type { Content } from './types.ts'
import type { Table } from '../../storage/core/table.ts'

/** The author that was asked for last, and the start of its hash, as a key: mostly the same is asked for next */
let lastHashed: { author: Uint8Array, hash: string } | undefined

/** All that matters here of an entry */
export interface Authored extends Pick<Content, 'time' | 'counter' | 'author' | 'previous' | 'parents'> {
  id: Uint8Array
}

/**
 * The latest entry of each author. It is a head if no entry names it as a parent. So a log has no more heads than
 * authors, also where it keeps only a part, and the order in which entries came does not matter. The parent of a
 * removed head does not become a head: the log knows that it had a child.
 */
export class Authors {
  readonly #authors: Table
  readonly #heads: Table
  /** The key from which `someHeads` goes on */
  #turn?: Uint8Array

  constructor (authors: Table, heads: Table) {
    this.#authors = authors
    this.#heads = heads
  }

  latest (author: Uint8Array): AuthorRow | undefined {
    const row = this.#authors.find(bytesOfKey(hashOf(author)))
    return row == null ? undefined : readAuthorRow(row)
  }

  /** Takes up to `limit` heads in turns: a scan from the first key would pass all heads that were named since */
  someHeads (limit: number): Uint8Array[] {
    const from = this.#turn
    const rows = this.#heads.scan({ from, limit })

    if (from != null && rows.length < limit) {
      rows.push(...this.#heads.scan({ to: from, limit: limit - rows.length }))
    }

    this.#turn = rows.length < limit ? undefined : successor(rows[limit - 1])
    return rows.map(row => readHeadRow(row).id)
  }

  change (): AuthorsChange {
    return new AuthorsChange(this.#authors, this.#heads)
  }
}

/** An author before and after a change */
interface Draft {
  /** As the tables have it */
  stored?: AuthorRow
  latest?: AuthorRow
}

/** A change of authors. The tables stay as they are until `apply`, which needs no pages */
export class AuthorsChange {
  readonly #authors: Table
  readonly #heads: Table
  /** By the start of the author's hash */
  readonly #drafts = new Map<string, Draft>()
  /** By the id of the latest entry, but for the one that changed last */
  readonly #byId = new Map<string, Draft>()
  /** The author that changed last: the next entry is mostly of the same author, on top of its latest */
  #last?: { author: Uint8Array, draft: Draft }

  constructor (authors: Table, heads: Table) {
    this.#authors = authors
    this.#heads = heads
  }

  /** Adds an entry; `isNamed`: an earlier one names it. True for a fork: its author made two on top of one entry */
  add (entry: Authored, isNamed: boolean): boolean {
    const { author, id, time, counter, previous } = entry
    // first: mostly the only parent is what its author made before
    const draft = this.#draftOf(author)
    entry.parents.forEach(parent => { this.#change(parent, latest => { latest.isNamed = true }) })
    const { latest } = draft
    const order = latest == null ? 1 : compareEntries(entry, latest)

    if (order > 0) {
      const hash = latest?.hash ?? bytesOfKey(hashOf(author))
      // a clock that ran backwards dates an entry before the one that it follows
      const isFollowed = latest?.previous != null && equals(latest.previous, id)
      draft.latest = { hash, id, time, counter, previous, isNamed: isNamed || isFollowed, isHere: true }
    } else if (order === 0 && latest != null) {
      // it was removed, and is here again
      draft.latest = { ...latest, isNamed: isNamed || latest.isNamed, isHere: true }
    }

    return latest != null && order !== 0 && isSame(previous, latest.previous)
  }

  /** Removes an entry */
  remove (id: Uint8Array): void {
    this.#change(id, latest => { latest.isHere = false })
  }

  apply (): void {
    for (const { stored, latest } of this.#drafts.values()) {
      replace(this.#authors, stored && authorRow(stored), latest && authorRow(latest))
      replace(this.#heads, stored && headRow(stored), latest && headRow(latest))
    }
  }

  /** Changes the latest entry of an author, if this is one */
  #change (id: Uint8Array, change: (latest: AuthorRow) => void): void {
    const last = this.#last?.draft
    const isLast = last?.latest != null && equals(last.latest.id, id)
    const draft = isLast ? last : this.#byId.get(keyOfBytes(id)) ?? this.#loadHead(id)

    if (draft?.latest != null) {
      // what is stored stays as it is
      draft.latest = draft.latest === draft.stored ? { ...draft.latest } : draft.latest
      change(draft.latest)
    }
  }

  #loadHead (id: Uint8Array): Draft | undefined {
    const row = this.#heads.find(id)
    const key = row == null ? '' : keyOfBytes(readHeadRow(row).hash)
    // an author with a draft has a later one by now
    return row == null || this.#drafts.has(key) ? undefined : this.#load(key)
  }

  #draftOf (author: Uint8Array): Draft {
    if (this.#last != null && equals(this.#last.author, author)) {
      return this.#last.draft
    }

    const key = hashOf(author)
    const draft = this.#drafts.get(key) ?? this.#load(key)
    const before = this.#last?.draft
    this.#last = { author, draft }

    if (before?.latest != null) {
      this.#byId.set(keyOfBytes(before.latest.id), before)
    }
    if (draft.latest != null) {
      this.#byId.delete(keyOfBytes(draft.latest.id))
    }

    return draft
  }

  #load (key: string): Draft {
    const row = this.#authors.find(bytesOfKey(key))
    const stored = row && readAuthorRow(row)
    const draft: Draft = { stored, latest: stored }
    this.#drafts.set(key, draft)

    if (draft.latest != null) {
      this.#byId.set(keyOfBytes(draft.latest.id), draft)
    }

    return draft
  }
}

function hashOf (author: Uint8Array): string {
  if (lastHashed == null || !equals(lastHashed.author, author)) {
    lastHashed = { author: new Uint8Array(author), hash: keyOfBytes(sha256(author).subarray(0, AUTHOR_HASH)) }
  }

  return lastHashed.hash
}

function replace (table: Table, before?: Uint8Array, after?: Uint8Array): void {
  if (isSame(before, after)) {
    return
  }
  if (before != null) {
    table.remove(before)
  }
  if (after != null) {
    table.add(after)
  }
}

function isSame (a?: Uint8Array, b?: Uint8Array): boolean {
  return a == null || b == null ? a === b : equals(a, b)
}
