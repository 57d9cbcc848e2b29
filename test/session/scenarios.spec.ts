import { expect } from 'aegir/chai'
import { fromString } from 'uint8arrays/from-string'
import { seededRandom } from '../../src/runtime/random.ts'
import { RESYNC_FIRST, ROUND_TRIES } from '../../src/session/constants.ts'
import { Session } from '../../src/session/core/session.ts'
import { current, roleOf } from '../../src/session/core/state.ts'
import { Pair } from './pair.ts'
import type { Effect } from '../../src/session/core/events.ts'
import type { EpochKeys } from '../../src/session/core/state.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE

async function settled (pair: Pair): Promise<void> {
  await pair.run(10 * MINUTE, () => pair.isAtRest)
  expect(pair.isAtRest, 'at rest').to.equal(true)
  expect(pair.difference()).to.equal(undefined)
}

async function met (options: ConstructorParameters<typeof Pair>[0] = {}): Promise<Pair> {
  const pair = new Pair(options)
  pair.peers[0].rekey()
  await settled(pair)
  return pair
}

function typesOf (effects: Effect[]): string[] {
  return effects.map(effect => effect.type === 'send' ? effect.frame.kind : effect.type)
}

/** Another frame with one bit of another value */
function flipped (frame: Uint8Array, at: number): Uint8Array {
  return frame.map((byte, i) => i === at ? byte ^ 1 : byte)
}

function areZero ({ receive, confirm, root }: EpochKeys): boolean {
  return [receive.key, confirm, root].every(bytes => bytes.every(byte => byte === 0))
}

/** Frames that came to be while this was done */
async function framesOf (pair: Pair, act: () => void | Promise<void>): Promise<number> {
  const before = pair.seen[0].length + pair.seen[1].length
  await act()
  return pair.seen[0].length + pair.seen[1].length - before
}

