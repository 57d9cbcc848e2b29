import { expect } from 'aegir/chai'
import { replay, runWorld } from './world/lives.ts'

/** Worlds, and of those whose disk rots. CI goes on from there, and `npm run simulate:log` leads as many as somebody likes */
const SEEDS = 3
const ROT_SEEDS = 2
/** In this world a record that was read rots, and then the index is made anew. A third of its lives went wrong */
const ROTTEN_CACHE = 294
const ROTTEN_LIVES = 2
/** Worlds in one test: so that none takes long */
const SHARE = 10
/** Milliseconds: a world takes half a second on a machine that has nothing else to do */
const TIMEOUT = 120_000

/** Says all that went wrong, and the command that does it again */
async function expectRight (first: number, last: number, isRot: boolean): Promise<void> {
  for (let seed = first; seed <= last; seed++) {
    const { wrong, notes } = await runWorld(seed, { isRot })
    expect(wrong, [`again: ${replay(seed, isRot)}`, ...notes].join('\n')).to.deep.equal([])
  }
}

describe('a log in a world where everything happens', function () {
  this.timeout(TIMEOUT)

  for (let first = 1; first <= SEEDS; first += SHARE) {
    const last = Math.min(first + SHARE - 1, SEEDS)

    it(`keeps what it promised, whatever the disk, the clock and its callers do (seeds ${first} to ${last})`, async () => {
      await expectRight(first, last, false)
    })
  }

  it('forgets a record that was read before it rotted when its index is made anew', async () => {
    for (let times = 0; times < ROTTEN_LIVES; times++) {
      await expectRight(ROTTEN_CACHE, ROTTEN_CACHE, true)
    }
  })

  for (let first = 1; first <= ROT_SEEDS; first += SHARE) {
    const last = Math.min(first + SHARE - 1, ROT_SEEDS)

    it(`serves nothing that is not true from a disk that rots, and takes again what that lost (seeds ${first} to ${last})`, async () => {
      await expectRight(first, last, true)
    })
  }
})
