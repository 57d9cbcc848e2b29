import { randomInt } from 'node:crypto'
import { identify } from '@libp2p/identify'
import { LevelDatastore } from 'datastore-level'
import { createLibp2p } from 'libp2p'
import { groupOf } from '../../src/database/core/operation.ts'
import { Documents, KeyValue } from '../../src/database/index.ts'
import { json } from '../../src/database/json.ts'
import { directSub, sharedLogs } from '../../src/index.ts'
import { openAt, rateOf, someData } from '../log/logs.ts'
import { serve } from '../workers.ts'
import type { Codec } from '../../src/database/index.ts'
import type { EntryId, SharedLogs } from '../../src/index.ts'
import type { Place } from '../log/workspace.ts'

interface Post {
  id: string
  author: string
  text: string
}

interface Writes {
  place: Place
  count: number
  /** Callers at once, each of which waits for its last one before the next */
  underWay: number
}

interface Reads {
  place: Place
  count: number
  underWay: number
}

/** Documents that one query finds */
const POSTS_OF_AUTHOR = 10

const NAMES = { keyValue: 'users', documents: 'posts' }

/** Bytes as they are: what a codec costs is no matter of the database */
const raw: Codec<Uint8Array> = { encode: value => value, decode: bytes => bytes }

/**
 * A node on LevelDB, without others: a database, and the log below it with the same bytes. What is no time is so many a second
 */
serve({
  async put ({ place, count, underWay }: Writes) {
    const work = values(count)

    return inNode(place, async logs => {
      const users = await openUsers(logs)
      return expectAll(users.log, count, async () => atOnce(work, underWay, async ({ key, value }) => users.put(key, value)))
    })
  },

  async putDocument ({ place, count, underWay }: Writes) {
    const work = posts(count)

    return inNode(place, async logs => {
      const posts = await openPosts(logs)
      return expectAll(posts.log, count, async () => atOnce(work, underWay, async post => posts.put(post)))
    })
  },

  /** What those two put, appended to the log that they are on */
  async append ({ place, count, underWay, what }: Writes & { what: keyof typeof NAMES }) {
    const work = entriesOf(what, count)

    return inNode(place, async logs => {
      const log = await logs.open(NAMES[what])
      return expectAll(log, count, async () => atOnce(work, underWay, async ({ data, group }) => log.append(data(), { group })))
    })
  },

  /** The same to a log that is not shared */
  async appendAlone ({ place, count, underWay, what }: Writes & { what: keyof typeof NAMES }) {
    const work = entriesOf(what, count)
    const { log, close } = await openAt(place)

    try {
      return await expectAll(log, count, async () => atOnce(work, underWay, async ({ data, group }) => log.append(data(), { group })))
    } finally {
      await close()
    }
  },

  /** Both databases, for others to read */
  async fill ({ place, count }: { place: Place, count: number }) {
    await inNode(place, async logs => {
      const users = await openUsers(logs)
      await atOnce(values(count), 1_000, async ({ key, value }) => users.put(key, value))
      await users.close()
      const documents = await openPosts(logs)
      await atOnce(posts(count), 1_000, async post => documents.put(post))
      await documents.close()
    })
  },

  async get ({ place, count, underWay }: Reads) {
    return inNode(place, async logs => {
      const users = await openUsers(logs)
      return rateOf(count, async () => atOnce(randomly(count, users.size), underWay, async i => expectThere(await users.get(keyOf(i)))))
    })
  },

  /** As many entries, by their ids */
  async getEntry ({ place, count, underWay }: Reads) {
    return inNode(place, async logs => {
      const log = await logs.open(NAMES.keyValue)
      const ids: EntryId[] = []

      for await (const { id } of log.entries()) {
        ids.push(id)
      }

      return rateOf(count, async () => atOnce(randomly(count, ids.length), underWay, async i => expectThere(await log.get(ids[i]))))
    })
  },

  /** Documents a second */
  async query ({ place, count }: Reads) {
    return inNode(place, async logs => {
      const posts = await openPosts(logs)
      const authors = posts.size / POSTS_OF_AUTHOR
      const found = async (): Promise<void> => {
        for (const author of randomly(count / POSTS_OF_AUTHOR, authors)) {
          expectCount(await countOf(posts.query({ where: { author: `${author}` } })), POSTS_OF_AUTHOR)
        }
      }
      return rateOf(count, found)
    })
  },

  /** Entries a second, where somebody knows which ones they are */
  async getEntries ({ place, count }: Reads) {
    return inNode(place, async logs => {
      const log = await logs.open(NAMES.documents)
      const ids: EntryId[] = []

      for await (const { id } of log.entries()) {
        ids.push(id)
      }

      return rateOf(count, async () => {
        for (let i = 0; i < count; i += POSTS_OF_AUTHOR) {
          await Promise.all(randomly(POSTS_OF_AUTHOR, ids.length).map(async at => expectThere(await log.get(ids[at]))))
        }
      })
    })
  },

  async all ({ place }: Reads) {
    return inNode(place, async logs => {
      const users = await openUsers(logs)
      return rateOf(users.size, async () => { expectCount(await countOf(users.entries()), users.size) })
    })
  },

  async allEntries ({ place }: Reads) {
    return inNode(place, async logs => {
      const log = await logs.open(NAMES.keyValue)
      return rateOf(log.length, async () => { expectCount(await countOf(log.entries()), log.length) })
    })
  },

  /** Milliseconds */
  async open ({ place, count, hasCheckpoint }: { place: Place, count: number, hasCheckpoint: boolean }) {
    return inNode(place, async logs => {
      if (!hasCheckpoint) {
        const log = await logs.open(NAMES.documents)
        const shelf = log.shelf('database')
        const names: Uint8Array[] = []

        for await (const { name } of shelf.read()) {
          names.push(name)
        }

        await shelf.write(names.map(name => ({ name })))
        await log.close()
      }

      const began = performance.now()
      const posts = await openPosts(logs)
      const took = performance.now() - began
      expectCount(posts.size, count)
      // with its last checkpoint
      await posts.close()
      return took
    })
  },

  /** Milliseconds */
  async openLog ({ place, count }: { place: Place, count: number }) {
    return inNode(place, async logs => {
      const began = performance.now()
      const log = await logs.open(NAMES.documents)
      const took = performance.now() - began
      expectCount(log.length, count)
      return took
    })
  }
})

