import { expect } from 'aegir/chai'
import { EndReason } from '../../src/transfer/wire.ts'
import { breathe } from '../fixtures/transfer-net.ts'
import { bytesOf } from '../fixtures/transfers.ts'
import { heard, LEAF, MIB, works, world } from './hostile-world.ts'
import type { World } from './hostile-world.ts'
import type { NetNode } from '../fixtures/transfer-net.ts'

async function sending (source: Uint8Array | Array<Uint8Array>): Promise<World & { id: Uint8Array, sent: ReturnType<NetNode['transfers']['send']>, outcome (): string | undefined }> {
  const test = await world()
  const { net, victim, hostile } = test
  net.judge = (_, to) => to === hostile ? 'lose' : undefined
  const sent = victim.transfers.send(hostile.peerId, source)
  let outcome: string | undefined
  sent.done.then(() => { outcome = 'done' }, err => { outcome = err.reason ?? err.name })
  await net.run(50)
  return { ...test, id: net.log[0].message.id, sent, outcome: () => outcome }
}

describe('a hostile receiver', function () {
  this.timeout(60_000)

  it('asks for bytes beyond the end: none is sent', async () => {
    const test = await sending(bytesOf(3 * LEAF))
    for (let number = 1; number < 1000; number++) {
      test.hostile.say(test.victim, { type: 'status', id: test.id, status: { number, echo: 0, horizon: 0, wanted: [{ from: 10 * LEAF, to: 2 ** 53 - 1 }] } })
    }
    expect(heard(test).filter(({ type }) => type === 'data')).to.have.lengthOf(0)
    test.sent.abort()
  })

  for (const [kind, source] of Object.entries({ bytes: bytesOf(3 * LEAF), 'an iterable': [bytesOf(3 * LEAF)] })) {
    it(`asks for the same again and again, of ${kind}: it is given up, and it was no more than a few times its size`, async () => {
      const test = await sending(source)
      const { victim, hostile, id, outcome } = test
      for (let number = 1; number < 20_000 && outcome() == null; number += 2) {
        hostile.say(victim, { type: 'status', id, status: { number, echo: 0, horizon: 4 * LEAF, wanted: [{ from: 96, to: 96 + LEAF }] } })
        await breathe()
        hostile.say(victim, { type: 'status', id, status: { number: number + 1, echo: 0, horizon: 4 * LEAF, wanted: [] } })
      }
      expect(outcome()).to.be.oneOf(['protocol', 'SourceFailedError'])
      const bytes = heard(test).reduce((sum, message) => sum + (message.type === 'data' ? message.bytes.byteLength : 0), 0)
      expect(bytes).to.be.below(3 * 4 * LEAF + 5 * MIB)
      expect(victim.sizes).to.include({ inFlight: 0, outbound: 0 })
    })
  }

  it('says numbers backwards, huge horizons, and echoes of what was never asked: the flight keeps its books', async () => {
    const test = await sending(bytesOf(40 * LEAF))
    const { net, victim, hostile, id } = test
    const numbers = [5, 4, 2 ** 53 - 2, 1, 7, 2 ** 53 - 1]
    for (const [i, number] of numbers.entries()) {
      hostile.say(victim, { type: 'status', id, status: { number, echo: 2 ** 53 - 1, horizon: 2 ** 53 - 1, wanted: [{ from: i * 1000, to: 20 * LEAF }] } })
      await net.run(300)
      expect(victim.sizes.inFlightBytes).to.be.within(0, 4 * MIB)
    }
    test.sent.abort()
    expect(victim.sizes).to.include({ inFlight: 0, inFlightBytes: 0 })
    expect(test.outcome()).to.equal(undefined)
    await works(test)
  })

  it('takes nothing, for ever: no more is in flight than a window, others get theirs, and it is given up', async () => {
    const test = await sending(bytesOf(200 * LEAF))
    const { net, victim, hostile, honest, id, outcome } = test
    hostile.say(victim, { type: 'status', id, status: { number: 1, echo: 0, horizon: 10, wanted: [{ from: 0, to: 200 * LEAF }] } })
    await net.run(1000)
    expect(victim.sizes.inFlightBytes).to.be.within(1, 4 * MIB)
    const sent = victim.transfers.send(honest.peerId, bytesOf(MIB))
    const got = (await honest.offer()).accept().bytes(1e9)
    expect((await net.outcome(sent.done)).status).to.equal('fulfilled')
    await got
    await net.run(61_000)
    expect(outcome()).to.equal('silent')
    expect(victim.sizes).to.include({ inFlight: 0, outbound: 0 })
  })

  it('says after each piece that it knows nothing of it: it is offered again, and given up after a few times its size', async () => {
    const { net, victim, hostile, id, outcome } = await sending(bytesOf(LEAF))
    const sentBytes = (): number => net.log.filter(({ to }) => to === hostile)
      .reduce((sum, { message }) => sum + (message.type === 'data' ? message.bytes.byteLength : 0), 0)

    for (let i = 0; i < 5_000 && outcome() == null; i++) {
      hostile.say(victim, { type: 'status', id, status: { number: 1, echo: 0, horizon: LEAF, wanted: [{ from: 0, to: LEAF }] } })
      await breathe()
      hostile.say(victim, { type: 'end', id, isSender: false, reason: EndReason.UNKNOWN })
      await breathe()
    }

    expect(outcome()).to.equal('protocol')
    expect(sentBytes()).to.be.within(16 * LEAF, 16 * LEAF + 5 * MIB)
    expect(victim.sizes).to.include({ inFlight: 0, outbound: 0 })
  })

  it('asks for a byte here and a byte there: few are in flight, few are remembered, and it is given up', async () => {
    const { victim, hostile, id, outcome } = await sending(bytesOf(64 * MIB))

    for (let number = 1; number < 2_000 && outcome() == null; number++) {
      const wanted = Array.from({ length: 32 }, (_, i) => 100_000 + 64 * number + 2 * i).map(from => ({ from, to: from + 1 }))
      hostile.say(victim, { type: 'status', id, status: { number, echo: 0, horizon: 0, wanted } })
      await breathe()
      expect(victim.sizes.inFlight).to.be.at.most(1024)
    }

    expect(outcome()).to.equal('protocol')
    expect(victim.sizes).to.include({ inFlight: 0, outbound: 0 })
  })
})
