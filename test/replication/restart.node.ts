import { expect } from 'aegir/chai'
import { deleteStores, diskStore } from '../fixtures/datastores.ts'
import { eventually, meet, range, settles, stopPeers } from '../fixtures/directsub.ts'
import { newKey, text, texts } from '../fixtures/logs.ts'
import { allIn, crash, createLogNode, eventuallyTrue, expectSame, filled, find, LONG, membership, namesIn, of, openAt, overEachPubSub, RING, sameSegments, SHORT, tell } from '../fixtures/sharedlogs.ts'
import type { Segment, SharedLog } from '../../src/index.ts'
import type { LogNode } from '../fixtures/sharedlogs.ts'
import type { Datastore } from 'interface-datastore'

const PATIENT = { maturity: LONG, grace: LONG }
const HALF: Segment[] = [{ from: 0, width: RING / 2 }]
const OTHER_HALF: Segment[] = [{ from: RING / 2, width: RING / 2 }]

overEachPubSub('a log that is opened again from disk', function () {
  this.timeout(60_000)
  afterEach(async () => {
    await stopPeers()
    await deleteStores()
  })

  for (const end of ['stopped', 'crashed'] as const) {
    it(`scenario 35: of two that were known before it ${end}, the live one joins once, and the dead one is forgotten without an event`, async () => {
      const { known: [live, dead], log, others, restart } = await known()
      expect(log.replicators()).to.have.lengthOf(3)
      const { node, datastore } = await restart(end, async () => {
        await dead.stop()
        // what the live one says meanwhile is what counts
        await others[0].replicate({ segments: HALF })
      })
      const again = await openAt(node, { maturity: LONG, grace: 300 })
      const seen = membership(again)
      expect(again.diagnostics().sizes.peers).to.equal(2)
      expect(again.replicators().map(({ self }) => self)).to.deep.equal([true])
      await meet(node, live)
      await eventually('the live one is not in with what it keeps now', () => sameSegments(find(again, live)?.segments, HALF))
      await eventuallyTrue('the dead one is not forgotten', async () => await storedOwners(datastore) === 1)
      await tell(live, others[0], [again], OTHER_HALF)
      // it may be seen before it has said what is new
      expect(of(seen, live).filter((word, i, words) => word !== words[i - 1])).to.deep.equal(['join', 'change'])
      expect(of(seen, dead)).to.deep.equal([])
      await eventually('the dead one is still in memory', () => again.diagnostics().sizes.peers === 1)
    })
  }

  it('scenario 35: one that comes back later than all others, within the grace time, joins once', async () => {
    const { known: [one, other], others, restart } = await known()
    const { node } = await restart('stopped', async () => {})
    const again = await openAt(node, PATIENT)
    const seen = membership(again)
    await meet(node, one)
    await meet(other, node)
    await allIn([again, ...others], [one, other, node])
    await tell(one, others[0], [again], HALF)
    await tell(other, others[1], [again], HALF)
    expect([one, other].map(node => of(seen, node))).to.deep.equal([['join', 'change'], ['join', 'change']])
  })

  it('scenario 32: a canReplicate that hangs for one known from before holds up neither opening nor another one', async () => {
    const { known: [slow, good], restart } = await known()
    const { node } = await restart('stopped', async () => {})
    const gate = Promise.withResolvers<boolean>()
    const canReplicate = async (peerId: { toString(): string }): Promise<boolean> => `${peerId}` === `${slow.peerId}` ? gate.promise : true
    const opening = openAt(node, { ...PATIENT, canReplicate })
    expect((await settles('open', opening, 5_000)).status).to.equal('fulfilled')
    const again = await opening
    const seen = membership(again)
    await Promise.all([slow, good].map(async other => meet(node, other)))
    await eventually('the good one is not in', () => find(again, good) != null)
    expect(find(again, slow)).to.equal(undefined)
    gate.resolve(true)
    await eventually('the slow one is not in', () => find(again, slow) != null)
    expect(of(seen, slow)).to.deep.equal(['join'])
  })

  it('what was appended on both sides while one was away is with both, and what one had is still in its order', async () => {
    const { known: [one], log, others, restart } = await known()
    const before = await log.appendMany(texts(300, 'before '), { ack: 'leaders' })
    const { node } = await restart('crashed', async () => { await others[0].appendMany(texts(700, 'meanwhile ')) })
    const again = await openAt(node, PATIENT)
    expect(await namesIn(again)).to.have.lengthOf(before.length)
    await again.append(text('before they meet'))
    await meet(node, one)
    await expectSame([again, ...others], 1_001)
  })

  it('scenario 42: to the others a short restart is a leave and a join, or neither, and never two joins', async () => {
    const { known: nodes, others, restart } = await known()
    const seen = others.map(membership)
    let last = await restart('stopped', async () => {})

    for (const i of range(3)) {
      const { node } = last
      const again = await openAt(node, PATIENT)
      await Promise.all(nodes.map(async other => meet(node, other)))
      await allIn([again, ...others], [node, ...nodes])
      await again.append(text(`${i}`), { ack: 2 })
      last = await restart(i % 2 === 0 ? 'crashed' : 'stopped', async () => {})
    }

    for (const events of seen) {
      const words = of(events, last.node).filter(word => word !== 'change' && word !== 'mature').map(word => word.split(' ')[0])
      expect(words.filter((word, i) => word === words[i - 1])).to.deep.equal([])
      expect(words[0]).to.equal('leave')
    }
    expect(others.map(({ length }) => length)).to.deep.equal([3, 3])
  })

  it('an observer that is restarted still has what nobody confirmed, and lets go of it when it is confirmed', async () => {
    const store = await diskStore()
    const privateKey = await newKey()
    const quick = { maturity: SHORT, grace: LONG }
    const first = await createLogNode({ privateKey, datastore: store.datastore })
    await (await openAt(first, { ...quick, replicate: false })).appendMany(texts(30))
    await first.stop()
    const node = await createLogNode({ privateKey, datastore: await store.reopen() })
    const observer = await openAt(node, { ...quick, replicate: false })
    expect(observer.length).to.equal(30)
    const keepers = await Promise.all([createLogNode(), createLogNode()])
    const logs = await Promise.all(keepers.map(async keeper => openAt(keeper, quick)))
    await meet(keepers[0], keepers[1])
    await Promise.all(keepers.map(async keeper => meet(node, keeper)))
    await Promise.all(logs.map(async log => filled(log, 30)))
    // they were offered them: it asks again soon, not with the next interval
    await eventually(() => `${observer.length} are still here`, () => observer.length === 0, 5_000)
  })
})