describe('sessions: what went wrong elsewhere, by name', function () {
  this.timeout(MINUTE)

  it('listener before send: the call waits before anything is asked of crypto, let alone sent', async () => {
    const pair = await met()
    pair.latency = pair.cryptoTime = 0
    const [a] = pair.peers
    const effects = a.session.step({ type: 'rekey', call: 99, deadline: pair.now + MINUTE }, pair)
    expect(a.session.state.waiters.map(({ call }) => call)).to.deep.equal([99])
    expect(typesOf(effects)).to.deep.equal(['generate'])
  })

  it('listener before send: an answer in no time at all finds the call', async () => {
    const pair = new Pair()
    pair.latency = pair.cryptoTime = 0
    const call = pair.peers[0].rekey()
    await pair.run(0, () => pair.peers[0].outcomes.has(call))
    expect(pair.peers[0].outcomes.get(call)).to.equal('rekeyed')
  })

  it('callbacks that do not cancel each other: each call has its own end', async () => {
    const pair = await met()
    const [a, b] = pair.peers
    const calls = [a.rekey(), a.rekey(), a.rekey(1)]
    const [sent, other] = [a.send('hello'), b.send('world')]
    a.step({ type: 'abort', call: calls[0] })
    await pair.run(5)
    await settled(pair)
    expect(calls.map(call => a.outcomes.get(call))).to.deep.equal(['aborted', 'rekeyed', 'timeout'])
    expect([a.outcomes.get(sent), b.outcomes.get(other)]).to.deep.equal(['delivered', 'delivered'])
  })

  it('a call is settled once, whatever comes after', async () => {
    const pair = await met()
    const [a] = pair.peers
    const call = a.rekey()
    await settled(pair)
    a.effects = []
    a.step({ type: 'abort', call })
    a.step({ type: 'close' })
    expect(a.effects.filter(({ type }) => type === 'rekey-settled')).to.deep.equal([])
  })

  describe('shutdown in any order', () => {
    /** From the first Propose on: a step of time after which somebody closes */
    const MOMENTS = [0, 1, 2, 10, 21, 22, 23, 30, 42, 43, 44, 60, 64]

    for (const first of [0, 1]) {
      for (const order of ['one', 'one, then the other', 'both at once', 'one twice', 'one whose transport is gone']) {
        it(`${order}, begun by ${'AB'[first]}, at every moment of a round: all settles, no secret stays`, async () => {
          for (const moment of MOMENTS) {
            const pair = await met()
            const [one, other] = [pair.peers[first], pair.peers[1 - first]]
            const calls = [[one, one.rekey()], [one, one.send('hello')], [other, other.rekey()]] as const
            await pair.run(moment)
            const keys = [...one.session.state.keys]

            if (order === 'one whose transport is gone') {
              pair.cut()
            }

            const closing = one.step({ type: 'close' })
            expect(typesOf(closing)).to.include('closed')
            expect([one.outcomes.has(calls[0][1]), one.outcomes.has(calls[1][1])]).to.deep.equal([true, true])

            if (order === 'one twice') {
              expect(typesOf(one.step({ type: 'close' }))).to.deep.equal(['closed'])
            }
            if (order === 'both at once') {
              other.step({ type: 'close' })
            }

            await pair.run(order === 'one, then the other' ? 30 : 2 * HOUR)
            other.step({ type: 'close' })
            await pair.run(2 * HOUR)
            expect(calls.map(([peer, call]) => peer.outcomes.has(call))).to.deep.equal([true, true, true])
            expect(keys.every(areZero)).to.equal(true)
            expect(pair.peers.map(({ session }) => roleOf(session.state))).to.deep.equal(['closed', 'closed'])
          }
        })
      }
    }

    it('what is asked of a closed session is answered at once', async () => {
      const { peers: [a] } = await met()
      a.step({ type: 'close' })
      expect([a.outcomes.get(a.send('late')), a.outcomes.get(a.rekey())]).to.deep.equal(['closed', 'closed'])
      expect(a.session.nextWake()).to.equal(Infinity)
    })

    it('a peer that closed is let alone until it is back', async () => {
      const pair = await met()
      const [a, b] = pair.peers
      b.step({ type: 'close' })
      await pair.run(100)
      const call = a.send('are you there?')
      expect(await framesOf(pair, async () => { await pair.run(HOUR) })).to.equal(0)
      b.restart()
      await settled(pair)
      expect(a.outcomes.get(call)).to.equal('delivered')
      expect(b.delivered).to.deep.equal(['are you there?'])
    })
  })

  it('v9 asked for, only v0 here: one Resync, one fresh round, and the messages arrive', async () => {
    const pair = new Pair()
    const [a, b] = pair.peers
    a.rekey()
    await settled(pair)
    const old = b.record

    for (let i = 0; i < 8; i++) {
      a.rekey()
      await settled(pair)
    }

    expect(a.epoch).to.equal(9)
    // what was stored long ago, in a process that does not know that, and does not come to ask for a new key by itself
    const state = Session.restore(old as Uint8Array, {
      me: b.me, peer: a.me, boot: 77, options: pair.options
    }, pair.now).state
    state.keys[0].send = { key: new Uint8Array(32).fill(1), next: 0 }
    b.session = new Session(state)
    b.session.step({ type: 'connected' }, { now: pair.now, random: () => 0.5 })
    const calls = ['one', 'two', 'three'].map(message => a.send(message))
    await settled(pair)
    expect(b.resyncs).to.equal(1)
    expect(a.resyncs).to.equal(0)
    expect(a.epoch).to.equal(10)
    expect(b.delivered).to.deep.equal(['one', 'two', 'three'])
    expect(calls.map(call => a.outcomes.get(call))).to.deep.equal(['delivered', 'delivered', 'delivered'])
  })

  it('an old key stays in use until the new one is confirmed', async () => {
    const pair = await met()
    const [a, b] = pair.peers
    b.rekey()
    await pair.run(24)
    expect(roleOf(a.session.state)).to.equal('loser')
    a.send('still under the old one')
    await pair.run(21)
    expect(b.delivered).to.deep.equal(['still under the old one'])
  })
})

