import { expect } from 'aegir/chai'
import { sybils } from './hostile-worlds.ts'

describe('a neighbour that lies about others', function () {
  this.timeout(120_000)

  it('and announces 3,000 that are behind it drives out no honest neighbour, and makes nobody remember more than it may', () => {
    for (const seed of [1, 2, 3]) {
      const { wrong, lines } = sybils(3000, seed, 'star', { isStrict: false })
      expect(wrong, lines.join('\n')).to.deep.equal([])
    }
  })
})