interface Known {
  /** Two others that the first one knows */
  known: LogNode[]
  others: SharedLog[]
  log: SharedLog
  /** Ends the first one, does something else, and starts it again, connected to nobody */
  restart (end: 'stopped' | 'crashed', meanwhile: () => Promise<void>): Promise<{ node: LogNode, datastore: Datastore }>
}

/** One on LevelDB, who knows two others */
async function known (): Promise<Known> {
  const store = await diskStore()
  const privateKey = await newKey()
  let node = await createLogNode({ privateKey, datastore: store.datastore })
  const others = await Promise.all([createLogNode(), createLogNode()])
  await meet(others[0], others[1])
  await Promise.all(others.map(async other => meet(node, other)))
  const nodes = [node, ...others]
  const logs = await Promise.all(nodes.map(async node => openAt(node, PATIENT)))
  await allIn(logs, nodes)
  let { datastore } = store
  await eventuallyTrue('they are not stored', async () => await storedOwners(datastore) === 2)

  return {
    known: others,
    log: logs[0],
    others: logs.slice(1),
    restart: async (end, meanwhile) => {
      await (end === 'stopped' ? node.stop() : crash(node))
      await meanwhile()
      datastore = await store.reopen()
      node = await createLogNode({ privateKey, datastore })
      return { node, datastore }
    }
  }
}

async function storedOwners (datastore: Datastore): Promise<number> {
  let owners = 0
  for await (const key of datastore.queryKeys({ prefix: '/sheaf/replicators/' })) {
    owners += key.toString().length > 0 ? 1 : 0
  }
  return owners
}
