import { expect } from 'aegir/chai'
import { Pruning } from '../../src/replication/pruning.ts'
import { PROOF_BYTES } from '../../src/replication/wire.ts'
import { turns } from '../fixtures/datastores.ts'
import { eventually, range } from '../fixtures/directsub.ts'
import { closeLogs, newLog, texts, WindClock } from '../fixtures/logs.ts'
import { contextOf } from '../fixtures/replication-context.ts'
import type { PruningInit } from '../../src/replication/pruning.ts'
import type { Timer } from '../../src/runtime/clock.ts'

const COUNT = 50
const NOTHING: never[] = []
const SECOND = 1_000

/** Knows which alarms are set */
class CountingClock extends WindClock {
  readonly set = new Set<unknown>()

  after (ms: number, fn: () => void): Timer {
    const timer = super.after(ms, () => {
      this.set.delete(timer)
      fn()
    })
    this.set.add(timer)
    return {
      cancel: () => {
        this.set.delete(timer)
        timer.cancel()
      }
    }
  }
}

describe('letting go of what others keep', () => {
  afterEach(closeLogs)

  it('is tried ever more seldom while nobody takes it, also where more is appended, and at once when somebody comes', async () => {
    const clock = new CountingClock()
    const log = await newLog()
    await log.appendMany(texts(COUNT))
    let [keepers, asked] = [['one'], 0]
    const prunes = new Pruning({
      context: contextOf(clock, { random: () => 0.5 }),
      log,
      questions: {
        ask: async (to: string, { ids }: { ids: unknown[] }) => {
          asked++
          return { proofs: ids.map(() => new Uint8Array(PROOF_BYTES)) }
        }
      } as unknown as PruningInit['questions'],
      kept: () => NOTHING,
      keepers: () => keepers,
      isReliable: () => true,
      nextReliable: () => Infinity,
      copies: () => 2,
      offer: () => { throw new Error('nobody lacks anything') }
    })
    prunes.proven = async (_, entries) => entries
    prunes.mark()

    for (const second of range(3_600)) {
      clock.wind(SECOND)
      await eventually('a look does not end', () => clock.set.size === 1)

      if (second % 10 === 0) {
        await log.appendMany(texts(1))
        prunes.added()
      }
    }

    expect(asked).to.be.within(10, 20)
    expect(prunes.sizes.waiting).to.be.greaterThan(COUNT)
    keepers = ['one', 'two']
    prunes.mark()
    clock.wind(SECOND)
    await eventually('it is still here', () => log.length === 0)
    prunes.stop()
  })

  it('is tried again when a peer becomes reliable just after its answer, while another one takes its time', async () => {
    const clock = new CountingClock()
    const log = await newLog()
    await log.appendMany(texts(COUNT))
    const reliableAt = clock.now() + SECOND
    const answer = Promise.withResolvers<void>()
    let answered = 0
    const prunes = new Pruning({
      context: contextOf(clock, { random: () => 0.5 }),
      log,
      questions: {
        ask: async (to: string, { ids }: { ids: unknown[] }) => {
          await (to === 'slow' ? answer.promise : undefined)
          answered++
          return { proofs: ids.map(() => new Uint8Array(PROOF_BYTES)) }
        }
      } as unknown as PruningInit['questions'],
      kept: () => NOTHING,
      keepers: () => ['new', 'slow'],
      isReliable: peer => peer === 'slow' || clock.now() >= reliableAt,
      nextReliable: after => reliableAt > after ? reliableAt : Infinity,
      copies: () => 2,
      offer: () => { throw new Error('nobody lacks anything') }
    })
    prunes.proven = async (_, entries) => entries
    prunes.mark()
    clock.wind(SECOND / 2)
    await eventually('the new one does not answer', () => answered === 1)
    // turns, in which its answer is looked at
    await turns(10)
    clock.wind(SECOND)
    answer.resolve()
    // without another second of this clock
    await eventually('it is still here', () => log.length === 0)
    prunes.stop()
  })
})
