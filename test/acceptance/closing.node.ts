import { expect } from 'aegir/chai'
import { crash } from './browser.ts'
import { BOB, couple } from './person.ts'
import { PATIENCE, until } from './until.ts'
import { Pair, range, tell, World } from './world.ts'
import type { Relay } from './relays.ts'

const SOME = 20
/** Milliseconds in which another tab takes over. From the spec */
const TAKE_OVER = 3000

describe('browsers that are closed', function () {
  this.timeout(PATIENCE * 3)
  const world = World.create()
  let relay: Relay

  before(async () => { relay = await world.relay() })

  it('say nothing on their consoles, in any order, twice, in the middle of a round, and while messages wait', async () => {
    const pair = await Pair.open(world, relay)
    const { a, b } = pair

    for (const order of [[a, b], [b, a], [a, a, b, b], [b, a, b, a]]) {
      await pair.say(SOME)
      await Promise.all([a.rekey(b), b.rekey(a)])
      // none waits for the one before
      await Promise.all(order.map(async peer => tell(peer.page, 'close')))
      await Promise.all(pair.both.map(async peer => peer.leave()))
      await Promise.all(pair.both.map(async peer => peer.again(world)))
      await pair.meet()
    }

    for (const [from, to] of [[a, b], [b, a]]) {
      const { heard, delivered, failed } = await to.seen().then(async ({ heard }) => ({ ...await from.seen(), heard }))
      expect(heard, 'in order').to.deep.equal(heard.toSorted((one, other) => one - other))
      expect(delivered.filter(number => !heard.includes(number)), 'said to have arrived, and did not').to.deep.equal([])
      expect(failed.filter(what => !/(SessionClosed|ProfileStopped)Error$/.test(what)), 'why they failed').to.deep.equal([])
    }

    await Promise.all(pair.both.map(async peer => peer.page.close()))
  })

  it('leave the profile to another tab within 3 s, also when killed with 10 messages pending, which arrive once', async () => {
    const [a, b] = await couple(world, relay)
    const second = await a.tab(world)
    expect([await a.status(), await second.status()]).to.deep.equal(['leading', 'following'])
    const said = range(10).map(i => `said by a tab that is killed ${i}`)
    a.proxy.cut()

    for (const text of said) {
      await a.say(text)
    }

    await until('they are stored', async () => (await a.states()).length === said.length)
    expect(await a.states()).to.deep.equal(said.map(() => 'queued'))
    await crash(a.page)
    await second.leads(TAKE_OVER)
    a.proxy.lead(relay.port)
    await second.talkTo(BOB)
    await b.hears(said)
    expect(await b.heard()).to.deep.equal(said)
    await second.all('read')

    const third = await second.tab(world)
    await second.page.close()
    await third.leads(TAKE_OVER)
    await third.talkTo(BOB)
    await third.shows(said.length)
    expect((await third.shown()).map(({ text }) => text)).to.deep.equal(said)
    await b.page.close()
    await third.page.close()
  })
})
