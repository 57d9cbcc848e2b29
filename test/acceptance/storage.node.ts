import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'aegir/chai'
import { launchIn } from './browser.ts'
import { loseStorage } from './storage.ts'
import { PATIENCE } from './until.ts'
import { Pair, World } from './world.ts'
import type { Relay } from './relays.ts'

const SOME = 20

describe('two browsers, one of which loses what it had stored', function () {
  this.timeout(PATIENCE * 4)
  const world = World.create()
  let directory: string
  let relay: Relay
  let pair: Pair

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'sheaf-profile-'))
    relay = await world.relay()
    pair = await Pair.open(world, relay, await launchIn(join(directory, 'profile')))
  })

  after(async () => {
    await pair?.a.context.close()
    await rm(directory, { recursive: true })
  })

  async function leave (): Promise<void> {
    await pair.a.leave()
    await pair.a.context.close()
  }

  async function comeBack (): Promise<void> {
    await pair.a.again(world, await launchIn(join(directory, 'profile')))
    await pair.meet()
  }

  /** What both say from now on arrives over the connections that they have. Resolves to the resyncs of each */
  async function goOn (): Promise<number[]> {
    const attempts = pair.both.map(({ proxy }) => proxy.attempts.length)
    await pair.say(SOME)
    await pair.arrived()
    expect(pair.both.map(({ proxy }) => proxy.attempts.length), 'connections').to.deep.equal(attempts)
    return (await pair.resyncs()).map(({ length }) => length)
  }

  it('go on after one resync when it is rolled back to its first snapshot: epoch 9 is asked for, only 1 is here', async () => {
    const { a, b } = pair
    await leave()
    await cp(join(directory, 'profile'), join(directory, 'first'), { recursive: true })
    await comeBack()

    while ((await b.state(a)).epoch < 9) {
      const [{ epoch }] = await pair.states()
      await a.rekey(b)
      await pair.isPast(epoch)
    }

    await pair.say(SOME)
    await pair.arrived()
    expect(await pair.resyncs()).to.deep.equal([[], []])
    await leave()
    await rm(join(directory, 'profile'), { recursive: true })
    await cp(join(directory, 'first'), join(directory, 'profile'), { recursive: true })
    // it has something for a peer that knows nothing of its key
    await b.say(a, 1)
    await comeBack()
    // one of the two misses a key; the other one may be asked, or find out in the same moment
    expect(Math.max(...await goOn())).to.equal(1)
  })

  it('go on after one fresh round when its storage is deleted, but for its key', async () => {
    const rounds = (await pair.b.seen()).epochs.length
    await pair.a.leave()
    await loseStorage(world, pair.a)
    await pair.a.again(world)
    await pair.meet()
    expect(Math.max(...await goOn())).to.be.at.most(1)
    expect((await pair.b.seen()).epochs.length - rounds).to.equal(1)
  })
})
