import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { concat } from 'uint8arrays/concat'
import { MalformedError, orMalformed } from '../../src/runtime/errors.ts'
import { randomInt, seededRandom } from '../../src/runtime/random.ts'
import { decodeRecord, encodeRecord } from '../../src/session/core/record.ts'
import { newSession } from '../../src/session/core/state.ts'
import * as wire from '../../src/session/core/wire.ts'
import { OPTIONS, Pair } from './pair.ts'
import type { Random } from '../../src/runtime/random.ts'

const MUTATIONS = setting('FUZZ_FRAMES', 100_000)
const PEERS = ['peer A', 'peer B'] as const
const secret = fc.uint8Array({ minLength: 32, maxLength: 32 })
const number = fc.integer({ min: 0, max: 2 ** 52 - 1 })
const positive = fc.integer({ min: 1, max: 2 ** 52 - 1 })
const keyId = fc.constantFrom('12345678', '\0\0\0\0\0\0\0\0', '\xff\xff\xff\xff\xff\xff\xff\xff')
const bytes = (length: number): fc.Arbitrary<Uint8Array> => fc.integer({ min: 0, max: 255 }).map(
  byte => new Uint8Array(length).fill(byte)
)

const propose = fc.record({ n: number, epoch: number, boot: number, publicKey: bytes(1216) })
const signed: fc.Arbitrary<wire.SignedFrame> = fc.oneof(
  propose.map(fields => ({ kind: 'propose' as const, round: 'fresh' as const, base: undefined, ...fields })),
  fc.tuple(propose, keyId).map(([fields, base]) => ({
    kind: 'propose' as const, round: 'ratchet' as const, base, ...fields
  })),
  fc.record({
    kind: fc.constant('accept' as const),
    n: number,
    proposeHash: secret,
    epoch: positive,
    boot: number,
    ciphertext: bytes(1120),
    key: keyId,
    proof: secret
  }),
  fc.record({
    kind: fc.constant('cancel' as const),
    by: fc.constantFrom(...PEERS),
    n: number,
    reason: fc.constantFrom(...wire.REASONS),
    seen: number
  }),
  fc.record({ kind: fc.constant('resync' as const), n: number, unknown: keyId })
)
const body: fc.Arbitrary<wire.Body> = fc.record({
  base: number,
  ack: fc.integer({ min: 0, max: 2 ** 50 }),
  messages: fc.array(fc.record({ seq: positive, payload: fc.uint8Array() }), { maxLength: 64 })
}).chain(fields => fc.subarray(Array.from(
  { length: 64 }, (_, i) => fields.ack + 2 + i
)).map(held => ({ ...fields, held })))

function setting (name: string, otherwise: number): number {
  const value = typeof process === 'undefined' ? undefined : process.env?.[name]
  return value == null || value === '' ? otherwise : Number(value)
}

/** One to three of: a byte changed, some taken out, some put in, cut short, some appended, and two frames made one */
function broken (frames: Uint8Array[], random: Random): Uint8Array {
  let frame = frames[randomInt(random, frames.length)]

  for (let i = randomInt(random, 3); i >= 0; i--) {
    frame = brokenOnce(frame, frames[randomInt(random, frames.length)], random)
  }

  return frame
}

function brokenOnce (frame: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  const at = randomInt(random, Math.min(frame.byteLength, random() < 0.7 ? 120 : 2000) + 1)
  const [before, after] = [frame.subarray(0, at), frame.subarray(at)]
  const noise = Uint8Array.from({ length: randomInt(random, 9) }, () => randomInt(random, 256))
  const ways = [
    [before, Uint8Array.of(randomInt(random, 256)), after.subarray(1)],
    [before, after.subarray(noise.byteLength)],
    [before, noise, after],
    [before],
    [frame, noise],
    [before, other.subarray(at)]
  ]
  return concat(ways[randomInt(random, ways.length)])
}

