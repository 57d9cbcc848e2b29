import fc from 'fast-check'
import { delta, full } from './documents.ts'
import type { Document } from '../../../src/replication/core/info.ts'
import type { Key } from '../../../src/replication/core/types.ts'

/** What an owner says one after the other: mostly changes, now and then all or nothing, now and then in a new life */
export function storyOf (owner: Key): fc.Arbitrary<Document[]> {
  return fc.array(fc.record({
    kind: fc.constantFrom('full', 'delta', 'delta', 'life'),
    some: fc.constantFrom('', 'a', 'b', 'ab', 'c', 'abc'),
    others: fc.constantFrom('', 'a', 'b', 'bc')
  }), { minLength: 1, maxLength: 12 }).map(steps => {
    let epoch = 1
    let sequence = 0

    return steps.map(({ kind, some, others }, i): Document => {
      epoch += kind === 'life' ? 1 : 0
      sequence = kind === 'life' ? 1 : sequence + 1
      return kind === 'delta' && i > 0 ? delta(owner, epoch, sequence, some, others) : full(owner, epoch, sequence, some)
    })
  })
}
