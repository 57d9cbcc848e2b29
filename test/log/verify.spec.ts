import { generateKeyPair, generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { concat } from 'uint8arrays/concat'
import { fromString } from 'uint8arrays/from-string'
import { toString } from 'uint8arrays/to-string'
import { Covering } from '../../src/log/core/covering.ts'
import { encodeContent } from '../../src/log/core/entry.ts'
import { decodeProof, encodeProof, MAX_BATCH } from '../../src/log/core/merkle.ts'
import { BatchTooLargeError, FalseProofError } from '../../src/log/errors.ts'
import { decodeEntry, Signer, verifyEntries } from '../../src/log/signatures.ts'
import { MalformedError } from '../../src/runtime/errors.ts'
import { BATCHES, ED25519_SEED, ENTRIES, LOG_ID } from '../fixtures/entries-v1.ts'
import type { Link } from '../../src/log/core/covering.ts'
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

/** Entries without proofs, each of which names the one before */
async function chainOf (author: Uint8Array, length: number): Promise<DecodedEntry[]> {
  const chain: DecodedEntry[] = []
  for (let time = 0; time < length; time++) {
    chain.push(await entryOf(author, { time, previous: chain.at(-1)?.id }))
  }
  return chain
}

async function entriesOf (author: Uint8Array, count: number): Promise<DecodedEntry[]> {
  return Promise.all(Array.from({ length: count }, async (_, counter) => entryOf(author, { counter })))
}

/** Signs them as one batch */
async function signed (signer: Signer, entries: DecodedEntry[]): Promise<DecodedEntry[]> {
  const proofs = await signer.prove(entries.map(({ id }) => id))
  return entries.map((entry, i) => ({ ...entry, proof: proofs.proofOf(i) }))
}

function reproved (entry: DecodedEntry, change: Partial<Proof>): DecodedEntry {
  return { ...entry, proof: encodeProof({ ...decodeProof(entry.proof), ...change }) }
}

function nameOf (verdict: Verdict): string {
  return typeof verdict === 'string' ? verdict : verdict.name
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
      expect(await verdicts([entry], LOG_ID)).to.deep.equal(['proved'])
    }
  })

  it('says the same twice, and changes nothing, of bytes that are views of larger ones or Buffers', async () => {
    const entries = await vectors()

    for (const Kind of [Uint8Array, SlicedInPlace]) {
      const handed = entries.map(({ bytes, proof }) => ({ bytes: within(bytes, Kind), proof: within(proof, Kind) }))

      for (let i = 0; i < 2; i++) {
        for (const raw of handed) {
          expect(await verdicts([await decodeEntry(raw)], LOG_ID)).to.deep.equal(['proved'])
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
      const again = await signer.prove(entries.map(i => fromString(ENTRIES[i].id, 'base16')))
      expect(proofs.map((_, i) => toString(again.proofOf(i), 'base16'))).to.deep.equal(proofs)
    }
  })

  it('takes what authors with keys of any type signed, alone and in batches of any size', async () => {
    for (const type of ['Ed25519', 'secp256k1', 'ECDSA', 'RSA'] as const) {
      const signer = await newSigner(LOG, type)
      const entries = (await Promise.all([1, 2, 3, 7, 8].map(async size => signed(signer, await entriesOf(signer.author, size))))).flat()

      expect(await verdicts(entries)).to.deep.equal(times(21, 'proved'))
      expect(await verdicts(entries, 'another')).to.deep.equal(times(21, 'FalseProofError'))
    }
  })

  it('takes a chain by the proof of its tip, in whatever order it is handed in', async () => {
    const signer = await newSigner()
    const chain = await chainOf(signer.author, 20)
    const [tip] = await signed(signer, chain.slice(-1))

    expect(await verdicts([...chain.slice(0, -1), tip])).to.deep.equal([...times(19, 'vouched'), 'proved'])
    expect(await verdicts([tip, ...chain.slice(0, -1).reverse()])).to.deep.equal(['proved', ...times(19, 'vouched')])
  })

  it('asks a chain with a false tip for the next proof below', async () => {
    const signer = await newSigner()
    const chain = await chainOf(signer.author, 6)
    const [third] = await signed(signer, [chain[3]])

    expect(await verdicts([...chain.slice(0, 3), third, ...chain.slice(4)]))
      .to.deep.equal([...times(3, 'vouched'), 'proved', ...times(2, 'MalformedError')])
  })

  it('says nothing of no entries, signs nothing for them, and does not sign more at once than anybody takes', async () => {
    const signer = await newSigner()

    expect(await verifyEntries([], LOG)).to.deep.equal([])
    expect((await signer.prove([])).count).to.equal(0)
    expect(() => signer.prove(Array.from({ length: MAX_BATCH + 1 }, () => new Uint8Array(32)))).to.throw(BatchTooLargeError, 'fewer')
  })

  it('judges copies of an entry by the proof that each came with', async () => {
    const signer = await newSigner()
    const [entry] = await signed(signer, await entriesOf(signer.author, 1))
    const copy = reproved(entry, { signature: flipped(decodeProof(entry.proof).signature, 40) })

    expect(await verdicts([entry, copy, entry])).to.deep.equal(['proved', 'FalseProofError', 'proved'])
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
      expect(names).to.not.include.members(['proved'])
      expect(names).to.not.include.members(['vouched'])
    }
  }).timeout(60_000)

  it('in the middle of a chain is refused, and what it names is judged on its own', async () => {
    const signer = await newSigner()
    const chain = await signed(signer, await chainOf(signer.author, 5))
    const forged = { ...await entryOf(signer.author, { previous: chain[1].id, data: Uint8Array.of(6) }), proof: chain[2].proof }

    expect(await verdicts([chain[0], chain[1], forged, chain[3], chain[4]]))
      .to.deep.equal(['vouched', 'proved', 'FalseProofError', 'vouched', 'proved'])
    expect(await verdicts([{ ...chain[0], proof: NO_PROOF }, { ...chain[1], proof: NO_PROOF }, forged, chain[3], chain[4]]))
      .to.deep.equal(['MalformedError', 'MalformedError', 'FalseProofError', 'vouched', 'proved'])
  })

  it('is not vouched for by another author who names it as his', async () => {
    const [alice, bob] = await Promise.all([newSigner(), newSigner()])
    const forged = await entryOf(alice.author)
    const [vouching] = await signed(bob, [await entryOf(bob.author, { previous: forged.id })])
    const [below] = await signed(alice, [await entryOf(alice.author, { data: Uint8Array.of(2) })])

    expect(await verdicts([forged, vouching])).to.deep.equal(['MalformedError', 'proved'])
    expect(await verdicts([vouching, { ...forged, proof: below.proof }])).to.deep.equal(['proved', 'FalseProofError'])
  })

  it('is not vouched for by a true one that names it only as a parent', async () => {
    const signer = await newSigner()
    const forged = await entryOf(signer.author)
    const [child] = await signed(signer, [await entryOf(signer.author, { parents: [forged.id] })])

    expect(await verdicts([forged, child])).to.deep.equal(['MalformedError', 'proved'])
  })

  it('is refused when somebody else signed it', async () => {
    const [alice, bob] = await Promise.all([newSigner(), newSigner()])
    expect(await verdicts(await signed(bob, await entriesOf(alice.author, 3)))).to.deep.equal(times(3, 'FalseProofError'))
  })

  it('is refused when somebody else signed it in one batch with his own', async () => {
    const [alice, bob] = await Promise.all([newSigner(), newSigner()])
    const batch = [...await entriesOf(bob.author, 2), ...await entriesOf(alice.author, 1), ...await entriesOf(bob.author, 1)]

    expect(await verdicts(await signed(bob, batch))).to.deep.equal(['proved', 'proved', 'FalseProofError', 'proved'])
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

    expect(await verdicts(entries, 'another log')).to.deep.equal(times(6, 'proved'))
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

    expect(await verdicts([entry, reproved(entry, { signature: malleable })])).to.deep.equal(['proved', 'FalseProofError'])
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

/** What is to be covered: ids and authors of one byte each, and whether its proof is true */
type Case = Link & { isTrue: boolean }

function link (id: number, previous: number | undefined, isTrue: boolean, author = 0): Case {
  return { id: Uint8Array.of(id), author: Uint8Array.of(author), previous: previous == null ? undefined : Uint8Array.of(previous), isTrue }
}

/** An id tells its author and its previous one, as a hash does; the same id may come more than once */
const anyForest = fc.array(fc.record({ author: fc.nat(1), previous: fc.option(fc.nat(30)) }), { minLength: 1, maxLength: 30 })
const anyCases = anyForest.chain(forest => {
  const anyCase = fc.record({ id: fc.nat(forest.length - 1), isTrue: fc.boolean() }).map(({ id, isTrue }) => {
    const { author, previous } = forest[id]
    return link(id, previous == null || previous >= id ? undefined : previous, isTrue, author)
  })
  return fc.array(anyCase, { maxLength: 40 })
})

/** The ids that something covered of the same author names. Names lead to smaller ids */
function vouchedFor (cases: Case[]): Set<number> {
  const authors = new Map(cases.map(({ id, author }) => [id[0], author[0]]))
  const vouched = new Set<number>()

  for (const { id, author, previous, isTrue } of [...cases].sort((a, b) => b.id[0] - a.id[0] || Number(b.isTrue) - Number(a.isTrue))) {
    if (previous != null && (isTrue || vouched.has(id[0])) && authors.get(previous[0]) === author[0]) {
      vouched.add(previous[0])
    }
  }

  return vouched
}

/** Answers what is asked; returns the questions, round for round */
function play (cases: Case[]): { covering: Covering, rounds: number[][] } {
  const covering = new Covering(cases)
  const rounds: number[][] = []

  for (let asked = covering.next(); asked.length > 0; asked = covering.next()) {
    rounds.push(asked)
    asked.forEach(i => { covering.settle(i, cases[i].isTrue) })
  }

  return { covering, rounds }
}

describe('which proofs are looked at', () => {
  it('is one for a chain', () => {
    const { covering, rounds } = play([link(1, undefined, false), link(2, 1, false), link(3, 2, true)])

    expect(rounds).to.deep.equal([[2]])
    expect(covering.covers).to.deep.equal(['vouched', 'vouched', 'proved'])
  })

  it('is one after the other, from the tip down, where they are false, and none twice', () => {
    const { covering, rounds } = play([link(1, undefined, false), link(2, 1, false), link(3, 2, false)])

    expect(rounds).to.deep.equal([[2], [1], [0]])
    expect(covering.covers).to.deep.equal(['none', 'none', 'none'])
  })

  it('is that of each tip where a chain forks, and one true tip is enough for what they share', () => {
    const { covering, rounds } = play([link(1, undefined, false), link(2, 1, false), link(3, 1, true)])

    expect(rounds).to.deep.equal([[1, 2]])
    expect(covering.covers).to.deep.equal(['vouched', 'none', 'proved'])
  })

  it('is not that of one below as long as anything may vouch for it, however often what names it is refused', () => {
    const { covering, rounds } = play([link(1, undefined, false), link(2, 1, false), link(2, 1, false), link(3, 1, true)])

    expect(rounds).to.deep.equal([[1, 2, 3]])
    expect(covering.covers).to.deep.equal(['vouched', 'none', 'none', 'proved'])
  })

  it('is not that of one below when one copy of what names it was true, and another was not', () => {
    const { covering, rounds } = play([link(1, undefined, false), link(2, 1, true), link(2, 1, false)])

    expect(rounds).to.deep.equal([[1, 2]])
    expect(covering.covers).to.deep.equal(['vouched', 'proved', 'none'])
  })

  it('is one for each where nobody names another', () => {
    expect(play([1, 2, 3].map(id => link(id, 9, true))).rounds).to.deep.equal([[0, 1, 2]])
  })

  it('is none for ids that name each other in a circle, and none of them is covered', () => {
    const { covering, rounds } = play([link(1, 2, true), link(2, 1, true)])

    expect(rounds).to.deep.equal([])
    expect(covering.covers).to.deep.equal(['none', 'none'])
  })

  it('is never more than there are, and whatever is true or under something true of its author is covered: nothing else', () => {
    fc.assert(fc.property(anyCases, cases => {
      const { covering, rounds } = play(cases)
      const asked = rounds.flat()
      const vouched = vouchedFor(cases)
      expect(new Set(asked).size).to.equal(asked.length)

      covering.covers.forEach((cover, i) => {
        const isVouched = vouched.has(cases[i].id[0])
        expect(cover === 'vouched').to.equal(isVouched)
        expect(cover === 'proved').to.equal(!isVouched && cases[i].isTrue)
        expect(asked.includes(i)).to.equal(!isVouched)
      })
    }), { numRuns: 500 })
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
