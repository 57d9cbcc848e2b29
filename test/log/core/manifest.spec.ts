import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { Fences } from '../../../src/log/core/fences.ts'
import { decodeManifest, encodeManifest } from '../../../src/log/core/manifest.ts'
import { forTables, SPECS } from '../../../src/log/core/rows.ts'
import { Writer } from '../../../src/runtime/codec.ts'
import { crc32 } from '../../../src/runtime/crc32.ts'
import { MalformedError } from '../../../src/runtime/errors.ts'
import { NewerVersionError, STORE_VERSION } from '../../../src/storage/core/checksummed.ts'
import { LANES } from '../../../src/storage/core/fingerprint.ts'
import type { Manifest } from '../../../src/log/core/manifest.ts'
import type { TableName } from '../../../src/log/core/rows.ts'
import type { Part, Run } from '../../../src/storage/core/run.ts'

const anyNumber = fc.oneof(fc.nat(300), fc.maxSafeInteger().map(Math.abs))
const anyMoment = fc.record({ time: anyNumber, counter: fc.nat(65_535) })

function anyKey (table: TableName): fc.Arbitrary<Uint8Array> {
  return fc.uint8Array({ minLength: SPECS[table].width, maxLength: SPECS[table].width })
}

function anyRuns (table: TableName): fc.Arbitrary<Run[]> {
  const lanes = fc.array(fc.nat(2 ** 31 - 1), { minLength: LANES, maxLength: LANES }).map(all => Uint32Array.from(all))
  const part: fc.Arbitrary<Part> = fc.record({
    seq: anyNumber,
    rows: anyNumber,
    // a run may remove more than it adds
    count: fc.integer({ min: -(2 ** 40), max: 2 ** 40 }),
    sum: SPECS[table].sumAt == null ? fc.constant(undefined) : lanes,
    first: anyKey(table),
    pages: anyNumber,
    last: anyKey(table)
  })
  return fc.array(fc.record({ tier: fc.nat(9), parts: fc.array(part, { maxLength: 3 }) }), { maxLength: 3 })
}

const anyFences = fc.array(fc.tuple(fc.nat(2_000), fc.nat(9_000), fc.nat(256), fc.nat(10_000), fc.nat(65_535)), { maxLength: 20 }).map(records => {
  const fences = new Fences()
  let [seq, arrival, time] = [0, 0, 0]

  for (const [numbers, arrivals, entries, ms, counter] of records) {
    [seq, arrival, time] = [seq + numbers + 1, arrival + arrivals, time + ms]
    fences.begin(seq, arrival, { time, counter })

    for (let i = 0; i < entries; i++) {
      fences.add()
    }
  }

  return fences
})

/** As something that can be compared */
function plain ({ counters: { fences, ...counters }, ...manifest }: Manifest): unknown {
  return { ...manifest, counters, fences: fences.encode(new Writer()).finish().join() }
}

const anyManifest: fc.Arbitrary<Manifest> = fc.record({
  generation: anyNumber,
  nextSeq: anyNumber,
  tail: anyNumber,
  tailBefore: anyNumber,
  counters: fc.record({
    arrivals: anyNumber,
    bytes: anyNumber,
    clock: anyMoment,
    top: fc.option(fc.record({ time: anyNumber, counter: fc.nat(65_535), id: fc.uint8Array({ minLength: 32, maxLength: 32 }) }), { nil: undefined }),
    fences: anyFences
  }),
  runs: fc.record(forTables(anyRuns)),
  freed: fc.array(anyNumber, { maxLength: 20 }),
  unfinished: fc.array(anyNumber, { maxLength: 20 })
})

const EMPTY: Manifest = {
  generation: 3,
  nextSeq: 9,
  tail: 8,
  tailBefore: 7,
  counters: { arrivals: 6, bytes: 5, clock: { time: 4, counter: 3 }, top: undefined, fences: new Fences() },
  runs: forTables(() => []),
  freed: [1],
  unfinished: [0]
}

describe('a manifest', () => {
  it('comes out as it went in, with all runs of all tables', () => {
    fc.assert(fc.property(anyManifest, manifest => {
      expect(plain(decodeManifest(encodeManifest(manifest)))).to.deep.equal(plain(manifest))
    }), { seed: 1, numRuns: 100 })
  })

  it('is refused torn, with anything behind it, and with any bit changed', () => {
    const bytes = encodeManifest(EMPTY)

    for (let length = 0; length < bytes.byteLength; length++) {
      expect(() => decodeManifest(bytes.subarray(0, length))).to.throw(MalformedError)
    }
    for (let bit = 0; bit < bytes.byteLength * 8; bit++) {
      expect(() => decodeManifest(bytes.map((byte, i) => i === bit >> 3 ? byte ^ 1 << bit % 8 : byte))).to.throw(MalformedError)
    }
    expect(() => decodeManifest(Uint8Array.from([...bytes, 0]))).to.throw(MalformedError)
  })

  it('says by name that a later release wrote it', () => {
    const bytes = encodeManifest(EMPTY).slice()
    const end = bytes.byteLength - 4
    bytes[0] = STORE_VERSION + 1
    new DataView(bytes.buffer).setUint32(end, crc32(bytes.subarray(0, end)), true)

    expect(() => decodeManifest(bytes)).to.throw(NewerVersionError, 'later release')
  })
})
