import { randomBytes } from '@libp2p/crypto'
import { expect } from 'aegir/chai'
import { systemClock } from '../../src/runtime/clock.ts'
import { eventually, meet, settles, stopPeers } from '../fixtures/directsub.ts'
import { IS_LONG } from '../fixtures/effort.ts'
import { hostileReplicator } from '../fixtures/hostile-replicator.ts'
import { texts } from '../fixtures/logs.ts'
import { clockOfPace, createLogNode, filled, LONG, mesh, namesIn, openAt, SHORT } from '../fixtures/sharedlogs.ts'
import type { Answer, Question } from '../../src/replication/wire.ts'
import type { Clock } from '../../src/runtime/clock.ts'

const NO_PROOF = new Uint8Array(0)
/** Times as fast as the clock on the wall: so that what takes a minute is seen in a second */
const FAST = 40
const KEY = new Uint8Array(16)

function skewed (ms: number): Clock {
  return { ...systemClock, now: () => systemClock.now() + ms }
}

/** It has nothing, and says that it has whatever it is asked for */
function lie (question: Question): Answer {
  return question.kind === 'keep' ? { kind: 'keep', proofs: question.ids.map(() => randomBytes(16)) } : { kind: 'refused', reason: 'later' }
}

describe('a shared log among peers that lie, hide, or say nothing', function () {
  this.timeout(60_000)
  afterEach(stopPeers)

  it('lets go of nothing because liars say that they keep it', async () => {
    const node = await createLogNode()
    const observer = await openAt(node, { replicate: false, maturity: SHORT })
    await observer.appendMany(texts(100))
    let asked = 0
    const answer = (question: Question): Answer => {
      asked += question.kind === 'keep' ? 1 : 0
      return lie(question)
    }
    await Promise.all([1, 2, 3].map(async () => hostileReplicator([node], { answer })))
    await eventually('they are not mature', () => observer.replicators().filter(({ state }) => state === 'mature').length === 3)
    // each of them has confirmed it more than once since then
    const before = asked
    await eventually('they were not asked', () => asked >= before + 6, 30_000)
    expect(observer.length).to.equal(100)
    expect(observer.diagnostics().problems.join()).to.include('100 entries that are not for this node to keep')
  })

  for (const [how, answer] of Object.entries<(question: Question) => Answer | undefined>({
    'never answers': () => undefined,
    'refuses everything': () => ({ kind: 'refused', reason: 'no' }),
    'has none of what it is asked for': question => question.kind === 'keep' ? { kind: 'keep', proofs: question.ids.map(() => NO_PROOF) } : undefined
  })) {
    it(`names a replicator that ${how}, and neither waits for it nor counts it as a copy`, async () => {
      const node = await createLogNode({ logs: { clock: clockOfPace(FAST) } })
      const log = await openAt(node, { grace: LONG * FAST })
      await log.appendMany(texts(100))
      const hostile = await hostileReplicator([node], { answer })
      await eventually('it is not in', () => log.replicators().length === 2)
      await eventually('nobody says so', () => log.diagnostics().problems.some(problem => problem.includes(`${hostile.node.peerId} says that it keeps`)), 30_000)
      expect(log.diagnostics().copies).to.equal(1)
      const outcome = await settles('an append', log.append(texts(1)[0], { ack: 'leaders' }))
      expect(outcome.status).to.equal('fulfilled')
    })
  }

  it('catches up from an honest peer while four and more claim the ring, nudge, and never answer', async () => {
    const [source, victim] = await Promise.all([createLogNode(), createLogNode()])
    const log = await openAt(source)
    await log.appendMany(texts(5_000))
    const late = await openAt(victim)
    const silent = await Promise.all(Array.from({ length: 6 }, async () => hostileReplicator([victim])))
    await eventually('they are not in', () => late.replicators().length === 7)
    const nudging = setInterval(() => { silent.forEach(hostile => { hostile.send(victim, { type: 'nudge' }).catch(() => {}) }) }, 100)

    try {
      // all that they can hold is held
      await eventually('they are not compared with', () => late.diagnostics().sizes.comparisons >= 4)
      await meet(victim, source)
      await filled(late, 5_000)
    } finally {
      clearInterval(nudging)
    }
  })

  it('is in step with those who answer, whoever else claims the ring and refuses everything', async () => {
    const nodes = await mesh(2)
    const [log, other] = await Promise.all(nodes.map(async node => openAt(node)))
    await log.appendMany(texts(100))
    await hostileReplicator(nodes, { answer: () => ({ kind: 'refused', reason: 'no' }) })
    await eventually('it is not in', () => [log, other].every(log => log.replicators().length === 3))
    await Promise.all([log, other].map(async log => log.waitForSync({ signal: AbortSignal.timeout(20_000) })))
    expect([log.length, other.length]).to.deep.equal([100, 100])
  })

  it('takes a share within its limit, though those who claim the ring do not say what theirs weigh', async () => {
    const node = await createLogNode({ logs: { clock: clockOfPace(FAST) } })
    await hostileReplicator([node], { answer: () => ({ kind: 'refused', reason: 'no' }) })
    const log = await openAt(node, { replicate: { limits: { storage: 100_000 } } })
    await eventually('it is not in', () => log.replicators().length > 0)
    await eventually('it keeps nothing', () => log.replicators().some(({ self }) => self), 30_000)
  })

  it('proves as many entries as it can read at once, and no id twice', async () => {
    const node = await createLogNode()
    const log = await openAt(node)
    const entries = await log.appendMany(Array.from({ length: 8 }, (_, i) => new Uint8Array(900_000).fill(i)))
    const hostile = await hostileReplicator([node], { segments: [] })
    const ids = entries.map(({ id }) => id.bytes)
    const some = await hostile.ask(node, { kind: 'keep', nonce: KEY, ids })
    expect(some?.kind === 'keep' ? some.proofs.map(({ byteLength }) => byteLength) : some).to.deep.equal([16, 16, 16])
    const twice = await hostile.ask(node, { kind: 'keep', nonce: KEY, ids: [ids[0], ids[0]] })
    expect(twice?.kind).to.equal('refused')
    const many = await hostile.ask(node, { kind: 'keep', nonce: KEY, ids: Array.from({ length: 1025 }, () => randomBytes(32)) })
    expect(many?.kind).to.equal('refused')
  })

  it('proves nothing with what it proved to somebody else, or for another nonce', async () => {
    const node = await createLogNode()
    const log = await openAt(node)
    const [{ id }] = await log.appendMany(texts(1))
    const hostile = await hostileReplicator([node], { segments: [] })
    const proofs = new Set<string>()

    for (const nonce of [KEY, KEY, randomBytes(16)]) {
      const answer = await hostile.ask(node, { kind: 'keep', nonce, ids: [id.bytes] })
      proofs.add(answer?.kind === 'keep' ? answer.proofs.join() : 'none')
    }
    expect(proofs.size).to.equal(2)
    expect(proofs.has('none')).to.equal(false)
  })

  it('does not listen to a peer that sends nothing but what cannot be read', async () => {
    const node = await createLogNode()
    const log = await openAt(node)
    const hostile = await hostileReplicator([node], { segments: [] })

    for (let i = 0; i < 100; i++) {
      await hostile.sendBytes(node, Uint8Array.of(1, 9, i))
    }
    await eventually('they were read', () => (log.diagnostics().dropped['messages of peers that send malformed ones'] ?? 0) >= 60)
    expect(log.diagnostics().dropped['malformed messages']).to.be.below(40)
  })

  it('an entry that is far ahead does not make those of honest peers too far ahead for others', async () => {
    const [a, behind, ahead] = await Promise.all([createLogNode(), createLogNode({ logs: { clock: skewed(-2_000) } }), createLogNode({ logs: { clock: skewed(59_500) } })])
    const grace = { grace: SHORT }
    await meet(a, behind)
    const [log, other] = [await openAt(a, grace), await openAt(behind, grace)]
    await meet(ahead, a)
    const poisoner = await openAt(ahead, grace)
    await eventually('they are not in', () => log.replicators().length === 3)
    await poisoner.append(texts(1, 'poison')[0])
    await filled(log, 1)
    await ahead.stop()
    await eventually('it has not left', () => log.replicators().length === 2)
    await log.append(texts(1, 'honest')[0], { ack: 'leaders' })
    expect(other.length).to.be.at.least(1)
  })

  it('clocks that are an hour apart are named on both sides', async () => {
    const [a, b] = await Promise.all([createLogNode(), createLogNode({ logs: { clock: skewed(-3_600_000) } })])
    await meet(a, b)
    const [log, behind] = [await openAt(a), await openAt(b)]
    await eventually('they are not in', () => log.replicators().length === 2 && behind.replicators().length === 2)
    await log.append(texts(1)[0])
    await eventually('the one behind says nothing', () => behind.diagnostics().problems.some(problem => problem.includes(`${a.peerId} are 60 minutes ahead`)))
    await eventually('the one ahead says nothing', () => log.diagnostics().problems.some(problem => problem.includes(`${b.peerId} takes entries of this node later`)))
  })

  it('keeps a limit of bytes from the first one on', async () => {
    const limit = 500_000
    const nodes = await mesh(2)
    const log = await openAt(nodes[0], { maturity: SHORT })
    await log.appendMany(Array.from({ length: 4_000 }, () => randomBytes(1_000)))
    const small = await openAt(nodes[1], { replicate: { limits: { storage: limit } }, maturity: SHORT })
    let most = 0
    small.addEventListener('entry:add', () => { most = Math.max(most, small.diagnostics().log.bytes) })
    await eventually('it has nothing', () => small.length > 0 && small.synced().isSynced)
    expect(most).to.be.within(limit / 2, limit + 200_000)
  })

  it('three that have room for one and a half copies keep all there is between them', async () => {
    // no faster: who hears late of what others do leaves more of a place, and a busy machine is that much slower by this clock
    const clock = clockOfPace(4)
    const [writer, ...nodes] = await mesh(4, { logs: { clock } })
    const source = await openAt(writer, { replicate: true, maturity: 100 })
    await source.appendMany(Array.from({ length: 3_000 }, () => randomBytes(500)))
    const total = source.diagnostics().log.bytes
    const logs = await Promise.all(nodes.map(async node => openAt(node, { replicate: { limits: { storage: total / 2 } }, maturity: 100 })))
    await eventually('they have not begun', () => logs.every(log => log.length > 0))
    await source.unreplicate()
    const settled = (): boolean => logs.every(log => log.synced().isSynced) && logs[0].coverage() === 1
    await eventually(() => `${logs.map(({ length }) => length)}, ${logs[0].coverage()}`, settled, 50_000)
    // two that move at once may both leave a place to the other one, for a moment
    let least = 1
    const until = performance.now() + (IS_LONG ? 20_000 : 4_000)
    await eventually('time does not pass', () => {
      least = Math.min(least, logs[0].coverage())
      return performance.now() > until
    })
    expect(least).to.be.at.least(0.85)
    await eventually(() => `what is kept: ${logs[0].coverage()}`, () => logs[0].coverage() === 1)
    // nothing is lost, whatever moved
    const there = new Set((await Promise.all([source, ...logs].map(async log => namesIn(log)))).flat())
    expect(there.size).to.equal(3_000)
  })

  it('a listener of closing that never ends holds up the end of a log for ten seconds, and no longer', async () => {
    const node = await createLogNode({ logs: { clock: clockOfPace(FAST) } })
    const log = await openAt(node)
    log.addEventListener('closing', ({ detail }) => { detail.waitUntil(new Promise(() => {})) })
    await settles('close()', log.close())
    expect((await openAt(node)).status).to.equal('open')
  })
})
