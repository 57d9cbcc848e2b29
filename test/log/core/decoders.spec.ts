import { expect } from 'aegir/chai'
import { compare } from 'uint8arrays/compare'
import { encodeContent } from '../../../src/log/core/entry.ts'
import { Fences } from '../../../src/log/core/fences.ts'
import { decodeManifest, encodeManifest } from '../../../src/log/core/manifest.ts'
import { encodeRecord, StoredRecord } from '../../../src/log/core/record.ts'
import { forTables, SPECS } from '../../../src/log/core/rows.ts'
import { decodeEntry, Signer } from '../../../src/log/signatures.ts'
import { crc32 } from '../../../src/runtime/crc32.ts'
import { MalformedError } from '../../../src/runtime/errors.ts'
import { seededRandom } from '../../../src/runtime/random.ts'
import { ANONYMOUS, decodeLease, encodeLease } from '../../../src/runtime/store-lease.ts'
import { LANES } from '../../../src/storage/core/fingerprint.ts'
import { decodePage, encodePage } from '../../../src/storage/core/page.ts'
import { decodePart, PartWriter } from '../../../src/storage/core/run.ts'
import { IS_LONG } from '../../fixtures/effort.ts'
import { LOG_ID, newKey, text } from '../../fixtures/logs.ts'
import { finished, rowsOf, someKeys } from '../../fixtures/runs.ts'
import { Mutator } from '../../fuzz/mutate.ts'
import type { TableName } from '../../../src/log/core/rows.ts'
import type { Run } from '../../../src/storage/core/run.ts'

/** How many broken values of each kind */
const RUNS = IS_LONG ? 20_000 : 2_000
const SEQ = 5

/** Broken as anything may be, with a checksum that is right: what comes behind the checksum is tried, too */
function withChecksum (bytes: Uint8Array): Uint8Array {
  if (bytes.byteLength < 4) {
    return bytes
  }

  const whole = Uint8Array.from(bytes)
  const end = whole.byteLength - 4
  new DataView(whole.buffer).setUint32(end, crc32(whole.subarray(0, end)), true)
  return whole
}

async function records (): Promise<Uint8Array[]> {
  const signer = new Signer(await newKey(), LOG_ID)
  const decoded = await Promise.all(Array.from({ length: 6 }, async (_, counter) => decodeEntry({
    bytes: encodeContent({ time: 1, counter, author: signer.author, parents: [], group: text('g'), replicas: 0, data: text(`${counter}`) }), proof: new Uint8Array(0)
  })))
  const proofs = await signer.prove(decoded.length, () => decoded.map(({ id }) => id))
  const entries = decoded.map(({ proof, ...content }, at) => ({ entry: { ...content, proofs, at }, isLate: at % 2 === 0, absent: at === 3 ? [decoded[0].id] : [] }))
  const whole = encodeRecord({ seq: SEQ, arrival: 3, entries, removed: { dead: someKeys(SPECS.dead, 3, seededRandom(1)) } })
  const holes = new StoredRecord(whole, SEQ).without(new Set([0, 1, 4])) ?? whole
  return [whole, holes, encodeRecord({ seq: SEQ, arrival: 3, entries: entries.slice(2, 4), removed: {} })]
}

const specs = Object.values(SPECS)

function pages (): Uint8Array[] {
  return specs.map(spec => encodePage(SEQ, spec, rowsOf(spec, someKeys(spec, 5, seededRandom(2)).sort(compare).map(key => ({ key })))).bytes)
}

function parts (): Uint8Array[] {
  return specs.map(spec => {
    const rows = rowsOf(spec, someKeys(spec, 3, seededRandom(3)).sort(compare).map(key => ({ key })))
    const { sum } = encodePage(1, spec, rows)
    const writer = new PartWriter(spec)
    writer.add({ seq: 1, rows: 3, count: 3, first: new Uint8Array(spec.width), sum }, rows)
    return finished(writer)(SEQ).bytes
  })
}

