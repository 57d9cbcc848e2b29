import { expect } from 'aegir/chai'
import { IS_LONG } from '../fixtures/effort.ts'
import { sybils } from './hostile-worlds.ts'

/** Peers that are announced: as many in each shape as it has time for. A directory is full with a tenth of them */
const INVENTED = IS_LONG ? 3000 : 1000

describe('a neighbour that lies about others', function () {
  this.timeout(120_000)

  for (const shape of ['star', 'clique', 'ring'] as const) {
    it(`and announces ${INVENTED} that are behind it, in a ${shape}, drives out no honest neighbour, makes nobody remember more than it may, and leaves no hole`, () => {
      // in a clique each of them takes 64 ways
      for (const seed of shape === 'clique' || !IS_LONG ? [1] : [1, 2, 3]) {
        const { wrong, lines } = sybils(INVENTED, seed, shape, { isStrict: false })
        expect(wrong, lines.join('\n')).to.deep.equal([])
      }
    })
  }
})
