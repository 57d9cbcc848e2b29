import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { Lane } from '../../src/link/index.ts'
import * as limits from '../../src/pubsub/constants.ts'
import * as wire from '../../src/pubsub/wire.ts'
import { encodeString } from '../../src/runtime/codec.ts'
import { MalformedError } from '../../src/runtime/errors.ts'
import { SILENCE } from '../fixtures/core.ts'
import type { Frame } from '../../src/link/index.ts'

const number = fc.oneof(fc.nat(300), fc.maxSafeNat())
const byte = fc.nat(255)
const blob = fc.uint8Array({ maxLength: 200 })
const key = fc.uint8Array({ maxLength: 64 }).map(bytes => String.fromCharCode(...bytes))
const topic = fc.string({ unit: 'binary', maxLength: 80 }).filter(text => encodeString(text).byteLength <= limits.MAX_TOPIC_LENGTH)
const list = <T>(item: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(item, { maxLength: 8 })
const set = <T>(item: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.uniqueArray(item, { maxLength: 8 })

const version = { origin: key, epoch: number, seq: number, hops: byte }

const gossip: fc.Arbitrary<wire.WireGossip> = fc.record({
  ack: fc.oneof(fc.constant(-1), number.filter(seq => seq < Number.MAX_SAFE_INTEGER)),
  updates: list(fc.record({ ...version, announcements: list(blob) })),
  lost: set(key),
  wanted: list(fc.record(version)),
  requests: list(fc.record({ id: number, topic })),
  answers: list(number)
})
const receipt: fc.Arbitrary<wire.Receipt> = fc.record({
  status: fc.constantFrom<wire.ReceiptStatus>('acked', 'undecided', 'rejected', 'ignored', 'not-subscribed', 'too-late', 'past-life', 'congested', 'unreachable'),
  of: key,
  epoch: number,
  topic,
  seqs: set(number),
  about: set(key)
})
const announcement = fc.record({ seq: number.map(seq => Math.min(seq, limits.MAX_ANNOUNCEMENT_SEQ)), full: fc.boolean(), on: list(topic), off: list(topic) })
const message = fc.record({ wantsAck: fc.boolean(), topic, seq: number, data: fc.oneof(blob, fc.constant(new Uint8Array(5000))) })

/** The body of a frame, as the link hands it on */
function bodyOf ({ head, body }: Frame): Uint8Array {
  const bytes = Uint8Array.from([...head, ...body ?? []])
  return bytes.subarray(bytes.findIndex(byte => byte < 0x80) + 2)
}

interface Codec<T> {
  value: fc.Arbitrary<T>
  encode (value: T): Uint8Array
  decode (bytes: Uint8Array): unknown
  /** Whether it ends where its payload ends: then there is nothing behind it to be skipped */
  isOpenEnded: boolean
}

function codec<T> (value: fc.Arbitrary<T>, encode: (value: T) => Uint8Array, decode: (bytes: Uint8Array) => unknown, isOpenEnded = false): Codec<any> {
  return { value, encode, decode, isOpenEnded }
}

const codecs: Record<string, Codec<any>> = {
  greeting: codec(fc.record({ epoch: number, isRelay: fc.boolean() }), wire.encodeGreeting, wire.decodeGreeting),
  gossip: codec(gossip, value => bodyOf(wire.encodeGossip(value)), wire.decodeGossip),
  announcement: codec(announcement, value => wire.encodeAnnouncement({ origin: '', epoch: 0, ...value }), wire.decodeAnnouncement),
  message: codec(message, ({ wantsAck, topic, seq, data }) => bodyOf(wire.encodeMessage(topic, seq, data, wantsAck)), wire.decodeMessage, true),
  bundle: codec(
    fc.record({ wantsAck: fc.boolean(), topic, to: set(key), messages: list(fc.record({ seq: number, data: blob })) }),
    wire.encodeBundle, wire.decodeBundle
  ),
  parcel: codec(
    fc.record({
      trace: list(fc.nat(0xffffffff)), lane: fc.constantFrom(...Object.values(Lane)), destinations: set(key), envelope: fc.oneof(blob, fc.constant(new Uint8Array(5000)))
    }),
    value => bodyOf(wire.encodeParcel(value)), wire.decodeParcel, true
  ),
  receipt: codec(receipt, wire.encodeReceipt, wire.decodeReceipt),
  'receipt as a frame': codec(receipt, value => bodyOf(wire.encodeReceiptFrame(value)), wire.decodeReceipt),
  'list of flows': codec(
    fc.array(fc.record({ to: key, lane: fc.nat(3), bytes: fc.maxSafeNat() }), { maxLength: 10 }),
    value => bodyOf(wire.encodeFlows(value)), wire.decodeFlows
  )
}

for (const [name, { value, encode, decode, isOpenEnded }] of Object.entries(codecs)) {
  describe(`on the wire, a ${name}`, () => {
    it('comes back as it went', () => {
      fc.assert(fc.property(value, value => {
        expect(decode(encode(value))).to.deep.equal(value)
      }), { numRuns: 60 })
    })

    it('is refused as malformed, and nothing else, when its end is missing', () => {
      fc.assert(fc.property(value, value => {
        const bytes = encode(value)
        let taken = 0

        for (let length = 0; length < Math.min(bytes.byteLength, 300); length++) {
          try {
            decode(bytes.slice(0, length))
            taken++
          } catch (err) {
            if (!(err instanceof MalformedError)) {
              throw err
            }
          }
        }

        if (!isOpenEnded && taken > 0) {
          throw new Error(`${taken} shorter ones were taken`)
        }
      }), { numRuns: 30 })
    })

    if (!isOpenEnded) {
      it('may have more behind it than this version knows', () => {
        fc.assert(fc.property(value, blob, (value, more) => {
          expect(decode(Uint8Array.from([...encode(value), ...more]))).to.deep.equal(value)
        }), { numRuns: 30 })
      })
    }
  })
}

describe('on the wire', () => {
  it('a message of the topic of the one before is told from one of a topic that begins like it', () => {
    const topics = ['news', 'new', 'newt', 'news!', '', 'n'.repeat(127), 'n'.repeat(128), 'n'.repeat(200), '\uFEFFnews', 'näws']

    for (const first of topics) {
      for (const second of topics) {
        for (const topic of [first, second, first]) {
          const body = bodyOf(wire.encodeMessage(topic, 3, Uint8Array.of(1, 2), true))
          wire.encodeMessage(first, 1, new Uint8Array(0), false)
          expect(wire.decodeMessage(body)).to.deep.equal({ wantsAck: true, topic, seq: 3, data: Uint8Array.of(1, 2) })
        }
      }
    }
  })

  it('the payload of a message is a view of what came, and the one that is sent is not copied when it is long', () => {
    const data = new Uint8Array(10_000)
    const frame = wire.encodeMessage('topic', 1, data, false)
    expect(frame.body).to.equal(data)
    const body = bodyOf(frame)
    expect(wire.decodeMessage(body).data.buffer).to.equal(body.buffer)
  })

  it('a bundle says its topic without the rest of it being read', () => {
    const content = wire.encodeBundle({ topic: 'näws', to: ['k'], wantsAck: true, messages: [{ seq: 1, data: new Uint8Array(9) }] })
    expect(wire.topicOfBundle(content.subarray(0, 10))).to.equal('näws')
  })

  it('a relay is named in a trace by the last four bytes of its id', () => {
    expect(wire.traceOf('whatever\x01\x02\x03\xff')).to.equal(0x010203ff)
    expect(wire.traceOf('\xff\xff\xff\xff')).to.equal(0xffffffff)
  })

  it('a peer or message that stands twice in a list counts once', () => {
    const receipt: wire.Receipt = { status: 'congested', of: 'o', epoch: 0, topic: '', seqs: [1, 1, 2], about: ['a', 'a', 'b'] }
    expect(wire.decodeReceipt(wire.encodeReceipt(receipt))).to.deep.equal({ ...receipt, seqs: [1, 2], about: ['a', 'b'] })
    const parcel: wire.Parcel = { trace: [], lane: Lane.DATA, destinations: ['a', 'b', 'a'], envelope: new Uint8Array(0) }
    expect(wire.decodeParcel(bodyOf(wire.encodeParcel(parcel))).destinations).to.deep.equal(['a', 'b'])
  })

  it('lists and strings past their limits are refused', () => {
    const long = 't'.repeat(limits.MAX_TOPIC_LENGTH + 1)
    const key = 'k'.repeat(65)
    const receipt: wire.Receipt = { status: 'acked', of: '', epoch: 0, topic: '', seqs: [], about: [] }
    const parcel: wire.Parcel = { trace: [], lane: Lane.CONTROL, destinations: [], envelope: new Uint8Array(0) }
    const update: wire.WireUpdate = { origin: '', epoch: 0, seq: 0, hops: 0, announcements: [] }
    const tooMany = <T>(count: number, item: T): T[] => new Array(count + 1).fill(item)
    const refused: Array<() => unknown> = [
      () => wire.decodeMessage(bodyOf(wire.encodeMessage(long, 1, new Uint8Array(0), false))),
      () => wire.decodeReceipt(wire.encodeReceipt({ ...receipt, of: key })),
      () => wire.decodeReceipt(wire.encodeReceipt({ ...receipt, seqs: tooMany(limits.MAX_SEQS, 1) })),
      () => wire.decodeReceipt(wire.encodeReceipt({ ...receipt, about: tooMany(limits.MAX_DESTINATIONS, 'k') })),
      () => wire.decodeReceipt(Uint8Array.of(9, ...wire.encodeReceipt(receipt).subarray(1))),
      () => wire.decodeParcel(bodyOf(wire.encodeParcel({ ...parcel, lane: 4 as Lane }))),
      () => wire.decodeParcel(bodyOf(wire.encodeParcel({ ...parcel, destinations: tooMany(limits.MAX_DESTINATIONS, 'k') }))),
      () => wire.decodeParcel(bodyOf(wire.encodeParcel({ ...parcel, trace: tooMany(limits.HOP_LIMIT, 1) }))),
      () => wire.decodeFlows(bodyOf(wire.encodeFlows([{ to: key, lane: 4, bytes: 1 }]))),
      () => wire.decodeFlows(bodyOf(wire.encodeFlows(tooMany(limits.MAX_DESTINATIONS, { to: 'k', lane: 0, bytes: 1 })))),
      () => wire.decodeGossip(bodyOf(wire.encodeGossip({ ...SILENCE, updates: [], lost: tooMany(limits.MAX_UPDATES, 'k') }))),
      () => wire.decodeGossip(bodyOf(wire.encodeGossip({ ...SILENCE, updates: tooMany(limits.MAX_UPDATES, update) }))),
      () => wire.decodeGossip(bodyOf(wire.encodeGossip({ ...SILENCE, updates: [{ ...update, announcements: tooMany(limits.MAX_HISTORY + 1, new Uint8Array(0)) }] }))),
      () => wire.decodeGossip(bodyOf(wire.encodeGossip({ ...SILENCE, updates: [], answers: tooMany(limits.MAX_UPDATES, 1) }))),
      () => wire.decodeGossip(bodyOf(wire.encodeGossip({ ...SILENCE, updates: [], requests: [{ id: 1, topic: long }] }))),
      () => wire.decodeAnnouncement(wire.encodeAnnouncement({ origin: '', epoch: 0, seq: 1, full: true, on: tooMany(limits.MAX_ANNOUNCED_TOPICS, 't'), off: [] })),
      () => wire.decodeAnnouncement(wire.encodeAnnouncement({ origin: '', epoch: 0, seq: limits.MAX_ANNOUNCEMENT_SEQ + 1, full: true, on: [], off: [] })),
      () => wire.decodeBundle(wire.encodeBundle({ topic: '', to: [], wantsAck: false, messages: tooMany(limits.BUNDLE_MESSAGES, { seq: 1, data: new Uint8Array(0) }) }))
    ]

    for (const decode of refused) {
      expect(decode).to.throw(MalformedError)
    }
  })
})