function manifests (): Uint8Array[] {
  const runsOf = (name: TableName): Run[] => {
    const { width, sumAt } = SPECS[name]
    const sum = sumAt == null ? undefined : new Uint32Array(LANES).fill(3)
    return [{ tier: 0, parts: [{ seq: 4, rows: 2, count: -1, sum, first: new Uint8Array(width), pages: 1, last: new Uint8Array(width) }] }]
  }
  const fences = new Fences()
  fences.begin(1, 0)
  fences.add()
  fences.begin(800, 5, { time: 3, counter: 1 })
  fences.add()
  const counters = { arrivals: 6, bytes: 5, clock: { time: 4, counter: 3 }, top: { time: 4, counter: 3, id: new Uint8Array(32) }, fences }
  const manifest = { generation: 3, nextSeq: 9, tail: 8, tailBefore: 7, counters, freed: [1, 300], unfinished: [0] }
  // one without a summed table, too: else most of its bytes are sums
  return [forTables(runsOf), forTables(name => name === 'ring' ? [] : runsOf(name))].map(runs => encodeManifest({ ...manifest, runs }))
}

const targets: Record<string, { corpus(): Uint8Array[] | Promise<Uint8Array[]>, read(bytes: Uint8Array): void }> = {
  'a record': {
    corpus: records,
    read: bytes => {
      const record = new StoredRecord(bytes, SEQ)
      record.without(new Set([0, 2]))

      for (let slot = 0; slot <= record.size; slot++) {
        const entry = record.entryAt(slot)
        expect([entry?.id.byteLength ?? 32, entry?.time ?? 0, entry?.proofs.proofOf(entry.at).byteLength ?? 1].every(number => number >= 0)).to.equal(true)
      }
    }
  },
  'a page': { corpus: pages, read: bytes => { anyOf(specs.map(spec => () => decodePage(bytes, SEQ, spec))) } },
  'a part': { corpus: parts, read: bytes => { anyOf(specs.map(spec => () => decodePart(bytes, SEQ, spec))) } },
  'a manifest': { corpus: manifests, read: bytes => { decodeManifest(bytes) } }
}

/** Tries all: what the last one throws is thrown if none of them takes it */
function anyOf (tries: Array<() => unknown>): void {
  let error: unknown

  for (const run of tries) {
    try {
      run()
      return
    } catch (err) {
      if (!(err instanceof MalformedError)) {
        throw err
      }
      error = err
    }
  }

  throw error
}

describe('what lies broken in a store', () => {
  for (const [what, { corpus, read }] of Object.entries(targets)) {
    it(`as ${what} is malformed or taken, and nothing else, also where its checksum is right`, async () => {
      const mutator = new Mutator(1)
      const good = await corpus()
      let taken = 0

      for (let run = 0; run < RUNS; run++) {
        mutator.begin(run)
        const bytes = withChecksum(mutator.mutate(good))

        try {
          read(bytes)
          taken++
        } catch (err: any) {
          if (!(err instanceof MalformedError)) {
            throw new Error(`run ${run}, ${[...bytes].join()}: ${err.stack}`)
          }
        }
      }

      // what is always taken or always refused was not tested
      expect(taken).to.be.within(1, RUNS - 1)
    }).timeout(60_000)
  }

  it('as a lease is one that nobody can read, or one', () => {
    const mutator = new Mutator(2)
    const good = [encodeLease({ token: 'a.1', beat: 1, host: 'host', place: 'here', pid: 7, started: 'now', renewed: 1_000_000 }), encodeLease({ token: 'a.2', beat: 1, renewed: 1_000_000 })]
    let unreadable = 0

    for (let run = 0; run < RUNS; run++) {
      mutator.begin(run)
      unreadable += decodeLease(mutator.mutate(good)) === ANONYMOUS ? 1 : 0
    }

    expect(unreadable).to.be.above(RUNS / 2)
  })
})
