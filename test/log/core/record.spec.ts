import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { toString } from 'uint8arrays/to-string'
import { encodeContent } from '../../../src/log/core/entry.ts'
import { encodeRecord, MAX_SLOTS, StoredRecord } from '../../../src/log/core/record.ts'
import { SPECS } from '../../../src/log/core/rows.ts'
import { decodeEntry, Signer, verifyEntries } from '../../../src/log/signatures.ts'
import { MalformedError } from '../../../src/runtime/errors.ts'
import { seededRandom } from '../../../src/runtime/random.ts'
import { sha256 } from '../../../src/runtime/sha256.ts'
import { LOG_ID, text } from '../../fixtures/logs.ts'
import { someKeys } from '../../fixtures/runs.ts'
import type { NewEntry, NewRecord, RemovedRows } from '../../../src/log/core/record.ts'
import type { TrueEntry } from '../../../src/log/core/types.ts'

function hex (bytes: Uint8Array): string {
  return toString(bytes, 'base16')
}

/** Batches of these sizes, one author each */
async function batchesOf (sizes: number[], bytes = 5): Promise<TrueEntry[][]> {
  return Promise.all(sizes.map(async (size, k) => {
    const signer = new Signer(await generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(k + 1)), LOG_ID)
    const decoded = await Promise.all(Array.from({ length: size }, async (_, counter) => decodeEntry({
      bytes: encodeContent({
        time: 1, counter, author: signer.author, parents: [], group: text(`group ${counter % 2}`), replicas: counter % 5, data: new Uint8Array(bytes + counter).fill(k)
      }),
      proof: new Uint8Array(0)
    })))
    const proofs = await signer.prove(decoded.length, () => decoded.map(({ id }) => id))
    return decoded.map(({ proof, ...content }, at) => ({ ...content, proofs, at }))
  }))
}

function recordOf (entries: TrueEntry[], change: Partial<NewRecord> = {}): NewRecord {
  const random = seededRandom(entries.length)
  const all = entries.map((entry): NewEntry => ({
    entry, isLate: random() < 0.3, absent: random() < 0.3 ? [sha256(text(`${random()}`)), sha256(text(`${random()}`))] : []
  }))
  return { seq: 77, arrival: 1234, entries: all, removed: {}, ...change }
}

/** What a record says of its entries, and what that proves to others */
function linesOf (record: StoredRecord): string[] {
  return Array.from({ length: record.size }, (_, slot) => {
    const entry = record.entryAt(slot)
    return entry == null ? 'gone' : [entry.arrival, entry.seq, entry.slot, entry.isLate, hex(entry.id), hex(entry.bytes), hex(entry.proofs.proofOf(entry.at)), hex(entry.group), entry.replicas].join()
  })
}

function linesOfNew ({ seq, arrival, entries }: NewRecord): string[] {
  return entries.map(({ entry, isLate }, slot) => [arrival + slot, seq, slot, isLate, hex(entry.id), hex(entry.bytes), hex(entry.proofs.proofOf(entry.at)), hex(entry.group), entry.replicas].join())
}

async function expectProved (record: StoredRecord): Promise<void> {
  const entries = Array.from({ length: record.size }, (_, slot) => record.entryAt(slot)).filter(entry => entry != null)
  const decoded = await Promise.all(entries.map(async ({ bytes, proofs, at }) => decodeEntry({ bytes, proof: proofs.proofOf(at) })))
  expect((await verifyEntries(decoded, LOG_ID)).filter(verdict => verdict instanceof Error)).to.deep.equal([])
}

