import { generateKeyPair, publicKeyToProtobuf } from '@libp2p/crypto/keys'
import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { compare } from 'uint8arrays/compare'
import { fromString } from 'uint8arrays/from-string'
import { toString } from 'uint8arrays/to-string'
import { decodeContent, encodeContent, InvalidContentError, MAX_DATA_BYTES } from '../../src/log/core/entry.ts'
import { EntryId } from '../../src/log/entry-id.ts'
import { InvalidEntryIdError } from '../../src/log/errors.ts'
import { decodeEntry } from '../../src/log/signatures.ts'
import { MalformedError } from '../../src/runtime/errors.ts'
import { ENTRIES } from '../fixtures/entries-v1.ts'
import type { Content } from '../../src/log/core/types.ts'
import type { EntryVector } from '../fixtures/entries-v1.ts'

const ALICE = ENTRIES[0].author

function bytesOf (hex: string): Uint8Array {
  return fromString(hex, 'base16')
}

function contentOf ({ time, counter, author, previous, parents, group, replicas, data }: EntryVector): Content {
  return {
    time: parseInt(time, 16),
    counter: parseInt(counter, 16),
    author: bytesOf(author),
    previous: previous == null ? undefined : bytesOf(previous),
    parents: parents.map(bytesOf),
    group: bytesOf(group),
    replicas,
    data: bytesOf(data)
  }
}

const someContent = contentOf(ENTRIES[1])

/** An entry in hexadecimal, with something else in one of its places */
function spelled (fields: { head?: string, author?: string, previous?: string, parents?: string, group?: string, replicas?: string, data?: string, behind?: string }): Uint8Array {
  const { head = '01018bcfe568000001', author = `24${ALICE}`, previous = '00', parents = '00', group = '00', replicas = '00', data = '00', behind = '' } = fields
  return bytesOf(head + author + previous + parents + group + replicas + data + behind)
}

const anyId = fc.uint8Array({ minLength: 32, maxLength: 32 })
const anyContent = fc.record({
  time: fc.maxSafeInteger().map(n => Math.abs(n) % 2 ** 48),
  counter: fc.integer({ min: 0, max: 65_535 }),
  author: fc.uint8Array({ maxLength: 300 }),
  previous: fc.option(anyId, { nil: undefined }),
  parents: fc.uniqueArray(anyId, { maxLength: 64, selector: id => id.join() }).map(ids => ids.sort(compare)),
  group: fc.uint8Array({ maxLength: 64 }),
  replicas: fc.integer({ min: 0, max: 255 }),
  data: fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.constant(new Uint8Array(70_000).fill(7)))
})