describe('frames of sessions', function () {
  this.timeout(60_000)

  it('come out of bytes as they went in', () => {
    fc.assert(fc.property(signed, fc.uint8Array({ maxLength: 64 }), (frame, signature) => {
      const encoded = wire.encodeSigned(frame, ...PEERS)
      const decoded = wire.decode(wire.withSignature(encoded, signature))
      expect(decoded).to.deep.equal({
        frame, from: PEERS[0], to: PEERS[1], signed: wire.signedBytes(encoded), signature
      })
    }), { seed: 1 })

    fc.assert(fc.property(fc.constantFrom(
      'data' as const, 'heartbeat' as const, 'close' as const
    ), keyId, number, number, (kind, key, epoch, counter) => {
      const head = wire.encodeHead({ kind, key, epoch, counter })
      const ciphertext = new Uint8Array(20)
      expect(wire.decode(concat([head, ciphertext]))).to.deep.equal(
        { frame: { kind, key, epoch, counter }, head, ciphertext }
      )
    }), { seed: 1 })

    fc.assert(fc.property(keyId, number, secret, (key, epoch, proof) => {
      const frame = { kind: 'confirm' as const, key, epoch, proof }
      expect(wire.decode(wire.encodeConfirm(frame))).to.deep.equal({ frame })
    }), { seed: 1 })

    fc.assert(fc.property(body, said => {
      const kind = said.messages.length === 0 ? 'heartbeat' : 'data'
      expect(wire.decodeBody(kind, wire.encodeBody(said))).to.deep.equal(said)
    }), { seed: 1 })
  })

  it('an Accept is made of its offer, its key, and its proof', () => {
    const offer = {
      kind: 'accept' as const,
      n: 1,
      proposeHash: new Uint8Array(32),
      epoch: 1,
      boot: 1,
      ciphertext: new Uint8Array(1120)
    }
    const accept = { ...offer, key: '12345678', proof: new Uint8Array(32).fill(9) }
    const encoded = wire.encodeSigned(accept, ...PEERS)
    expect(encoded.subarray(0, -40)).to.deep.equal(wire.encodeOffer(offer, ...PEERS))
  })

  for (const [what, frame] of Object.entries({
    'of no bytes': [],
    'of another version': [2, 5],
    'of an unknown kind': [1, 99, 1, 65, 1, 66],
    'with a number past 2^52': [
      1, 5, 1, 2, 3, 4, 5, 6, 7, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f, ...new Uint8Array(32)
    ],
    'without a tag': [1, 6, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1, 0],
    'about a round of somebody else': [1, 3, 1, 65, 1, 66, 1, 67, 1, 0, 0]
  })) {
    it(`a frame ${what} is malformed`, () => {
      expect(() => wire.decode(Uint8Array.from(frame))).to.throw(MalformedError)
    })
  }

  it(`${MUTATIONS} broken frames are malformed, forged, or stale, and nothing else`, async () => {
    const pair = new Pair()
    pair.peers.forEach(peer => { peer.send('hello') })
    await pair.run(1000)
    pair.peers[1].rekey()
    await pair.run(1000)
    const frames = pair.seen.flat()
    const random = seededRandom(1)
    const { session: { state } } = pair.peers[0]
    const before = JSON.stringify([state.n, state.seen, state.mode, state.keys.map(({ id }) => id)])
    let malformed = 0

    for (let i = 0; i < MUTATIONS; i++) {
      const frame = broken(frames, random)
      const decoded = orMalformed(() => wire.decode(frame))
      malformed += decoded instanceof MalformedError ? 1 : 0
      // signatures are most of the time that this takes
      i % 50 === 0 && await pair.peers[0].arrive(frame)
    }

    expect(malformed).to.be.above(MUTATIONS / 10)
    await pair.run(10_000)
    // a broken head under an unknown name may cost a fresh round, and no more
    expect(pair.difference()).to.equal(undefined)
    expect(state.mode.type).to.equal('idle')
    expect(pair.peers[0].resyncs).to.be.at.most(1)
    pair.peers[0].resyncs === 0 && expect(JSON.stringify([
      state.n, state.seen, state.mode, state.keys.map(({ id }) => id)
    ])).to.equal(before)
  })

  it('broken bodies are malformed, or bodies', () => {
    const bodies = fc.sample(body, { numRuns: 100, seed: 1 }).map(wire.encodeBody)
    const random = seededRandom(2)

    for (let i = 0; i < 20_000; i++) {
      const kind = (['data', 'heartbeat', 'close'] as const)[i % 3]
      const decoded = orMalformed(() => wire.decodeBody(kind, broken(bodies, random)))
      expect(decoded instanceof MalformedError || decoded.held.length <= 64).to.equal(true)
    }
  })
})

describe('the stored record of a session', () => {
  const init = { me: 'a', peer: 'b', boot: 5, options: OPTIONS }

  it('comes out of bytes as it went in, without what seals', async () => {
    const pair = new Pair()
    pair.peers[0].send('hello')
    await pair.run(1000)
    pair.peers[0].rekey()
    await pair.run(24)
    const { session: { state }, record, me } = pair.peers[1]
    expect(state.mode.type).to.equal('accepted')
    const restored = decodeRecord(record as Uint8Array, {
      me, peer: pair.peers[0].me, boot: 99, options: pair.options
    }, pair.now)
    expect(restored.keys.map(({ send }) => send)).to.deep.equal([undefined])
    expect(restored.keys[0].receive.next).to.be.at.least(1)
    expect(restored.mode).to.have.property('type', 'accepted')
    expect([restored.n, restored.seen, restored.in.delivered]).to.deep.equal([state.n, state.seen, 1])
    expect(encodeRecord(restored)).to.deep.equal(record)
  })

  it('is not changed by what becomes of the session, nor the other way round', async () => {
    const record = encodeRecord(newSession(init))
    const copy = record.slice()
    decodeRecord(record, init, 0).n = 7
    expect(record).to.deep.equal(copy)
  })

  it('keeps older keys no longer than their time, when the clock was set back meanwhile', async () => {
    const pair = new Pair()

    for (let i = 0; i < 2; i++) {
      pair.peers[0].rekey()
      await pair.run(1000)
    }

    const { session: { state }, me } = pair.peers[1]
    expect(state.keys).to.have.lengthOf(2)
    const earlier = pair.now - 365 * 86_400_000
    const restored = decodeRecord(encodeRecord(state), { ...init, me, peer: pair.peers[0].me }, earlier)
    expect(restored.keys[0].supersededAt).to.equal(earlier)
  })

  it('that is broken is malformed, or a record', async () => {
    const pair = new Pair()
    pair.peers[0].rekey()
    await pair.run(24)
    const random = seededRandom(3)

    for (let i = 0; i < 20_000; i++) {
      const record = broken([pair.peers[1].record as Uint8Array], random)
      const decoded = orMalformed(() => decodeRecord(record, init, 0))
      expect(decoded instanceof MalformedError || decoded.me === 'a').to.equal(true)
    }
  })
})