describe('sessions: state that is lost', function () {
  this.timeout(MINUTE)

  it('a crash after each write: what was said to be delivered is, once and in order', async () => {
    for (let crashAt = 1; crashAt < 14; crashAt++) {
      for (const who of [0, 1]) {
        const pair = new Pair({ options: { ackDelay: 0 } })
        const [a, b] = pair.peers
        const crashing = pair.peers[who]
        const sent = ['1', '2', '3', '4', '5', '6']
        const calls = sent.map(message => a.send(message))
        let written = 0
        let isCrashed = false

        for (let i = 0; i < 400 && !isCrashed; i++) {
          await pair.run(1)
          pair.peers[0].session.state.mode.type === 'idle' && i % 40 === 39 && b.rekey()
          written = crashing.session.state.revision

          if (written >= crashAt) {
            crashing.restart()
            isCrashed = true
          }
        }

        const again = who === 0 ? sent.filter((_, i) => a.outcomes.get(calls[i]) !== 'delivered') : []
        const delivered = b.delivered.length
        again.forEach(message => { a.send(message) })
        await settled(pair)
        // a sender that crashed does not know what became of the rest, and says it again: that it is the program's
        expect(b.delivered.slice(0, delivered)).to.deep.equal(sent.slice(0, delivered))
        expect(new Set(b.delivered)).to.deep.equal(new Set(sent))
        who === 1 && expect(b.delivered).to.deep.equal(sent)
      }
    }
  })

  for (const who of [0, 1]) {
    it(`everything is lost by ${'AB'[who]}: one fresh round, no message lost or twice`, async () => {
      const pair = await met()
      const [a, b] = pair.peers
      a.send('before')
      await settled(pair)
      pair.peers[who].record = undefined
      pair.peers[who].restart()
      const call = a.send('after')
      await settled(pair)
      expect(a.outcomes.get(call)).to.equal('delivered')
      expect(b.delivered).to.deep.equal(['before', 'after'])
      expect(a.epoch).to.equal(2)
    })
  }

  it('a restored key opens, and does not seal', async () => {
    const pair = await met()
    const [a, b] = pair.peers
    a.restart()
    expect(current(a.session.state)?.send).to.equal(undefined)
    expect(typesOf(a.effects.slice(-3))).to.not.include('heartbeat')
    b.send('under the key of before')
    await pair.run(21)
    expect(a.delivered).to.deep.equal(['under the key of before'])
    await settled(pair)
    expect(a.epoch).to.equal(2)
  })

  it('a provisional key that was restored does not seal either, once it is confirmed', async () => {
    const pair = await met()
    const [a, b] = pair.peers
    a.rekey()
    await pair.run(30)
    const provisional = b.record
    await settled(pair)
    // b's process used that key; what it had stored before comes back
    b.restart(provisional)
    await pair.run(1)
    expect(current(b.session.state)?.send).to.equal(undefined)
    await settled(pair)
    expect(b.epoch).to.be.above(2)
  })

  it('a clock that went back a year: the peer says which number to be past', async () => {
    const pair = await met()
    const [a] = pair.peers
    pair.peers[0].record = undefined
    a.restart()
    pair.now -= 365 * 24 * HOUR
    const call = a.rekey()
    await settled(pair)
    expect(a.outcomes.get(call)).to.equal('rekeyed')
  })

  it('a clock that is set back in the middle of a round does not stop it for as long', async () => {
    const pair = await met()
    const [a] = pair.peers
    pair.loss = 1
    const call = a.rekey()
    await pair.run(100)
    pair.loss = 0
    pair.now -= 24 * HOUR
    a.step({ type: 'wake' })
    await pair.run(3000)
    expect(a.outcomes.get(call)).to.equal('rekeyed')
  })

  it('a clock that is set back does not put off the next try for as long', async () => {
    const pair = await met()
    const [a] = pair.peers
    pair.loss = 1
    a.session.state.needsFresh = true
    await pair.run(10 * MINUTE, () => a.session.state.retries > 3 && a.session.state.mode.type === 'idle')
    pair.now -= 24 * HOUR
    a.step({ type: 'wake' })
    expect(a.session.nextWake() - pair.now).to.be.below(10 * MINUTE)
  })

  it('what was under way when the way broke is sealed again at once when it is back', async () => {
    const pair = await met()
    const [a, b] = pair.peers
    pair.loss = 1
    const call = a.send('lost')
    await pair.run(1)
    pair.cut()
    pair.loss = 0
    pair.connect()
    await pair.run(100)
    expect([a.outcomes.get(call), b.delivered]).to.deep.equal(['delivered', ['lost']])
  })

  it('frames under unknown keys buy one Resync in a while, whatever their number', async () => {
    const pair = await met()
    const [a, b] = pair.peers
    const head = { kind: 'data' as const, key: 'unknown.', epoch: 9, counter: 0 }
    // a fresh round would heal it: while a round of the peer is answered, none begins
    b.rekey()
    await pair.run(24)
    expect(roleOf(a.session.state)).to.equal('loser')
    pair.isCut = true

    for (let i = 0; i < 1000; i++) {
      a.step({ type: 'unopened', head })
    }

    expect([a.resyncs, a.counts['resync-limited']]).to.deep.equal([1, 999])
    await pair.run(RESYNC_FIRST * 60)
    a.step({ type: 'unopened', head })
    a.step({ type: 'unopened', head: { ...head, epoch: 1 } })
    expect(a.counts['stale-key']).to.equal(1)
    expect(a.resyncs).to.equal(2)
  })
})

