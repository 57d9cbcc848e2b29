import { generateKeyPair, publicKeyToProtobuf } from '@libp2p/crypto/keys'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { expect } from 'aegir/chai'
import { sha256 } from 'multiformats/hashes/sha2'
import { EnvelopeType, publicKeyOf, readEnvelope, Signer, verifyEnvelope } from '../../src/pubsub/envelope.ts'
import { keyOf, peerOf } from '../../src/pubsub/keys.ts'
import { Writer } from '../../src/runtime/codec.ts'
import { MalformedError } from '../../src/runtime/errors.ts'
import { bytesOfKey, keyOfBytes } from '../../src/runtime/keys.ts'
import type { PrivateKey } from '@libp2p/interface'

const CONTENT = Uint8Array.of(1, 2, 3, 4)

/** 'malformed' or whether it is believed: nothing else may come out */
async function verdictOn (bytes: Uint8Array): Promise<boolean | 'malformed'> {
  try {
    return await verifyEnvelope(readEnvelope(bytes))
  } catch (err) {
    if (err instanceof MalformedError) {
      return 'malformed'
    }
    throw err
  }
}

/** As a signer writes it, with whatever key, origin and signature */
async function forge (privateKey: PrivateKey, fields: { origin?: Uint8Array, key?: Uint8Array, signature?: Uint8Array, domain?: string }): Promise<Uint8Array> {
  const body = new Writer()
    .bytes(fields.origin ?? peerIdFromPublicKey(privateKey.publicKey).toMultihash().bytes)
    .bytes(fields.key ?? new Uint8Array(0)).uvarint(7).byte(EnvelopeType.BUNDLE).bytes(CONTENT).finish()
  const domain = new TextEncoder().encode(fields.domain ?? 'libp2p-sheaf/1:')
  const signature = fields.signature ?? await privateKey.sign(Uint8Array.from([...domain, ...await sha256.encode(body)]))
  return Uint8Array.from([...body, ...new Writer().bytes(signature).finish()])
}

for (const type of ['Ed25519', 'secp256k1', 'RSA'] as const) {
  describe(`an envelope signed with a key of type ${type}`, function () {
    this.timeout(30_000)
    let privateKey: PrivateKey
    let other: PrivateKey
    let bytes: Uint8Array

    before(async () => {
      [privateKey, other] = await Promise.all([generateKeyPair(type as 'Ed25519'), generateKeyPair(type as 'Ed25519')])
      bytes = await new Signer(privateKey).sign(7, EnvelopeType.BUNDLE, CONTENT)
    })

    it('says who made it, and is believed', async () => {
      const envelope = readEnvelope(bytes)

      expect(envelope).to.include({ origin: keyOf(peerIdFromPublicKey(privateKey.publicKey)), epoch: 7, type: EnvelopeType.BUNDLE })
      expect([...envelope.content]).to.deep.equal([...CONTENT])
      expect(publicKeyOf(envelope).equals(privateKey.publicKey)).to.equal(true)
      expect(await verifyEnvelope(envelope)).to.equal(true)
    })

    it('holds its key only where the id does not', () => {
      expect(readEnvelope(bytes).key != null).to.equal(type === 'RSA')
    })

    it('is not believed when any byte of it is another one', async () => {
      for (let i = 0; i < bytes.byteLength; i++) {
        const tampered = bytes.slice()
        tampered[i] ^= 1 << (i % 8)

        expect(await verdictOn(tampered), `byte ${i}`).to.be.oneOf([false, 'malformed'])
      }
    })

    it('is malformed when it is shorter or longer', async () => {
      for (let length = 0; length < bytes.byteLength; length++) {
        expect(await verdictOn(bytes.subarray(0, length))).to.equal('malformed')
      }
      expect(await verdictOn(Uint8Array.from([...bytes, 0]))).to.equal('malformed')
    })

    it('is believed only of the key that signed it', async () => {
      const key = type === 'RSA' ? publicKeyToProtobuf(privateKey.publicKey) : undefined
      expect(await verdictOn(await forge(privateKey, { key }))).to.equal(true)

      const origin = bytesOfKey(keyOf(peerIdFromPublicKey(privateKey.publicKey)))
      expect(await verdictOn(await forge(other, { origin }))).to.be.oneOf([false, 'malformed'])
      expect(await verdictOn(await forge(other, { origin, key }))).to.equal(false)
      expect(await verdictOn(await forge(other, { origin, key: publicKeyToProtobuf(other.publicKey) }))).to.be.oneOf([false, 'malformed'])
    })

    it('is not believed when the signature was meant for something else', async () => {
      const key = type === 'RSA' ? publicKeyToProtobuf(privateKey.publicKey) : undefined

      for (const domain of ['', 'libp2p-sheaf/2:', 'libp2p-pubsub:']) {
        expect(await verdictOn(await forge(privateKey, { key, domain }))).to.equal(false)
      }
    })

    it('is not believed without a signature, or with one of another length', async () => {
      const key = type === 'RSA' ? publicKeyToProtobuf(privateKey.publicKey) : undefined
      expect(await verdictOn(await forge(privateKey, { key, signature: new Uint8Array(0) }))).to.equal(false)

      for (const length of [0, 1, 63, 65, 70, 300, 4000]) {
        expect(await verdictOn(await forge(privateKey, { key, signature: new Uint8Array(length).fill(7) })), `${length} bytes`).to.equal(false)
      }
    })
  })
}

describe('an envelope with a key that is none', () => {
  it('is malformed', async () => {
    const rsa = await generateKeyPair('RSA', 1024)

    for (const key of [new Uint8Array(0), Uint8Array.of(1), Uint8Array.of(8, 0, 18, 2, 1, 2), Uint8Array.of(8, 99, 18, 0), new Uint8Array(4000).fill(255)]) {
      expect(await verdictOn(await forge(rsa, { key }))).to.equal('malformed')
    }
  })

  it('is malformed when its origin is no peer id', async () => {
    const { publicKey } = await generateKeyPair('RSA', 1024)
    const ed25519 = await generateKeyPair('Ed25519')

    for (const origin of [[], [0], [0, 36], [0x12, 0x20, 1], [0x55, 1, 1], new Array(64).fill(255), new Array(65).fill(0)]) {
      expect(await verdictOn(await forge(ed25519, { origin: Uint8Array.from(origin) })), origin.join()).to.equal('malformed')
      expect(await verdictOn(await forge(ed25519, { origin: Uint8Array.from(origin), key: publicKeyToProtobuf(publicKey) })), origin.join()).to.equal('malformed')
    }
  })
})

describe('peers as keys of a map', () => {
  it('come back as they went', async () => {
    for (const type of ['Ed25519', 'secp256k1'] as const) {
      const peerId = peerIdFromPublicKey((await generateKeyPair(type as 'Ed25519')).publicKey)
      const key = keyOf(peerId)

      expect(keyOfBytes(bytesOfKey(key))).to.equal(key)
      expect(peerOf(key).equals(peerId)).to.equal(true)
      expect(peerOf(key).publicKey).to.not.equal(undefined)
    }
  })
})
