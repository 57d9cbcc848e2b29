import { expect } from 'aegir/chai'
import { fromString } from 'uint8arrays/from-string'
import { toString } from 'uint8arrays/to-string'
import { seededRandom } from '../../src/runtime/random.ts'
import * as browser from '../../src/runtime/sha256.browser.ts'
import * as platform from '../../src/runtime/sha256.ts'

/** FIPS 180-2, appendix B, and its empty one */
const VECTORS: Array<[string, string]> = [
  ['', 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'],
  ['abc', 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
  [
    'abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq',
    '248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1'
  ],
  ['a'.repeat(1_000_000), 'cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0']
]

const random = seededRandom(180)
const noise = Uint8Array.from({ length: 3 * platform.LARGE_BYTES }, () => Math.floor(random() * 256))

const PLATFORMS = Object.entries({ 'this platform': platform, browsers: browser })

for (const [name, { LARGE_BYTES, sha256, sha256Sliced }] of PLATFORMS) {
  describe(`SHA-256 of ${name}`, () => {
    it('is the one of the standard, at once and in pieces', async () => {
      for (const [text, hash] of VECTORS) {
        const bytes = fromString(text)

        expect(toString(sha256(bytes), 'base16')).to.equal(hash)
        expect(toString(await sha256Sliced(bytes, async () => {}), 'base16')).to.equal(hash)
      }
    })

    it('is the same in pieces as at once around the size of a piece, with a pause between two pieces', async () => {
      for (const [length, pauses] of [
        [0, 0], [1, 0], [LARGE_BYTES - 1, 0], [LARGE_BYTES, 0], [LARGE_BYTES + 1, 1],
        [2 * LARGE_BYTES, 1], [2 * LARGE_BYTES + 1, 2]
      ]) {
        // not from the start of its buffer
        const bytes = noise.subarray(3, 3 + length)
        let paused = 0

        expect(await sha256Sliced(bytes, async () => { paused++ })).to.deep.equal(sha256(bytes))
        expect(paused).to.equal(pauses)
      }
    })

    it('is bytes of its own and leaves what it hashed as it was', () => {
      const bytes = fromString('abc')
      const hash = sha256(bytes)
      hash.fill(0)

      expect(toString(bytes)).to.equal('abc')
      expect(toString(sha256(bytes), 'base16')).to.equal(VECTORS[1][1])
      expect(Object.getPrototypeOf(hash)).to.equal(Uint8Array.prototype)
      expect(hash.buffer.byteLength).to.equal(32)
    })
  })
}

describe('SHA-256', () => {
  it('is the same on all platforms', () => {
    for (let length = 0; length < 300; length++) {
      const bytes = noise.subarray(0, length)
      expect(platform.sha256(bytes)).to.deep.equal(browser.sha256(bytes))
    }
  })
})
