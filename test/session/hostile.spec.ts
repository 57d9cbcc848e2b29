import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { expect } from 'aegir/chai'
import { keyOf } from '../../src/pubsub/keys.ts'
import { randomInt, seededRandom } from '../../src/runtime/random.ts'
import { signWith } from '../../src/runtime/signing.ts'
import { KEM_PUBLIC_BYTES } from '../../src/session/constants.ts'
import { encodeConfirm, encodeHead, encodeSigned, signedBytes, withSignature } from '../../src/session/core/wire.ts'
import { eventually, range } from '../fixtures/directsub.ts'
import { Air } from './air.ts'
import type { Station } from './air.ts'
import type { Propose } from '../../src/session/core/wire.ts'
import type { PrivateKey } from '@libp2p/interface'

/** Frames that are changed at random. A longer run is `MUTATED=1000000` */
const MUTATED = Number(globalThis.process?.env?.MUTATED ?? 5000)

/** A Propose as its sender would sign it */
async function proposeOf (from: PrivateKey, to: Station, some: Partial<Propose> = {}, claimed = from): Promise<Uint8Array> {
  const propose: Propose = {
    kind: 'propose', n: Date.now() + 1000, round: 'fresh', epoch: 0, boot: 1, publicKey: new Uint8Array(KEM_PUBLIC_BYTES), ...some
  }
  const encoded = encodeSigned(propose, keyOf(peerIdFromPrivateKey(claimed)), keyOf(to.peerId))
  return withSignature(encoded, await signWith(from)(signedBytes(encoded)))
}

/** All that was handed to a station so far was dealt with: it answers a message of somebody else */
async function settled (to: Station, by: Station): Promise<void> {
  await by.say(to, 'are you there?')
}