describe('sessions: limits', function () {
  this.timeout(MINUTE)

  it('a round without an answer fails after its tries, and the session does not', async () => {
    const pair = await met()
    const [a] = pair.peers
    pair.loss = 1
    const call = a.rekey(10 * MINUTE)
    const frames = await framesOf(pair, async () => {
      await pair.run(MINUTE, () => a.outcomes.has(call))
      await pair.run(1)
    })
    expect(a.outcomes.get(call)).to.equal('timeout')
    expect(frames).to.equal(ROUND_TRIES + 1)
    pair.loss = 0
    const sent = a.send('still here')
    await settled(pair)
    expect(a.outcomes.get(sent)).to.equal('delivered')
  })

  it('an offline queue is bounded in messages and in bytes', async () => {
    const pair = new Pair({ options: { queueMessages: 3, queueBytes: 10 } })
    const [a] = pair.peers
    pair.cut()
    const calls = ['123', '456', '7890+', '7', '8'].map(message => a.send(message))
    expect(calls.map(call => a.outcomes.get(call))).to.deep.equal([
      undefined, undefined, 'queue-full', undefined, 'queue-full'
    ])
    a.step({ type: 'abort', call: calls[0] })
    expect(a.outcomes.get(calls[0])).to.equal('aborted')
    pair.connect()
    await settled(pair)
    expect(pair.peers[1].delivered).to.deep.equal(['456', '7'])
  })

  it('a message that is larger than any may be is refused', async () => {
    const { peers: [a] } = await met()
    a.step({ type: 'send', call: 1000, payload: new Uint8Array(1024 * 1024) })
    expect(a.outcomes.get(1000)).to.equal('too-large')
  })

  it('calls that wait are bounded', async () => {
    const pair = new Pair()
    pair.cut()
    const calls = Array.from({ length: 65 }, () => pair.peers[0].rekey())
    expect(calls.map(
      call => pair.peers[0].outcomes.get(call)
    ).filter(outcome => outcome === 'too-many')).to.have.lengthOf(1)
  })

  it('a key is changed after so many messages', async () => {
    const pair = await met({ options: { rekeyMessages: 20 } })
    const [a, b] = pair.peers

    for (let i = 0; i < 50; i++) {
      a.send(String(i))
      await pair.run(100)
    }

    await settled(pair)
    expect(a.epoch).to.be.within(3, 6)
    expect(b.delivered).to.have.lengthOf(50)
  })

  it('a key is changed after two minutes of use, by the peer with the smaller id', async () => {
    const pair = await met()
    const [a, b] = pair.peers

    for (let i = 0; i < 140; i++) {
      b.send(String(i))
      await pair.run(1000)
    }

    await settled(pair)
    expect(a.epoch).to.equal(2)
  })

  it('a key that is too old seals nothing: a new one comes first', async () => {
    const pair = await met()
    const [a, b] = pair.peers
    await pair.run(HOUR)
    expect(a.epoch).to.equal(1)
    const call = a.send('after an hour')
    expect(a.session.state.mode.type).to.equal('proposing')
    await settled(pair)
    expect([a.epoch, a.outcomes.get(call), b.delivered.length]).to.deep.equal([2, 'delivered', 1])
  })

  it('an idle pair sends nothing', async () => {
    const pair = await met()
    expect(await framesOf(pair, async () => { await pair.run(24 * HOUR) })).to.equal(0)
    expect(pair.peers.map(({ session }) => session.nextWake())).to.deep.equal([Infinity, Infinity])
  })

  it('a reconnect costs a heartbeat each way, or a round if the key is too old for that', async () => {
    const pair = await met()
    const one = await framesOf(pair, async () => {
      pair.connect()
      await pair.run(100)
    })
    expect(one).to.equal(2)
    await pair.run(HOUR)
    pair.connect()
    await settled(pair)
    expect(pair.peers[0].epoch).to.equal(2)
  })

  it('older keys are forgotten two minutes after the next one is used, and zeroed', async () => {
    const pair = await met()
    const [a, b] = pair.peers
    const [old] = a.session.state.keys
    b.rekey()
    await settled(pair)
    expect(a.session.state.keys).to.have.lengthOf(2)
    b.send('under the new one')
    await pair.run(3 * MINUTE)
    expect(pair.peers.map(({ session }) => session.state.keys.length)).to.deep.equal([1, 1])
    expect(old.receive.key.every(byte => byte === 0)).to.equal(true)
  })

  it('frames may skip 1,000 keys, and no more', async () => {
    const { peers: [a, b] } = await met()
    const key = current(a.session.state)
    const head = { kind: 'data' as const, key: key?.id ?? '', epoch: 1, counter: 1001 }
    const next = current(b.session.state)?.receive.next ?? 0
    expect(b.session.openingOf({ ...head, counter: next + 1000 }).type).to.equal('key')
    expect(b.session.openingOf({ ...head, counter: next + 1001 }).type).to.equal('too-far')
  })

  it('skipped keys are bounded over all, and zeroed when their time is over', async () => {
    const pair = await met()
    const [a, b] = pair.peers
    const keys = current(b.session.state)
    const body = { base: 1, ack: 0, held: [], messages: [] }

    for (let i = 0; i < 5; i++) {
      const counter = (keys?.receive.next ?? 0) + 700
      b.step({ type: 'opened', head: { kind: 'heartbeat', key: keys?.id ?? '', epoch: 1, counter }, body })
    }

    expect(keys?.skipped).to.have.lengthOf(2000)
    const [first] = keys?.skipped ?? []
    await pair.run(10 * MINUTE)
    expect(keys?.skipped).to.have.lengthOf(0)
    expect(first.key.every(byte => byte === 0)).to.equal(true)
    expect(a.epoch).to.equal(1)
  })
})

