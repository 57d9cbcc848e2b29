import { expect } from 'aegir/chai'
import { ANSWER_TIMEOUT, COMPARED_BY_OTHER } from '../../src/replication/constants.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { Cable, removeCables } from '../fixtures/cable.ts'
import { eventually, isNeighbour, meet, range, stopPeers } from '../fixtures/directsub.ts'
import { name, text, texts } from '../fixtures/logs.ts'
import { added, allIn, clockOfPace, createLogNode, eventuallyTrue, expectSame, filled, find, has, LONG, mesh, namesIn, openAt, overEachPubSub, part, saidIn, SHORT } from '../fixtures/sharedlogs.ts'
import type { Entry, SharedLog } from '../../src/index.ts'
import type { LogNode, LogNodeInit } from '../fixtures/sharedlogs.ts'

const PATIENT = { maturity: LONG, grace: LONG }
const HOUR = 3_600_000

overEachPubSub('entries come to all that keep them', function (pubsub) {
  this.timeout(60_000)
  afterEach(async () => {
    removeCables()
    await stopPeers()
  })

  for (const length of [1, 1_000, 10_000]) {
    it(`scenario 38: a late joiner gets ${length.toLocaleString('en')} entries, each with an event of its own, in the same order`, async () => {
      const [a, b] = await mesh(2)
      const log = await openAt(a, PATIENT)
      const entries = await log.appendMany(texts(length))
      const late = await openAt(b, PATIENT)
      // some may be here before anybody can listen
      const before = new Set(await namesIn(late))
      const events = added(late)
      await expectSame([log, late], length)
      await eventually('not as many events as entries', () => new Set([...before, ...events]).size === length)
      expect(new Set(events).size).to.equal(events.length)
      expect(await namesIn(late)).to.deep.equal(entries.map(name))
      await eventually('they do not say that they are in step', () => [log, late].every(log => log.synced().isSynced))
    })
  }

  it('scenario 38: what both appended while they were apart is with both of them, in the same order', async () => {
    const nodes = await Promise.all([createLogNode(), createLogNode()])
    const logs = await Promise.all(nodes.map(async node => openAt(node, PATIENT)))
    await Promise.all(logs.map(async (log, i) => log.appendMany(texts(1_500, `${i} `))))
    const events = logs.map(added)
    await meet(nodes[0], nodes[1])
    await expectSame(logs, 3_000)
    events.forEach(seen => {
      expect(seen).to.have.lengthOf(1_500)
      expect(new Set(seen).size).to.equal(1_500)
    })
  })

  it('two know that they are in step as soon as they are, whichever of them had more', async () => {
    // what they would wait for is long beside what a busy machine takes
    const pace = 1 / 8

    for (const richer of [0, 1]) {
      const { nodes: [a, b], logs } = await together(2, { maturity: LONG, grace: SHORT * pace }, { logs: { clock: clockOfPace(pace) } })
      await logs[0].appendMany(texts(100))
      await expectSame(logs, 100)
      await part(a, b)
      await eventually('they have not left', () => logs.every(log => log.replicators().length === 1))
      await logs[richer].appendMany(texts(3, 'more '))
      const began = systemClock.now()
      await meet(a, b)
      await eventually('they are not in step', () => logs.every(log => log.length === 103 && log.synced().isSynced && log.synced().peers.length === 1))
      expect(systemClock.now() - began, 'they waited').to.be.below(COMPARED_BY_OTHER / pace)
      await stopPeers()
    }
  })

  it('scenario 38: what three append at once, one by one, is with all of them, in the same order', async () => {
    const { logs } = await together(3)
    const events = logs.map(added)
    await Promise.all(logs.flatMap((log, i) => texts(200, `${i} `).map(async data => log.append(data))))
    await expectSame(logs, 600)
    events.forEach(seen => { expect([seen.length, new Set(seen).size]).to.deep.equal([600, 600]) })
  })

  it('scenario 38: what is appended while they lose each other again and again arrives, and nothing twice', async () => {
    const { nodes: [a, b], logs } = await together(2)
    const events = logs.map(added)
    const mine = [0, 0]
    const appended = (): number => mine[0] + mine[1]
    const appending = Promise.all(logs.map(async (log, i) => {
      for (; mine[i] < 60; mine[i]++) {
        await log.append(text(`${i} ${mine[i]}`))
        await new Promise<void>(resolve => { systemClock.after(5, resolve) })
      }
    }))

    for (let before = 0; before < 120; before = appended()) {
      const last = before
      await part(a, b)
      await eventually('nothing is appended', () => appended() > last)
      await (last % 2 === 0 ? meet(a, b) : meet(b, a))
    }

    await appending
    await expectSame(logs, 120)
    events.forEach(seen => { expect([seen.length, new Set(seen).size]).to.deep.equal([120, 120]) })
  })

  it('a late joiner is told by several at once, and does not wait for one that stops in the middle of it', async () => {
    const length = 15_000
    const nodes = await mesh(3)
    const logs = await Promise.all(nodes.map(async node => openAt(node, PATIENT)))
    await logs[0].appendMany(texts(length))
    await expectSame(logs, length)
    const cable = await Cable.to(nodes[2].getMultiaddrs())
    const joiner = await createLogNode()
    await Promise.all([nodes[0], nodes[1]].map(async node => meet(joiner, node)))
    await meet(joiner, nodes[2], cable.address)
    const late = await openAt(joiner, PATIENT)
    const told = nodes.map(() => ({ before: 0, now: 0 }))
    let frozenAt = 0
    let lastAt = 0
    let longestWait = 0
    late.addEventListener('entry:add', () => {
      longestWait = frozenAt === 0 ? 0 : Math.max(longestWait, performance.now() - Math.max(lastAt, frozenAt))
      lastAt = performance.now()
    })
    late.addEventListener('sync:progress', ({ detail: { peerId, done } }) => {
      const share = told[nodes.findIndex(node => node.peerId.equals(peerId))]
      // another comparison begins anew
      share.before += done < share.now ? share.now : 0
      share.now = done

      if (share === told[2] && done > 500 && frozenAt === 0) {
        cable.freeze()
        frozenAt = performance.now()
      }
    })
    await filled(late, length)
    expect(frozenAt, 'it did not tell enough to be stopped').to.be.above(0)
    // one that waited for the answer of the one that stopped would stand still for that long
    expect(longestWait).to.be.above(0).and.below(ANSWER_TIMEOUT / 2)
    await expectSame([...logs, late], length)

    const shares = told.map(({ before, now }) => before + now)
    expect(shares[2], `${shares}`).to.be.within(500, length / 3)
    expect(Math.min(shares[0], shares[1]), `${shares}`).to.be.above(length / 5)
  })

  it('scenario 39: what went into a cable that was dead arrives when they are together again, and nobody has to write once more', async () => {
    const [a, b] = await Promise.all([createLogNode(), createLogNode()])
    const cable = await Cable.to(b.getMultiaddrs())
    const logs = await Promise.all([a, b].map(async node => openAt(node, PATIENT)))
    await meet(a, b, cable.address)
    await allIn(logs, [a, b])
    await logs[0].append(text('before'), { ack: 1 })
    cable.freeze()
    await Promise.all(texts(50).map(async data => logs[0].append(data)))
    await logs[1].append(text('from the other side'))
    cable.cut()
    await eventually('they are still neighbours', () => !isNeighbour(a, b) && !isNeighbour(b, a))
    expect(logs.map(({ length }) => length)).to.deep.equal([51, 2])
    cable.thaw()
    await meet(a, b)
    await expectSame(logs, 52)
  })

  if (pubsub === 'DirectSub') {
    it('scenario 44: the first entry comes over a node that has the pubsub and not the log, without a second write', async () => {
      const [a, relay, c] = await Promise.all(range(3).map(async () => createLogNode()))
      await meet(a, relay)
      await meet(relay, c)
      const logs = await Promise.all([a, c].map(async node => openAt(node, PATIENT)))
      await logs[0].append(text('first'))
      await expectSame(logs, 1)
      await allIn(logs, [a, c])
      await logs[1].append(text('second'), { ack: 'leaders' })
      expect(await saidIn(logs[0])).to.deep.equal(['first', 'second'])
      expect(isNeighbour(a, c), 'they are neighbours').to.be.false()

      // and 1,000 to who opens it late
      await logs[1].appendMany(texts(998))
      const [late] = await Promise.all([openAt(relay, PATIENT)])
      await expectSame([...logs, late], 1_000)
    })
  } else {
    it('scenario 44: who are no neighbours are nothing to each other; what they append comes over one that keeps the log, too, without a second write', async () => {
      const [a, between, c] = await Promise.all(range(3).map(async () => createLogNode()))
      await meet(a, between)
      await meet(between, c)
      const logs = await Promise.all([a, c].map(async node => openAt(node, PATIENT)))
      await logs[0].append(text('first'))
      logs.push(await openAt(between, PATIENT))
      await allIn([logs[2]], [a, c])
      await expectSame(logs, 1)
      await logs[1].append(text('second'), { ack: 'leaders' })
      await logs[1].appendMany(texts(998))
      await expectSame(logs, 1_000)
      expect(isNeighbour(a, c), 'they are neighbours').to.be.false()
      expect([find(logs[0], c), find(logs[1], a)]).to.deep.equal([undefined, undefined])
    })
  }

  it('scenario 45: what was awaited is there for the iterator at once, here and, acknowledged, over there', async () => {
    const { logs: [log, other] } = await together(2)

    for (const i of range(100)) {
      await log.append(text(`${i}`))
      if (i % 10 === 9) {
        expect(await saidIn(log)).to.deep.equal(range(i + 1).map(String))
      }
    }

    const last = await log.append(text('last'), { ack: 'leaders' })
    expect(await other.get(last.id)).to.not.equal(undefined)
    await filled(other, 101)
    expect(await saidIn(other)).to.deep.equal([...range(100).map(String), 'last'])
  })

  it('scenario 46: an entry that the receiver refuses holds up none of the others, appended live or found late', async () => {
    const nodes = await mesh(3)
    const canAppend = ({ data }: Entry): boolean => data[0] !== text('!')[0]
    const log = await openAt(nodes[0], PATIENT)
    const strict = await openAt(nodes[1], { ...PATIENT, canAppend })
    await allIn([log, strict], nodes.slice(0, 2))
    const words = range(300).map(i => i % 3 === 0 ? `!${i}` : `${i}`)
    const good = words.filter(word => !word.startsWith('!'))
    await Promise.all(words.map(async word => log.append(text(word))))
    await filled(strict, 200)
    expect((await saidIn(strict)).sort()).to.deep.equal(good.slice().sort())

    const late = await openAt(nodes[2], { ...PATIENT, canAppend })
    await filled(late, 200)
    expect((await saidIn(late)).sort()).to.deep.equal(good.slice().sort())
    expect(log.length).to.equal(300)
    // and it goes on
    const next = await log.append(text('next'))
    await eventuallyTrue('the next one did not come', async () => await has(strict, next) && has(late, next))
  })

  it('scenario 47: two logs of the same nodes have each its own entries, members and events', async () => {
    const nodes = await mesh(3)
    const reds = await Promise.all(nodes.map(async node => openAt(node, PATIENT, 'red')))
    const blues = await Promise.all(nodes.slice(0, 2).map(async node => openAt(node, PATIENT, 'blue')))
    await allIn(reds, nodes)
    await allIn(blues, nodes.slice(0, 2))
    const events = [reds, blues].map(logs => logs.map(added))
    await Promise.all(range(50).flatMap(i => [reds[i % 3].append(text(`red ${i}`)), blues[i % 2].append(text(`blue ${i}`))]))
    await expectSame(reds, 50)
    await expectSame(blues, 50)
    expect((await saidIn(reds[2])).every(word => word.startsWith('red '))).to.be.true()
    expect((await saidIn(blues[1])).every(word => word.startsWith('blue '))).to.be.true()
    expect(events.map(logs => logs.map(seen => seen.length))).to.deep.equal([[50, 50, 50], [50, 50]])

    await reds[0].close()
    await eventually('its end was not heard of', () => find(reds[1], nodes[0]) == null)
    expect(find(blues[1], nodes[0])).to.not.equal(undefined)
    await blues[0].append(text('blue, still'), { ack: 'leaders' })
    expect(blues[1].length).to.equal(51)
    expect(reds[1].length).to.equal(50)
  })

  it('scenario 49: clocks that are an hour apart: who is behind gets what it can believe, and its own arrives', async () => {
    const ahead = await createLogNode({ logs: { clock: { ...systemClock, now: () => systemClock.now() + HOUR } } })
    const [behind, witness] = [await createLogNode(), await createLogNode()]
    await meet(behind, ahead)
    await meet(behind, witness)
    if (pubsub === 'GossipSub') {
      // all of them are to be replicators to each other
      await meet(ahead, witness)
    }
    const nodes = [ahead, behind, witness]
    const logs = await Promise.all(nodes.map(async node => openAt(node, PATIENT)))
    await allIn(logs, nodes)
    // those of the one ahead are refused, and hold up nobody
    const refused = await logs[0].append(text('from the future'))
    await Promise.all(texts(20).map(async data => logs[1].append(data)))
    await filled(logs[0], 21)
    await filled(logs[2], 20)
    expect(await has(logs[1], refused)).to.be.false()
    expect(await saidIn(logs[2])).to.deep.equal(await saidIn(logs[1]))
    await logs[2].append(text('and more'))
    await filled(logs[0], 22)
    await filled(logs[1], 21)
  })
})

/** As many that know each other, with a log in which all of them are */
async function together (count: number, options = PATIENT, init: LogNodeInit = {}): Promise<{ nodes: LogNode[], logs: SharedLog[] }> {
  const nodes = await mesh(count, init)
  const logs = await Promise.all(nodes.map(async node => openAt(node, options)))
  await allIn(logs, nodes)
  return { nodes, logs }
}
