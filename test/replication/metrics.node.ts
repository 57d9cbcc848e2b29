import { expect } from 'aegir/chai'
import { eventually, meet, stopPeers } from '../fixtures/directsub.ts'
import { text, texts } from '../fixtures/logs.ts'
import { recordedMetrics } from '../fixtures/metrics.ts'
import { createLogNode, LOG, openAt } from '../fixtures/sharedlogs.ts'

describe('metrics of shared logs, over TCP', function () {
  this.timeout(60_000)
  afterEach(stopPeers)

  it('count what was appended, what came and what became of it, and show each open log as it is', async () => {
    const recorded = recordedMetrics()
    const of = (name: string): unknown => recorded.of(`libp2p_sheaf_log_${name}`)
    const [a, b] = await Promise.all([createLogNode({ metrics: recorded.metrics }), createLogNode()])
    await meet(a, b)
    const [logA, logB] = await Promise.all([openAt(a), openAt(b)])
    await logA.waitForReplicators({ count: 2 })
    await logA.append(text('hello'), { ack: 'leaders' })
    await logA.appendMany(texts(9))
    await logB.appendMany(texts(7))
    await eventually('they are not here', () => logA.length === 17)

    expect([of('appended_entries_total'), of('appended_bytes_total')]).to.deep.equal([10, 14])
    await eventually('nobody counted them', () => (of('received_entries_total') as any).added === 7)
    expect(of('join_seconds_total')).to.be.greaterThan(0)
    expect([of('entries'), of('replicators'), of('coverage'), of('copies'), of('problems'), of('missing_entries')])
      .to.deep.equal([17, 2, 1, 2, 0, 0].map(value => ({ [LOG]: value })))
    expect(of('bytes')).to.have.property(LOG).that.is.greaterThan(17 * 50)
    expect(of('size')).to.have.property('peers', 1)
    expect(recorded.observed.get('libp2p_sheaf_log_ack_seconds')).to.have.lengthOf(1)

    await logA.close()
    expect([of('entries'), of('appended_entries_total')]).to.deep.equal([{}, 10])
  })
})
