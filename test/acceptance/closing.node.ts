import { expect } from 'aegir/chai'
import { crash } from './browser.ts'
import { ALICE, BOB, couple } from './person.ts'
import { PATIENCE, until } from './until.ts'
import { Pair, range, tell, World } from './world.ts'
import type { Page } from './browser.ts'
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
      expect(failed.filter(what => !/(SessionClosed|NotStarted)Error$/.test(what)), 'why they failed').to.deep.equal([])
    }

    await Promise.all(pair.both.map(async peer => peer.page.close()))
  })

  it('leave the profile to another tab within 3 s, also when killed with 10 messages pending, which arrive once', async () => {
    const [a, b] = await couple(world, relay)
    const second = await world.page(ALICE, a.path, a.context)
    const waits = async (page: Page): Promise<boolean> =>
      page.evaluate(() => document.getElementById('wait')?.hidden === false)
    await until('the second tab waits', async () => waits(second))
    const said = range(10).map(i => `said by a tab that is killed ${i}`)
    a.proxy.cut()

    for (const text of said) {
      await a.say(text)
    }

    await until('they are stored', async () => (await a.states()).length === said.length)
    expect(await a.states()).to.deep.equal(said.map(() => 'queued'))
    await crash(a.page)
    await until('the second tab takes over', async () => !await waits(second), TAKE_OVER)
    a.proxy.lead(relay.port)
    a.page = second
    await a.enter()
    await a.talkTo(BOB)
    await b.hears(said)
    expect(await b.heard()).to.deep.equal(said)
    await a.all('read')

    const third = await world.page(ALICE, a.path, a.context)
    await until('the third tab waits', async () => waits(third))
    await second.close()
    await until('the third tab takes over', async () => !await waits(third), TAKE_OVER)
    a.page = third
    await a.enter()
    await a.talkTo(BOB)
    await a.shows(said.length)
    expect((await a.shown()).map(({ text }) => text)).to.deep.equal(said)
    await b.page.close()
    await third.close()
  })
})
