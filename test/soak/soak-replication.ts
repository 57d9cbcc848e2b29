import { parseArgs } from 'node:util'
import { runReplicationSoak } from './replication.ts'

const MINUTE = 60_000
/** Bytes that the heap may grow in the second half, beside what garbage collection leaves to chance. A guess */
const HEAP_NOISE = 32e6

async function main (): Promise<number> {
  const { values } = parseArgs({ options: { minutes: { type: 'string', default: '10' }, seed: { type: 'string', default: '1' } } })
  const [minutes, seed] = [Number(values.minutes), Number(values.seed)]

  if (!(minutes > 0) || !Number.isInteger(seed)) {
    throw new Error('--minutes takes a number above 0, --seed a whole number')
  }

  console.log(`three processes of one log, killed and stopped, beside a liar and a hider, for ${minutes} minutes, seed ${seed}`)
  const { wrong, appended, kills, stops, heap } = await runReplicationSoak({ time: minutes * MINUTE, seed, onLine: line => { console.log(line) } })
  const middle = heap[Math.floor(heap.length / 2)]

  if (heap.length > 3 && heap[heap.length - 1] > middle + HEAP_NOISE) {
    wrong.push(`the heap grew from ${middle} to ${heap[heap.length - 1]} bytes in the second half`)
  }

  console.log(`${appended} entries appended, ${kills} processes killed, ${stops} stopped; heap ${heap.map(bytes => Math.round(bytes / 1e6)).join(', ')} MB`)
  wrong.slice(0, 20).forEach(what => { console.error(`- ${what}`) })
  console.log(wrong.length > 0 ? 'NOT RIGHT' : 'right')
  return wrong.length > 0 ? 1 : 0
}

process.exitCode = await main()
