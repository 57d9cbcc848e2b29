import fc from 'fast-check'
import { full } from './documents.ts'
import type { Document } from '../../../src/replication/core/info.ts'
import type { Key } from '../../../src/replication/core/types.ts'

/** What an owner says one after the other, now and then in a new life */
export function storyOf (owner: Key): fc.Arbitrary<Document[]> {
  return fc.array(fc.record({
    isNewLife: fc.constantFrom(true, false, false, false),
    letters: fc.constantFrom('', 'a', 'b', 'ab', 'c', 'bc', 'abc')
  }), { minLength: 1, maxLength: 12 }).map(steps => {
    let epoch = 1
    let sequence = 0

    return steps.map(({ isNewLife, letters }): Document => {
      epoch += isNewLife ? 1 : 0
      sequence = isNewLife ? 1 : sequence + 1
      return full(owner, epoch, sequence, letters)
    })
  })
}