describe('the content of an entry', () => {
  for (const vector of ENTRIES) {
    it(`that ${vector.name} is written and named as it was at first`, async () => {
      expect(toString(encodeContent(contentOf(vector)), 'base16')).to.equal(vector.bytes)
      expect(decodeContent(bytesOf(vector.bytes))).to.deep.equal(contentOf(vector))

      const { id } = await decodeEntry({ bytes: bytesOf(vector.bytes), proof: new Uint8Array(0) })
      expect(toString(id, 'base16')).to.equal(vector.id)
      expect(new EntryId(id).toString()).to.equal(vector.cid)
    })
  }

  it('comes out as it went in', () => {
    fc.assert(fc.property(anyContent, content => {
      expect(decodeContent(encodeContent(content))).to.deep.equal(content)
    }), { numRuns: 100 })
  })

  it('has one spelling: what is read is written in the same bytes again', () => {
    for (const vector of ENTRIES) {
      const bytes = bytesOf(vector.bytes)

      for (let i = 0; i < bytes.byteLength * 8; i++) {
        const mutated = bytes.slice()
        mutated[i >> 3] ^= 1 << i % 8
        const content = readable(mutated)

        // an assertion for each would take longer than all else
        if (content != null && compare(encodeContent(content), mutated) !== 0) {
          expect.fail(`${vector.name}, bit ${i}: it is written otherwise than it was read`)
        }
      }
    }
  })

  it('is handed out as views of what came', () => {
    const bytes = bytesOf(ENTRIES[2].bytes)
    const { author, previous, parents, group, data } = decodeContent(bytes)

    expect([author, previous, ...parents, group, data].every(part => part?.buffer === bytes.buffer)).to.equal(true)
  })

  it('is refused wherever it is cut off, and with anything behind it', () => {
    for (const vector of ENTRIES) {
      const bytes = bytesOf(vector.bytes)

      for (let length = 0; length < bytes.byteLength; length++) {
        expect(() => decodeContent(bytes.subarray(0, length))).to.throw(MalformedError)
      }
      expect(() => decodeContent(Uint8Array.from([...bytes, 0]))).to.throw(MalformedError, 'behind')
    }
  })

  it('is refused in any other version', () => {
    for (const version of ['00', '02', 'ff']) {
      expect(() => decodeContent(spelled({ head: `${version}018bcfe568000001` }))).to.throw(MalformedError, 'version')
    }
  })

  it('is refused with numbers that are longer than they need to be', () => {
    expect(decodeContent(spelled({}))).to.be.ok()

    for (const wrong of [{ author: `a400${ALICE}` }, { parents: '8000' }, { group: '8000' }, { replicas: '8000' }, { replicas: '818000' }, { data: '8000' }]) {
      expect(() => decodeContent(spelled(wrong))).to.throw(MalformedError, 'shortest')
    }
  })

  it('is refused with parents that are not in order or there twice', () => {
    const [a, b] = ['0a'.repeat(32), '0b'.repeat(32)]
    expect(decodeContent(spelled({ parents: `02${a}${b}` })).parents).to.have.lengthOf(2)

    for (const parents of [`02${b}${a}`, `02${a}${a}`, `03${a}${b}${b}`]) {
      expect(() => decodeContent(spelled({ parents }))).to.throw(MalformedError, 'parents')
    }
  })

  it('is refused when it says in another way whether there is a previous entry', () => {
    expect(() => decodeContent(spelled({ previous: `02${'0a'.repeat(32)}` }))).to.throw(MalformedError, 'previous')
    expect(() => decodeContent(spelled({ previous: 'ff' }))).to.throw(MalformedError, 'previous')
  })

  it('is refused past each of its limits', () => {
    const ids = Array.from({ length: 65 }, (_, i) => i.toString(16).padStart(2, '0').repeat(32)).join('')

    for (const wrong of [{ author: `cd08${'00'.repeat(1101)}` }, { parents: `41${ids}` }, { group: `41${'00'.repeat(65)}` }, { replicas: '8002' }, { data: '81808008' }]) {
      expect(() => decodeContent(spelled(wrong))).to.throw(MalformedError, 'at most')
    }
  })

  it('is not written when nobody would read it, and the error says why', () => {
    const [id, other] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)]
    const wrong: Array<[Partial<Content>, string]> = [
      [{ time: -1 }, 'time'], [{ time: 2 ** 48 }, 'time'], [{ time: 1.5 }, 'time'], [{ time: NaN }, 'time'], [{ counter: 65_536 }, 'counter'],
      [{ replicas: 256 }, 'replicas'], [{ author: new Uint8Array(1101) }, 'author'], [{ group: new Uint8Array(65) }, 'group'],
      [{ data: new Uint8Array(MAX_DATA_BYTES + 1) }, 'data'], [{ previous: new Uint8Array(31) }, 'previous'],
      [{ parents: [new Uint8Array(33)] }, 'parents'], [{ parents: [other, id] }, 'parents'], [{ parents: [id, id] }, 'parents'],
      [{ parents: Array.from({ length: 65 }, (_, i) => new Uint8Array(32).fill(i)) }, 'parents']
    ]

    for (const [change, text] of wrong) {
      expect(() => encodeContent({ ...someContent, ...change })).to.throw(InvalidContentError, text)
    }
  })

  it('may be as large as its limits, and is then still taken', () => {
    const parents = Array.from({ length: 64 }, (_, i) => new Uint8Array(32).fill(i))
    const largest = encodeContent({
      ...someContent, author: new Uint8Array(1100), parents, group: new Uint8Array(64), replicas: 255, data: new Uint8Array(MAX_DATA_BYTES)
    })

    expect(decodeContent(largest).data).to.have.lengthOf(MAX_DATA_BYTES)
  })
})

