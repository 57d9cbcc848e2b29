import { expect } from 'aegir/chai'
import { eventually, meet, stopPeers } from '../fixtures/directsub.ts'
import { name, text, texts } from '../fixtures/logs.ts'
import { allIn, allMature, crash, createLogNode, eventuallyTrue, expectSame, filled, find, has, LONG, mesh, namesIn, openAt, overEachPubSub, part, SHORT } from '../fixtures/sharedlogs.ts'
import type { Entry, OpenOptions, SharedLog } from '../../src/index.ts'
import type { LogNode } from '../fixtures/sharedlogs.ts'

const QUICK = { maturity: SHORT, grace: LONG }
/** Of the ring wound up for two copies, each covers half, and each place is covered by two of these four */
const QUARTERS = [0, 0.125, 0.25, 0.375].map(offset => ({ factor: 0.25, offset }))

overEachPubSub('what is kept, and what is let go', function () {
  this.timeout(60_000)
  afterEach(stopPeers)

  it('scenario 41: who does not replicate stores nothing of others; its own goes to those who do, and is let go when two have confirmed', async () => {
    const nodes = await mesh(3)
    const [log, other, observer] = await openAll(nodes, [true, true, false])
    const removed = removals(observer)
    await allIn([log, other, observer], nodes.slice(0, 2))
    expect(find(log, nodes[2]), 'an observer is counted').to.equal(undefined)
    await log.appendMany(texts(100))
    const entries = await observer.appendMany(texts(50, 'mine '))
    expect(await has(observer, ...entries)).to.be.true()
    await expectSame([log, other], 150)
    await eventually(() => `${observer.length} are still here`, () => observer.length === 0)
    expect(removed.sort()).to.deep.equal(entries.map(name).sort())
    expect(observer.diagnostics().problems).to.deep.equal([])
  })

  it('scenario 40: what one other has alone is not let go; when a second one comes, it is', async () => {
    const nodes = await mesh(3)
    const [log, observer] = await openAll([nodes[0], nodes[2]], [true, false])
    const entries = await observer.appendMany(texts(50))
    await filled(log, 50)
    await eventually('nobody says why they are still here', () => find(observer, nodes[0])?.state === 'mature' && observer.diagnostics().problems.some(problem => problem.startsWith('50 entries')))
    expect(await has(observer, ...entries)).to.be.true()

    const second = await openAt(nodes[1], QUICK)
    // at once, not when the interval is over in which it looks anyway
    await eventually(() => `${observer.length} are still here`, () => observer.length === 0, 4_000)
    await expectSame([log, second], 50)
  })

  it('scenario 40: nobody relies on one that has just come', async () => {
    const nodes = await mesh(3)
    const logs = [await openAt(nodes[0], { maturity: LONG }), await openAt(nodes[1], { maturity: LONG })]
    const observer = await openAt(nodes[2], { maturity: LONG, replicate: false })
    await allIn([...logs, observer], nodes.slice(0, 2))
    await observer.appendMany(texts(20), { ack: 2 })
    await eventually('nobody looked', () => observer.diagnostics().problems.length > 0)
    expect(observer.length).to.equal(20)
  })

  it('what who does not replicate appended before it met anybody arrives at once, also at those that are not mature', async () => {
    const nodes = await Promise.all([createLogNode(), createLogNode()])
    const observer = await openAt(nodes[1], { maturity: LONG, replicate: false })
    await observer.appendMany(texts(30))
    const log = await openAt(nodes[0], { maturity: LONG })
    await meet(nodes[0], nodes[1])
    await eventually(() => `${log.length} of 30 came`, () => log.length === 30, 4_000)
    expect(observer.length).to.equal(30)
  })

  it('what it appended while the connection was lost for a moment arrives when that is back', async () => {
    const nodes = await mesh(2)
    const [log, observer] = await openAll(nodes, [true, false])
    await allMature([observer], nodes.slice(0, 1))
    await part(nodes[0], nodes[1])
    await eventually('it is still there', () => observer.diagnostics().sizes.present === 0)
    await observer.appendMany(texts(30))
    // a look has found nobody to ask
    await eventually('nobody looked', () => observer.diagnostics().problems.some(problem => problem.startsWith('30 entries')))
    await meet(nodes[1], nodes[0])
    await eventually(() => `${log.length} of 30 came`, () => log.length === 30, 4_000)
  })

  it('what `keep` names stays with who does not replicate', async () => {
    const nodes = await mesh(3)
    await openAll(nodes.slice(0, 2), [true, true])
    const observer = await openAt(nodes[2], { ...QUICK, replicate: false, keep: ({ data }) => data[0] === text('k')[0] })
    await allMature([observer], nodes.slice(0, 2))
    const kept = await observer.append(text('keep this'))
    await observer.appendMany(texts(20))
    await eventually(() => `${observer.length} are still here`, () => observer.length === 1)
    expect(await has(observer, kept)).to.be.true()
  })

  it('scenario 41: with four peers that keep half each, each has just what is its own to keep, and all entries are with two', async () => {
    const nodes = await mesh(4)
    const logs = await openAll(nodes, QUARTERS)
    await allIn(logs, nodes)
    expect(logs.map(log => log.coverage())).to.deep.equal([1, 1, 1, 1])
    const entries = (await Promise.all(logs.map(async (log, i) => log.appendMany(texts(100, `${i} `))))).flat()
    // on the way up there are 800 for a moment, too
    await eventuallyTrue(() => `${lengths(logs)} where 800 should be in all, each twice`, async () => {
      const copies = await copiesOf(logs)
      return sum(logs) === 800 && entries.every(entry => copies.get(name(entry)) === 2)
    })
    // opposite ones share nothing, and have everything together
    expect(logs[0].length + logs[2].length).to.equal(400)
    expect(logs[1].length + logs[3].length).to.equal(400)
  })

  it('scenario 41: a late joiner that keeps a part gets just that part', async () => {
    const nodes = await mesh(3)
    const [log, some] = await openAll(nodes.slice(0, 2), [true, QUARTERS[0]])
    await log.appendMany(texts(1_000))
    await eventually('the part is not there', () => some.length > 0 && some.synced().isSynced && log.synced().isSynced)
    const late = await openAt(nodes[2], { ...QUICK, replicate: QUARTERS[2] })
    await eventually(() => `${lengths([some, late])}, 1000 in all`, () => some.length + late.length === 1_000)
    const [parts, lates] = await Promise.all([namesIn(some), namesIn(late)])
    expect(new Set([...parts, ...lates]).size).to.equal(1_000)
    expect(parts.length).to.be.within(400, 600)
    const again = await openAt(nodes[2], QUICK)
    expect(await namesIn(again)).to.deep.equal(lates)
    expect(find(again, nodes[2])?.segments).to.deep.equal(find(late, nodes[2])?.segments)
  })

  it('scenario 40: who narrows its segments keeps its copies until two others have confirmed theirs', async () => {
    const nodes = await mesh(3)
    const logs = await openAll(nodes, [true, true, true])
    await allIn(logs, nodes)
    await logs[0].appendMany(texts(400))
    await expectSame(logs, 400)
    const all = await namesIn(logs[0])
    const watching = watchCopies(logs, all)
    await logs[2].replicate(QUARTERS[0])
    await eventually('it did not let go', () => logs[2].length < 250 && logs[2].diagnostics().problems.length === 0)
    await logs[1].replicate(QUARTERS[2])
    await eventually('the second one did not let go', () => logs[1].length + logs[2].length === 400)
    // one that narrows now has to keep all that it has: of each there is but one other
    await logs[0].replicate(QUARTERS[1])
    await eventually('nobody looked', () => logs[0].diagnostics().problems.length > 0)
    expect(lengths(logs.slice(0, 1))).to.equal('400')
    expect(watching.lowest, 'fewer than two copies at a time').to.equal(2)
  })

  it('scenarios 40, 41: whoever comes and goes, all entries are with two of those that are there', async () => {
    const nodes = await mesh(3)
    const logs = await openAll(nodes, [true, true, true])
    await allIn(logs, nodes)
    const entries = await logs[0].appendMany(texts(300))
    await expectSame(logs, 300)
    const all = entries.map(name)

    // one dies, one narrows, one comes
    await crash(nodes[2])
    await logs[1].replicate(QUARTERS[1])
    const fourth = await createLogNode()
    await Promise.all(nodes.slice(0, 2).map(async node => meet(fourth, node)))
    const late = await openAt(fourth, { ...QUICK, replicate: QUARTERS[3] })
    await eventually('the fourth has not its part', () => late.length > 0 && late.synced().isSynced)
    const left = [logs[0], logs[1], late]
    await eventuallyTrue('some are with fewer than two', async () => least(await copiesOf(left), all) >= 2)

    // and the one that has everything closes, in order
    const fifth = await createLogNode()
    await Promise.all([nodes[0], nodes[1], fourth].map(async node => meet(fifth, node)))
    const whole = await openAt(fifth, QUICK)
    await filled(whole, 300)
    await logs[0].close()
    const rest = [logs[1], late, whole]
    await eventuallyTrue('some are with fewer than two of those that are left', async () => least(await copiesOf(rest), all) >= 2)
  })
})

