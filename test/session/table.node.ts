import { readFileSync } from 'node:fs'
import { expect } from 'aegir/chai'
import { tableLines } from './table.ts'

describe('the table of states and events', function () {
  this.timeout(60_000)

  it('has every event in every state, and no state has two outcomes for one event', () => {
    const lines = tableLines()
    const pairs = lines.flatMap(line => {
      const [event, states] = line.slice(2).split(' | ')
      return states.split(', ').map(state => `${event}/${state}`)
    })
    expect(new Set(pairs).size).to.equal(pairs.length)
    expect(lines.length).to.be.above(60)
  })

  it('is as docs/session.md shows it', () => {
    const shown = readFileSync('docs/session.md', 'utf8').split('\n').filter(line => line.startsWith('| '))
    const isRow = (line: string): boolean => line.split(' | ').length === 4
    const from = shown.findIndex(line => line.startsWith('| event | state |'))
    expect(shown.slice(from + 1).filter(isRow)).to.deep.equal(tableLines())
  })
})
