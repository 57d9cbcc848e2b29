/**
 * Leads lives of a log on hostile disks: `npx node test/log/world/run.ts --seeds 2000 [--from 1] [--rot]`, or
 * `--seed N [--times 20]` for one world again. The seed decides what happens; how the threads that verify signatures run
 * beside it is chance, so that a world may have to be repeated until it fails once more
 */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { replay, runWorld } from './lives.ts'
import type { Outcome } from './lives.ts'

/** Worlds between two lines that say how far it is */
const PROGRESS = 100
/** Worlds that one thread leads: it holds what died in them, since nobody tells a dead process that it is dead. 3 MB each */
const A_THREAD = 100
/** Worlds that are printed when they fail, things that are wrong in each, and characters of each */
const MAX_PRINTED = 20
const MAX_WRONG = 12
const MAX_LINE = 600

interface Options {
  seeds: number[]
  isRot: boolean
}

/** Throws an error whose message is for the person at the terminal */
function parse (args: string[]): Options {
  const numbers: Record<string, number | undefined> = { '--seeds': 100, '--from': 1, '--seed': undefined, '--times': 1 }
  let isRot = false

  for (let i = 0; i < args.length; i++) {
    if (args[i] === '--rot') {
      isRot = true
    } else if (Object.hasOwn(numbers, args[i]) && Number.isInteger(Number(args[i + 1]))) {
      numbers[args[i]] = Number(args[++i])
    } else {
      throw new Error(`${args[i]} is not understood: there are --seeds N, --from N, --seed N, --times N and --rot`)
    }
  }

  const { '--seeds': seeds = 0, '--from': from = 1, '--seed': seed, '--times': times = 1 } = numbers
  return { seeds: seed == null ? Array.from({ length: seeds }, (_, i) => from + i) : new Array<number>(times).fill(seed), isRot }
}

function print (line: string): void {
  process.stdout.write(`${line}\n`)
}

function printWrong ({ wrong, notes }: Outcome): void {
  wrong.slice(0, MAX_WRONG).forEach(what => { print(`- ${what.slice(0, MAX_LINE)}`) })

  if (wrong.length > MAX_WRONG) {
    print(`- and ${wrong.length - MAX_WRONG} more`)
  }

  notes.forEach(note => { print(`  ${note}`) })
}

/** The worlds of these seeds, one after the other */
async function * allWorlds (seeds: number[], isRot: boolean): AsyncGenerator<{ i: number, seed: number, outcome: Outcome }> {
  for (let first = 0; first < seeds.length; first += A_THREAD) {
    const some = seeds.slice(first, first + A_THREAD)
    const worker = new Worker(new URL(import.meta.url), { workerData: { seeds: some, isRot } })
    const failed = new Promise<never>((_resolve, reject) => { worker.once('error', reject) })

    for (const [i, seed] of some.entries()) {
      const outcome = await Promise.race([failed, new Promise<Outcome>(resolve => { worker.once('message', resolve) })])
      yield { i: first + i, seed, outcome }
      // the next one begins when this one was looked at
      worker.postMessage('next')
    }

    await worker.terminate()
  }
}

/** What one thread does */
async function lead ({ seeds, isRot }: Options): Promise<void> {
  for (const seed of seeds) {
    const next = new Promise(resolve => { parentPort?.once('message', resolve) })
    parentPort?.postMessage(await runWorld(seed, { isRot }))
    await next
  }
}

async function main ({ seeds, isRot }: Options): Promise<number> {
  const began = performance.now()
  let right = 0
  let lives = 0
  let operations = 0

  for await (const { i, seed, outcome } of allWorlds(seeds, isRot)) {
    lives += outcome.lives
    operations += outcome.operations
    right += outcome.wrong.length === 0 ? 1 : 0

    if (outcome.wrong.length > 0 && i + 1 - right <= MAX_PRINTED) {
      print(`seed ${seed}: ${replay(seed, isRot)}`)
      printWrong(outcome)
    }
    if ((i + 1) % PROGRESS === 0) {
      print(`  ${right} of ${i + 1} right, ${((performance.now() - began) / 1000).toFixed(0)} s`)
    }
  }

  print(`${right} of ${seeds.length} right: ${lives} lives, ${operations} operations on the disk, ${((performance.now() - began) / 1000).toFixed(0)} s`)
  return right === seeds.length ? 0 : 1
}

if (isMainThread) {
  process.exitCode = await main(parse(process.argv.slice(2)))
} else {
  await lead(workerData)
}