describe('hostile peers of the sessions service', function () {
  this.timeout(60_000 + MUTATED)
  let air: Air
  let a: Station
  let b: Station

  beforeEach(async () => {
    air = new Air()
    a = await air.station()
    b = await air.station()
    await a.say(b, 'first')
    await b.say(a, 'first')
  })

  afterEach(async () => {
    const broken = air.stations.flatMap(({ dropped }) => Object.keys(dropped).filter(reason => /^I\d+$/.test(reason)))
    await air.stop()
    expect(broken).to.deep.equal([])
  })

  /** The live session is untouched: same key, messages both ways, nothing that was not sent */
  async function untouched (before = a.service.state(b.peerId)?.key, messages = ['first']): Promise<void> {
    await a.say(b, 'last')
    await b.say(a, 'last')
    expect([a.heard.filter(text => text.length < 6), b.heard]).to.deep.equal([[...messages, 'last'], [...messages, 'last']])
    expect([a.service.state(b.peerId)?.key, b.service.state(a.peerId)?.key]).to.deep.equal([before, before])
  }

  it('frames that come again, in another order, and late change nothing', async () => {
    const recorded = [...air.frames]

    for (const { from, to, frame } of [...recorded, ...recorded.toReversed(), ...recorded]) {
      to.arrive(from.peerId, frame)
    }

    await untouched()
    const again = Object.entries(b.dropped).filter(([reason]) => reason === 'replayed' || reason.startsWith('stale'))
    expect(again.reduce((sum, [, count]) => sum + count, 0)).to.be.greaterThan(0)
  })

  it('frames of another peer, of another session, cut short, and with a bit that is turned are dropped', async () => {
    const c = await air.station()
    await c.say(b, 'other')
    b.heard.pop()
    const recorded = [...air.frames]

    for (const { frame } of recorded) {
      // what others say to others
      b.arrive(c.peerId, frame)
      a.arrive(c.peerId, frame)
      b.arrive(b.peerId, frame)
      // and what was said, damaged
      for (let i = 0; i < frame.byteLength; i += 97) {
        const turned = Uint8Array.from(frame)
        turned[i] ^= 1
        b.arrive(a.peerId, frame.subarray(0, i))
        b.arrive(a.peerId, turned)
      }
    }

    const key = a.service.state(b.peerId)?.key
    await untouched(key)
    expect(b.dropped).to.include.keys('not-ours', 'malformed')
  })

  it('a Propose that somebody else has signed, that is of another version, or lies about its peer is dropped', async () => {
    const stranger = await generateKeyPair('Ed25519')
    const [good, forged, foreign] = await Promise.all([
      proposeOf(a.privateKey, b), proposeOf(stranger, b, {}, a.privateKey), proposeOf(a.privateKey, a)
    ])
    b.arrive(a.peerId, forged)
    b.arrive(a.peerId, foreign)
    ;[0, 2, 255].forEach(version => { b.arrive(a.peerId, good.map((byte, i) => i === 0 ? version : byte)) })
    await untouched()
    expect(b.dropped).to.include({ forged: 1, 'not-ours': 1, malformed: 3 })
  })

  it('a peer that proposes with keys that are none gets no key, and the live one stays', async () => {
    b.arrive(a.peerId, await proposeOf(a.privateKey, b, { publicKey: new Uint8Array(KEM_PUBLIC_BYTES).fill(255) }))
    await eventually('the key was taken', () => b.dropped['crypto-failed'] === 1)
    await untouched()
  })

  it('a flood of Proposes of one peer is dropped past its share, and costs others nothing', async () => {
    const c = await air.station()
    await c.say(b, 'quiet')
    const flood = await Promise.all(range(1000).map(async i =>
      proposeOf(a.privateKey, b, { n: Date.now() + 1000 + i, publicKey: new Uint8Array(KEM_PUBLIC_BYTES).fill(i) })))
    const stranger = await generateKeyPair('Ed25519')
    const strange = await Promise.all(range(200).map(async i => proposeOf(stranger, b, { n: i + 1 })))
    flood.forEach(frame => { b.arrive(a.peerId, frame) })
    strange.forEach(frame => { b.arrive(peerIdFromPrivateKey(stranger), frame) })
    await settled(b, c)
    expect(b.dropped['too-many']).to.be.greaterThan(150)
    expect(b.service.diagnostics().crypto.waiting).to.be.lessThan(4)
    // nobody has proven the keys of the flood: the live one stays
    expect(b.service.state(a.peerId)?.epoch).to.equal(1)
    await a.say(b, 'last')
    expect(b.heard.at(-1)).to.equal('last')
  })

  it('strangers by the hundred begin so many sessions and no more, and known peers are not kept out', async () => {
    const keys = await Promise.all(range(300).map(async () => generateKeyPair('Ed25519')))
    const frames = await Promise.all(keys.map(async key => proposeOf(key, b)))
    frames.forEach((frame, i) => { b.arrive(peerIdFromPrivateKey(keys[i]), frame) })
    await a.say(b, 'last')
    const { sizes, dropped } = b.service.diagnostics()
    expect(sizes.sessions).to.be.within(2, 140)
    expect(dropped['too-many-strangers']).to.be.greaterThan(100)
  })

  it('strangers that begin rounds and never end them keep nobody out', async () => {
    const maxSessions = 8
    const victim = await air.station({ maxSessions })
    // a key of X-Wing that can be answered: the victim then waits for the proof that it is used
    const publicKey = new Uint8Array(KEM_PUBLIC_BYTES)
    publicKey[KEM_PUBLIC_BYTES - 32] = 9
    const keys = await Promise.all(range(2 * maxSessions).map(async () => generateKeyPair('Ed25519')))
    const frames = await Promise.all(keys.map(async key => proposeOf(key, victim, { publicKey })))
    const open = async (i: number): Promise<void> => {
      victim.arrive(peerIdFromPrivateKey(keys[i]), frames[i])
      await eventually('it was not answered', () => {
        const { sizes, peers } = victim.service.diagnostics()
        return sizes.ending === 0 && peers.every(({ role, epoch }) => epoch > 0 || role === 'loser')
      })
    }

    for (const i of range(maxSessions)) {
      await open(i)
    }

    expect(victim.service.diagnostics().peers.filter(({ role }) => role === 'loser')).to.have.lengthOf(maxSessions)
    await a.say(victim, 'me, too')
    await victim.say(b, 'you, too')

    for (const i of range(maxSessions)) {
      await open(maxSessions + i)
    }

    // who has agreed on a key stays, while strangers come and go
    expect(victim.service.state(a.peerId)?.epoch).to.equal(1)
    expect(victim.service.state(b.peerId)?.epoch).to.equal(1)
    expect(victim.service.diagnostics().sizes.sessions).to.equal(maxSessions)
    await a.say(victim, 'last')
    expect(victim.heard).to.deep.equal(['me, too', 'last'])
  })

  it('a peer that is not allowed begins no session, and may be spoken to', async () => {
    const closed = await air.station({ allow: () => false })
    const sent = a.say(closed, 'may I?')
    await eventually('nobody refused', () => closed.dropped['not-allowed'] > 0)
    expect(closed.heard).to.deep.equal([])
    await closed.say(b, 'you may')
    expect(b.heard.at(-1)).to.equal('you may')
    await a.service.close(closed.peerId)
    await expect(sent).to.eventually.be.rejected.with.property('name', 'SessionClosedError')
  })

  it('frames that would skip a thousand keys each, and do not open, cost a bounded time', async () => {
    const key = range(8).map(i => parseInt(`${a.service.state(b.peerId)?.key}`.slice(2 * i, 2 * i + 2), 16))
    const head = { kind: 'data' as const, key: String.fromCharCode(...key), epoch: 1, counter: 900 }
    const frame = withSignature(encodeHead(head), new Uint8Array(100))
    range(500).forEach(() => { b.arrive(a.peerId, frame) })
    expect(b.dropped.forged).to.be.lessThan(40)
    expect(b.dropped['too-many']).to.be.greaterThan(400)
    // the peer that does so waits for its own share, and nobody else does
    const c = await air.station()
    await c.say(b, 'fast')
    await a.say(b, 'last')
    expect(b.heard.at(-1)).to.equal('last')
  })

  it('unknown keys of a peer cost one resync, however many frames come', async () => {
    let resyncs = 0
    b.service.addEventListener('session:resync', () => { resyncs++ })
    const head = { kind: 'data' as const, epoch: 99, counter: 0 }

    for (const i of range(100)) {
      b.arrive(a.peerId, withSignature(encodeHead({ ...head, key: `unknown${i % 10}` }), new Uint8Array(50)))
      b.arrive(a.peerId, encodeConfirm({ kind: 'confirm', key: `unknown${i % 10}`, epoch: 99, proof: new Uint8Array(32) }))
    }

    await eventually('the round does not end', () => b.service.state(a.peerId)?.role === 'idle')
    expect(resyncs).to.equal(1)
    await a.say(b, 'last')
    expect(b.heard).to.deep.equal(['first', 'last'])
  })

  it('somebody in the middle who changes, doubles, drops and delays frames delivers nothing that was not said', async () => {
    const random = seededRandom(1)
    air.meddle = frame => {
      const dice = random()

      if (dice < 0.1) {
        return []
      }
      if (dice < 0.2) {
        return [frame, frame]
      }
      return dice < 0.3 ? [frame.map((byte, i) => i === randomInt(random, frame.byteLength) ? byte ^ 64 : byte)] : [frame]
    }
    const said = range(20).map(i => `${i}`)
    await Promise.all([...said.map(async text => a.say(b, text)), ...said.map(async text => b.say(a, text))])
    expect([a.heard.slice(1), b.heard.slice(1)]).to.deep.equal([said, said])
  })

  it(`${MUTATED} frames changed at random harm nobody`, async () => {
    const random = seededRandom(2)
    const recorded = air.frames.map(({ frame }) => frame)
    const c = await air.station()

    for (let i = 0; i < MUTATED; i++) {
      const frame = Uint8Array.from(recorded[randomInt(random, recorded.length)])
      const changes = 1 + randomInt(random, 4)

      for (let change = 0; change < changes; change++) {
        frame[randomInt(random, frame.byteLength)] = randomInt(random, 256)
      }

      b.arrive(a.peerId, random() < 0.2 ? frame.subarray(0, randomInt(random, frame.byteLength)) : frame)

      if (i % 5000 === 0) {
        await settled(b, c)
      }
    }

    expect(b.heard.filter(text => text !== 'are you there?')).to.deep.equal(['first'])
    // its share of what frames may cost in vain is used up for a moment, and a fresh round may have been asked for
    await a.say(b, 'last')
    expect(b.heard.at(-1)).to.equal('last')
  })
})
