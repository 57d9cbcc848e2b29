import { expect } from 'aegir/chai'
import { sharedLogs } from '../../src/index.ts'
import { eventually, meet, range, settles, stopPeers } from '../fixtures/directsub.ts'
import { collect, nameOfError, text, texts } from '../fixtures/logs.ts'
import { added, allIn, createLogNode, eventuallyTrue, expectSame, filled, find, LONG, membership, mesh, of, openAt, overEachPubSub, RING } from '../fixtures/sharedlogs.ts'
import type { OpenOptions, Segment } from '../../src/index.ts'

const PATIENT = { maturity: LONG, grace: LONG }
const HALF: Segment[] = [{ from: 0, width: RING / 2 }]

overEachPubSub('who may keep what, and who waits for whom', function () {
  this.timeout(60_000)
  afterEach(stopPeers)

  it('scenario 41: a refused replicator is not counted, and gets nothing, neither what is there nor what is new', async () => {
    const [a, b, stranger] = await mesh(3)
    const options = { ...PATIENT, canReplicate: async (peerId: { toString(): string }) => `${peerId}` !== `${stranger.peerId}` }
    const logs = [await openAt(a, options), await openAt(b, options)]
    await allIn(logs, [a, b])
    await logs[0].appendMany(texts(100))
    const seen = membership(logs[0])
    const refused = await openAt(stranger, PATIENT)
    const events = added(refused)
    await eventually('it was not refused', () => logs.every(log => log.diagnostics().dropped['replicators refused'] >= 1))
    // it believes that it is one: it asks, and asks again
    await allIn([refused], [a, b])
    await logs[1].appendMany(texts(100, 'live '), { ack: 'leaders' })
    await refused.replicate({ segments: HALF })
    await eventually('it was not refused again', () => logs.every(log => log.diagnostics().dropped['replicators refused'] >= 2))
    await expectSame(logs, 200)
    await logs[0].append(text('a fence'), { ack: 1 })

    expect(events).to.deep.equal([])
    expect(refused.length).to.equal(0)
    expect(of(seen, stranger)).to.deep.equal([])
    expect(logs[0].replicators()).to.have.lengthOf(2)
    expect(logs[0].diagnostics().peers.find(({ peerId }) => peerId.equals(stranger.peerId))?.why).to.equal('canReplicate of this log refused it')
  })

  it('scenario 41: one that is refused for what it keeps leaves, and is in again when it keeps less', async () => {
    const [a, b] = await mesh(2)
    const log = await openAt(a, { ...PATIENT, canReplicate: (peerId, segments) => peerId.equals(a.peerId) || segments.every(({ width }) => width <= RING / 2) })
    const seen = membership(log)
    const other = await openAt(b, { ...PATIENT, replicate: { segments: HALF } })
    await eventually('it is not in', () => of(seen, b).length === 1)
    await other.replicate(true)
    await eventually('it is not out', () => of(seen, b).length === 2)
    await other.replicate({ segments: [{ from: 5, width: 5 }] })
    await eventually('it is not in again', () => of(seen, b).length === 3)
    expect(of(seen, b)).to.deep.equal(['join', 'leave refused', 'join'])
  })

  it('who keeps nothing may read if canReplicate says so of somebody without segments, and who is refused may not', async () => {
    const [a, reader, stranger] = await mesh(3)
    const asked: number[] = []
    const log = await openAt(a, {
      ...PATIENT,
      canReplicate: (peerId, segments) => {
        asked.push(segments.length)
        return peerId.equals(reader.peerId) && segments.length === 0
      }
    })
    await log.appendMany(texts(100))
    const [reading, refused] = [await openAt(reader, { ...PATIENT, replicate: false }), await openAt(stranger, { ...PATIENT, replicate: false })]
    await allIn([reading, refused], [a])
    expect(await collect(reading.elsewhere())).to.have.lengthOf(100)
    expect(await nameOfError(collect(refused.elsewhere()))).to.equal('NoReplicatorError')
    expect(asked).to.include(0)
    // who wants to keep what it may not is refused in all
    await reading.replicate({ segments: [{ from: 5, width: 5 }] })
    await eventually('it was not refused', () => log.diagnostics().dropped['replicators refused'] >= 1)
    expect(await nameOfError(collect(reading.elsewhere()))).to.equal('NoReplicatorError')
    await reading.unreplicate()
    await eventuallyTrue('it may not read again', async () => await nameOfError(collect(reading.elsewhere())) === 'none')
  })

  it('a late joiner that asks before it was decided about gets all when it is accepted', async () => {
    const [a, b] = await mesh(2)
    const gate = Promise.withResolvers<boolean>()
    const log = await openAt(a, { ...PATIENT, canReplicate: async () => gate.promise })
    await log.appendMany(texts(100))
    const late = await openAt(b, PATIENT)
    await allIn([late], [a])
    gate.resolve(true)
    await filled(late, 100)
  })

  it('scenario 48: a wait that is aborted rejects with its reason and leaves no listener', async () => {
    const log = await openAt(await createLogNode(), PATIENT)
    const controller = new AbortController()
    const waits = range(20).map(async i => log.waitForReplicators({ count: 2 + i, signal: controller.signal }))
    const outcomes = waits.map(async wait => settles('a wait', wait))
    await eventually('nobody waits', () => log.diagnostics().sizes.watchers === 20)
    controller.abort(new Error('no patience'))
    for (const outcome of await Promise.all(outcomes)) {
      expect(outcome.status === 'rejected' && outcome.reason.message).to.equal('no patience')
    }
    expect(log.diagnostics().sizes.watchers).to.equal(0)
    const before = await log.waitForReplicators({ signal: AbortSignal.abort(new Error('too late')) }).catch(err => err.message)
    expect(before).to.equal('too late')
    expect(await log.waitForReplicators({ count: 1 })).to.have.lengthOf(1)
  })

  it('scenario 48: waits end with as many as are wanted, with as much as is wanted, or with the log', async () => {
    const nodes = await Promise.all(range(3).map(async () => createLogNode()))
    const part = { ...PATIENT, replicate: { factor: 0.25, offset: 0 } }
    const log = await openAt(nodes[0], part)
    expect(log.coverage()).to.equal(0.5)
    const waits = [log.waitForReplicators(), log.waitForReplicators({ coverage: 1 }), log.waitForReplicators({ count: 3, coverage: 0.9 }), log.waitForReplicators({ count: 9 })]
    const last = settles('the last one', waits[3])
    await openAt(nodes[1], part)
    await meet(nodes[0], nodes[1])
    expect((await waits[0]).map(({ self }) => self).sort()).to.deep.equal([false, true])
    expect(log.coverage()).to.equal(0.5)
    await openAt(nodes[2], PATIENT)
    await meet(nodes[0], nodes[2])
    expect(await waits[1]).to.have.lengthOf(3)
    expect(await waits[2]).to.have.lengthOf(3)
    await log.close()
    const outcome = await last
    expect(outcome.status === 'rejected' && outcome.reason.name).to.equal('LogClosedError')
    expect(await nameOfError(log.waitForReplicators())).to.equal('LogClosedError')
  })

  it('options that make no sense are refused by name, and nothing is left of them', async () => {
    const node = await createLogNode()
    const wrong = [
      { replicas: { min: 0 } }, { replicas: { min: 3, max: 2 } }, { replicas: { min: 1.5 } }, { replicate: { factor: 2 } }, { replicate: { factor: Number.NaN } },
      { replicate: { segments: [{ from: -1, width: 5 }] } }, { replicate: { segments: [{ from: 0, width: 0 }] } }, { replicate: { segments: [{ from: 0, width: 5 }, { from: 4, width: 5 }] } },
      { replicate: { limits: { storage: -1 } } }, { replicate: { limits: { cpu: 2 } } }, { replicate: { limits: { disk: 1 } } }, { replicate: { factor: 0.5, width: 1 } },
      { replicate: {} }, { replicate: null }, { replicate: { segments: 5 } }, { replicate: { segments: [null] } }, { replicate: { limits: undefined } }, { replicate: { factor: '0.5' } }, { replicate: { limits: { cpu: '1' } } }, { replicate: 'all' }, { replicate: 1 }, { replicat: true }, { replicas: 3 }, { replicas: { least: 3 } }, { maturity: '5s' }, { grace: -1 },
      { canAppend: true }, { canReplicate: [] }, { keep: 'all' }, { signal: {} }
    ] as unknown as OpenOptions[]
    for (const options of wrong) {
      expect(await nameOfError(openAt(node, options)), JSON.stringify(options)).to.equal('InvalidOptionsError')
    }
    expect(node.services.pubsub.getTopics()).to.deep.equal([])
    const log = await openAt(node)
    expect(await nameOfError(log.replicate({ factor: -1 }))).to.equal('InvalidOptionsError')
    expect(find(log, node)?.segments).to.deep.equal([{ from: 0, width: RING }])

    const refused = [
      ...[{ ack: 'all' }, { ack: -1 }, { ack: true }, { acks: 1 }, { replicas: 'two' }, { signal: 7 }].flatMap((options: any) => [log.append(text('no'), options), log.appendMany([text('no')], options)]),
      log.replicate('some' as any), log.replicate(undefined as any), log.waitForReplicators({ peers: 2 } as any), log.trim({ size: 1 } as any)
    ]
    expect(await Promise.all(refused.map(nameOfError))).to.deep.equal(new Array(refused.length).fill('InvalidOptionsError'))
    const handed: Array<() => unknown> = [
      async () => log.get(7 as any), async () => log.get(null as any), async () => log.has('id' as any), async () => log.keeps('group' as any),
      async () => log.acked({} as any, 'leaders'), async () => log.mark('' as any, 1), async () => log.marked(7 as any),
      async () => log.import(7 as any), async () => log.import(null as any), async () => log.import([] as any, 7 as any),
      async () => log.trim(null as any),
      () => log.shelf(7 as any), () => log.arrivals(NaN), () => log.arrivals(-1), () => log.entries({ from: 7 } as any), () => log.elsewhere({ group: 7 } as any)
    ]
    for (const call of handed) {
      expect(await nameOfError((async () => call())()), String(call)).to.equal('InvalidOptionsError')
    }
    expect(await nameOfError(log.append(null as any))).to.equal('InvalidContentError')
    for (const id of [7, null, '', '\ud800', 'x'.repeat(513)]) {
      expect(await nameOfError(node.services.logs.open(id as any)), String(id)).to.equal('InvalidLogIdError')
    }
    expect(() => log.entries({ reversed: true } as any)).to.throw("no option 'reversed'")
    expect(() => sharedLogs({ pubsubs: 'x' } as any)({} as any)).to.throw("no option 'pubsubs'")
    await log.append(text('it works'))
    expect(log.length).to.equal(1)
  })
})
