import { expect } from 'aegir/chai'
import { nameOf, PHASES } from './relays.ts'
import { after, PATIENCE, until } from './until.ts'
import { Pair, World } from './world.ts'
import type { Relay } from './relays.ts'

const SOME = 20
/** Milliseconds in which a connection that is dead has to be noticed. From the spec */
const HALF_OPEN = 15_000

describe('two browsers whose relay fails', function () {
  this.timeout(PATIENCE * 3)
  const world = World.create()
  let relay: Relay
  let pair: Pair

  before(async () => {
    relay = await world.relay()
    pair = await Pair.open(world, relay)
  })

  /** What they said before, and what they say while nobody is between them, arrives when somebody is */
  async function goOn (): Promise<void> {
    await pair.say(SOME)
    await pair.arrived()
    expect(await pair.resyncs()).to.deep.equal([[], []])
  }

  it('wait longer after each try in vain while it is gone, no two equally long, and go on when it is restarted', async () => {
    await relay.kill()
    pair.both.forEach(({ proxy }) => {
      proxy.cut()
      proxy.attempts.length = 0
    })
    await pair.say(SOME)
    await until('both have tried five times', () => pair.both.every(({ proxy }) => proxy.attempts.length >= 5))
    const waits = pair.both.map(({ proxy: { attempts } }) => attempts.slice(1, 5).map((at, i) => at - attempts[i]))
    waits.forEach(([first, , , last]) => { expect(last).to.be.greaterThan(first * 2) })
    expect(waits[0].map(Math.round)).to.not.deep.equal(waits[1].map(Math.round))
    expect((await pair.a.seen()).delivered, 'nobody has what waits').to.not.include.members([SOME])

    relay = await relay.again()
    pair.both.forEach(({ proxy }) => { proxy.lead(relay.port) })
    await goOn()
  })

  it('notice within 15 s that it swallows everything, and connect anew', async () => {
    const { a } = pair
    const began = performance.now()
    const before = a.proxy.attempts.length
    a.proxy.swallow()
    await pair.say(SOME)
    await until('it connects anew', () => a.proxy.attempts.length > before, HALF_OPEN)
    expect(performance.now() - began).to.be.lessThan(HALF_OPEN)
    await goOn()
  })

  it('lose nothing while it stands still for some seconds, and say of nothing that it has arrived', async () => {
    const { a, b } = pair
    const { delivered: { length } } = await a.seen()
    b.proxy.freeze()
    await pair.say(SOME)
    await after(3000)
    expect((await a.seen()).delivered).to.have.lengthOf(length)
    b.proxy.thaw()
    await goOn()
  })

  it('go over to another one when it is dead, and do not look for the dead one for ever', async () => {
    const [dead, other] = [relay, await world.relay()]
    const proxies = await Promise.all(pair.both.map(async () => world.proxy(other)))
    await pair.say(SOME)
    await dead.kill()
    pair.both.forEach(({ proxy }) => { proxy.cut() })

    for (const [i, peer] of pair.both.entries()) {
      await peer.useRelays([other.behind(proxies[i].port)])
    }

    await goOn()
    const tries = pair.both.map(({ proxy }) => proxy.attempts.length)
    expect(await pair.a.dialled()).to.deep.equal([[other.behind(proxies[0].port), 'connected']])
    await after(10_000)
    expect(pair.both.map(({ proxy }) => proxy.attempts.length), 'tries to reach the dead one').to.deep.equal(tries)
    pair.both.forEach((peer, i) => { peer.proxy = proxies[i] })
    relay = other
  })

  PHASES.forEach(phase => {
    it(`agree on a new key all the same when it is killed at ${nameOf(phase)}, and replaced`, async () => {
      const { a, b, both } = pair
      const [{ epoch }] = await pair.states()
      const next = await world.relay()
      await relay.arm(phase, 'die')
      await a.rekey(b)
      await pair.say(SOME)
      await until('it is dead', () => relay.isGone)
      await relay.kill()

      for (const peer of both) {
        peer.proxy = await world.proxy(next)
        await peer.useRelays([next.behind(peer.proxy.port)])
      }

      relay = next
      await goOn()
      await pair.isPast(epoch)
    })
  })
})
