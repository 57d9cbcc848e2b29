import { generateKeyPair, generateKeyPairFromSeed, publicKeyFromRaw } from '@libp2p/crypto/keys'
import { ed25519 } from '@noble/curves/ed25519.js'
import { expect } from 'aegir/chai'
import { toString } from 'uint8arrays/to-string'
import { fallbackSigner, fallbackVerifier } from '../../src/runtime/ed25519-fallback.ts'
import { signerBy, verifierBy } from '../../src/runtime/ed25519.browser.ts'
import { isStrictPoint, isStrictSignature, signWith, verifyAsideWith, verifyBy, verifyWith } from '../../src/runtime/signing.ts'
import { SIGNED, VECTORS } from './ed25519-vectors.ts'
import type { Vector } from './ed25519-vectors.ts'
import type { Verify } from '../../src/runtime/ed25519.ts'

type Wrapped = Pick<SubtleCrypto, 'importKey' | 'sign' | 'verify'>

/** WebCrypto with some of its methods replaced */
function wrapped (change: Partial<Wrapped> = {}): SubtleCrypto & { calls: string[] } {
  const { subtle } = globalThis.crypto
  const calls: string[] = []
  const methods = {
    importKey: subtle.importKey.bind(subtle),
    sign: subtle.sign.bind(subtle),
    verify: subtle.verify.bind(subtle),
    ...change
  }
  const counted = Object.entries(methods).map(([name, method]: [string, any]) => [name, async (...args: unknown[]) => {
    calls.push(name)
    return method(...args)
  }])
  return { ...Object.fromEntries(counted), calls }
}

/** Of a browser that does not know the algorithm */
function withoutEd25519 (): SubtleCrypto & { calls: string[] } {
  return wrapped({
    importKey: async () => { throw new DOMException('Algorithm: Unrecognized name', 'NotSupportedError') }
  })
}

/** Of a browser that multiplies by the cofactor, as noble does */
function withCofactor (): SubtleCrypto & { calls: string[] } {
  return wrapped({
    importKey: async (format: string, raw: any) => raw,
    verify: async (_: unknown, key: any, signature: any, message: any) => ed25519.verify(signature, message, key)
  })
}

const WITHOUT_ED25519 = withoutEd25519()
const WITH_COFACTOR = withCofactor()

async function hasEd25519 (): Promise<boolean> {
  try {
    await globalThis.crypto.subtle.generateKey('Ed25519', false, ['sign', 'verify'])
    return true
  } catch {
    // that is the question
    return false
  }
}

/** By WebCrypto, or by what a browser does without */
function inBrowser (subtle: SubtleCrypto | undefined, key: Uint8Array): Verify {
  return verifyBy(raw => verifierBy(subtle, raw), publicKeyFromRaw(key))
}

const WAYS: Record<string, (key: Uint8Array) => Verify> = {
  'on this platform': key => verifyWith(publicKeyFromRaw(key)),
  'beside the main thread': key => verifyAsideWith(publicKeyFromRaw(key)),
  'with WebCrypto': key => inBrowser(globalThis.crypto.subtle, key),
  'without WebCrypto': key => inBrowser(undefined, key),
  'where WebCrypto has no Ed25519': key => inBrowser(WITHOUT_ED25519, key),
  'where WebCrypto multiplies by the cofactor': key => inBrowser(WITH_COFACTOR, key)
}

async function verdictOf (verify: Verify, { name, message, signature, isTrue }: Vector): Promise<string> {
  const verdict = await verify(message, signature)
  return verdict === isTrue ? 'as expected' : `${name}: ${verdict}`
}

