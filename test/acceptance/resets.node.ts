import { expect } from 'aegir/chai'
import { nameOf, PHASES } from './relays.ts'
import { PATIENCE, until } from './until.ts'
import { Pair, World } from './world.ts'
import type { Relay } from './relays.ts'

/** Messages that are said around a fault */
const SOME = 20

describe('two browsers whose sockets are reset', function () {
  this.timeout(PATIENCE * 3)
  const world = World.create()
  let relay: Relay
  let pair: Pair

  before(async () => {
    relay = await world.relay()
    pair = await Pair.open(world, relay)
  })

  it('are connected again when they were idle, and go on where they were', async () => {
    const { a, b } = pair
    const before = a.proxy.attempts.length
    a.proxy.reset()
    b.proxy.reset()
    await pair.say(SOME)
    await pair.arrived()
    expect(a.proxy.attempts.length).to.be.greaterThan(before)
    expect(await pair.resyncs()).to.deep.equal([[], []])
  })

  it('lose none of 100 messages in flight, get none twice, and have them in order', async () => {
    const { a, b } = pair
    const { delivered: { length } } = await a.seen()
    // long enough for all of them to be on their way when it happens
    a.proxy.latency = b.proxy.latency = 200
    await pair.say(100)
    expect((await a.seen()).delivered).to.have.lengthOf(length)
    a.proxy.reset()
    a.proxy.latency = b.proxy.latency = 0
    await pair.arrived()
  })

  PHASES.forEach(phase => {
    it(`agree on a new key all the same when the sockets are reset at ${nameOf(phase)}, which is lost`, async () => {
      const { a, b } = pair
      const [{ epoch }] = await pair.states()
      await relay.arm(phase, 'lose')
      await a.rekey(b)
      await pair.say(SOME)
      await until('the relay sees it', () => relay.hasTripped)
      await pair.say(SOME)
      await pair.arrived()
      await pair.isPast(epoch)
      expect(await pair.resyncs()).to.deep.equal([[], []])
    })
  })
})
