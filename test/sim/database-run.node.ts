import { expect } from 'aegir/chai'
import { IS_LONG } from '../fixtures/effort.ts'
import { databaseRun } from './database-run.ts'

/** 100,000 take about a minute: DATABASE_PUTS=100000 */
const PUTS = Number(process.env.DATABASE_PUTS ?? 3_000)
const SEEDS = process.env.DATABASE_PUTS == null && IS_LONG ? [1, 2, 3] : [1]

describe('a database that three peers write at once, over a network that is cut and healed', function () {
  this.timeout(180_000)

  for (const seed of SEEDS) {
    it(`is the same for all in the end, watches tell all of it and nothing twice, and opening reads what is new (seed ${seed}, ${PUTS} puts)`, async () => {
      expect(await databaseRun(seed, PUTS)).to.deep.equal([])
    })
  }
})
