import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { fromString } from 'uint8arrays/from-string'
import { toString } from 'uint8arrays/to-string'
import { RING } from '../../src/replication/core/ring.ts'
import { decodeMessage, encodeMessage, entrySize, FINGERPRINT_BYTES, KEY_BYTES, PROOF_BYTES } from '../../src/replication/wire.ts'
import { uvarintLength, Writer } from '../../src/runtime/codec.ts'
import { MalformedError } from '../../src/runtime/errors.ts'
import { MESSAGES } from '../fixtures/replication-v1.ts'
import type { Answer, Message, Question } from '../../src/replication/wire.ts'

/** Where a number takes one more byte, and where it does not go into 31, 32 or 53 bits */
const BORDERS = [0, 1, 127, 128, 16_383, 16_384, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1]

const number = fc.oneof(fc.nat(300), fc.maxSafeNat(), fc.constantFrom(...BORDERS))
const blob = fc.uint8Array({ maxLength: 200 })
const exactly = (length: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length })
const list = <T>(item: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(item, { maxLength: 8 })
const is = <T extends string>(name: T): fc.Arbitrary<T> => fc.constant(name)
const key = exactly(KEY_BYTES)
const segment = fc.record({ from: fc.oneof(fc.nat(300), fc.integer({ min: 0, max: RING - 1 })), width: fc.oneof(fc.integer({ min: 1, max: RING }), fc.constant(RING)) })
const segments = list(segment)
const entries = list(fc.record({ bytes: blob, proof: blob }))
const ids = list(exactly(32))
const moment = fc.record({ time: fc.oneof(fc.nat(300), fc.constant(2 ** 48 - 1)), counter: fc.oneof(fc.nat(300), fc.constant(2 ** 16 - 1)) })

const question: fc.Arbitrary<Question> = fc.oneof(
  fc.record({ kind: is('summaries'), key, parts: number, segments }),
  fc.record({ kind: is('symbols'), key, segments, from: number, count: number }),
  fc.record({ kind: is('fetch'), key, segments, shortIds: list(exactly(8)).map(all => Uint8Array.from(all.flatMap(id => [...id]))) }),
  fc.record({ kind: is('pull'), from: number, segments }),
  fc.record({ kind: is('window'), from: moment, to: moment, segments }),
  fc.record({ kind: is('keep'), nonce: key, ids }),
  fc.record({ kind: is('weight') }),
  fc.record({ kind: is('list'), segment, after: exactly(32) }, { requiredKeys: ['kind', 'segment'] })
)
const answer: fc.Arbitrary<Answer> = fc.oneof(
  fc.record({ kind: is('summaries'), summaries: list(fc.record({ count: number, fingerprint: exactly(FINGERPRINT_BYTES) })) }),
  fc.record({ kind: is('symbols'), symbols: blob }),
  fc.record({ kind: is('fetch'), asked: number, entries }),
  fc.record({ kind: is('pull'), next: number, isEnd: fc.boolean(), entries }),
  fc.record({ kind: is('window'), entries, next: moment, looked: number }),
  fc.record({ kind: is('keep'), proofs: list(fc.oneof(exactly(PROOF_BYTES), fc.constant(new Uint8Array(0)))) }),
  fc.record({ kind: is('weight'), bytes: number }),
  fc.record({ kind: is('list'), entries, isEnd: fc.boolean() }),
  fc.record({ kind: is('refused'), reason: fc.string({ unit: 'binary', maxLength: 256 }) })
)
const message: fc.Arbitrary<Message> = fc.oneof(
  fc.record({ type: is('hello'), isAsking: fc.boolean(), documents: list(blob) }),
  fc.record({ type: is('entries'), number, reach: number, entries }),
  fc.record({ type: is('stored'), number, outcomes: list(fc.constantFrom(0 as const, 1 as const, 2 as const)) }),
  fc.record({ type: is('question'), number, question }),
  fc.record({ type: is('answer'), number, answer }),
  fc.record({ type: is('nudge') })
)

function nameOf (message: Message): string {
  switch (message.type) {
    case 'question':
      return `asked ${message.question.kind}`
    case 'answer':
      return `answered ${message.answer.kind}`
    default:
      return message.type
  }
}

function isMalformed (bytes: Uint8Array): boolean {
  try {
    decodeMessage(bytes)
    return false
  } catch (err) {
    if (err instanceof MalformedError) {
      return true
    }
    throw err
  }
}

describe('messages about a log', () => {
  for (const { name, message, bytes } of MESSAGES) {
    it(`have the bytes that they had at first: ${name}`, () => {
      expect(toString(encodeMessage(message), 'base16')).to.equal(bytes)
      expect(decodeMessage(fromString(bytes, 'base16'))).to.deep.equal(message)
    })
  }

  it('are all among those whose bytes are fixed', () => {
    const named = new Set(MESSAGES.map(({ message }) => nameOf(message)))
    const kinds = ['summaries', 'symbols', 'fetch', 'pull', 'window', 'keep', 'list', 'weight']
    expect([...named]).to.have.members(['hello', 'entries', 'stored', 'nudge', ...kinds.map(kind => `asked ${kind}`), ...kinds.map(kind => `answered ${kind}`), 'answered refused'])
  })

  it('come back as they went', () => {
    fc.assert(fc.property(message, message => {
      expect(decodeMessage(encodeMessage(message))).to.deep.equal(message)
    }), { numRuns: 1000 })
  })

  it('have one spelling: what is read is written in the same bytes again', () => {
    fc.assert(fc.property(message, fc.nat(), fc.nat(255), (message, at, byte) => {
      const bytes = Uint8Array.from(encodeMessage(message))
      bytes[at % bytes.byteLength] = byte

      if (!isMalformed(bytes)) {
        expect(encodeMessage(decodeMessage(bytes))).to.deep.equal(bytes)
      }
    }), { numRuns: 2000 })
  })

  it('are malformed when their end is missing, or something stands behind it', () => {
    fc.assert(fc.property(message, fc.uint8Array({ minLength: 1, maxLength: 20 }), (message, more) => {
      const bytes = encodeMessage(message)
      const taken = Array.from(bytes, (_, length) => length).filter(length => !isMalformed(bytes.slice(0, length)))
      expect(taken).to.deep.equal([])
      expect(isMalformed(Uint8Array.from([...bytes, ...more]))).to.equal(true)
    }), { numRuns: 200 })
  })

  it('carry numbers of up to 53 bits, and the whole ring', () => {
    for (const number of BORDERS) {
      const bytes = encodeMessage({ type: 'stored', number, outcomes: [] })
      expect(bytes.byteLength).to.equal(3 + uvarintLength(number))
      expect(decodeMessage(bytes)).to.deep.equal({ type: 'stored', number, outcomes: [] })
    }
    expect(BORDERS.map(uvarintLength)).to.deep.equal([1, 1, 1, 2, 2, 3, 5, 5, 5, 5, 8])

    for (const segment of BORDERS.filter(from => from < RING).map(from => ({ from, width: RING - from }))) {
      const question = { kind: 'pull' as const, from: 0, segments: [segment] }
      expect(decodeMessage(encodeMessage({ type: 'question', number: 0, question }))).to.deep.equal({ type: 'question', number: 0, question })
    }
  })

  it('take no more bytes for an entry than is said beforehand', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 20_000 }), blob, (bytes, proof) => {
      const [none, one] = [[], [{ bytes, proof }]].map(entries => encodeMessage({ type: 'entries', number: 1, reach: 1, entries }).byteLength)
      expect(one - none).to.be.at.most(entrySize({ bytes, proof }))
    }), { numRuns: 50 })
  })

  it('can be refused with the longest reason that is given', () => {
    const message: Message = { type: 'answer', number: 1, answer: { kind: 'refused', reason: '\u6f22'.repeat(256) } }
    expect(decodeMessage(encodeMessage(message))).to.deep.equal(message)
  })

  it('hand out views of what came, but for what is kept', () => {
    const bytes = encodeMessage({ type: 'question', number: 1, question: { kind: 'fetch', key: new Uint8Array(16), segments: [], shortIds: new Uint8Array(8) } })
    const message = decodeMessage(bytes)
    const { key, shortIds } = (message as Extract<Message, { type: 'question' }>).question as Extract<Question, { kind: 'fetch' }>
    expect(shortIds.buffer).to.equal(bytes.buffer)
    expect(key.buffer).to.not.equal(bytes.buffer)
  })

  const head = (type: number): Writer => new Writer().byte(1).byte(type)
  const asked = (kind: number): Writer => head(3).uvarint(1).byte(kind)
  const answered = (kind: number): Writer => head(4).uvarint(1).byte(kind)
  const wholeKey = new Uint8Array(16)
  const many = new Array(4097).fill(0)
  const malformed: Record<string, Writer> = {
    nothing: new Writer(),
    'of another version': new Writer().byte(2).byte(5),
    'of no type': head(6),
    'a hello that asks perhaps': head(0).byte(2).uvarint(0),
    'a document that is too long': head(0).byte(0).uvarint(1).bytes(new Uint8Array(16_385)),
    'too many documents': head(0).byte(0).uvarint(many.length).raw(Uint8Array.from(many)),
    'more documents than there are bytes': head(0).byte(0).uvarint(2 ** 53 - 1).uvarint(0),
    'an entry without a proof': head(1).uvarint(1).uvarint(1).uvarint(1).bytes(wholeKey),
    'an outcome that is none': head(2).uvarint(1).uvarint(1).byte(3),
    'a number in more bytes than it needs': head(2).byte(0x80).byte(0).uvarint(0),
    'a number past 2^53 - 1': head(2).raw(Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10)).uvarint(0),
    'a question of no kind': asked(8),
    'a refusal as a question': asked(255).string(''),
    'an answer of no kind': answered(8),
    'a key that is cut off': asked(0).raw(wholeKey.subarray(1)),
    'a segment that begins past the ring': asked(3).uvarint(0).uvarint(1).uvarint(RING).uvarint(0),
    'a segment that is wider than the ring': asked(3).uvarint(0).uvarint(1).uvarint(0).uvarint(RING),
    'half a short id': asked(2).raw(wholeKey).uvarint(0).bytes(new Uint8Array(12)),
    'half an id': asked(4).raw(wholeKey).uvarint(1).raw(wholeKey),
    'half a fingerprint': answered(0).uvarint(1).uvarint(5).raw(new Uint8Array(7)),
    'an end that is perhaps one': answered(3).uvarint(1).byte(2).uvarint(0),
    'half a proof': answered(4).uvarint(1).bytes(new Uint8Array(8)),
    'a proof that is too long': answered(4).uvarint(1).bytes(new Uint8Array(32)),
    'a reason that is too long': answered(255).string('x'.repeat(1025)),
    'a reason that is not UTF-8': answered(255).bytes(Uint8Array.of(0xff))
  }
  // of each list one more than is allowed
  malformed['too many proofs'] = answered(4).uvarint(many.length).raw(Uint8Array.from(many))
  malformed['too many outcomes'] = head(2).uvarint(1).uvarint(many.length).raw(Uint8Array.from(many))
  malformed['too many segments'] = asked(3).uvarint(0).uvarint(many.length).raw(new Uint8Array(2 * many.length))
  malformed['too many entries'] = answered(2).uvarint(1).uvarint(many.length).raw(new Uint8Array(2 * many.length))

  for (const [name, writer] of Object.entries(malformed)) {
    it(`are refused as malformed: ${name}`, () => {
      expect(() => decodeMessage(writer.finish())).to.throw(MalformedError)
    })
  }
})
