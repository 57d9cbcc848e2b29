import { expect } from 'aegir/chai'
import { fromString } from 'uint8arrays/from-string'
import { toString } from 'uint8arrays/to-string'
import { decodeContent, encodeContent } from '../../src/log/core/entry.ts'
import { decodeProof, encodeProof } from '../../src/log/core/merkle.ts'
import { decodeEntry, verifyEntries } from '../../src/log/signatures.ts'
import { MalformedError } from '../../src/runtime/errors.ts'
import { BATCHES, ENTRIES, LOG_ID } from '../fixtures/entries-v1.ts'
import { Mutator } from './mutate.ts'
import type { DecodedEntry, RawEntry } from '../../src/log/core/types.ts'

/** A browser decodes with the same code: it is asked less often */
const IS_NODE = typeof process !== 'undefined' && process.versions?.node != null

/** How many broken entries, and how chance begins: FUZZ_RUNS=... FUZZ_SEED=... replays a run */
const RUNS = setting('FUZZ_RUNS', IS_NODE ? 100_000 : 10_000)
const SEED = setting('FUZZ_SEED', 1)
/** Of so many that were read one is verified */
const VERIFIED_EVERY = 20

function setting (name: string, otherwise: number): number {
  const value = typeof process === 'undefined' ? undefined : process.env?.[name]
  return value == null || value === '' ? otherwise : Number(value)
}

const good: RawEntry[] = BATCHES.flatMap(({ entries, proofs }) => entries.map((entry, i) => ({
  bytes: fromString(ENTRIES[entry].bytes, 'base16'), proof: fromString(proofs[i], 'base16')
})))
const known = new Set(good.map(({ bytes }) => toString(bytes, 'base16')))

/** What `read` makes of each; undefined where it is malformed. Anything else that is thrown ends the test */
function readable <T> (mutator: Mutator, run: number, corpus: Uint8Array[], read: (bytes: Uint8Array) => T): T | undefined {
  mutator.begin(run)
  const bytes = mutator.mutate(corpus)

  try {
    return read(bytes)
  } catch (err: any) {
    if (!(err instanceof MalformedError)) {
      throw new Error(`FUZZ_SEED=${SEED}, run ${run}, ${toString(bytes, 'base16')}: ${err.stack}`)
    }
  }
}

function expectSame (again: Uint8Array, bytes: Uint8Array): void {
  if (toString(again, 'base16') !== toString(bytes, 'base16')) {
    throw new Error(`${toString(bytes, 'base16')} was read, though it is not how that is written`)
  }
}

const decoders: Record<string, { corpus: Uint8Array[], check (bytes: Uint8Array): void }> = {
  'the content of an entry': { corpus: good.map(({ bytes }) => bytes), check: bytes => { expectSame(encodeContent(decodeContent(bytes)), bytes) } },
  'a proof': { corpus: good.map(({ proof }) => proof), check: bytes => { expectSame(encodeProof(decodeProof(bytes)), bytes) } }
}

describe(`broken entries (FUZZ_SEED=${SEED}, FUZZ_RUNS=${RUNS})`, function () {
  this.timeout(300_000)

  for (const [name, { corpus, check }] of Object.entries(decoders)) {
    it(`as ${name}: are malformed, or written in the same bytes again`, () => {
      const mutator = new Mutator(SEED)
      let taken = 0

      for (let run = 0; run < RUNS / 4; run++) {
        const isTaken = readable(mutator, run, corpus, bytes => {
          check(bytes)
          return true
        })
        taken += isTaken === true ? 1 : 0
      }

      // what is always taken or always refused was not tested
      expect(taken).to.be.within(1, RUNS / 4 - 1)
    })
  }

  it('are never taken for true', async () => {
    const mutator = new Mutator(SEED)
    const contents = good.map(({ bytes }) => bytes)
    const proofs = good.map(({ proof }) => proof)
    const read: Array<Promise<DecodedEntry>> = []
    let kept = 0

    for (let run = 0; run < RUNS / 4; run++) {
      const entry = readable(mutator, run, contents, bytes => {
        const proof = mutator.int(2) === 0 ? mutator.pick(proofs) : mutator.mutate(proofs)
        return decodeEntry({ bytes, proof })
      })

      if (entry != null && kept++ % VERIFIED_EVERY === 0) {
        read.push(Promise.resolve(entry))
      }
    }

    // a mutation may leave a content as it was, or put it right again
    const entries = (await Promise.all(read)).filter(({ bytes }) => !known.has(toString(bytes, 'base16')))
    const verdicts = await verifyEntries(entries, LOG_ID)
    expect(entries.length).to.be.above(0)
    expect(verdicts.filter(verdict => !(verdict instanceof Error))).to.deep.equal([])
  })
})
