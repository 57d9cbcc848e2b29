/**
 * Hands mutated entries to a log: `npx node test/fuzz/entries-run.ts [--count 1000000] [--seed 1]`. Both parts of a pair are
 * mutated, or one of them, or two true ones do not belong together. None may get in but those that their authors made
 */
import { equals } from 'uint8arrays/equals'
import { toString } from 'uint8arrays/to-string'
import { LOG_ID } from '../fixtures/entries-v1.ts'
import { expectTrue, name, newLog, SetClock } from '../fixtures/logs.ts'
import { good, mutatedPair } from './entries.ts'
import { Mutator } from './mutate.ts'
import type { RawEntry } from '../../src/log/core/types.ts'
import type { JoinOutcome, Log } from '../../src/log/index.ts'

/** Pairs that are joined at once, and pairs between two lines that say how far it is */
const AT_ONCE = 500
const PROGRESS = 100_000
/** Milliseconds since 1970: no clock of an entry is ahead of it */
const FAR = 2 ** 48 - 1

/** What became of all pairs */
interface Tally {
  added: number
  known: number
  refused: Map<string, number>
  wrong: string[]
}

function setting (option: string, otherwise: number): number {
  const at = process.argv.indexOf(option)
  return at < 0 ? otherwise : Number(process.argv[at + 1])
}

function print (line: string): void {
  process.stdout.write(`${line}\n`)
}

/** What got in is one of the true entries, with its proof. Takes it out again, so that the next ones are verified anew */
async function judge (log: Log, raws: RawEntry[], outcomes: JoinOutcome[], tally: Tally): Promise<void> {
  for (const [i, outcome] of outcomes.entries()) {
    if (outcome.status === 'refused') {
      tally.refused.set(outcome.reason.name, (tally.refused.get(outcome.reason.name) ?? 0) + 1)
    } else if (outcome.status === 'waiting') {
      tally.wrong.push(`an entry waits: ${toString(raws[i].bytes, 'base16')}`)
    } else {
      tally[outcome.status]++
    }
  }

  for await (const entry of log.entries()) {
    if (!good.some(({ bytes, proof }) => equals(bytes, entry.bytes) && equals(proof, entry.proof))) {
      tally.wrong.push(`${name(entry)} is in: bytes ${toString(entry.bytes, 'base16')}, proof ${toString(entry.proof, 'base16')}`)
    }

    await expectTrue(log, [entry])
    await log.remove([entry.id])
  }
}

async function main (count: number, seed: number): Promise<number> {
  const began = performance.now()
  const log = await newLog({ id: LOG_ID, clock: new SetClock(FAR) })
  const mutator = new Mutator(seed)
  const tally: Tally = { added: 0, known: 0, refused: new Map(), wrong: [] }

  for (let run = 0; run < count && tally.wrong.length === 0; run += AT_ONCE) {
    const raws = Array.from({ length: Math.min(AT_ONCE, count - run) }, (_, i) => mutatedPair(mutator, run + i))
    await judge(log, raws, await log.join(raws), tally)

    if ((run + AT_ONCE) % PROGRESS === 0) {
      print(`  ${run + AT_ONCE} pairs, ${((performance.now() - began) / 1000).toFixed(0)} s`)
    }
  }

  await log.close()
  const refused = [...tally.refused].map(([reason, count]) => `${count} ${reason}`).join(', ')
  print(`${count} pairs (seed ${seed}): ${tally.added} true ones got in, ${tally.known} were known, refused ${refused}`)
  tally.wrong.forEach(what => { print(`- ${what}`) })
  return tally.wrong.length === 0 ? 0 : 1
}

process.exitCode = await main(setting('--count', 1_000_000), setting('--seed', 1))
