import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { systemClock } from '../../src/runtime/clock.ts'
import { inOrder } from '../../src/runtime/in-order.ts'
import { Mailboxes } from '../../src/runtime/mailbox.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'

function boxes (): Mailboxes {
  return new Mailboxes({ name: 'in order', clock: new VirtualClock(), deadline: 1000, capacity: 1000 })
}

async function settled (): Promise<void> {
  await new Promise<void>(resolve => { systemClock.soon(resolve) })
}

describe('outcomes in order', () => {
  it('are handed on in this very tick if they are there and nobody waits before them', () => {
    const seen: number[] = []
    inOrder(boxes(), 'owner', 1, value => { seen.push(value) }, () => {})

    expect(seen).to.deep.equal([1])
  })

  it('keep the order in which they were asked for, in whichever order they come', async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.record({ owner: fc.constantFrom('a', 'b'), later: fc.option(fc.nat()) }), { maxLength: 30 }), async works => {
      const mailboxes = boxes()
      const seen: Record<string, number[]> = { a: [], b: [] }
      const asked: Record<string, number[]> = { a: [], b: [] }
      const open: Array<{ when: number, end(): void }> = []

      for (const [i, { owner, later }] of works.entries()) {
        const gate = Promise.withResolvers<number>()
        asked[owner].push(i)
        inOrder(mailboxes, owner, later == null ? i : gate.promise, value => { seen[owner].push(value) }, () => {})
        if (later != null) {
          open.push({ when: later, end: () => { gate.resolve(i) } })
        }
      }

      open.sort((a, b) => a.when - b.when).forEach(({ end }) => { end() })
      await settled()

      expect(seen).to.deep.equal(asked)
      expect(mailboxes.size).to.equal(0)
    }), { numRuns: 50 })
  })

  it('go on behind one that failed, which is reported, also if it fails before its turn', async () => {
    const mailboxes = boxes()
    const gate = Promise.withResolvers<string>()
    const seen: string[] = []
    const errors: string[] = []
    const then = (value: string): void => { seen.push(value) }
    const onError = (err: any): void => { errors.push(err.message) }
    inOrder(mailboxes, 'owner', gate.promise, then, onError)
    inOrder(mailboxes, 'owner', Promise.reject(new Error('work')), then, onError)
    inOrder(mailboxes, 'owner', 'bad', () => { throw new Error('then') }, onError)
    inOrder(mailboxes, 'owner', 'last', then, onError)
    await settled()
    expect(errors).to.deep.equal([])
    gate.resolve('first')
    await settled()

    expect(seen).to.deep.equal(['first', 'last'])
    expect(errors).to.deep.equal(['work', 'then'])
  })
})
