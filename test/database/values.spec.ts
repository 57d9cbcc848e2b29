import { expect } from 'aegir/chai'
import { json } from '../../src/database/json.ts'
import type { DocumentsOptions, QueryOptions } from '../../src/database/index.ts'
import type { Documents } from '../../src/database/index.ts'
import type { SharedLogs } from '../../src/replication/index.ts'

interface Post {
  id: string
  title: string
  stars: number
  when: Date
  tags: string[]
  note?: string
}

/** Only looked at by the compiler: each line marked as an error has to be one */
export function whatCompiles (logs: SharedLogs, open: typeof Documents.open): unknown {
  const good: DocumentsOptions<Post> = { id: 'title', indexes: ['title', 'stars', 'note'] }
  // @ts-expect-error there is no order or equality of dates that an index knows
  const date: DocumentsOptions<Post> = { indexes: ['when'] }
  // @ts-expect-error nor of lists
  const list: DocumentsOptions<Post> = { indexes: ['tags'] }
  // @ts-expect-error the key of a document is a string
  const key: DocumentsOptions<Post> = { id: 'stars' }
  const query: QueryOptions<Post> = { where: { stars: 3, title: 'x', note: 'y' } }
  // @ts-expect-error a number is never a text
  const text: QueryOptions<Post> = { where: { stars: 'text' } }
  // @ts-expect-error a date is found by no value
  const day: QueryOptions<Post> = { where: { when: '2026-01-01' } }

  return [
    good, date, list, key, query, text, day,
    open<Post>(logs, 'posts'),
    open<{ name: string }>(logs, 'users', { id: 'name' }),
    open<Record<string, unknown>>(logs, 'anything', { indexes: ['x'] }),
    open(logs, 'anything'),
    // @ts-expect-error without an id it could not be put
    open<{ name: string }>(logs, 'users'),
    // @ts-expect-error some have none
    open<{ id?: string }>(logs, 'users', {})
  ]
}

describe('values of a database', () => {
  it('that JSON cannot say are refused by one name', () => {
    const circle: { self?: unknown } = {}
    circle.self = circle

    for (const value of [1n, undefined, () => {}, { deep: [1n] }, circle]) {
      expect(() => json.encode(value)).to.throw(/JSON/).with.property('name', 'InvalidValueError')
    }
  })
})