async function inNode<T> ({ dir }: Place, use: (logs: SharedLogs) => Promise<T>): Promise<T> {
  const datastore = new LevelDatastore(dir)
  await datastore.open()
  const node = await createLibp2p({ datastore, services: { identify: identify(), pubsub: directSub(), logs: sharedLogs() } })

  try {
    return await use(node.services.logs)
  } finally {
    await node.stop()
    await datastore.close()
  }
}

async function openUsers (logs: SharedLogs): Promise<KeyValue<Uint8Array>> {
  return KeyValue.open(logs, NAMES.keyValue, { codec: raw })
}

async function openPosts (logs: SharedLogs): Promise<Documents<Post>> {
  return Documents.open<Post>(logs, NAMES.documents, { indexes: ['author'] })
}

function values (count: number): Array<{ key: string, value: Uint8Array }> {
  return someData(count).map((value, i) => ({ key: keyOf(i), value }))
}

function posts (count: number): Post[] {
  const text = 'x'.repeat(60)
  return Array.from({ length: count }, (_, i) => ({ id: keyOf(i), author: `${Math.floor(i / POSTS_OF_AUTHOR)}`, text }))
}

/** What one would append without a database: bytes that are there, or documents, which are made bytes of when they are appended */
function entriesOf (what: keyof typeof NAMES, count: number): Array<{ data(): Uint8Array, group: Uint8Array }> {
  return what === 'keyValue'
    ? values(count).map(({ key, value }) => ({ data: () => value, group: groupOf(key) }))
    : posts(count).map(post => ({ data: () => json.encode(post), group: groupOf(post.id) }))
}

function keyOf (i: number): string {
  return `key/${i}`
}

async function atOnce<T> (work: T[], underWay: number, run: (item: T) => Promise<unknown>): Promise<void> {
  let next = 0

  await Promise.all(Array.from({ length: underWay }, async () => {
    while (next < work.length) {
      await run(work[next++])
    }
  }))
}

function randomly (count: number, below: number): number[] {
  return Array.from({ length: count }, () => randomInt(below))
}

async function countOf (items: AsyncIterable<unknown>): Promise<number> {
  let count = 0

  for await (const item of items) {
    expectThere(item)
    count++
  }

  return count
}

/** A log that does not end with all of them was not measured, but lost something */
async function expectAll (log: { length: number }, count: number, run: () => Promise<void>): Promise<number> {
  const rate = await rateOf(count, run)
  expectCount(log.length, count)
  return rate
}

function expectCount (count: number, expected: number): void {
  if (count !== expected) {
    throw new Error(`${count} where there should be ${expected}`)
  }
}

function expectThere (item: unknown): void {
  if (item == null) {
    throw new Error('It is not there')
  }
}
