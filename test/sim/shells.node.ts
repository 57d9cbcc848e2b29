import { expect } from 'aegir/chai'
import { IS_LONG } from '../fixtures/effort.ts'
import { flood, framers, relaysDie } from './shell-worlds.ts'
import type { Report } from './mesh-worlds.ts'

function expectRight ({ wrong, lines }: Report): void {
  expect(wrong, lines.join('\n')).to.deep.equal([])
}

describe('whole DirectSubs under a virtual clock, beside one that is hostile', function () {
  this.timeout(120_000)

  it('bear a relay that breaks signatures, and one that says again what was signed long ago: nobody honest is blamed, all is acked', async () => {
    for (const seed of IS_LONG ? [1, 2, 3] : [1]) {
      expectRight(await framers(seed))
    }
  })

  it('wait for their turn, not for a neighbour that sends all that its credit allows over the same slow link', async () => {
    expectRight(await flood(1, { isBehind: false }))
  })

  it('get all acks while relays die and are replaced, though neighbours notice it late: an answer goes back by the way that was there', async () => {
    for (const seed of IS_LONG ? [28, 46, 99, 144] : [28]) {
      expectRight(await relaysDie(seed))
    }
  })
})