describe('sessions: hostile frames', function () {
  this.timeout(MINUTE)

  it('every frame that was ever sent, again and in another order: nothing changes', async () => {
    const pair = await met()
    const [a, b] = pair.peers

    for (let i = 0; i < 6; i++) {
      a.send(String(i))
      b.send(String(i))
      b.rekey()
      await settled(pair)
    }

    const seen = pair.seen.map(frames => [...frames])
    const random = seededRandom(3)
    const epoch = a.epoch

    for (const peer of pair.peers) {
      const frames = seen[peer.index].toSorted(() => random() - 0.5)

      for (const frame of frames) {
        await peer.arrive(frame)
      }
    }

    await settled(pair)
    expect(pair.peers.map(peer => peer.epoch)).to.deep.equal([epoch, epoch])
    expect(pair.peers.map(({ delivered }) => delivered.length)).to.deep.equal([6, 6])
  })

  it('frames of another session, to another peer, turned round, cut short, or of somebody in the middle', async () => {
    const [pair, other] = [await met(), await met({ seed: 9 })]
    const state = pair.peers.map(({ session }) => JSON.stringify(
      session.state.keys.map(({ id, epoch }) => [id, epoch])
    ))

    for (const peer of pair.peers) {
      const mine = pair.seen[peer.index]
      const theirs = pair.seen[1 - peer.index]
      const cut = mine.map(frame => frame.subarray(0, frame.byteLength - 1))
      const changed = mine.flatMap(frame => [5, 40, frame.byteLength - 1].map(at => flipped(frame, at)))

      for (const frame of [...other.seen[peer.index], ...theirs, ...cut, ...changed, fromString('hello')]) {
        await peer.arrive(frame)
      }
    }

    await pair.run(MINUTE)
    const call = pair.peers[0].send('unharmed')
    await settled(pair)
    expect(pair.peers[0].outcomes.get(call)).to.equal('delivered')
    expect(state[0]).to.equal(state[1])
  })

  it('a flood of Proposes of the peer has one operation that is awaited, and the live key stays', async () => {
    const pair = await met()
    const [a, b] = pair.peers
    const publicKey = new Uint8Array(1216)
    const keys = current(a.session.state)

    for (let i = 0; i < 1000; i++) {
      const n = b.session.state.n + 1 + i
      a.step({
        type: 'frame',
        frame: {
          kind: 'propose', n, round: 'ratchet', base: keys?.id, epoch: 1, boot: 1, publicKey
        }
      })
    }

    expect(current(a.session.state)).to.equal(keys)
    expect(roleOf(a.session.state)).to.equal('loser')
    const tokens = a.effects.flatMap(effect => effect.type === 'encapsulate' ? effect.token : [])
    expect(tokens.filter(token => a.session.isAwaited(token))).to.deep.equal(tokens.slice(-1))
    const sent = a.send('under the live key')
    await settled(pair)
    expect(a.outcomes.get(sent)).to.equal('delivered')
  })

  it('a Confirm without the key moves nobody', async () => {
    const pair = await met()
    const [a, b] = pair.peers
    a.rekey()
    await pair.run(24)
    const { mode } = b.session.state
    const key = mode.type === 'accepted' && mode.stage === 'provisional' ? mode.keys.id : ''
    expect(key).to.not.equal('')
    b.step({ type: 'frame', frame: { kind: 'confirm', key, epoch: 2, proof: new Uint8Array(32) } })
    expect([b.epoch, b.counts['wrong-proof']]).to.deep.equal([1, 1])
    await settled(pair)
  })

  it('results of crypto that come too late are zeroed and dropped', async () => {
    const { peers: [a] } = await met()
    const secret = new Uint8Array(32).fill(1)
    a.step({ type: 'generated', token: 1, seed: secret, publicKey: new Uint8Array(1216) })
    a.step({ type: 'decapsulated', token: 1, secret: new Uint8Array(32).fill(1) })
    a.step({ type: 'crypto-failed', token: 1 })
    expect(secret.every(byte => byte === 0)).to.equal(true)
    expect(a.counts['stale-result']).to.equal(3)
    a.step({ type: 'close' })
    const late = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(1)]
    a.step({ type: 'generated', token: 9, seed: late[0], publicKey: new Uint8Array(1216) })
    a.step({ type: 'decapsulated', token: 9, secret: late[1] })
    expect(late.every(secret => secret.every(byte => byte === 0))).to.equal(true)
  })
})
