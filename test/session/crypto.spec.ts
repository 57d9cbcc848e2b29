import { privateKeyFromRaw } from '@libp2p/crypto/keys'
import { shake128 } from '@noble/hashes/sha3.js'
import { expect } from 'aegir/chai'
import { concat } from 'uint8arrays/concat'
import { fromString } from 'uint8arrays/from-string'
import { toString } from 'uint8arrays/to-string'
import { bytesOfKey } from '../../src/runtime/keys.ts'
import { signWith, verifyWith } from '../../src/runtime/signing.ts'
import { derive, hkdfExpand, hkdfExtract, hmac } from '../../src/session/core/key-schedule.ts'
import { mlKemEncapsulate, nobleCipher } from '../../src/session/crypto/noble.ts'
import * as browser from '../../src/session/crypto/platform.browser.ts'
import * as platform from '../../src/session/crypto/platform.ts'
import { XWing } from '../../src/session/crypto/x-wing.ts'
import type { CryptoProvider, Primitives } from '../../src/session/crypto/provider.ts'

const hex = (text: string): Uint8Array => fromString(text, 'base16')
const text = (bytes: Uint8Array): string => toString(bytes, 'base16')

/**
 * In Node all of them run; in browsers `platform.ts` is `platform.browser.ts`, and the second falls back to JavaScript
 */
const primitives: Record<string, Primitives> = {
  'the platform': platform.platformPrimitives(),
  'the platform without ML-KEM': platform.primitivesBy(false),
  WebCrypto: browser.platformPrimitives(),
  JavaScript: browser.primitivesBy(undefined)
}

const providers: Record<string, CryptoProvider> = {
  'the platform': platform.cryptoProvider(),
  'the platform without ML-KEM': platform.providerBy(false),
  WebCrypto: browser.cryptoProvider(),
  JavaScript: browser.providerBy(undefined)
}

/** draft-connolly-cfrg-xwing-kem-08, appendix C: the ends of long values. The secret depends on every byte of them */
const X_WING = [
  {
    seed: '7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26',
    publicKey: ['e2236b35a8c24b39b10aa1323a96a919', '593d4ba32d9abac8cd049040ef6534'],
    random: '3cb1eea988004b93103cfb0aeefd2a686e01fa4a58e8a3639ca8a1e3f9ae57e2' +
      '35b8cc873c23dc62b8d260169afa2f75ab916a58d974918835d25e6a435085b2',
    ciphertext: ['b83aa828d4d62b9a83ceffe1d3d3bb1e', '5cfb97e63e0e41d354274a079d3e6fb2e15'],
    secret: 'd2df0522128f09dd8e2c92b1e905c793d8f57a54c3da25861f10bf4ca613e384'
  },
  {
    seed: 'badfd6dfaac359a5efbb7bcc4b59d538df9a04302e10c8bc1cbf1a0b3a5120ea',
    publicKey: ['0333285fa253661508c9fb444852caa4', '926d96ea8a160b8843f1c89c62'],
    random: '17cda7cfad765f5623474d368ccca8af0007cd9f5e4c849f167a580b14aabdef' +
      'aee7eef47cb0fca9767be1fda69419dfb927e9df07348b196691abaeb580b32d',
    ciphertext: ['c93beb22326705699bbc3d1d0aa6339b', 'ea155b67'],
    secret: 'f2e86241c64d60f6649fbc6c5b7d17180b780a3f34355e64a85749949c45f150'
  }
]

/** Name, low to high, and confirmation key: of a fresh round, and of one that builds on a root */
const VERSION_1 = [
  [
    'b12b875b3b3f82d3',
    '26775252f2a40a29f0c5d3e694c0a8a0033752613645ec2550ea45c92e50df7e',
    '5b57b941a354463fc2692737119fcdbd49d4b54d77679dd414d9f50d04d50d5d'
  ],
  [
    '670254e51b4e5488',
    'c87e803834b8c9104ecc8bc23cfac43b61febc4b79dea6baf7d5f90b95d7b496',
    '3532d913410bf7d2c3b0b40f3fb220f6fcfabe885e940c740031a78904e10037'
  ]
]

