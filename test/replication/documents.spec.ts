import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { Signer, EnvelopeType } from '../../src/pubsub/envelope.ts'
import { keyOf } from '../../src/pubsub/keys.ts'
import { applyDocument } from '../../src/replication/core/info.ts'
import { RING } from '../../src/replication/core/ring.ts'
import { Author, hashOf, isTrue, readDocument } from '../../src/replication/documents.ts'
import { writeSegments } from '../../src/replication/wire.ts'
import { Writer } from '../../src/runtime/codec.ts'
import { MalformedError } from '../../src/runtime/errors.ts'
import { bytesOfKey } from '../../src/runtime/keys.ts'
import type { Info } from '../../src/replication/core/info.ts'
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

  /** What somebody knows who hears these, in this order */
  function heard (documents: Uint8Array[]): Info | undefined {
    let info: Info | undefined

    for (const bytes of documents) {
      const applied = applyDocument(info, read(bytes).document)
      info = applied.type === 'new' ? applied.info : info
    }

    return info
  }

  async function envelope (content: Writer, type: EnvelopeType = EnvelopeType.REPLICATION): Promise<Uint8Array> {
    return signer.sign(EPOCH, type, content.finish())
  }

  it('is said in full, and reads as it was said, by whom and in which of its lives', async () => {
    const author = new Author(signer, log, EPOCH)
    const bytes = await author.say([C, A, B])
    const { document, envelope } = read(bytes)
    expect(document).to.deep.equal({ type: 'full', owner: keyOf(peerIdFromPrivateKey(key)), epoch: EPOCH, sequence: 1, segments: [A, B, C], bytes })
    expect(await isTrue({ document, envelope })).to.equal(true)
    expect(author.documents).to.deep.equal([bytes])
    // it does not keep alive what it came in
    expect(envelope.bytes.buffer).to.not.equal(bytes?.buffer)
  })

  it('is said again as what has changed, where that is shorter', async () => {
    const author = new Author(signer, log, EPOCH)
    await author.say([A, B])
    const bytes = await author.say([A, B, C])
    expect(read(bytes).document).to.deep.include({ type: 'delta', sequence: 2, base: 1, added: [C], removed: [] })
    const stopped = await author.say([])
    expect(read(stopped).document).to.deep.include({ type: 'full', sequence: 3, segments: [] })
    expect(author.documents).to.deep.equal([stopped])
  })

  it('is not said again when it is the same, but for the first time also if it is nothing', async () => {
    const author = new Author(signer, log, EPOCH)
    expect(await author.say([])).to.be.instanceOf(Uint8Array)
    expect(await author.say([])).to.equal(undefined)
    await author.say([A])
    expect(await author.say([{ from: 10, width: 5 }, { from: 15, width: 15 }])).to.equal(undefined)
  })

  it('can always be learned from the documents that there are to be heard', async () => {
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

      const news = (await Promise.all(said)).filter(bytes => bytes != null)
      expect(heard(author.documents)?.segments).to.deep.equal(author.segments)
      expect(heard(news)).to.deep.equal(heard(author.documents))
    }), { numRuns: 40 })
  })

  it('is told in its order where later ones are signed sooner', async () => {
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

    expect(heard(author.documents)?.segments).to.deep.equal([A, B, C])
    expect(author.documents).to.deep.equal((await saying).slice(-author.documents.length))
  })

  it('is said in full after it could not be signed', async () => {
    const weak = new Signer(key)
    const author = new Author(weak, log, EPOCH)
    await author.say([A, B])
    const { sign } = signer
    weak.sign = () => { throw new Error('no') }
    await expect(author.say([A, B, C])).to.be.rejectedWith('no')
    weak.sign = sign.bind(signer)
    expect(read(await author.say([A, B, C])).document).to.deep.include({ type: 'full', segments: [A, B, C] })
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
    const head = (kind: number): Writer => new Writer().raw(log).uvarint(5).byte(kind)
    const many = Array.from({ length: 65 }, (_, i) => ({ from: 10 * i, width: 1 }))
    const refused: Record<string, Writer> = {
      'cut off': new Writer().raw(log.subarray(1)),
      'of no kind': head(2),
      'with something behind it': writeSegments(head(0), [A]).byte(0),
      'with two that overlap': writeSegments(head(0), [A, { from: 29, width: 1 }]),
      'with one twice': writeSegments(head(0), [A, A]),
      'with too many': writeSegments(head(0), many),
      'past the end of the ring': head(0).uvarint(1).uvarint(RING).uvarint(0),
      'wider than the ring': head(0).uvarint(1).uvarint(0).uvarint(RING),
      'that stands on itself': writeSegments(writeSegments(head(1).uvarint(5), [A]), []),
      'that stands on a later one': writeSegments(writeSegments(head(1).uvarint(6), [A]), []),
      'that takes away what overlaps': writeSegments(writeSegments(head(1).uvarint(4), []), [A, A])
    }

    for (const [name, content] of Object.entries(refused)) {
      const bytes = await envelope(content)
      expect(() => read(bytes), name).to.throw(MalformedError)
    }

    const bytes = await envelope(writeSegments(head(0), [A]), EnvelopeType.ANNOUNCEMENT)
    expect(() => read(bytes)).to.throw(MalformedError, 'type 0')
    const good = [writeSegments(head(0), many.slice(1)), writeSegments(head(0), [{ from: 7, width: RING }]), writeSegments(writeSegments(head(1).uvarint(4), []), [])]
    await Promise.all(good.map(async content => read(await envelope(content))))
  })
})