describe('a signature of Ed25519', () => {
  for (const [way, verifierOf] of Object.entries(WAYS)) {
    it(`has the same verdict as everywhere ${way}`, async () => {
      const verdicts = await Promise.all(VECTORS.map(async vector => verdictOf(verifierOf(vector.key), vector)))

      expect(verdicts.filter(verdict => verdict !== 'as expected')).to.deep.equal([])
    })
  }

  it('is not looked at any further if it or its key is not strict', () => {
    for (const { name, key, signature, isStrict } of VECTORS) {
      expect(isStrictPoint(key) && isStrictSignature(signature), name).to.equal(isStrict)
    }
  })

  it('is not strict with a point of any other length', () => {
    const verdicts = [0, 31, 32, 33, 64].map(length => isStrictPoint(new Uint8Array(length).fill(9)))

    expect(verdicts).to.deep.equal([false, false, true, false, false])
  })

  it('is true wherever it is made, and the one of the standard if the fallback makes it', async () => {
    for (const { seed, key, message, signature } of SIGNED) {
      const privateKey = await generateKeyPairFromSeed('Ed25519', seed)
      // some platforms add noise to what they sign
      for (const sign of [signWith(privateKey), signerBy(globalThis.crypto.subtle, privateKey.raw)]) {
        expect(fallbackVerifier(key)(message, await sign(message))).to.equal(true)
      }

      for (const sign of [signerBy(undefined, privateKey.raw), signerBy(withoutEd25519(), privateKey.raw), fallbackSigner(seed)]) {
        expect(toString(await sign(message), 'base16')).to.equal(toString(signature, 'base16'))
      }
    }
  })

  it('leaves what was signed and verified as it was, also when it is part of a larger buffer', async () => {
    const privateKey = await generateKeyPair('Ed25519')
    const message = Uint8Array.of(9, 1, 2, 3, 9).subarray(1, 4)
    const signature = new Uint8Array(66)
    signature.set(await signWith(privateKey)(message), 1)
    const before = signature.slice()

    for (const way of Object.values(WAYS)) {
      expect(await way(privateKey.publicKey.raw)(message, signature.subarray(1, 65))).to.equal(true)
    }
    expect(signature).to.deep.equal(before)
    expect(new Uint8Array(message.buffer)).to.deep.equal(Uint8Array.of(9, 1, 2, 3, 9))
  })

  it('is left to libp2p if the key is of another type', async () => {
    for (const type of ['secp256k1', 'ECDSA'] as const) {
      const privateKey = await generateKeyPair(type as 'ECDSA')
      const message = Uint8Array.of(1, 2, 3)

      const signature = await signWith(privateKey)(message)

      for (const verify of [verifyWith(privateKey.publicKey), verifyAsideWith(privateKey.publicKey)]) {
        expect(await verify(message, signature)).to.equal(true)
        expect(await verify(Uint8Array.of(1, 2, 4), signature)).to.equal(false)
        expect(await verify(message, new Uint8Array(3))).to.equal(false)
      }
    }
  })
})

describe('WebCrypto', () => {
  it('imports a key once for all that it signs and verifies', async function () {
    if (!await hasEd25519()) {
      return this.skip()
    }

    const privateKey = await generateKeyPair('Ed25519')
    const messages = [1, 2, 3].map(i => Uint8Array.of(i))
    const signing = wrapped()
    const sign = signerBy(signing, privateKey.raw)
    const signatures = await Promise.all(messages.map(async message => sign(message)))
    expect(signing.calls).to.deep.equal(['importKey', 'sign', 'sign', 'sign'])

    const verifying = wrapped()
    const probing = inBrowser(verifying, (await generateKeyPair('Ed25519')).publicKey.raw)
    expect(await probing(messages[0], signatures[0])).to.equal(false)
    verifying.calls.length = 0
    const verify = inBrowser(verifying, privateKey.publicKey.raw)
    const verdicts = await Promise.all(messages.map(async (message, i) => verify(message, signatures[i])))
    expect(verdicts).to.deep.equal([true, true, true])
    expect(verifying.calls).to.deep.equal(['importKey', 'verify', 'verify', 'verify'])
  })

  it('is not asked about signatures where it does not keep the rule, and asked only once whether it does', async () => {
    const [{ key, message, signature }] = VECTORS

    for (const subtle of [withCofactor(), withoutEd25519()]) {
      const verify = inBrowser(subtle, key)
      expect(await verify(message, signature)).to.equal(true)
      const { length } = subtle.calls
      expect(await inBrowser(subtle, key)(message, signature)).to.equal(true)
      expect(subtle.calls).to.have.lengthOf(length)
    }
  })
})
