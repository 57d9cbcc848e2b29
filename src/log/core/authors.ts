import { equals } from 'uint8arrays/equals'
import { LruMap } from '../../runtime/bounded.ts'
import { bytesOfKey, keyOfBytes } from '../../runtime/keys.ts'
import { sha256 } from '../../runtime/sha256.ts'
import { compareEntries } from './hybrid-clock.ts'
import { AUTHOR_HASH, authorRow, headRow, readAuthorRow, readHeadRow, successor } from './rows.ts'
import type { AuthorRow } from './rows.ts'
import type { Table } from './table.ts'
import type { Content } from './types.ts'

/** Authors that are kept in memory between two writes: a row of a table brings the others back. A guess: 0.5 KB each */
const MAX_AUTHORS = 1024
/** Authors whose hashes are kept */
const MAX_HASHES = 4096

/** Below the id of every head */
const FIRST_HEAD = new Uint8Array(1)

/** The latest entry of an author, in the order of the log */
interface Latest extends AuthorRow {
  /** What the tables say of it; absent: nothing yet */
  stored?: { row: Uint8Array, head?: Uint8Array }
}

/** All that matters here of an entry */
export interface Authored extends Pick<Content, 'time' | 'counter' | 'author' | 'previous' | 'parents'> {
  id: Uint8Array
  /** Some entry that came before it names it as its parent */
  isNamed: boolean
}

/**
 * The latest entry of each author, and which of them are heads: those that no entry names as its parent. So there are never
 * more heads than authors, also where only a part of the log is kept. What an entry was the head of does not become one when
 * the entry is removed: the log knows of it.
 *
 * `load` what a change is about before it is applied: loading may need pages, applying may not.
 */
export class Authors {
  readonly #authors: Table
  readonly #heads: Table
  readonly #hashes = new LruMap<string, string>(MAX_HASHES)
  /** By the start of the author's hash; the one that was used longest ago is first */
  readonly #latest = new Map<string, Latest>()
  /** The heads among those, by their id */
  readonly #headsById = new Map<string, Latest>()
  /** The one that changed last: in neither map yet, as mostly the next entry is of the same author and stands on this one */
  #fresh?: { author: Uint8Array, key: string, latest: Latest }

  constructor (authors: Table, heads: Table) {
    this.#authors = authors
    this.#heads = heads
  }

  /** Brings what is known of an author into memory, and says it */
  load (author: Uint8Array): AuthorRow | undefined {
    if (this.#fresh != null && equals(this.#fresh.author, author)) {
      return this.#fresh.latest
    }

    return this.#loadKey(this.#keyOf(author))
  }

  /** Brings into memory whoever has this entry as a head */
  loadHead (id: Uint8Array): void {
    if (this.#isFresh(id) || this.#heads.isEmpty || this.#headsById.has(keyOfBytes(id))) {
      return
    }

    const row = this.#heads.find(id)

    if (row != null) {
      this.#loadKey(keyOfBytes(readHeadRow(row).hash))
    }
  }

