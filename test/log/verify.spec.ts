import { generateKeyPair, generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { concat } from 'uint8arrays/concat'
import { fromString } from 'uint8arrays/from-string'
import { toString } from 'uint8arrays/to-string'
import { encodeContent } from '../../src/log/core/entry.ts'
import { decodeProof, encodeProof } from '../../src/log/core/merkle.ts'
import { FalseProofError } from '../../src/log/errors.ts'
import { decodeEntry, Signer, verifyEntries } from '../../src/log/signatures.ts'
import { MalformedError } from '../../src/runtime/errors.ts'
import { BATCHES, ED25519_SEED, ENTRIES, LOG_ID } from '../fixtures/entries-v1.ts'
import type { Proof } from '../../src/log/core/merkle.ts'
import type { Content, DecodedEntry } from '../../src/log/core/types.ts'
import type { Verdict } from '../../src/log/signatures.ts'
import type { KeyType } from '@libp2p/interface'

const LOG = 'a log'
const NO_PROOF = new Uint8Array(0)

async function newSigner (log = LOG, type: KeyType = 'Ed25519'): Promise<Signer> {
  return new Signer(await generateKeyPair(type as 'Ed25519'), log)
}

/** An entry without a proof */
async function entryOf (author: Uint8Array, change: Partial<Content> = {}): Promise<DecodedEntry> {
  const bytes = encodeContent({
    time: 1, counter: 0, author, parents: [], group: new Uint8Array(0), replicas: 0, data: Uint8Array.of(1), ...change
  })
  return decodeEntry({ bytes, proof: NO_PROOF })
}

async function entriesOf (author: Uint8Array, count: number): Promise<DecodedEntry[]> {
  return Promise.all(Array.from({ length: count }, async (_, counter) => entryOf(author, { counter })))
}

/** Signs them as one batch */
async function signed (signer: Signer, entries: DecodedEntry[]): Promise<DecodedEntry[]> {
  const proofs = await signer.prove(entries.length, () => entries.map(({ id }) => id))
  return entries.map((entry, i) => ({ ...entry, proof: proofs.proofOf(i) }))
}

function reproved (entry: DecodedEntry, change: Partial<Proof>): DecodedEntry {
  return { ...entry, proof: encodeProof({ ...decodeProof(entry.proof), ...change }) }
}

function nameOf (verdict: Verdict): string {
  return verdict instanceof Error ? verdict.name : 'true'
}

async function verdicts (entries: DecodedEntry[], log = LOG): Promise<string[]> {
  return (await verifyEntries(entries, log)).map(nameOf)
}

function times (count: number, verdict: string): string[] {
  return Array.from({ length: count }, () => verdict)
}

function vectors (): Promise<DecodedEntry[]> {
  return Promise.all(BATCHES.flatMap(({ entries, proofs }) => entries.map(async (entry, i) => decodeEntry({
    bytes: fromString(ENTRIES[entry].bytes, 'base16'), proof: fromString(proofs[i], 'base16')
  }))))
}

function flipped (bytes: Uint8Array, i: number): Uint8Array {
  const copy = bytes.slice()
  copy[i] ^= 1 << i % 8
  return copy
}

function numberOf (littleEndian: Uint8Array): bigint {
  return BigInt(`0x${toString(littleEndian.slice().reverse(), 'base16')}`)
}

function scalarOf (number: bigint): Uint8Array {
  return fromString(number.toString(16).padStart(64, '0'), 'base16').reverse()
}

/** The order of the group of Ed25519 */
const L = 2n ** 252n + 27742317777372353535851937790883648493n

/** Bytes whose `slice` is a view, as that of Node's Buffers is */
class SlicedInPlace extends Uint8Array {
  slice (start?: number, end?: number): ReturnType<Uint8Array['slice']> {
    return this.subarray(start, end) as ReturnType<Uint8Array['slice']>
  }
}

/** The same bytes, in the middle of others, some of which are set */
function within (bytes: Uint8Array, Kind: typeof Uint8Array): Uint8Array {
  const around = new Kind(bytes.byteLength + 20).fill(0xa5)
  around.set(bytes, 10)
  return around.subarray(10, 10 + bytes.byteLength)
}

describe('verification of entries', () => {
  it('takes the vectors, each by its own proof', async () => {
    for (const entry of await vectors()) {
      expect(await verdicts([entry], LOG_ID)).to.deep.equal(['true'])
    }
  })

  it('says the same twice, and changes nothing, of bytes that are views of larger ones or Buffers', async () => {
    const entries = await vectors()

    for (const Kind of [Uint8Array, SlicedInPlace]) {
      const handed = entries.map(({ bytes, proof }) => ({ bytes: within(bytes, Kind), proof: within(proof, Kind) }))

      for (let i = 0; i < 2; i++) {
        for (const raw of handed) {
          expect(await verdicts([await decodeEntry(raw)], LOG_ID)).to.deep.equal(['true'])
        }
      }
      for (const [i, { bytes, proof }] of handed.entries()) {
        expect([new Uint8Array(bytes.buffer), new Uint8Array(proof.buffer)].map(all => toString(all, 'base16')))
          .to.deep.equal([entries[i].bytes, entries[i].proof].map(bytes => `${'a5'.repeat(10)}${toString(bytes, 'base16')}${'a5'.repeat(10)}`))
      }
    }
  })

  it('signs the vectors as they were signed at first', async () => {
    const signer = new Signer(await generateKeyPairFromSeed('Ed25519', fromString(ED25519_SEED, 'base16')), LOG_ID)

    for (const { entries, proofs } of BATCHES.slice(0, 3)) {
      const again = await signer.prove(entries.length, () => entries.map(i => fromString(ENTRIES[i].id, 'base16')))
      expect(proofs.map((_, i) => toString(again.proofOf(i), 'base16'))).to.deep.equal(proofs)
    }
  })

  it('takes what authors with keys of any type signed, alone and in batches of any size', async () => {
    for (const type of ['Ed25519', 'secp256k1', 'ECDSA', 'RSA'] as const) {
      const signer = await newSigner(LOG, type)
      const entries = (await Promise.all([1, 2, 3, 7, 8].map(async size => signed(signer, await entriesOf(signer.author, size))))).flat()

      expect(await verdicts(entries)).to.deep.equal(times(21, 'true'))
      expect(await verdicts(entries, 'another')).to.deep.equal(times(21, 'FalseProofError'))
    }
  })

  it('takes each alone: a true one that names another says nothing of that', async () => {
    const signer = await newSigner()
    const first = await entryOf(signer.author)
    const second = await entryOf(signer.author, { time: 2, previous: first.id, parents: [first.id] })
    const [good] = await signed(signer, [second])
    const [own] = await signed(signer, [first])
    const junk = [NO_PROOF, new Uint8Array(4000), new Uint8Array(1_040_000)].map(proof => ({ ...first, proof }))

    expect(await verdicts([...junk, good])).to.deep.equal(['MalformedError', 'MalformedError', 'MalformedError', 'true'])
    expect(await verdicts([good, { ...first, proof: good.proof }])).to.deep.equal(['true', 'FalseProofError'])
    expect(await verdicts([good, own])).to.deep.equal(['true', 'true'])
  })

  it('gives each the proof that it came with, whatever it shares with its neighbours', async () => {
    const signer = await newSigner()
    const entries = await signed(signer, await entriesOf(signer.author, 13))

    for (const some of [entries, entries.toReversed(), entries.slice(2, 9), entries.filter((_, i) => i % 3 > 0), entries.slice(12)]) {
      const shown = (await verifyEntries(some, LOG)).map(verdict => verdict instanceof Error ? verdict.name : toString(verdict.proofs.proofOf(verdict.at), 'base16'))
      expect(shown).to.deep.equal(some.map(({ proof }) => toString(proof, 'base16')))
    }
  })

  it('says nothing of no entries', async () => {
    expect(await verifyEntries([], LOG)).to.deep.equal([])
  })

  it('judges copies of an entry by the proof that each came with', async () => {
    const signer = await newSigner()
    const [entry] = await signed(signer, await entriesOf(signer.author, 1))
    const copy = reproved(entry, { signature: flipped(decodeProof(entry.proof).signature, 40) })

    expect(await verdicts([entry, copy, entry])).to.deep.equal(['true', 'FalseProofError', 'true'])
  })
})

describe('a false entry', () => {
  it('is refused with any byte of its content changed', async () => {
    const mutated: DecodedEntry[] = []

    for (const { bytes, proof } of await vectors()) {
      for (let i = 0; i < bytes.byteLength; i++) {
        mutated.push(...await decoded(flipped(bytes, i), proof))
      }
    }

    const names = await verdicts(mutated, LOG_ID)
    expect(mutated.length).to.be.above(1000)
    expect(names.every(name => name === 'FalseProofError')).to.equal(true)
  }).timeout(60_000)

  it('is refused with any byte of its proof changed, and with its end missing', async () => {
    for (const entry of await vectors()) {
      const mutated = Array.from(entry.proof, (_, i) => [flipped(entry.proof, i), entry.proof.subarray(0, i)]).flat()
      const names = await verdicts(mutated.map(proof => ({ ...entry, proof })), LOG_ID)
      expect(names).to.not.include('true')
    }
  }).timeout(60_000)

  it('among neighbours is refused alone, wherever it stands and whatever is false of it', async () => {
    const signer = await newSigner()
    const batch = await signed(signer, await entriesOf(signer.author, 9))
    const { signature } = decodeProof(batch[0].proof)

    for (let at = 0; at < batch.length; at++) {
      const { path } = decodeProof(batch[at].proof)
      const forged = await entryOf(signer.author, { counter: at, data: Uint8Array.of(9) })
      const wrong = [
        { ...forged, proof: batch[at].proof },
        reproved(batch[at], { signature: flipped(signature, 40) }),
        reproved(batch[at], { path: flipped(path, 0) }),
        reproved(batch[at], { path: flipped(path, path.byteLength - 1) })
      ]

      for (const one of wrong) {
        expect(await verdicts(batch.toSpliced(at, 1, one))).to.deep.equal(batch.map((_, i) => i === at ? 'FalseProofError' : 'true'))
      }
      expect(await verdicts(batch.toSpliced(at, 1, { ...batch[at], proof: NO_PROOF }))).to.deep.equal(batch.map((_, i) => i === at ? 'MalformedError' : 'true'))
    }
  })

  it('stands between true ones without harm, however many of them there are and in whatever order they come', async () => {
    const signer = await newSigner()
    const batches = await Promise.all([1, 2, 7, 12].map(async size => signed(signer, await Promise.all(
      Array.from({ length: size }, async (_, counter) => entryOf(signer.author, { time: size, counter }))
    ))))
    const all = batches.flat()
    const anyPick = fc.record({ i: fc.nat(all.length - 1), wrong: fc.constantFrom('nothing', 'nothing', 'nothing', 'signature', 'index', 'size', 'path', 'proof') })

    await fc.assert(fc.asyncProperty(fc.array(anyPick, { maxLength: 40, size: 'max' }), async picks => {
      const cases = picks.map(({ i, wrong }) => {
        const { size, index, path, signature } = decodeProof(all[i].proof)
        const changed: Record<string, () => DecodedEntry> = {
          nothing: () => all[i],
          signature: () => reproved(all[i], { signature: flipped(signature, 10) }),
          // what leads elsewhere, with a path that is as long
          index: () => ({ ...all[i], proof: encodeProof({ size, index: index ^ 1, path, signature }) }),
          size: () => ({ ...all[i], proof: encodeProof({ size: size + 1, index, path, signature }) }),
          path: () => reproved(all[i], { path: path.map((byte, at) => at === 0 ? byte ^ 1 : byte) }),
          proof: () => ({ ...all[i], proof: all[(i + 1) % all.length].proof })
        }
        return changed[wrong]()
      })
      const alone = await Promise.all(cases.map(async entry => (await verdicts([entry]))[0]))
      expect(await verdicts(cases)).to.deep.equal(alone)
      cases.forEach((entry, k) => {
        const isAsMade = toString(entry.proof, 'base16') === toString(all[picks[k].i].proof, 'base16')
        expect(alone[k] === 'true').to.equal(isAsMade)
      })
    }), { seed: 1, numRuns: 100 })
  }).timeout(60_000)

  it('is refused when somebody else signed it', async () => {
    const [alice, bob] = await Promise.all([newSigner(), newSigner()])
    expect(await verdicts(await signed(bob, await entriesOf(alice.author, 3)))).to.deep.equal(times(3, 'FalseProofError'))
  })

  it('is refused when somebody else signed it in one batch with his own', async () => {
    const [alice, bob] = await Promise.all([newSigner(), newSigner()])
    const batch = [...await entriesOf(bob.author, 2), ...await entriesOf(alice.author, 1), ...await entriesOf(bob.author, 1)]

    expect(await verdicts(await signed(bob, batch))).to.deep.equal(['true', 'true', 'FalseProofError', 'true'])
  })

  it('is refused with the proof of another entry, of its batch or of another one', async () => {
    const signer = await newSigner()
    const batch = await signed(signer, await entriesOf(signer.author, 4))
    const other = await signed(signer, await Promise.all([1, 2, 3, 4].map(async time => entryOf(signer.author, { time, data: Uint8Array.of(9) }))))

    expect(await verdicts(batch.map((entry, i) => ({ ...entry, proof: other[i].proof })))).to.deep.equal(times(4, 'FalseProofError'))
    expect(await verdicts(batch.map((entry, i) => ({ ...entry, proof: batch[i ^ 1].proof })))).to.deep.equal(times(4, 'FalseProofError'))
    expect(await verdicts(batch.map((entry, i) => reproved(entry, { signature: decodeProof(other[i].proof).signature })))).to.deep.equal(times(4, 'FalseProofError'))
  })

  it('is refused with another index or another size, also where the path would be as long', async () => {
    const signer = await newSigner()
    const batch = await signed(signer, await entriesOf(signer.author, 7))

    expect(await verdicts(batch.slice(0, 6).map((entry, i) => reproved(entry, { index: i ^ 1 })))).to.deep.equal(times(6, 'FalseProofError'))
    expect(await verdicts(batch.slice(0, 6).map(entry => reproved(entry, { size: 8 })))).to.deep.equal(times(6, 'FalseProofError'))
    expect(await verdicts(batch.map(entry => reproved(entry, { size: 1, index: 0, path: NO_PROOF })))).to.deep.equal(times(7, 'FalseProofError'))
  })

  it('is refused under the id of another log, alone and in a batch', async () => {
    const signer = await newSigner('another log')
    const entries = (await Promise.all([1, 5].map(async count => signed(signer, await entriesOf(signer.author, count))))).flat()

    expect(await verdicts(entries, 'another log')).to.deep.equal(times(6, 'true'))
    expect(await verdicts(entries)).to.deep.equal(times(6, 'FalseProofError'))
  })

  it('is refused with a node of a tree in the place of an entry', async () => {
    const signer = await newSigner()
    const entries = await entriesOf(signer.author, 4)
    const batch = await signed(signer, entries)
    const { path, signature } = decodeProof(batch[0].proof)
    const two = { size: 2, index: 0, path: path.subarray(32), signature }

    expect(await verdicts(batch.map(entry => reproved(entry, two)))).to.deep.equal(times(4, 'FalseProofError'))
    expect(await decoded(concat([Uint8Array.of(0), entries[0].id, entries[1].id]), encodeProof(two))).to.deep.equal([])
  })

  it('is refused with a signature whose number has the order of the group added to it', async () => {
    const signer = await newSigner()
    const [entry] = await signed(signer, await entriesOf(signer.author, 1))
    const { signature } = decodeProof(entry.proof)
    const malleable = concat([signature.subarray(0, 32), scalarOf(numberOf(signature.subarray(32)) + L)])

    expect(await verdicts([entry, reproved(entry, { signature: malleable })])).to.deep.equal(['true', 'FalseProofError'])
  })

  it('is refused with a signature that only some platforms take, though its author made it', async () => {
    const seed = fromString(ED25519_SEED, 'base16')
    const { author } = new Signer(await generateKeyPairFromSeed('Ed25519', seed), LOG)
    const entry = await entryOf(author)
    const log = new Uint8Array(await crypto.subtle.digest('SHA-256', fromString(LOG)))
    const message = concat([fromString('libp2p-sheaf/log/1:'), log, Uint8Array.of(1), entry.id])
    const secret = new Uint8Array(await crypto.subtle.digest('SHA-512', seed.slice())).slice(0, 32)
    secret[0] &= 248
    secret[31] = secret[31] & 127 | 64
    // its first half is the neutral element
    const neutral = fromString(`01${'00'.repeat(31)}`, 'base16')
    const challenge = numberOf(new Uint8Array(await crypto.subtle.digest('SHA-512', concat([neutral, author.subarray(4), message]).slice())))
    const signature = concat([neutral, scalarOf(challenge * numberOf(secret) % L)])

    expect(await verdicts([{ ...entry, proof: encodeProof({ size: 1, index: 0, path: NO_PROOF, signature }) }])).to.deep.equal(['FalseProofError'])
  })

  it('is refused with signatures of any other length', async () => {
    const signer = await newSigner()
    const [entry] = await signed(signer, await entriesOf(signer.author, 1))
    const { signature } = decodeProof(entry.proof)
    const wrong = [NO_PROOF, signature.subarray(1), concat([signature, Uint8Array.of(0)]), new Uint8Array(4096)]

    expect(await verdicts(wrong.map(signature => reproved(entry, { signature })))).to.deep.equal(times(4, 'FalseProofError'))
  })

  it('says by name why it is refused', async () => {
    const signer = await newSigner()
    const [entry] = await signed(signer, await entriesOf(signer.author, 1))
    const [unread, untrue] = await verifyEntries([{ ...entry, proof: NO_PROOF }, reproved(entry, { signature: new Uint8Array(64) })], LOG)

    expect(unread).to.be.an.instanceOf(MalformedError)
    expect(untrue).to.be.an.instanceOf(FalseProofError).with.property('message').that.includes('ask somebody else')
  })
})

/** Signatures of secp256k1 that are checked while `run` does, by which every platform goes the same way */
async function checksDuring (run: () => Promise<void>): Promise<number> {
  const { publicKey } = await generateKeyPair('secp256k1')
  const prototype = Object.getPrototypeOf(publicKey)
  const { verify } = prototype
  let checks = 0
  prototype.verify = function (...args: unknown[]) {
    checks++
    return verify.apply(this, args)
  }

  try {
    await run()
    return checks
  } finally {
    prototype.verify = verify
  }
}

describe('signatures that are checked', () => {
  it('are one for a batch, in whatever order its entries come, and one for each part of it that came alone', async () => {
    const signer = await newSigner(LOG, 'secp256k1')
    const batch = await signed(signer, await entriesOf(signer.author, 20))
    const shuffled = batch.map((_, i) => batch[i * 7 % 20])
    const checks = async (entries: DecodedEntry[], count = entries.length): Promise<number> => checksDuring(async () => {
      expect(await verdicts(entries)).to.deep.equal(times(count, 'true'))
    })

    expect(await checks(batch)).to.equal(1)
    expect(await checks(shuffled)).to.equal(1)
    // those that are no neighbours lead to the same root, whose signature is checked once
    expect(await checks(batch.filter((_, i) => i % 3 !== 0))).to.equal(1)
    expect(await checks(batch.slice(4, 5))).to.equal(1)
    expect(await checks([...batch, ...batch])).to.equal(1)
  })

  it('are one for a batch that is larger than what is proved together', async () => {
    const signer = await newSigner(LOG, 'secp256k1')
    const batch = await signed(signer, await entriesOf(signer.author, 600))
    const shuffled = batch.map((_, i) => batch[i * 7 % 600])

    for (const entries of [batch, shuffled]) {
      expect(await checksDuring(async () => { expect(await verdicts(entries)).to.deep.equal(times(600, 'true')) })).to.equal(1)
    }
  })

  it('are one for each batch and author', async () => {
    const signers = await Promise.all([newSigner(LOG, 'secp256k1'), newSigner(LOG, 'secp256k1')])
    const batches = await Promise.all(signers.flatMap(signer => [1, 5, 8].map(async (size, k) => signed(signer, await Promise.all(
      Array.from({ length: size }, async (_, counter) => entryOf(signer.author, { time: k, counter }))
    )))))
    const entries = batches.flat()

    expect(await checksDuring(async () => { expect(await verdicts(entries)).to.deep.equal(times(28, 'true')) })).to.equal(6)
  })

  it('are at most two for each entry, however much is false', async () => {
    const signer = await newSigner(LOG, 'secp256k1')
    const batch = await signed(signer, await entriesOf(signer.author, 16))
    const wrong = batch.map((entry, i) => i % 2 === 0 ? entry : reproved(entry, { path: flipped(decodeProof(entry.proof).path, i) }))
    const checks = await checksDuring(async () => {
      expect(await verdicts(wrong)).to.deep.equal(wrong.map((_, i) => i % 2 === 0 ? 'true' : 'FalseProofError'))
    })

    expect(checks).to.be.at.most(32)
  })

  it('are none for what is malformed', async () => {
    const signer = await newSigner(LOG, 'secp256k1')
    const batch = await signed(signer, await entriesOf(signer.author, 4))

    expect(await checksDuring(async () => {
      expect(await verdicts(batch.map(entry => ({ ...entry, proof: entry.proof.subarray(0, -1) })))).to.deep.equal(times(4, 'MalformedError'))
      expect(await verdicts(batch.map(entry => ({ ...entry, proof: concat([entry.proof, new Uint8Array(1_040_000)]) })))).to.deep.equal(times(4, 'MalformedError'))
    })).to.equal(0)
  })
})

/** The entry that the bytes are, if they are one */
async function decoded (bytes: Uint8Array, proof: Uint8Array): Promise<DecodedEntry[]> {
  try {
    return [await decodeEntry({ bytes, proof })]
  } catch (err) {
    expect(err).to.be.an.instanceOf(MalformedError)
    return []
  }
}