async function openAll (nodes: LogNode[], shares: Array<OpenOptions['replicate']>): Promise<SharedLog[]> {
  return Promise.all(nodes.map(async (node, i) => openAt(node, { ...QUICK, replicate: shares[i] })))
}

function removals (log: SharedLog): string[] {
  const removed: string[] = []
  log.addEventListener('entry:remove', ({ detail }) => { removed.push(name(detail.entry)) })
  return removed
}

function lengths (logs: SharedLog[]): string {
  return logs.map(({ length }) => length).join(' + ')
}

function sum (logs: SharedLog[]): number {
  return logs.reduce((sum, { length }) => sum + length, 0)
}

/** How many of these logs hold each entry */
async function copiesOf (logs: SharedLog[]): Promise<Map<string, number>> {
  const copies = new Map<string, number>()
  for (const entry of (await Promise.all(logs.map(namesIn))).flat()) {
    copies.set(entry, (copies.get(entry) ?? 0) + 1)
  }
  return copies
}

function least (copies: Map<string, number>, all: string[]): number {
  return Math.min(...all.map(entry => copies.get(entry) ?? 0))
}

/** Counts along with every removal, so that no moment is missed: `lowest` is the least that any entry ever had */
function watchCopies (logs: SharedLog[], all: string[]): { lowest: number } {
  const copies = new Map(all.map(entry => [entry, logs.length]))
  const watching = { lowest: logs.length }
  const change = (by: number) => ({ detail: { entry } }: CustomEvent<{ entry: Entry }>): void => {
    const now = (copies.get(name(entry)) ?? 0) + by
    copies.set(name(entry), now)
    watching.lowest = Math.min(watching.lowest, now)
  }
  logs.forEach(log => {
    log.addEventListener('entry:add', change(1))
    log.addEventListener('entry:remove', change(-1))
  })
  return watching
}