describe('a record', () => {
  it('holds entries with all that is told of them, whatever neighbours of a batch they are', async () => {
    const batches = await batchesOf([1, 2, 13, 64, 7])
    const some = (batch: TrueEntry[], ...slots: number[]): TrueEntry[] => slots.map(slot => batch[slot])
    const cases = [
      batches.flat(),
      batches[2],
      batches[2].slice(3, 9),
      // not neighbours, turned round, mixed with others
      some(batches[2], 0, 1, 2, 5, 6, 9, 12),
      batches[2].toReversed(),
      [...some(batches[2], 4, 5), ...some(batches[4], 1), ...some(batches[2], 6)]
    ]

    for (const entries of cases) {
      const record = recordOf(entries)
      const bytes = encodeRecord(record)
      const stored = new StoredRecord(bytes, 77)
      expect([stored.seq, stored.arrival, stored.size, stored.byteLength]).to.deep.equal([77, 1234, entries.length, bytes.byteLength])
      expect(linesOf(stored)).to.deep.equal(linesOfNew(record))
      expect(stored.absent.map(({ slot, absent }) => `${slot} ${absent.map(hex).join()}`))
        .to.deep.equal(record.entries.map(({ absent }, slot) => `${slot} ${absent.map(hex).join()}`).filter((_, slot) => record.entries[slot].absent.length > 0))
      await expectProved(stored)
    }
  })

  it('holds a batch with one signature, not with one for each', async () => {
    const [batch] = await batchesOf([200], 5)
    const alone = batch.reduce((sum, { bytes, proofs, at }) => sum + bytes.byteLength + proofs.proofOf(at).byteLength, 0)
    const { byteLength } = encodeRecord({ ...recordOf(batch), entries: batch.map(entry => ({ entry, isLate: false, absent: [] })) })

    expect(byteLength).to.be.below(batch.reduce((sum, { bytes }) => sum + bytes.byteLength + 4, 300))
    expect(byteLength).to.be.below(alone / 2)
  })

  it('holds rows that were removed, of every table, also where nothing was added', () => {
    const removed: RemovedRows = { ring: someKeys(SPECS.ring, 3, seededRandom(1)), groups: [], order: someKeys(SPECS.order, 1, seededRandom(2)), dead: someKeys(SPECS.dead, 200, seededRandom(3)) }
    const stored = new StoredRecord(encodeRecord({ seq: 1, arrival: 9, entries: [], removed }), 1)

    expect([stored.size, stored.arrival]).to.deep.equal([0, 9])
    expect(stored.removed).to.deep.equal(removed)
    expect(Object.entries(stored.removed).every(([table, keys]) => keys.every(({ byteLength }) => byteLength === SPECS[table as 'ring'].width))).to.equal(true)
  })

  it('holds large entries with their ids, which need not be computed again', async () => {
    const batches = await batchesOf([3], 20_000)
    const record = recordOf(batches[0])
    const bytes = encodeRecord(record)

    expect(linesOf(new StoredRecord(bytes, 77))).to.deep.equal(linesOfNew(record))
    batches[0].forEach(({ id }) => { expect(hex(bytes)).to.include(hex(id)) })
  })

  it('takes as many entries as a slot can name', async () => {
    const [batch] = await batchesOf([MAX_SLOTS])
    const record = recordOf(batch)

    expect(linesOf(new StoredRecord(encodeRecord(record), 77))).to.deep.equal(linesOfNew(record))
  })

  it('is without the bytes of some, and the others prove themselves as before, as often as some are taken out', async () => {
    const entries = (await batchesOf([1, 6, 9, 2])).flat()
    const record = recordOf(entries)
    const whole = linesOfNew(record)

    await fc.assert(fc.asyncProperty(fc.array(fc.uniqueArray(fc.nat(entries.length - 1), { maxLength: 8 }), { minLength: 1, maxLength: 4 }), async takes => {
      let bytes: Uint8Array | undefined = encodeRecord(record)
      const gone = new Set<number>()

      for (const slots of takes) {
        slots.forEach(slot => gone.add(slot))
        bytes = bytes && new StoredRecord(bytes, 77).without(new Set(slots))
      }

      if (gone.size === entries.length) {
        expect(bytes).to.equal(undefined)
      } else {
        const left = new StoredRecord(bytes ?? new Uint8Array(0), 77)
        expect(linesOf(left)).to.deep.equal(whole.map((line, slot) => gone.has(slot) ? 'gone' : line))
        gone.forEach(slot => { expect(hex(bytes ?? new Uint8Array(0))).to.not.include(hex(entries[slot].bytes)) })
        await expectProved(left)
      }
    }), { seed: 1, numRuns: 60 })
  })

  it('is nothing when all of it is taken out', async () => {
    const entries = (await batchesOf([2, 3])).flat()
    const stored = new StoredRecord(encodeRecord(recordOf(entries)), 77)

    expect(stored.without(new Set([0, 1, 2, 3, 4]))).to.equal(undefined)
    expect(new StoredRecord(stored.without(new Set([0, 1])) ?? new Uint8Array(0), 77).without(new Set([2, 3, 4]))).to.equal(undefined)
    expect(stored.without(new Set())).to.be.ok()
  })

  it('is refused under another number, torn, and with any bit changed', async () => {
    const bytes = encodeRecord(recordOf((await batchesOf([2]))[0]))

    expect(() => new StoredRecord(bytes, 78)).to.throw(MalformedError, 'number 77')
    for (let length = 0; length < bytes.byteLength; length++) {
      expect(() => new StoredRecord(bytes.subarray(0, length), 77)).to.throw(MalformedError)
    }
    for (let bit = 0; bit < bytes.byteLength * 8; bit += 3) {
      expect(() => new StoredRecord(bytes.map((byte, i) => i === bit >> 3 ? byte ^ 1 << bit % 8 : byte), 77)).to.throw(MalformedError)
    }
  })
})
