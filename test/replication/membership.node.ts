import { expect } from 'aegir/chai'
import { eventually, meet, range, stopPeers } from '../fixtures/directsub.ts'
import { allIn, count, crash, createLogNode, find, LONG, membership, mesh, of, openAt, overEachPubSub, part, RING, sameSegments, SHORT, tell } from '../fixtures/sharedlogs.ts'
import type { Segment, SharedLog } from '../../src/index.ts'
import type { LogNode } from '../fixtures/sharedlogs.ts'

const HALF: Segment[] = [{ from: 0, width: RING / 2 }]
const OTHER_HALF: Segment[] = [{ from: RING / 2, width: RING / 2 }]
const WHOLE: Segment[] = [{ from: 0, width: RING }]
const PATIENT = { maturity: LONG, grace: LONG }

overEachPubSub('who is a replicator', function () {
  this.timeout(60_000)
  afterEach(stopPeers)

  it('scenario 27: both sides see one join, whether they connect or open first, or both at once', async () => {
    for (const order of ['connect first', 'open first', 'at once']) {
      const [a, b] = await Promise.all([createLogNode(), createLogNode()])
      const connecting = order === 'open first' ? undefined : connectBothWays(a, b)
      if (order === 'connect first') {
        await connecting
      }
      const logs = await Promise.all([a, b].map(async node => openAt(node, PATIENT)))
      const seen = logs.map(membership)
      await (connecting ?? connectBothWays(a, b))
      await allIn(logs, [a, b])
      await tell(b, logs[1], [logs[0]], HALF)
      await tell(a, logs[0], [logs[1]], HALF)
      // whoever was in before anybody could listen is in without an event
      expect(count(of(seen[0], b), 'join'), order).to.be.at.most(1)
      expect(of(seen[0], b).at(-1), order).to.equal('change')
      if (order === 'open first') {
        expect(seen.map((events, i) => of(events, [b, a][i]))).to.deep.equal([['join', 'change'], ['join', 'change']])
      }
    }
  })

  it('diagnostics tell how long a replicator has to stay before others rely on it, and nothing of that of who is none', async () => {
    const [a, b, reader] = await mesh(3)
    const [patient, quick] = [await openAt(a, PATIENT), await openAt(b, { maturity: SHORT, grace: LONG })]
    const third = await openAt(reader, { ...PATIENT, replicate: false })
    await allIn([patient, quick, third], [a, b])
    const told = (log: SharedLog, node: LogNode): number | undefined =>
      log.diagnostics().peers.find(({ peerId }) => peerId.equals(node.peerId))?.matureIn
    expect(told(patient, b)).to.be.within(1, LONG)
    await eventually('nobody relies on it', () => told(quick, a) === 0)
    await eventually('it is not there', () => patient.diagnostics().peers.length === 2)
    expect(told(patient, reader)).to.equal(undefined)
  })

  it('scenarios 27, 42: 15 short losses of connection, dialled from both sides, are neither a leave nor a join', async () => {
    const { nodes: [a, b], logs, seen } = await pair(PATIENT)

    for (const i of range(15)) {
      await part(a, b)
      expect(find(logs[0], b), 'out at once').to.not.equal(undefined)
      await [meet, connectBothWays, async () => meet(b, a)][i % 3](a, b)
      await eventually('they do not see each other on the topic', () => logs.every(log => log.diagnostics().sizes.present === 1))
    }

    await tell(b, logs[1], [logs[0]], HALF)
    await tell(a, logs[0], [logs[1]], HALF)
    expect(of(seen[0], b)).to.deep.equal(['join', 'change'])
    expect(of(seen[1], a)).to.deep.equal(['join', 'change'])
  })

  it('scenarios 27, 28: longer losses are a leave and a join each, never two of one kind in a row', async () => {
    const { nodes: [a, b], seen } = await pair({ maturity: LONG, grace: SHORT })
    const rounds = 6

    for (const i of range(rounds)) {
      await part(a, b)
      await eventually('they did not leave', () => count(of(seen[0], b), 'leave unreachable') === i + 1 && count(of(seen[1], a), 'leave unreachable') === i + 1)
      await (i % 2 === 0 ? connectBothWays(a, b) : meet(b, a))
      await eventually('they did not join', () => count(of(seen[0], b), 'join') === i + 2 && count(of(seen[1], a), 'join') === i + 2)
    }

    const expected = ['join', ...range(rounds).flatMap(() => ['leave unreachable', 'join'])]
    expect(of(seen[0], b)).to.deep.equal(expected)
    expect(of(seen[1], a)).to.deep.equal(expected)
  })

  it('scenarios 28, 36: other segments are a change and no join, the same ones are nothing', async () => {
    const { nodes: [, b], logs: [log, other], seen } = await pair(PATIENT)
    await other.replicate(true)
    await other.replicate({ segments: WHOLE })
    await tell(b, other, [log], HALF)
    await other.replicate({ segments: HALF })
    await other.replicate({ factor: 0.5, offset: 0 })
    await tell(b, other, [log], OTHER_HALF)
    await tell(b, other, [log], [{ from: 7, width: 5 }, { from: 100, width: 5 }])
    await tell(b, other, [log], WHOLE)
    expect(of(seen[0], b)).to.deep.equal(['join', 'change', 'change', 'change', 'change'])
  })

  it('scenario 28: who stops replicating leaves, and joins again when it goes on', async () => {
    const { nodes: [, b], logs: [log, other], seen } = await pair(PATIENT)
    await other.unreplicate()
    await eventually('b is still in', () => find(log, b) == null)
    expect(log.replicators()).to.have.lengthOf(1)
    await other.replicate({ segments: HALF })
    await eventually('b is not in', () => find(log, b) != null)
    expect(find(log, b)?.segments).to.deep.equal(HALF)
    await tell(b, other, [log], WHOLE)
    expect(of(seen[0], b)).to.deep.equal(['join', 'leave stopped', 'join', 'change'])
  })

  it('scenario 28: who closes the log leaves, and joins again when it opens it', async () => {
    const { nodes: [, b], logs: [log, other], seen } = await pair(PATIENT)
    await other.close()
    await eventually('b is still in', () => find(log, b) == null)
    const again = await openAt(b, PATIENT)
    await eventually('b is not in', () => find(log, b) != null)
    await tell(b, again, [log], HALF)
    expect(of(seen[0], b)).to.deep.equal(['join', 'leave unsubscribed', 'join', 'change'])
  })

  it('scenarios 30, 34: who closes while what it announces is under way stays out; who opens again stays in', async () => {
    const { nodes: [, b], logs, seen } = await pair(PATIENT)
    const [log] = logs
    let other = logs[1]

    for (const i of range(10)) {
      await announceAndClose(other, i)
      await eventually('b is still in', () => find(log, b) == null)
      other = await openAt(b, PATIENT)
      await eventually('b is not in', () => find(log, b) != null)
    }

    await tell(b, other, [log], HALF)
    const words = of(seen[0], b).filter(word => word !== 'change')
    expect(words).to.deep.equal(['join', ...range(10).flatMap(() => ['leave unsubscribed', 'join'])])
  })

  it('scenario 30: who stops while others announce is out at all of them', async () => {
    const nodes = await mesh(3)
    const logs = await Promise.all(nodes.map(async node => openAt(node, PATIENT)))
    await allIn(logs, nodes)
    const seen = logs.map(membership)
    const busy = range(20).map(async i => Promise.all([0, 1].map(async at => logs[at].replicate({ segments: [{ from: i, width: 1000 }] }))))
    await nodes[2].stop()
    await Promise.all(busy)
    await eventually('it is still in', () => logs.slice(0, 2).every(log => find(log, nodes[2]) == null))
    await tell(nodes[0], logs[0], [logs[1]], HALF)
    await tell(nodes[1], logs[1], [logs[0]], HALF)
    expect([0, 1].map(i => of(seen[i], nodes[2]))).to.deep.equal([['leave unsubscribed'], ['leave unsubscribed']])
    expect(logs[2].status).to.equal('closed')
    expect(of(seen[0], nodes[1]).filter(word => word !== 'change')).to.deep.equal([])
  })

  it('scenarios 32, 33: a canReplicate that hangs for one peer, or throws for another, delays nobody else', async () => {
    const [a, slow, bad, good] = await mesh(4)
    const gate = Promise.withResolvers<boolean>()
    const asked: string[] = []
    const log = await openAt(a, {
      ...PATIENT,
      canReplicate: async peerId => {
        asked.push(`${peerId}`)
        if (peerId.equals(bad.peerId)) {
          throw new Error('no idea')
        }
        return peerId.equals(slow.peerId) ? gate.promise : true
      }
    })
    const seen = membership(log)
    const [, , other] = [await openAt(slow, PATIENT), await openAt(bad, PATIENT), await openAt(good, PATIENT)]
    await eventually('not all were asked for', () => [slow, bad, good].every(({ peerId }) => asked.includes(`${peerId}`)))
    await eventually('the good one is not in', () => find(log, good) != null)
    await tell(good, other, [log], HALF)
    expect([slow, bad].map(node => find(log, node))).to.deep.equal([undefined, undefined])

    gate.resolve(true)
    await eventually('the slow one is not in', () => find(log, slow) != null)
    expect(of(seen, slow)).to.deep.equal(['join'])
    expect(of(seen, good)).to.deep.equal(['join', 'change'])
    expect(of(seen, bad)).to.deep.equal([])
  })

  it('scenario 42: an abrupt death is one leave, with its reason, when the grace time is over and not before', async () => {
    const grace = 300
    const nodes = await mesh(3)
    const logs = await Promise.all(nodes.map(async node => openAt(node, { maturity: LONG, grace })))
    await allIn(logs, nodes)
    const seen = logs.map(membership)
    const lost = performance.now()
    await crash(nodes[2])
    await eventually('it did not leave', () => [0, 1].every(i => of(seen[i], nodes[2]).length > 0))
    expect(performance.now() - lost).to.be.at.least(grace - 5)
    await tell(nodes[0], logs[0], [logs[1]], HALF)
    await tell(nodes[1], logs[1], [logs[0]], HALF)
    expect([0, 1].map(i => of(seen[i], nodes[2]))).to.deep.equal([['leave unreachable'], ['leave unreachable']])
    expect(of(seen[0], nodes[1])).to.deep.equal(['change'])
  })

  it('mature is said once, after the maturity time, and not again for other segments', async () => {
    const { nodes: [, b], logs: [log, other], seen } = await pair({ maturity: SHORT, grace: LONG })
    await eventually('b is not mature', () => find(log, b)?.state === 'mature')
    await tell(b, other, [log], HALF)
    expect(of(seen[0], b)).to.deep.equal(['join', 'mature', 'change'])
    expect(find(log, b)?.state).to.equal('mature')
  })

  it('what others keep is known as they say it', async () => {
    const { nodes: [, b], logs: [log, other] } = await pair(PATIENT)
    const many = range(20).map(i => ({ from: i * 1000, width: 10 + i }))
    await tell(b, other, [log], many)

    // each is a small change of the one before
    for (const i of range(20)) {
      many[i] = { from: i * 1000 + 1, width: 5 }
      await other.replicate({ segments: many })
    }

    await eventually('the last change was not heard of', () => sameSegments(find(log, b)?.segments, many))
  })
})

async function connectBothWays (a: LogNode, b: LogNode): Promise<void> {
  await Promise.all([meet(a, b), meet(b, a)])
}

/** It closes in the middle of what it announces */
async function announceAndClose (log: SharedLog, i: number): Promise<void> {
  const announcing = range(1 + i % 4).map(async j => log.replicate({ segments: [{ from: i * 100 + j, width: 10 }] }))
  await Promise.allSettled([...announcing, log.close()])
}

/** Two that know each other, and what they say of it from the beginning */
async function pair (options: { maturity: number, grace: number }): Promise<{ nodes: LogNode[], logs: SharedLog[], seen: Array<ReturnType<typeof membership>> }> {
  const nodes = await Promise.all([createLogNode(), createLogNode()])
  const logs = await Promise.all(nodes.map(async node => openAt(node, options)))
  const seen = logs.map(membership)
  await meet(nodes[0], nodes[1])
  await allIn(logs, nodes)
  return { nodes, logs, seen }
}
