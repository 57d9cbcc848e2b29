import { seededRandom } from '../../src/runtime/random.ts'
import { after, until } from '../acceptance/until.ts'
import { Pair, range, World } from '../acceptance/world.ts'
import type { Peer } from '../acceptance/world.ts'

/** Milliseconds from one of these to the next */
const TURN = 250
const RESET = [5000, 20_000] as const
const REKEY = 2000
const LATENCY = 3000
const KILL = 30_000
const LOOK = 10_000
/** Milliseconds that a way takes longer at most */
const MAX_LATENCY = 200
/** Messages that wait before no more are written */
const MAX_QUEUED = 50
/** Milliseconds until all has arrived at the end */
const CALM = 120_000

export interface BrowserSoakInit {
  time: number
  seed: number
  onLine (line: string): void
}

export interface BrowserSoak {
  /** What was not as it has to be */
  wrong: string[]
  written: number
  resets: number
  kills: number
  epochs: number
  /** Bytes of the heap of the page that lives on, after a collection, every ten seconds */
  heap: number[]
}

/** Two people who write to each other, on sockets that are reset, with keys that change, in tabs that are killed */
export async function runBrowserSoak ({ time, seed, onLine }: BrowserSoakInit): Promise<BrowserSoak> {
  const world = new World()
  const random = seededRandom(seed)
  const between = (from: number, to: number): number => from + random() * (to - from)
  const soak: BrowserSoak = { wrong: [], written: 0, resets: 0, kills: 0, epochs: 0, heap: [] }
  await world.begin(['--js-flags=--expose-gc', '--enable-precise-memory-info'])

  try {
    const pair = await Pair.open(world, await world.relay())
    const { a, b, both } = pair
    const written = new Map<Peer, string[]>([[a, []], [b, []]])
    const end = performance.now() + time
    const due = new Map<() => Promise<void>, { at: number, next (): number }>()
    const every = (next: () => number, act: () => Promise<void>): void => {
      due.set(act, { at: performance.now() + next(), next })
    }

    every(() => TURN, async () => {
      for (const [from, to] of [[a, b], [b, a]]) {
        const { queued } = await from.read(to)
        const mine = written.get(from) ?? []
        const texts = range(queued.length < MAX_QUEUED ? 1 + Math.floor(random() * 4) : 0)
          .map(i => `${from.name} ${mine.length + i}`)
        mine.push(...texts)
        await from.write(to, texts)
      }
    })
    every(() => between(...RESET), async () => {
      soak.resets++
      both[Math.floor(random() * 2)].proxy.reset()
    })
    every(() => REKEY, async () => { await (random() < 0.5 ? a.rekey(b) : b.rekey(a)) })
    every(() => LATENCY, async () => { both.forEach(({ proxy }) => { proxy.latency = Math.floor(random() * MAX_LATENCY) }) })
    every(() => KILL, async () => {
      soak.kills++
      await a.kill()
      await a.again(world)
    })
    every(() => LOOK, async () => {
      soak.heap.push(await b.heap())
      const { heard } = await b.read(a)
      onLine(`${heard.length} of ${written.get(a)?.length} arrived at Bob, ${soak.resets} resets, ${soak.kills} tabs killed`)
    })

    while (performance.now() < end) {
      for (const [act, plan] of due) {
        if (performance.now() >= plan.at) {
          await act()
          plan.at = performance.now() + plan.next()
        }
      }
      await after(20)
    }

    for (const [from, to] of [[a, b], [b, a]]) {
      const mine = written.get(from) ?? []
      from.proxy.latency = 0
      soak.written += mine.length
      await until(`all that ${from.name} wrote has arrived`, async () =>
        (await to.read(from)).heard.length >= mine.length &&
        (await from.read(to)).queued.length === 0, CALM).catch(err => soak.wrong.push(err.message))
      const { heard } = await to.read(from)
      heard.join() === mine.join() || soak.wrong.push(`${to.name} has ${heard.length} of ${mine.length} messages, ` +
        `${new Set(heard).size} of them different, in order: ${heard.join() === heard.toSorted(byNumber).join()}`)
    }

    soak.epochs = (await b.seen()).epochs.length
  } finally {
    await world.end()
    soak.wrong.push(...world.errors)
  }

  return soak
}

function byNumber (a: string, b: string): number {
  return Number(a.split(' ')[1]) - Number(b.split(' ')[1])
}
