import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { IS_LONG } from '../fixtures/effort.ts'
import { Pair } from './pair.ts'

/** With real crypto and frames of real bytes. What is compared is always secrets, never only their names or epochs */
const TIMEOUT = 180_000
const MINUTE = 60_000
const TIMES = 100

async function settled (pair: Pair): Promise<void> {
  await pair.run(10 * MINUTE, () => pair.isAtRest)
  expect(pair.isAtRest, 'at rest').to.equal(true)
  expect(pair.difference()).to.equal(undefined)
}

/** Both ask for a new key, the second so much later. How often: what each was told */
async function race (pair: Pair, lag: number, first: 0 | 1 = 0): Promise<void> {
  const [one, other] = [pair.peers[first], pair.peers[1 - first]]
  const before = one.epoch
  const mine = one.rekey()
  await pair.run(lag)
  const theirs = other.rekey()
  await settled(pair)
  expect(one.outcomes.get(mine)).to.equal('rekeyed')
  expect(other.outcomes.get(theirs)).to.equal('rekeyed')
  expect(one.epoch).to.be.within(before + 1, before + 2)
}

function nothingIsLost ({ peers }: Pair): void {
  peers.forEach(({ counts, resyncs }) => {
    expect(resyncs).to.equal(0)
    expect(counts).to.not.have.any.keys('unknown-key', 'wrong-proof', 'forged', 'wrong-epoch', 'wrong-ack', 'malformed')
  })
}

describe('two sessions that race', function () {
  this.timeout(TIMEOUT)

  it(`agree when both propose at 0 ms, ${TIMES} times`, async () => {
    const pair = new Pair()

    for (let i = 0; i < TIMES; i++) {
      await race(pair, 0)
    }

    expect(pair.peers[0].epoch).to.equal(TIMES)
    nothingIsLost(pair)
  })

  for (const lag of [0, 1, 10, 100, 500]) {
    it(`agree when one is ${lag} ms later, ten times from each side`, async () => {
      const pair = new Pair({ seed: lag })

      for (let i = 0; i < 20; i++) {
        await race(pair, lag, i % 2 as 0 | 1)
      }

      nothingIsLost(pair)
    })
  }

  // test_ratchet_manager_racy_with_random_start_lag of the seed: both begin within so many ms, and nothing takes longer
  for (const [name, most, least] of [['min_delay_1_0', 1, 0], ['min_delay_2_1', 2, 1]] as const) {
    it(`${name}: agree over a way that takes no time, ${TIMES} times`, async () => {
      const pair = new Pair()
      pair.latency = 0
      pair.jitter = most
      pair.cryptoTime = least

      for (let i = 0; i < TIMES; i++) {
        await race(pair, least + i % (most - least + 1), i % 2 as 0 | 1)
      }

      nothingIsLost(pair)
    })
  }

  it('have epoch 100 exactly after each side in turn has asked, 100 times in all', async () => {
    const pair = new Pair()

    for (let i = 0; i < TIMES; i++) {
      pair.peers[i % 2].rekey()
      await settled(pair)
    }

    expect(pair.peers.map(({ epoch }) => epoch)).to.deep.equal([TIMES, TIMES])
    nothingIsLost(pair)
  })

  it('finish every round over a relay with one fixed latency for both, on one cadence, 100 times', async () => {
    const pair = new Pair()
    pair.latency = 50
    pair.random = () => 0.5

    for (let i = 0; i < TIMES; i++) {
      pair.peers.forEach(peer => peer.rekey())
      await pair.run(250)
      expect(pair.peers.map(({ epoch }) => epoch)).to.deep.equal([i + 1, i + 1])
    }

    await settled(pair)
    nothingIsLost(pair)
  })

  it('87 rounds of simultaneous rekey, with one message an epoch, and frames that overtake each other', async () => {
    const pair = new Pair({ options: { mode: 'perfect' } })
    pair.jitter = 40
    pair.twice = 0.2

    for (let i = 0; i < 87; i++) {
      pair.peers.forEach(peer => { peer.send(String(i).padStart(2, '0')) })
      await race(pair, i % 3)
    }

    const sent = Array.from({ length: 87 }, (_, i) => String(i).padStart(2, '0'))
    pair.peers.forEach(({ delivered }) => { expect(delivered).to.deep.equal(sent) })
    nothingIsLost(pair)
  })

  for (const mode of ['best-effort', 'perfect'] as const) {
    it(`deliver what is sent all at once, both ways, in order and once (${mode})`, async () => {
      const pair = new Pair({ options: { mode } })
      const sent = Array.from({ length: mode === 'perfect' ? 30 : 300 }, (_, i) => `message ${i}`)
      pair.jitter = 100
      pair.loss = 0.1
      pair.twice = 0.1
      const calls = pair.peers.map(peer => sent.map(message => peer.send(message)))
      await settled(pair)

      pair.peers.forEach(({ delivered, outcomes }, i) => {
        expect(delivered).to.deep.equal(sent)
        expect(new Set(calls[i].map(call => outcomes.get(call)))).to.deep.equal(new Set(['delivered']))
      })

      nothingIsLost(pair)
    })
  }

  it('agree and deliver whatever 200 commands do to them', async () => {
    const peer = fc.constantFrom(0 as const, 1 as const)
    const command = fc.oneof(
      fc.record({ type: fc.constant('rekey' as const), peer }),
      fc.record({ type: fc.constant('send' as const), peer }),
      fc.record({ type: fc.constant('wait' as const), time: fc.constantFrom(0, 1, 20, 50, 300, 5000) }),
      fc.record({
        type: fc.constant('weather' as const),
        loss: fc.constantFrom(0, 0.3),
        twice: fc.constantFrom(0, 0.3),
        jitter: fc.constantFrom(0, 100)
      }),
      fc.record({ type: fc.constant('restart' as const), peer }),
      fc.record({ type: fc.constantFrom('cut' as const, 'connect' as const) })
    )

    await fc.assert(fc.asyncProperty(fc.array(
      command, { minLength: 200, maxLength: 200 }
    ), fc.integer(), async (commands, seed) => {
      const pair = new Pair({ seed })
      let sent = 0

      for (const command of commands) {
        switch (command.type) {
          case 'rekey':
            pair.peers[command.peer].rekey()
            break
          case 'send':
            pair.peers[command.peer].send(String(sent++).padStart(3, '0'))
            break
          case 'wait':
            await pair.run(command.time)
            break
          case 'weather':
            Object.assign(pair, command)
            break
          case 'restart':
            pair.peers[command.peer].restart()
            break
          case 'cut':
            pair.cut()
            break
          case 'connect':
            pair.connect()
            break
        }
        await pair.run(1)
      }

      Object.assign(pair, { loss: 0, twice: 0, jitter: 0 })
      pair.connect()
      pair.peers.forEach(peer => { peer.send('the end') })
      await settled(pair)
      nothingIsLost(pair)
      // once and in order: a restart of a receiver may bring again what it had not stored, and only that
      pair.peers.forEach(({ delivered, boots }) => {
        const inOrder = delivered.slice(0, -1)
        expect(delivered[delivered.length - 1]).to.equal('the end')
        boots === 1 && expect(inOrder).to.deep.equal([...new Set(inOrder)].sort())
      })
    }), { numRuns: IS_LONG ? 40 : 10, seed: 1 })
  })
})
