import { expect } from 'aegir/chai'
import { Cable, removeCables } from '../fixtures/cable.ts'
import { eventually, isNeighbour, meet, range, settles, stopPeers } from '../fixtures/directsub.ts'
import { nameOfError, text, texts } from '../fixtures/logs.ts'
import { allIn, crash, createLogNode, filled, find, has, LONG, mesh, openAt, overEachPubSub, part, SHORT } from '../fixtures/sharedlogs.ts'
import type { AppendOptions, OpenOptions, SharedLog } from '../../src/index.ts'
import type { LogNode } from '../fixtures/sharedlogs.ts'

const PATIENT = { maturity: LONG, grace: LONG }

overEachPubSub('knowing that others have stored an entry', function () {
  this.timeout(60_000)
  afterEach(async () => {
    removeCables()
    await stopPeers()
  })

  it("'stored' waits for nobody: also with others that are dead it resolves at once", async () => {
    const { logs, cable } = await cabled(PATIENT)
    cable.freeze()
    expect((await settles('append', logs[0].append(text('a')))).status).to.equal('fulfilled')
    expect(logs[0].length).to.equal(1)
  })

  it("'leaders' resolves when all that lead for it have it", async () => {
    const { logs } = await together(3)

    for (const i of range(20)) {
      const entry = await logs[i % 3].append(text(`${i}`), { ack: 'leaders' })
      // two lead for it, the author may be one of them
      const holding = await Promise.all(logs.map(async log => has(log, entry)))
      expect(holding.filter(Boolean).length).to.be.at.least(2)
    }

    const entries = await logs[0].appendMany(texts(200, 'many '), { ack: 'leaders' })
    expect((await Promise.all(entries.map(async entry => (await Promise.all(logs.slice(1).map(async log => has(log, entry)))).some(Boolean)))).every(Boolean)).to.be.true()
  })

  it('a signal that aborts at any point of the call ends the wait, also while the entry is being written', async () => {
    const controllers: AbortController[] = []
    const log = await openAt(await createLogNode(), { ...PATIENT, canAppend: () => controllers.at(-1)?.abort(new Error('enough')) == null })

    for (const append of [async (options: AppendOptions) => log.append(text('a'), options), async (options: AppendOptions) => log.appendMany(texts(3), options)]) {
      const controller = new AbortController()
      controllers.push(controller)
      const outcome = await settles<unknown>('append', append({ ack: 1, signal: controller.signal }))
      expect(outcome.status === 'rejected' && outcome.reason.message).to.equal('enough')
    }

    controllers.length = 0

    for (const turns of range(12)) {
      const controller = new AbortController()
      const appending = settles('append', log.append(text(`turn ${turns}`), { ack: 1, signal: controller.signal }))
      for (let i = 0; i < turns; i++) {
        await new Promise<void>(resolve => { setImmediate(resolve) })
      }
      controller.abort(new Error('enough'))
      const outcome = await appending
      expect(outcome.status === 'rejected' && outcome.reason.message).to.equal('enough')
    }
    expect(log.diagnostics().sizes.awaited).to.equal(0)
  })

  it("'leaders' of a log that nobody else keeps resolves at once", async () => {
    const log = await openAt(await createLogNode(), PATIENT)
    expect((await settles('append', log.append(text('a'), { ack: 'leaders' }))).status).to.equal('fulfilled')
  })

  it('a number resolves when as many others have it, and not before', async () => {
    const { logs } = await together(3)
    const entry = await logs[0].append(text('a'), { ack: 2 })
    expect(await Promise.all(logs.map(async log => has(log, entry)))).to.deep.equal([true, true, true])
  })

  it('a number that is not reached waits for those who join later', async () => {
    const nodes = await mesh(3)
    const log = await openAt(nodes[0], PATIENT)
    const appending = log.append(text('a'), { ack: 2 })
    const second = await openAt(nodes[1], PATIENT)
    await filled(second, 1)
    let isSettled = false
    void appending.finally(() => { isSettled = true })
    // what it does not wait for it has by now
    await log.append(text('b'), { ack: 1 })
    expect(isSettled).to.be.false()
    const third = await openAt(nodes[2], PATIENT)
    const entry = await appending
    expect(await has(third, entry)).to.be.true()
  })

  it('aborting rejects with the reason; the entry is in the log and arrives nevertheless', async () => {
    const { nodes: [a, b], logs, cable } = await cabled(PATIENT)
    cable.freeze()
    const reasons = await Promise.all(['leaders' as const, 1].map(async ack => {
      const controller = new AbortController()
      const appending = logs[0].append(text(`${ack}`), { ack, signal: controller.signal })
      await eventually('it is not there', () => logs[0].diagnostics().sizes.awaited > 0)
      controller.abort(new Error('no patience'))
      return appending.catch(err => err.message)
    }))
    expect(reasons).to.deep.equal(['no patience', 'no patience'])
    expect(logs[0].length).to.equal(2)
    expect(logs[0].diagnostics().sizes.awaited).to.equal(0)

    cable.cut()
    cable.thaw()
    await eventually('they are still neighbours', () => !isNeighbour(a, b) && !isNeighbour(b, a))
    await meet(a, b)
    await filled(logs[1], 2)
  })

  for (const ack of ['leaders', 1] as const) {
    it(`${ack}: who loses the connection while it waits, and has it again, hears of it in the end`, async () => {
      const { nodes: [a, b], logs, cable } = await cabled(PATIENT)
      cable.freeze()
      const appending = logs[0].append(text('a'), { ack })
      await eventually('it is not awaited', () => logs[0].diagnostics().sizes.awaited > 0)
      cable.cut()
      cable.thaw()
      await eventually('they are still neighbours', () => !isNeighbour(a, b) && !isNeighbour(b, a))
      await meet(a, b)
      expect((await settles('append', appending)).status).to.equal('fulfilled')
      expect(logs[1].length).to.equal(1)
    })
  }

  it('a number: what is appended while nobody is here waits for those who are missed only for the moment', async () => {
    const { nodes: [a, b], logs } = await together(2)
    await part(a, b)
    await eventually('it is still there', () => logs[0].diagnostics().sizes.present === 0)
    const appending = logs[0].append(text('a'), { ack: 1 })
    await meet(a, b)
    const outcome = await settles('append', appending)
    expect(outcome.status).to.equal('fulfilled')
    expect(logs[1].length).to.equal(1)
  })

  it("'leaders': one that dies is waited for until it leaves, and no longer", async () => {
    const { nodes, logs } = await together(2, { maturity: LONG, grace: 200 })
    const cable = await Cable.to(nodes[0].getMultiaddrs())
    const third = await createLogNode()
    await meet(third, nodes[0], cable.address)
    await meet(third, nodes[1])
    const dying = await openAt(third, { maturity: LONG, grace: 200 })
    await allIn([...logs, dying], [...nodes, third])
    cable.freeze()
    const appending = Promise.all(range(30).map(async i => logs[0].append(text(`${i}`), { ack: 'leaders' })))
    await eventually('nobody waits', () => logs[0].diagnostics().sizes.awaited > 0)
    cable.cut()
    await crash(third)
    expect((await settles('append', appending)).status).to.equal('fulfilled')
    expect(find(logs[0], third)).to.equal(undefined)
    expect(logs[1].length).to.equal(30)
  })

  it("'leaders': a leader that refuses it rejects by name, and the entry stays", async () => {
    const nodes = await mesh(2)
    const log = await openAt(nodes[0], PATIENT)
    const strict = await openAt(nodes[1], { ...PATIENT, canAppend: ({ data }) => data[0] !== text('!')[0] })
    await allIn([log, strict], nodes)
    expect(await nameOfError(log.append(text('!no'), { ack: 'leaders' }))).to.equal('NotReplicatedError')
    await log.append(text('yes'), { ack: 'leaders' })
    expect([log.length, strict.length]).to.deep.equal([2, 1])
  })

  it('closing rejects those who wait by name, and none hangs', async () => {
    const { logs, cable } = await cabled({ maturity: LONG, grace: SHORT })
    cable.freeze()
    const appending = [logs[0].append(text('a'), { ack: 'leaders' }), logs[0].append(text('b'), { ack: 1 }), logs[0].append(text('c'), { ack: 5 })]
    const outcomes = appending.map(async work => settles('append', work))
    await eventually('nobody waits', () => logs[0].diagnostics().sizes.awaited === 3)
    expect((await settles('close', logs[0].close())).status).to.equal('fulfilled')
    const names = (await Promise.all(outcomes)).map(outcome => outcome.status === 'rejected' ? outcome.reason.name : outcome.status)
    expect(names).to.deep.equal(['NotReplicatedError', 'NotReplicatedError', 'NotReplicatedError'])
  })
})

async function together (count: number, options: OpenOptions = PATIENT): Promise<{ nodes: LogNode[], logs: SharedLog[] }> {
  const nodes = await mesh(count)
  const logs = await Promise.all(nodes.map(async node => openAt(node, options)))
  await allIn(logs, nodes)
  return { nodes, logs }
}

/** Two with a cable between them that can be frozen and cut */
async function cabled (options: OpenOptions): Promise<{ nodes: LogNode[], logs: SharedLog[], cable: Cable }> {
  const nodes = await Promise.all([createLogNode(), createLogNode()])
  const cable = await Cable.to(nodes[1].getMultiaddrs())
  const logs = await Promise.all(nodes.map(async node => openAt(node, options)))
  await meet(nodes[0], nodes[1], cable.address)
  await allIn(logs, nodes)
  return { nodes, logs, cable }
}
