import { expect } from 'aegir/chai'
import { testsInPlaces, PATIENCE, run, start } from './terminal.ts'

/** What must be the same whichever node says it */
interface Story {
  keepers: Array<[name: string, entries: number]>
  copies: number
  coverage: number
}

describe('three nodes of sheaf', function () {
  this.timeout(8 * PATIENCE)
  const test = testsInPlaces()

  test('tell the same story; one is killed, the others go on, and when it is back it has caught up', async place => {
    const { dir } = place
    const storyOf = async (args: string[]): Promise<Story & { safe: boolean, length: number }> => {
      const { lines, errors } = await run(dir, ['status', '--json', ...args])
      expect(errors).to.deep.equal([])
      const { replicators, copies, coverage, safe, length } = JSON.parse(lines[0])
      return { keepers: replicators.map(({ peer, entries }: any) => [peer.slice(-6), entries]), copies, coverage, safe, length }
    }

    // as the README tells it: each joins by the line that the first one prints
    const a = await start(dir)
    const b = await start(dir, ...a.joinArgs)
    const c = await start(dir, '--join', a.address, '--store', 'memory', '--replicate', '0.5')
    await Promise.all([a, b].map(async ({ terminal }) => terminal.sees(`* ${c.name} is here, and keeps 50 % of the ring`)))
    a.terminal.type('all are here')
    await Promise.all([b, c].map(async ({ terminal }) => terminal.sees(`${a.name}> all are here`)))

    const story: Story = { keepers: [a.name, b.name, c.name].map(name => [name, 1]), copies: 3, coverage: 1 }
    const stories = await Promise.all([[], ['--store', './data2'], ['--store', 'memory', '--join', c.address]].map(storyOf))

    for (const { keepers, copies, coverage } of stories) {
      expect({ keepers: keepers.sort(), copies, coverage }).to.deep.equal({ ...story, keepers: story.keepers.sort() })
    }
    expect(stories.map(({ length }) => length)).to.deep.equal([1, 1, 0])

    // the one through which the others know each other
    a.terminal.signal('SIGKILL')
    await a.terminal.ended()
    const written = await run(dir, ['append', '--store', './data2', 'one is dead'])
    expect(written.code).to.equal(0)
    await c.terminal.sees(`${b.name}> one is dead`)
    c.terminal.type('and the third one writes')
    await b.terminal.sees(`${c.name}> and the third one writes`)
    expect((await run(dir, ['cat', '--store', './data2'])).lines).to.deep.equal(['all are here', 'one is dead', 'and the third one writes'])

    // started as the first time: it finds those who were there
    const again = await start(dir)
    expect(again.name).to.equal(a.name)
    const log = ['all are here', 'one is dead', 'and the third one writes']
    await again.terminal.sees(/one is dead/)
    await again.terminal.sees(/and the third one writes/)
    const [mine, theirs] = await Promise.all([['cat'], ['cat', '--store', './data2']].map(async args => run(dir, args)))
    expect(mine.lines).to.have.members(log)
    expect(theirs.lines).to.deep.equal(mine.lines)
  })
})