describe('the cryptography of sessions', function () {
  this.timeout(60_000)

  for (const [name, parts] of Object.entries(primitives)) {
    describe(`by ${name}`, () => {
      it('multiplies on Curve25519 as RFC 7748 does', async () => {
        const [alice, bob] = [
          hex('77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a'),
          hex('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb')
        ]
        const shared = '4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742'
        const [alicePublic, bobPublic] = [await parts.x25519Public(alice), await parts.x25519Public(bob)]
        expect(text(alicePublic)).to.equal('8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a')
        expect(text(bobPublic)).to.equal('de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f')
        expect(text(await parts.x25519(alice, bobPublic))).to.equal(shared)
        expect(text(await parts.x25519(bob, alicePublic))).to.equal(shared)
        expect(text(await parts.x25519(
          hex('a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4'),
          hex('e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c')
        ))).to.equal('c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552')
      })

      it('refuses a point that makes every secret zero', async () => {
        const multiply = async (): Promise<Uint8Array> => parts.x25519(new Uint8Array(32).fill(7), new Uint8Array(32))
        await expect(multiply()).to.eventually.be.rejected()
      })

      // the procedure and the hash are those of TestAccumulated in Go's crypto/mlkem
      it('makes keys, and opens good and bad ciphertexts, as FIPS 203 does, 100 times', () => {
        const input = shake128.create({})
        const output = shake128.create({})

        for (let i = 0; i < 100; i++) {
          const seed = input.xof(64)
          const publicKey = parts.mlKemPublic(seed)
          const { ciphertext, secret } = mlKemEncapsulate(publicKey, input.xof(32))
          expect(parts.mlKemDecapsulate(seed, ciphertext)).to.deep.equal(secret)
          output.update(publicKey).update(ciphertext).update(secret)
          output.update(parts.mlKemDecapsulate(seed, input.xof(1088)))
        }

        expect(text(output.xof(32))).to.equal('1114b1b6699ed191734fa339376afa7e285c9e6acf6ff0177d346696ce564415')
      })

      it('agrees on a secret as the draft of X-Wing does', async () => {
        for (const { seed, publicKey, random, ciphertext, secret } of X_WING) {
          const [message, ephemeral] = [hex(random.slice(0, 64)), hex(random.slice(64))]
          const xWing = new XWing({
            ...parts,
            random: () => ephemeral.slice(),
            mlKemEncapsulate: publicKey => mlKemEncapsulate(publicKey, message)
          })
          const theirs = await xWing.publicKeyOf(hex(seed))
          const encapsulated = await xWing.encapsulate(theirs)
          expect(theirs).to.have.property('byteLength', 1216)
          expect(text(theirs)).to.match(new RegExp(`^${publicKey.join('.*')}$`))
          expect(text(encapsulated.ciphertext)).to.match(new RegExp(`^${ciphertext.join('.*')}$`))
          expect(text(encapsulated.secret)).to.equal(secret)
          expect(text(await xWing.decapsulate(hex(seed), encapsulated.ciphertext))).to.equal(secret)
        }
      })
    })
  }

  describe('agreement between providers', () => {
    for (const [one, mine] of Object.entries(providers)) {
      for (const [other, theirs] of Object.entries(providers)) {
        it(`${one} opens what ${other} has made`, async () => {
          const { seed, publicKey } = await mine.generate()
          const { secret, ciphertext } = await theirs.encapsulate(publicKey)
          expect(await mine.decapsulate(seed, ciphertext)).to.deep.equal(secret)
          const [head, message] = [fromString('head'), fromString('message')]
          const sealed = theirs.seal(secret, head, message)
          expect(mine.open(secret, head, sealed)).to.deep.equal(message)
          expect(mine.open(secret, fromString('heat'), sealed)).to.equal(undefined)
          expect(mine.open(seed, head, sealed)).to.equal(undefined)
          expect(mine.open(secret, head, sealed.subarray(0, 9))).to.equal(undefined)
          expect(mine.open(secret, head, sealed.map((byte, i) => i === 3 ? byte ^ 1 : byte))).to.equal(undefined)
          expect(mine.open(secret, head, theirs.seal(secret, head, new Uint8Array(0)))).to.deep.equal(new Uint8Array(0))
        })
      }

      it(`${one} refuses keys and ciphertexts that are none`, async () => {
        const { seed, publicKey } = await mine.generate()
        await expect(mine.encapsulate(publicKey.subarray(1))).to.eventually.be.rejected()
        await expect(mine.encapsulate(new Uint8Array(1216).fill(255))).to.eventually.be.rejected()
        await expect(mine.decapsulate(seed, new Uint8Array(1119))).to.eventually.be.rejected()
      })
    }
  })

  for (const [name, cipher] of Object.entries({ 'the platform': platform.platformCipher, JavaScript: nobleCipher })) {
    it(`seals as RFC 8439 does, by ${name}`, () => {
      const key = hex('808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f')
      const [nonce, head] = [hex('070000004041424344454647'), hex('50515253c0c1c2c3c4c5c6c7')]
      const message = fromString('Ladies and Gentlemen of the class of \'99: If I could offer you only one tip for ' +
        'the future, sunscreen would be it.')
      const sealed = hex('d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da9' +
        '2728b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc' +
        '3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691')
      expect(text(cipher.seal(key, nonce, head, message))).to.equal(text(sealed))
      expect(cipher.open(key, nonce, head, sealed)).to.deep.equal(message)
    })
  }

  it('derives keys as RFC 5869 does', () => {
    const secret = new Uint8Array(22).fill(0x0b)
    const first = hkdfExtract(hex('000102030405060708090a0b0c'), secret)
    expect(text(first)).to.equal('077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5')
    expect(text(hkdfExpand(first, hex('f0f1f2f3f4f5f6f7f8f9'), 42)))
      .to.equal('3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865')
    const second = hkdfExtract(new Uint8Array(0), secret)
    expect(text(second)).to.equal('19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04')
    expect(text(hkdfExpand(second, new Uint8Array(0), 42)))
      .to.equal('8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8')
  })

  // not published: of our own, so that a change of what is derived does not go unnoticed
  it('names and derives the keys of an epoch as version 1 does', () => {
    const [secret, transcript, root] = [1, 2, 3].map(byte => new Uint8Array(32).fill(byte))
    const keys = [derive(undefined, secret, transcript), derive(root, secret, transcript)]
    const seen = keys.map(({ id, lowToHigh, confirm }) => [text(bytesOfKey(id)), text(lowToHigh), text(confirm)])
    expect(seen).to.deep.equal(VERSION_1)
  })

  it('makes MACs as RFC 4231 does, also with a key of more than a block', () => {
    expect(text(hmac(new Uint8Array(20).fill(0x0b), fromString('Hi '), fromString('There'))))
      .to.equal('b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7')
    expect(text(hmac(new Uint8Array(131).fill(0xaa), fromString(
      'Test Using Larger Than Block-Size Key - Hash Key First'
    ))))
      .to.equal('60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54')
  })

  it('signs as RFC 8032 does', async () => {
    const seed = hex('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60')
    const key = privateKeyFromRaw(concat([seed, hex(
      'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a'
    )]))
    const signature = await signWith(key)(new Uint8Array(0))
    expect(text(signature)).to.equal('e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33ba' +
      'cc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b')
    expect(await verifyWith(key.publicKey)(new Uint8Array(0), signature)).to.equal(true)
  })
})