describe('the author of an entry', () => {
  it('may be a key of any type', async () => {
    for (const type of ['Ed25519', 'secp256k1', 'ECDSA', 'RSA']) {
      const { publicKey } = await generateKeyPair(type as 'Ed25519')
      const bytes = encodeContent({ ...someContent, author: publicKeyToProtobuf(publicKey) })
      expect(await decodeEntry({ bytes, proof: new Uint8Array(0) })).to.have.property('author')
    }
  })

  it('is refused where it is no key, or a key in another spelling', () => {
    const key = ALICE.slice(8)
    const wrong = [
      '', '00', '0801', '08011200', `0804${ALICE.slice(4)}`, ALICE.slice(0, -2), `${ALICE}00`,
      `1220${key}0801`, `0880011220${key}`, `0881001220${key}`, `080112a000${key}`, `${ALICE}1a00`, `08020801${ALICE.slice(4)}`, `1220${key}${ALICE}`,
      // secp256k1, not compressed and not on the curve
      `08021241${'04'.repeat(65)}`, `0802122102${'ff'.repeat(32)}`
    ]

    for (const author of wrong) {
      const bytes = encodeContent({ ...someContent, author: bytesOf(author) })
      expect(() => decodeEntry({ bytes, proof: new Uint8Array(0) }), author).to.throw(MalformedError)
    }
  })

  it('is refused where anybody could sign for it, and where one point has two spellings', () => {
    const last = 'ff'.repeat(30)
    const points = [
      '00'.repeat(32), `${'00'.repeat(31)}80`, `01${'00'.repeat(31)}`, `01${'00'.repeat(30)}80`,
      `ec${last}7f`, `ec${last}ff`, `ed${last}7f`, `ee${last}7f`, `ee${last}ff`, `ff${last}ff`,
      '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05', '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
      'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a', 'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa'
    ]

    for (const point of points) {
      const bytes = encodeContent({ ...someContent, author: bytesOf(`08011220${point}`) })
      expect(() => decodeEntry({ bytes, proof: new Uint8Array(0) }), point).to.throw(MalformedError, 'anybody')
    }
  })
})

describe('the id of an entry', () => {
  it('is read back from its text', () => {
    for (const { id, cid } of ENTRIES) {
      expect(EntryId.parse(cid).equals(new EntryId(bytesOf(id)))).to.equal(true)
      expect(EntryId.parse(cid).equals(new EntryId(new Uint8Array(32)))).to.equal(false)
    }
  })

  it('is refused in any other spelling, and when it names something else', () => {
    const { cid } = ENTRIES[0]
    const others = [
      '', 'b', cid.slice(0, -1), `${cid}a`, cid.toUpperCase(), `/ipfs/${cid}`, ` ${cid}`,
      'QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG', // version 0
      'bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi', // dag-pb
      'zb2rhe5P4gXftAwvA4eXQ5HJwsER2owDyS9sKaQRRVQPn93bA' // base58
    ]

    for (const text of others) {
      expect(() => EntryId.parse(text), text).to.throw(InvalidEntryIdError)
    }
    expect(() => new EntryId(new Uint8Array(31))).to.throw(InvalidEntryIdError, '32 bytes')
  })
})

function readable (bytes: Uint8Array): Content | undefined {
  try {
    return decodeContent(bytes)
  } catch (err) {
    expect(err).to.be.an.instanceOf(MalformedError)
  }
}
