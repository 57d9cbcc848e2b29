import { parseArgs } from 'node:util'
import { print, runHostile } from './hostile.ts'

/** From the spec: the honest may wait so many times as long as before, and a little more, on a machine that does other things, too */
const FACTOR = 2
const NOISE_MS = 5
/** Bytes that the second half may add, beside what garbage collection leaves to chance. Guesses */
const HEAP_NOISE = 16e6
const RSS_NOISE = 64e6
const MINUTE = 60_000
/** Milliseconds of one attack, and of peace before all of them */
const SLICE = 5000
const PEACE = 15_000

function minutesOf (args: string[]): { minutes: number, seed: number, only?: string } {
  const { values } = parseArgs({
    args,
    options: {
      minutes: { type: 'string', default: '10' }, seed: { type: 'string', default: '1' }, only: { type: 'string' }
    }
  })
  const [minutes, seed] = [Number(values.minutes), Number(values.seed)]

  if (!(minutes > 0) || !Number.isInteger(seed)) {
    throw new Error('--minutes takes a number above 0, --seed a whole number')
  }

  return { minutes, seed, only: values.only }
}

async function main (): Promise<number> {
  const { minutes, seed, only } = minutesOf(process.argv.slice(2))
  console.log(`an honest pair, and a stranger beside it for ${minutes} minutes, seed ${seed}`)
  const { before, during, each, memory: [, middle, end], wrong } = await runHostile({
    attacks: minutes * MINUTE, peace: Math.min(PEACE, minutes * MINUTE / 4), slice: Math.min(SLICE, minutes * MINUTE / 12), seed, only, onLine: line => { console.log(line) }
  })

  console.log(`before: ${print(before)}`)
  console.log(`during: ${print(during)}`)
  each.forEach((latency, attack) => { console.log(`  ${attack}: ${print(latency)}`) })

  if (during.p95 > before.p95 * FACTOR + NOISE_MS) {
    wrong.push(`p95 went from ${before.p95.toFixed(1)} to ${during.p95.toFixed(1)} ms`)
  }
  if (end.heap > middle.heap + HEAP_NOISE || end.rss > middle.rss + RSS_NOISE) {
    wrong.push('memory still grew in the second half')
  }

  wrong.forEach(what => { console.error(`- ${what}`) })
  console.log(wrong.length > 0 ? 'NOT RIGHT' : 'right')
  return wrong.length > 0 ? 1 : 0
}

process.exitCode = await main()
