import { expect } from 'aegir/chai'
import { IS_LONG } from '../fixtures/effort.ts'
import { rot } from './world/rot.ts'

/** Places of each store, one damaged at a time. `npx node test/log/world/rot-run.ts --count 200` looks at more of them */
const COUNT = IS_LONG ? 40 : 8
const SEED = 1

describe('a log on a disk that changed a byte or lost a value', () => {
  it('opens, serves nothing that is not true, says what is lost, and takes it again', async () => {
    const wrong: string[] = []
    let lost = 0

    for await (const outcome of rot(COUNT, SEED)) {
      wrong.push(...outcome.wrong.map(what => `of a store that was ${outcome.end}, ${outcome.damage}: ${what}`))
      lost += outcome.lost
    }

    expect(wrong).to.deep.equal([])
    // damage that takes nothing shows nothing
    expect(lost).to.be.above(0)
  }).timeout(180_000)
})
