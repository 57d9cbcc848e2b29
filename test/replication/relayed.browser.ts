import { expect } from 'aegir/chai'
import { deleteStores, diskStore } from '../fixtures/datastores.ts'
import { createDialer } from '../fixtures/dialers.ts'
import { eventually, isNeighbour, stopPeers } from '../fixtures/directsub.ts'
import { KEPT_ENTRIES, KEPT_LOG } from '../fixtures/log-keeper.ts'
import { newKey, said, texts } from '../fixtures/logs.ts'
import { allIn, entriesOf, expectSame, filled, has, openAt } from '../fixtures/sharedlogs.ts'
import type { Entry, SharedLog } from '../../src/index.ts'

const keeper = process.env.LOG_KEEPER
const gossipSubKeeper = process.env.GOSSIPSUB_LOG_KEEPER

describe('nodes that can only dial, a relay between them, and behind it one that keeps a log', function () {
  this.timeout(60_000)

  afterEach(async () => {
    await stopPeers()
    await deleteStores()
  })

  it(`scenario 38: a late joiner gets ${KEPT_ENTRIES.toLocaleString('en')} entries, in their order, and says that it is in step`, async () => {
    const log = await openAt(await createDialer(), {}, KEPT_LOG)
    await filled(log, KEPT_ENTRIES)
    expect((await keptIn(log)).map(said)).to.deep.equal(Array.from({ length: KEPT_ENTRIES }, (_, i) => `kept ${i}`))
    await eventually('it is not in step', () => log.synced().isSynced)
    expect(log.replicators().some(({ peerId }) => peerId.toString() === keeper)).to.be.true()
  })

  it('what is appended here arrives there: who comes when all others are gone gets it', async () => {
    const node = await createDialer()
    const log = await openAt(node, {}, KEPT_LOG)
    await log.waitForReplicators({ signal: AbortSignal.timeout(20_000) })
    const entries = [...await log.appendMany(texts(100, 'from a browser '), { ack: 1 }), await log.append(texts(1, 'last ')[0], { ack: 'leaders' })]
    await node.stop()

    const late = await openAt(await createDialer(), {}, KEPT_LOG)
    await filled(late, KEPT_ENTRIES + entries.length)
    expect(await has(late, ...entries)).to.be.true()
    expect(await keptIn(late)).to.have.lengthOf(KEPT_ENTRIES)
  })

  it('two here share a log of their own over the relay, the first entry without a second write', async () => {
    const nodes = await Promise.all([createDialer(), createDialer()])
    const logs = await Promise.all(nodes.map(async node => openAt(node, {}, `a log of ${nodes[0].peerId}`)))
    await logs[0].append(texts(1)[0])
    await expectSame(logs, 1)
    await allIn(logs, nodes)
    await Promise.all(logs.map(async (log, i) => Promise.all(texts(50, `${i} `).map(async data => log.append(data)))))
    await expectSame(logs, 101)
    expect(isNeighbour(nodes[0], nodes[1]), 'they are neighbours').to.be.false()
  })

  it('what is stored here is there after a restart, and what is new comes', async () => {
    const store = await diskStore()
    const privateKey = await newKey()
    const first = await createDialer({ privateKey, datastore: store.datastore })
    await filled(await openAt(first, {}, KEPT_LOG), KEPT_ENTRIES)
    await first.stop()

    const other = await createDialer()
    const log = await openAt(other, {}, KEPT_LOG)
    await log.waitForReplicators({ signal: AbortSignal.timeout(20_000) })
    const news = await log.append(texts(1, 'news ')[0], { ack: 'leaders' })
    const again = await openAt(await createDialer({ privateKey, datastore: await store.reopen() }), {}, KEPT_LOG)
    expect(again.length).to.be.at.least(KEPT_ENTRIES)
    let isThere = false
    again.addEventListener('entry:add', ({ detail }) => { isThere ||= detail.entry.id.equals(news.id) })
    isThere ||= await again.has(news.id)
    await eventually('the news do not come', () => isThere)
  })
})

describe('nodes that can only dial, and one with GossipSub that keeps a log', function () {
  this.timeout(60_000)

  afterEach(stopPeers)

  it('get all of it, and what one of them appends arrives at the other', async () => {
    const dialers = await Promise.all([createDialer({ pubsub: 'GossipSub' }, gossipSubKeeper), createDialer({ pubsub: 'GossipSub' }, gossipSubKeeper)])
    const logs = await Promise.all(dialers.map(async node => openAt(node, {}, KEPT_LOG)))
    await Promise.all(logs.map(async log => filled(log, KEPT_ENTRIES)))
    const entries = await logs[0].appendMany(texts(100, 'from a browser '), { ack: 1 })
    await filled(logs[1], KEPT_ENTRIES + entries.length)
    expect(await has(logs[1], ...entries)).to.be.true()
    await eventually('they are not in step', () => logs.every(log => log.synced().isSynced))
    await dialers[0].stop()
    await eventually('it is still there', () => logs[1].diagnostics().sizes.present === 1)
    await logs[1].append(texts(1, 'last ')[0], { ack: 'leaders' })
  })
})

/** What is there from the beginning: other tests write into it, too */
async function keptIn (log: SharedLog): Promise<Entry[]> {
  return (await entriesOf(log)).filter(({ author }) => author.toString() === keeper)
}
