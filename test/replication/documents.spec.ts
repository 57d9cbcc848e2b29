import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { Signer, EnvelopeType } from '../../src/pubsub/envelope.ts'
import { keyOf } from '../../src/pubsub/keys.ts'
import { isNewer } from '../../src/replication/core/info.ts'
import { RING, normalize } from '../../src/replication/core/ring.ts'
import { Author, hashOf, isTrue, readDocument, versionOf } from '../../src/replication/documents.ts'
import { writeSegments } from '../../src/replication/wire.ts'
import { Writer } from '../../src/runtime/codec.ts'
import { MalformedError } from '../../src/runtime/errors.ts'
import { bytesOfKey } from '../../src/runtime/keys.ts'
import type { Segment } from '../../src/replication/core/ring.ts'
import type { Unverified } from '../../src/replication/documents.ts'
import type { PrivateKey } from '@libp2p/interface'

const EPOCH = 1_700_000_000_000
const A: Segment = { from: 10, width: 20 }
const B: Segment = { from: 1000, width: 1 }
const C: Segment = { from: RING - 5, width: 7 }

describe('what a peer says it keeps', () => {
  let key: PrivateKey
  let signer: Signer
  let log: Uint8Array

  before(async () => {
    [key, log] = await Promise.all([generateKeyPair('Ed25519'), hashOf('a log')])
    signer = new Signer(key)
  })

  function read (bytes: Uint8Array = new Uint8Array(0)): Unverified {
    return readDocument(bytes, log)
  }

  async function envelope (content: Writer, type: EnvelopeType = EnvelopeType.REPLICATION): Promise<Uint8Array> {
    return signer.sign(EPOCH, type, content.finish())
  }

  it('reads as it was said, by whom and in which of its lives', async () => {
    const author = new Author(signer, log, EPOCH)
    const bytes = await author.say([C, A, B])
    const { document, envelope } = read(bytes)
    expect(document).to.deep.equal({ owner: keyOf(peerIdFromPrivateKey(key)), epoch: EPOCH, sequence: 1, segments: [A, B, C], bytes })
    expect(await isTrue({ document, envelope })).to.equal(true)
    expect(author.document).to.equal(bytes)
    expect(versionOf(bytes ?? new Uint8Array(0), log)).to.deep.equal({ owner: document.owner, epoch: EPOCH, sequence: 1 })
    // it does not keep alive what it came in
    expect(envelope.bytes.buffer).to.not.equal(bytes?.buffer)
  })

  it('is said as a whole each time, and is short', async () => {
    const author = new Author(signer, log, EPOCH)
    await author.say([A, B])
    const bytes = await author.say([A, B, C])
    expect(read(bytes).document).to.deep.include({ sequence: 2, segments: [A, B, C] })
    const stopped = await author.say([])
    expect(read(stopped).document).to.deep.include({ sequence: 3, segments: [] })
    expect(author.document).to.equal(stopped)
    const most = await author.say(Array.from({ length: 64 }, (_, i) => ({ from: RING - 1 - i * 2 ** 25, width: 2 ** 24 })))
    expect(most?.byteLength).to.be.below(1024)
  })

  it('has one form, in whatever form it was signed', async () => {
    const untidy = [{ from: 30, width: 10 }, { from: 0, width: 20 }, { from: 20, width: 10 }, { from: RING - 5, width: 5 }]
    const bytes = await envelope(writeSegments(new Writer().raw(log).uvarint(1), untidy))
    expect(read(bytes).document.segments).to.deep.equal(normalize(untidy))
  })

  it('is not said again when it is the same, but for the first time also if it is nothing', async () => {
    const author = new Author(signer, log, EPOCH)
    expect(await author.say([])).to.be.instanceOf(Uint8Array)
    expect(await author.say([])).to.equal(undefined)
    await author.say([A])
    expect(await author.say([{ from: 10, width: 5 }, { from: 15, width: 15 }])).to.equal(undefined)
  })

  it('is always the newest one of those that are signed', async () => {
    const place = fc.integer({ min: 0, max: 9 })

    await fc.assert(fc.asyncProperty(fc.array(fc.uniqueArray(place, { maxLength: 9 }), { minLength: 1, maxLength: 25 }), fc.boolean(), async (changes, isAtOnce) => {
      const author = new Author(signer, log, EPOCH)
      const said: Array<Promise<Uint8Array | undefined>> = []

      for (const places of changes) {
        const saying = author.say(places.map(place => ({ from: place * 100, width: 50 })))
        said.push(saying)
        // or the next one while this one is still being signed
        await (isAtOnce ? undefined : saying)
      }

      const documents = (await Promise.all(said)).filter(bytes => bytes != null).map(bytes => read(bytes).document)
      const newest = documents.reduce((a, b) => isNewer(b, a) ? b : a)
      expect(newest.segments).to.deep.equal(author.segments)
      expect(author.document).to.deep.equal(newest.bytes)
      expect(documents.map(document => author.isNews(document))).to.not.include(true)
      expect(author.isNews({ epoch: EPOCH, sequence: newest.sequence + 1 })).to.equal(true)
    }), { numRuns: 40 })
  })

  it('is the newest one where later ones are signed sooner', async () => {
    const slow: Array<() => void> = []
    const late = new Signer(key)
    late.sign = async (...said) => {
      await new Promise<void>(resolve => { slow.unshift(resolve) })
      return signer.sign(...said)
    }
    const author = new Author(late, log, EPOCH)
    const saying = Promise.all([author.say([A]), author.say([A, B]), author.say([A, B, C])])

    // whichever waits for its signature, the latest first
    for (let left = 100; left > 0; left--) {
      slow.shift()?.()
      await Promise.resolve()
    }

    expect(author.document).to.equal((await saying).at(-1))
    expect(read(author.document).document.segments).to.deep.equal([A, B, C])
  })

  it('is said again after it could not be signed', async () => {
    const weak = new Signer(key)
    const author = new Author(weak, log, EPOCH)
    await author.say([A, B])
    const { sign } = signer
    weak.sign = () => { throw new Error('no') }
    await expect(author.say([A, B, C])).to.be.rejectedWith('no')
    weak.sign = sign.bind(signer)
    expect(read(await author.say([A, B, C])).document).to.deep.include({ sequence: 3, segments: [A, B, C] })
  })

  it('of another log is refused', async () => {
    const bytes = await new Author(signer, await hashOf('another log'), EPOCH).say([A])
    expect(() => read(bytes)).to.throw(MalformedError, 'another log')
  })

  it('is not believed of somebody else than who signed it', async () => {
    const bytes = await new Author(signer, log, EPOCH).say([A]) ?? new Uint8Array(0)
    const other = bytesOfKey(keyOf(peerIdFromPrivateKey(await generateKeyPair('Ed25519'))))
    const forged = Uint8Array.from(bytes)
    // ids of one type of key have one length
    forged.set(other, 1)
    expect(bytesOfKey(read(forged).document.owner)).to.deep.equal(other)
    expect(await verdictOn(forged)).to.equal(false)
    expect(await isTrue(read(new Writer().raw(read(bytes).envelope.signed).bytes(new Uint8Array(0)).finish()))).to.equal(false)
  })

  it('is malformed or not believed when any bit of it is another one, or its end is missing', async () => {
    const bytes = await new Author(signer, log, EPOCH).say([A, C]) ?? new Uint8Array(0)

    for (let i = 0; i < 8 * bytes.byteLength; i++) {
      const changed = Uint8Array.from(bytes)
      changed[i >> 3] ^= 1 << i % 8
      expect(await verdictOn(changed), `bit ${i}`).to.not.equal(true)
    }
    for (let length = 0; length < bytes.byteLength; length++) {
      expect(await verdictOn(bytes.slice(0, length))).to.equal('malformed')
    }
    expect(await verdictOn(Uint8Array.from([...bytes, 0]))).to.equal('malformed')
  })

  async function verdictOn (bytes: Uint8Array): Promise<boolean | 'malformed'> {
    try {
      return await isTrue(read(bytes))
    } catch (err) {
      if (err instanceof MalformedError) {
        return 'malformed'
      }
      throw err
    }
  }

  it('is refused when it is no document, though it is signed', async () => {
    const head = (): Writer => new Writer().raw(log).uvarint(5)
    const many = Array.from({ length: 65 }, (_, i) => ({ from: 10 * i, width: 1 }))
    const refused: Record<string, Writer> = {
      'cut off': new Writer().raw(log.subarray(1)),
      'without segments': head(),
      'with something behind it': writeSegments(head(), [A]).byte(0),
      'with two that overlap': writeSegments(head(), [A, { from: 29, width: 1 }]),
      'with one twice': writeSegments(head(), [A, A]),
      'with too many': writeSegments(head(), many),
      'past the end of the ring': head().uvarint(1).uvarint(RING).uvarint(0),
      'wider than the ring': head().uvarint(1).uvarint(0).uvarint(RING)
    }

    for (const [name, content] of Object.entries(refused)) {
      const bytes = await envelope(content)
      expect(() => read(bytes), name).to.throw(MalformedError)
    }

    const bytes = await envelope(writeSegments(head(), [A]), EnvelopeType.ANNOUNCEMENT)
    expect(() => read(bytes)).to.throw(MalformedError, 'type 0')
    const good = [writeSegments(head(), many.slice(1)), writeSegments(head(), [{ from: 7, width: RING }]), writeSegments(head(), [])]
    await Promise.all(good.map(async content => read(await envelope(content))))
  })
})
