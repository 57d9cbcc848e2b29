import { expect } from 'aegir/chai'
import { IS_LONG } from '../fixtures/effort.ts'
import { simulate } from './simulation.ts'

const SEEDS = IS_LONG ? 150 : 25

describe('tabs that come, go, freeze and crash at random', () => {
  it(`keep T1 to T5, in ${SEEDS} worlds`, async () => {
    let [appended, takeovers] = [0, 0]

    for (let seed = 0; seed < SEEDS; seed++) {
      const report = await simulate(seed)
      expect(report.broken, `seed ${seed}`).to.deep.equal([])
      appended += report.appended
      takeovers += report.takeovers
    }

    // something has happened
    expect(appended).to.be.above(SEEDS * 5)
    expect(takeovers).to.be.above(SEEDS / 4)
  }).timeout(IS_LONG ? 1_200_000 : 120_000)
})
