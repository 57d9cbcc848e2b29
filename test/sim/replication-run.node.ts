import { expect } from 'aegir/chai'
import { AntiEntropy } from '../../src/replication/anti-entropy.ts'
import { Membership } from '../../src/replication/core/membership.ts'
import { Outgoing } from '../../src/replication/core/outgoing.ts'
import { Pruning } from '../../src/replication/pruning.ts'
import { Push } from '../../src/replication/push.ts'
import { Roster } from '../../src/replication/roster.ts'
import { IS_LONG, itLong } from '../fixtures/effort.ts'
import { DEFAULTS, replay } from './options.ts'
import { advance, build, replicationRun } from './replication/run.ts'
import type { Segment } from '../../src/replication/core/ring.ts'

const SEEDS = IS_LONG ? 60 : 10
/** Runs in one test: so that none takes long */
const SHARE = IS_LONG ? 20 : SEEDS
/** Milliseconds: each run takes a third of a second on a machine that has nothing else to do */
const TIMEOUT = 180_000
/** Milliseconds of virtual time */
const SECOND = 1_000
/** Runs in which a deliberate bug has to show */
const MUTANT_SEEDS = 40

describe('peers of one log to which everything happens', function () {
  this.timeout(TIMEOUT)

  for (let first = 1; first <= SEEDS; first += SHARE) {
    it(`lose nothing, and all that keep the same have the same once it is quiet (seeds ${first} to ${first + SHARE - 1})`, async () => {
      for (let seed = first; seed < first + SHARE; seed++) {
        expect(await replicationRun(seed), `again: ${replay({ ...DEFAULTS, replication: true, seed })}`).to.deep.equal([])
      }
    })
  }

  it('are the same for the same seed', async () => {
    expect(await replicationRun(7, { isTraced: true })).to.deep.equal(await replicationRun(7, { isTraced: true }))
  })

  describe('with a deliberate bug', () => {
    const undone: Array<() => void> = []

    afterEach(() => {
      for (const undo of undone.splice(0)) {
        undo()
      }
    })

    /** Puts another method in the place of one */
    function change<T extends object, K extends keyof T> (target: T, method: K, other: (original: T[K]) => T[K]): void {
      const original = target[method]
      target[method] = other(original)
      undone.push(() => { target[method] = original })
    }

    async function found (): Promise<string> {
      for (let seed = 1; seed <= MUTANT_SEEDS; seed++) {
        const [wrong] = await replicationRun(seed)
        if (wrong != null) {
          return wrong
        }
      }
      return 'nothing'
    }

    it('are caught if they believe whoever says that it keeps an entry, without a proof', async () => {
      change(Pruning.prototype, 'proven', () => async (_, entries) => entries)
      expect(await found()).to.match(/copies/)
    })

    // the two that few seeds find
    itLong('are caught if a look goes on though what is kept has changed', async () => {
      const seen = new WeakMap<Roster, Segment[]>()
      const { get } = Object.getOwnPropertyDescriptor(Roster.prototype, 'kept') as PropertyDescriptor
      undone.push(() => { Object.defineProperty(Roster.prototype, 'kept', { get, configurable: true }) })
      Object.defineProperty(Roster.prototype, 'kept', {
        configurable: true,
        get (this: Roster) {
          // what it is now, and it does not show that it is something else than before
          const kept = seen.get(this) ?? []
          kept.splice(0, kept.length, ...get?.call(this))
          seen.set(this, kept)
          return kept
        }
      })
      expect(await found()).to.match(/lets go of what it keeps|copies/)
    })

    it('are caught if nudges make them compare before a peer that failed is due', async () => {
      change(AntiEntropy.prototype, 'mark', mark => function (this: AntiEntropy, peer, delay) {
        const pair = this.pairs.get(peer) as { notBefore: number } | undefined
        if (pair != null) {
          pair.notBefore = 0
        }
        mark.call(this, peer, delay)
      })
      expect(await found()).to.match(/was compared with/)
    })

    it('are caught if an ack does not end with its signal', async () => {
      change(Push.prototype, 'acked', acked => async function (this: Push, entry, to, options) {
        return acked.call(this, entry, to, { ...options, signal: undefined })
      })
      expect(await found()).to.match(/did not end with its signal/)
    })

    it('are caught if they wait for those who have left', async () => {
      change(Push.prototype, 'gone', () => () => {})
      expect(await found()).to.match(/at rest|in sync/)
    })

    it('are caught if they do not compare', async () => {
      change(AntiEntropy.prototype, 'mark', () => () => {})
      expect(await found()).to.match(/lacks|in sync/)
    })

    it('are caught if they neither let go of what is for others nor offer it to them', async () => {
      change(Pruning.prototype, 'mark', () => () => {})
      expect(await found()).to.match(/keeps|lacks/)
    })

    itLong('are caught if they forget what was not answered', async () => {
      change(Outgoing.prototype, 'lost', () => function (this: Outgoing, number) { this.answered(number) })
      expect(await found()).to.match(/at rest/)
    })

    it('are caught if they do not listen to documents', async () => {
      change(Membership.prototype, 'receive', receive => function (this: Membership, document, isAccepted, now) {
        return document.sequence > 1 ? [] : receive.call(this, document, isAccepted, now)
      })
      expect(await found()).to.match(/believes|in sync|lacks/)
    })

    it('are caught if one that is back joins once more', async () => {
      change(Membership.prototype, 'present', present => function (this: Membership, peer, now) {
        const effects = present.call(this, peer, now)
        const { segments = [] } = this.infoOf(peer) ?? {}
        return segments.length > 0 && this.status === 'open' ? [...effects, { type: 'join', peer, segments }] : effects
      })
      expect(await found()).to.match(/joined twice/)
    })
  })
  it('pass over one that says it keeps what it has not', async () => {
    const world = await build(1, 3)
    const [first, second, third] = world.nodes
    third.disk.entries.set = () => third.disk.entries
    await advance(world, SECOND)
    void third.log?.replicate(true)
    void first.log?.append(Uint8Array.of(1))
    await advance(world, 300 * SECOND)

    for (const { log } of [first, second]) {
      expect(log?.diagnostics().problems.join()).to.include(`${third.init.peerId} says that it keeps what it could not prove to have`)
    }
    await Promise.all(world.nodes.map(async node => node.stop()))
  })
  it('ask ever less often for what they refuse, and get what comes later as soon as ever', async () => {
    const world = await build(1, 3)
    const [first, second, third] = world.nodes
    await Promise.all(world.nodes.map(async node => node.stop()))
    const looks: number[] = []
    third.canAppend = ({ data }) => {
      const isTaken = data[0] !== 9
      looks.push(...isTaken ? [] : [world.clock.now()])
      return isTaken
    }
    await Promise.all([first, second].map(async node => { void node.start() }))
    await advance(world, SECOND)
    await Promise.all([9, 9, 9, 1].map(async byte => { void first.log?.append(Uint8Array.of(byte)) }))
    third.replicate = true
    void third.start()
    const began = world.clock.now()
    await advance(world, 1200 * SECOND)
    expect(third.disk.entries.size).to.equal(1)
    // of each of the two, in two thirds of all comparisons: some at first, then every five minutes
    expect(looks.filter(at => at > began + 600 * SECOND).length).to.be.within(1, 3 * 2 * 2 * 3)
    void second.log?.append(Uint8Array.of(2))
    await advance(world, SECOND)
    expect(third.disk.entries.size).to.equal(2)
    await Promise.all(world.nodes.map(async node => node.stop()))
  })
  it('tell one that lacks much all of it, whoever of them crashes, is cut off or dawdles meanwhile', async () => {
    for (let seed = 1; seed <= (IS_LONG ? 5 : 1); seed++) {
      const world = await build(seed, 4)
      const [first, second, third, late] = world.nodes
      await advance(world, SECOND)
      await Promise.all([first, second, third].map(async node => node.log?.replicate(true)))
      void late.log?.replicate(false)
      await advance(world, 10 * SECOND)
      void Promise.all(Array.from({ length: 3500 }, async (_, i) => first.log?.append(Uint8Array.of(i, i >>> 8))))
      await advance(world, 100 * SECOND)
      expect([first, second, third].map(({ disk }) => disk.entries.size), 'three have all of it').to.deep.equal([3500, 3500, 3500])

      void late.log?.replicate(true)
      late.disk.slowness = 500
      await advance(world, 500 * world.random())
      second.crash()
      await advance(world, 500 * world.random())
      expect(late.disk.entries.size).to.be.below(3500)
      world.net.partition(new Set([first.init.peerId.toString()]))
      await advance(world, 4 * SECOND)
      expect(late.disk.entries.size, `seed ${seed}`).to.equal(3500)
      world.net.partition(new Set())
      await Promise.all(world.nodes.map(async node => node.stop()))
    }
  })
  it('do not confirm what they are letting go of, though it is theirs to keep again', async () => {
    const world = await build(1, 4)
    const [first, second, third, writer] = world.nodes
    await advance(world, SECOND)
    void third.log?.replicate(true)
    void writer.log?.replicate(false)
    await advance(world, 10 * SECOND)
    void writer.log?.append(Uint8Array.of(1)).then(({ id }) => { world.appended.push({ id: id.bytes, writer }) })
    await advance(world, 30 * SECOND)
    expect(world.nodes.map(({ disk }) => disk.entries.size), 'all but the writer have it').to.deep.equal([1, 1, 1, 0])

    // others have confirmed it, and the disk takes its time
    void third.log?.replicate(false)
    third.disk.slowness = 600 * SECOND
    await advance(world, SECOND)
    void third.log?.replicate(true)
    await advance(world, 5 * SECOND)
    expect(third.disk.entries.size, 'it is not gone yet').to.equal(1)
    void second.log?.replicate(false)
    await advance(world, 700 * SECOND)

    expect([...world.wrong]).to.deep.equal([])
    expect(first.disk.entries.size).to.equal(1)
    await Promise.all(world.nodes.map(async node => node.stop()))
  })
})