  /** An entry came. True: its author has made another one on top of the same previous one */
  add (entry: Authored): boolean {
    const { author, id, time, counter, previous, isNamed } = entry
    entry.parents.forEach(parent => { this.#name(parent) })
    const latest = this.#freshOf(author)
    const isLater = latest == null ? 1 : compareEntries(entry, latest)
    const isFork = latest != null && isLater !== 0 && isSame(previous, latest.previous)

    if (isLater > 0) {
      const hash = latest?.hash ?? sha256(author).subarray(0, AUTHOR_HASH)
      // a clock that ran backwards dates an entry before the one that it follows
      const isFollowed = latest?.previous != null && equals(latest.previous, id)
      this.#setFresh(author, { hash, id, time, counter, previous, isNamed: isNamed || isFollowed, isHere: true, stored: latest?.stored })
    } else if (isLater === 0 && latest != null) {
      // it was removed, and is here again
      this.#setFresh(author, { ...latest, isNamed: isNamed || latest.isNamed, isHere: true })
    }

    return isFork
  }

  /** An entry went */
  remove (id: Uint8Array): void {
    this.#settle()
    const head = this.#headsById.get(keyOfBytes(id))

    if (head != null) {
      head.isHere = false
      this.#headsById.delete(keyOfBytes(id))
    }
  }

  /** Ids of so many heads, or some more, from one on; `next`: where to go on */
  heads (limit: number, from?: Uint8Array): { ids: Uint8Array[], next?: Uint8Array } {
    this.#settle()
    // those that no row names yet come first: they may be more than so many
    const unstored = [...this.#headsById.values()].filter(({ id, stored }) => stored?.head == null || !equals(readHeadRow(stored.head).id, id))
    const ids = from == null ? unstored.map(({ id }) => id) : []
    let next = from ?? FIRST_HEAD

    while (ids.length < limit && !this.#heads.isEmpty) {
      const wanted = limit - ids.length
      const rows = this.#heads.scan({ from: next, limit: wanted })
      const after = rows.length < wanted ? undefined : successor(rows[rows.length - 1])
      // what is in memory is newer
      ids.push(...rows.map(readHeadRow).filter(({ id, hash }) => !this.#latest.has(keyOfBytes(hash)) || this.#headsById.has(keyOfBytes(id))).map(({ id }) => id))

      if (after == null) {
        return { ids }
      }

      next = after
    }

    return this.#heads.isEmpty ? { ids } : { ids, next }
  }

  get headCount (): number {
    this.#settle()
    let stored = 0

    for (const latest of this.#latest.values()) {
      stored += latest.stored?.head == null ? 0 : 1
    }

    return this.#heads.count - stored + this.#headsById.size
  }

  /** What changed is said to the tables: before they are frozen */
  flush (): void {
    this.#settle()

    for (const latest of this.#latest.values()) {
      this.#store(latest)
    }
  }

  /** Forgets whom it need not keep */
  evict (): void {
    if (this.#latest.size <= MAX_AUTHORS * 2) {
      return
    }

    this.#settle()

    for (const [key, latest] of this.#latest) {
      if (this.#latest.size <= MAX_AUTHORS) {
        return
      }

      this.#store(latest)
      this.#latest.delete(key)
      this.#headsById.delete(keyOfBytes(latest.id))
    }
  }

  #loadKey (key: string): Latest | undefined {
    if (this.#fresh?.key === key) {
      return this.#fresh.latest
    }

    const known = this.#latest.get(key)

    if (known != null) {
      // used last
      this.#latest.delete(key)
      this.#latest.set(key, known)
      return known
    }

    const row = this.#authors.isEmpty ? undefined : this.#authors.find(bytesOfKey(key))

    if (row == null) {
      return
    }

    const latest: Latest = readAuthorRow(row)
    latest.stored = { row, head: isHead(latest) ? headRow(latest.id, latest.hash) : undefined }
    this.#latest.set(key, latest)

    if (isHead(latest)) {
      this.#headsById.set(keyOfBytes(latest.id), latest)
    }

    return latest
  }

  #keyOf (author: Uint8Array): string {
    const name = keyOfBytes(author)
    let key = this.#hashes.get(name)

    if (key == null) {
      key = keyOfBytes(sha256(author).subarray(0, AUTHOR_HASH))
      this.#hashes.set(name, key)
    }

    return key
  }

  #isFresh (id: Uint8Array): boolean {
    return this.#fresh != null && equals(this.#fresh.latest.id, id)
  }

  #freshOf (author: Uint8Array): Latest | undefined {
    return this.#fresh != null && equals(this.#fresh.author, author) ? this.#fresh.latest : this.#latest.get(this.#keyOf(author))
  }

  #setFresh (author: Uint8Array, latest: Latest): void {
    if (this.#fresh == null || !equals(this.#fresh.author, author)) {
      this.#settle()
      const key = this.#keyOf(author)
      const before = this.#latest.get(key)

      if (before != null) {
        this.#latest.delete(key)
        this.#headsById.delete(keyOfBytes(before.id))
      }

      this.#fresh = { author: Uint8Array.from(author), key, latest }
    } else {
      this.#fresh.latest = latest
    }
  }

  #settle (): void {
    if (this.#fresh == null) {
      return
    }

    const { key, latest } = this.#fresh
    this.#fresh = undefined
    this.#latest.set(key, latest)

    if (isHead(latest)) {
      this.#headsById.set(keyOfBytes(latest.id), latest)
    }
  }

  /** It has a child: it is a head no more */
  #name (id: Uint8Array): void {
    if (this.#fresh != null && this.#isFresh(id)) {
      this.#fresh.latest.isNamed = true
      return
    }

    const key = keyOfBytes(id)
    const head = this.#headsById.get(key)

    if (head != null) {
      head.isNamed = true
      this.#headsById.delete(key)
    }
  }

  #store (latest: Latest): void {
    const row = authorRow(latest)
    const head = isHead(latest) ? headRow(latest.id, latest.hash) : undefined
    const { stored } = latest

    if (stored == null || !equals(stored.row, row)) {
      if (stored != null) {
        this.#authors.remove(stored.row)
      }
      this.#authors.add(row)
    }
    if (!isSame(stored?.head, head)) {
      if (stored?.head != null) {
        this.#heads.remove(stored.head)
      }
      if (head != null) {
        this.#heads.add(head)
      }
    }

    latest.stored = { row, head }
  }
}

function isHead ({ isNamed, isHere }: Latest): boolean {
  return isHere && !isNamed
}

function isSame (a?: Uint8Array, b?: Uint8Array): boolean {
  return a == null || b == null ? a === b : equals(a, b)
}
