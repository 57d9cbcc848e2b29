import { parseArgs } from 'node:util'
import { runBrowserSoak } from './browser.ts'

const MINUTE = 60_000
/** Bytes that the heap may grow in the second half, beside the messages that a page shows. A guess */
const HEAP_NOISE = 16e6

async function main (): Promise<number> {
  const { values } = parseArgs({
    options: {
      browser: { type: 'boolean' }, minutes: { type: 'string', default: '10' }, seed: { type: 'string', default: '1' }
    }
  })
  const [minutes, seed] = [Number(values.minutes), Number(values.seed)]

  if (!(minutes > 0) || !Number.isInteger(seed)) {
    throw new Error('--minutes takes a number above 0, --seed a whole number')
  }

  console.log(`two people in two browsers, with resets, new keys and killed tabs, for ${minutes} minutes, seed ${seed}`)
  const { wrong, written, resets, kills, epochs, heap } = await runBrowserSoak({
    time: minutes * MINUTE, seed, onLine: line => { console.log(line) }
  })
  const middle = heap[Math.floor(heap.length / 2)]

  if (heap.length > 3 && heap[heap.length - 1] > middle + HEAP_NOISE) {
    wrong.push(`the heap grew from ${middle} to ${heap[heap.length - 1]} bytes in the second half`)
  }

  console.log(`${written} messages, ${resets} resets, ${epochs} keys, ${kills} tabs killed; ` +
    `heap ${heap.map(bytes => (bytes / 1e6).toFixed(1)).join(', ')} MB`)
  wrong.slice(0, 20).forEach(what => { console.error(`- ${what}`) })
  console.log(wrong.length > 0 ? 'NOT RIGHT' : 'right')
  return wrong.length > 0 ? 1 : 0
}

process.exitCode = await main()
