import { expect } from 'aegir/chai'
import { PATIENCE, until } from './until.ts'
import { arrived, two, World } from './world.ts'
import type { Phase } from './relays.ts'

const PHASES: Phase[] = ['propose', 'accept', 'confirm', 'data']
/** Messages that are said around a fault */
const SOME = 20

describe('two browsers whose sockets are reset', function () {
  this.timeout(PATIENCE * 3)
  const world = World.create()

  it('are connected again when they were idle, and go on where they were', async () => {
    const relay = await world.relay()
    const [a, b] = await two(world, relay)
    a.proxy.reset()
    b.proxy.reset()
    await a.send(b, 1, SOME)
    await b.send(a, 1, SOME)
    await arrived(a, b, 1 + SOME)
    await arrived(b, a, 1 + SOME)
    expect((await a.seen()).resyncs).to.deep.equal([])
  })

  it('lose none of 100 messages in flight, get none twice, and have them in order', async () => {
    const relay = await world.relay()
    const [a, b] = await two(world, relay)
    // long enough for all of them to be on their way when it happens
    a.proxy.latency = b.proxy.latency = 100
    await Promise.all([a.send(b, 1, 100), b.send(a, 1, 100)])
    expect((await a.seen()).delivered).to.have.lengthOf(1)
    a.proxy.reset()
    await arrived(a, b, 101)
    await arrived(b, a, 101)
  })

  for (const phase of PHASES) {
    it(`agree on a new key all the same when the sockets are reset at ${nameOf(phase)}, which is lost`, async () => {
      const relay = await world.relay()
      const [a, b] = await two(world, relay)
      const before = await a.epoch(b)
      await relay.arm(phase, 'lose')
      await a.rekey(b)
      await a.send(b, 1, SOME)
      await b.send(a, 1, SOME)
      await until('the relay sees it', () => relay.hasTripped)
      await arrived(a, b, 1 + SOME)
      await arrived(b, a, 1 + SOME)
      await until('they have a new key', async () => {
        const [one, other] = [await a.epoch(b), await b.epoch(a)]
        return one > before && one === other
      })
      expect([(await a.seen()).resyncs, (await b.seen()).resyncs]).to.deep.equal([[], []])
    })
  }
})

export function nameOf (phase: Phase): string {
  return phase === 'data' ? 'the first message under it' : `the ${phase[0].toUpperCase()}${phase.slice(1)}`
}
