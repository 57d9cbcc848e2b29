import { expect } from 'aegir/chai'
import { IS_LONG } from '../fixtures/effort.ts'
import { killProcesses } from '../fixtures/processes.ts'
import { print, runHostile } from './hostile.ts'

/** Milliseconds: `npm run soak:hostile` is the long run, and the strict one */
const PEACE = IS_LONG ? 2000 : 500
const SLICE = IS_LONG ? 800 : 200
/** Generous: this machine runs other tests, too. A neighbour that stands still, or is not read any more, is past them */
const MAX_P50_MS = 500
const MAX_P95_MS = 3000
const MAX_GROWTH = 150e6

describe('an honest pair of processes, and a stranger beside it', function () {
  this.timeout(180_000)

  afterEach(killProcesses)

  it('goes on, whatever the stranger does: nothing is lost, nothing comes twice, everything is acked, and nothing of it is left', async () => {
    const lines: string[] = []
    const { during, each, memory, wrong } = await runHostile({ attacks: 0, peace: PEACE, slice: SLICE, onLine: line => lines.push(line) })
    const growth = memory[3].heap - memory[0].heap

    expect(wrong, lines.join('\n')).to.deep.equal([])
    expect([...each.values()].filter(({ count }) => count > 0), lines.join('\n')).to.have.length.above(10)
    expect(during.p50, `${lines.join('\n')}\n${print(during)}`).to.be.below(MAX_P50_MS)
    expect(during.p95, `${lines.join('\n')}\n${print(during)}`).to.be.below(MAX_P95_MS)
    expect(growth, lines.join('\n')).to.be.below(MAX_GROWTH)
  })
})
