import { ATTACHED, Crowd } from './crowd.ts'
import { sybils } from './hostile-worlds.ts'
import { blackHole, burst, crashes, halves, shapes } from './mesh-worlds.ts'
import { parse, replay } from './options.ts'
import { randomRun } from './random-run.ts'
import { replicationRun } from './replication/run.ts'
import { flood, framers } from './shell-worlds.ts'
import type { Figures, Traffic } from './crowd.ts'
import type { Report } from './mesh-worlds.ts'
import type { Options } from './options.ts'

/** From the spec: control messages a peer after all have subscribed at once, on top of one for each neighbour */
const MESSAGES_BOUND = 20
/** Runs between two lines that say how far it is */
const PROGRESS = 100
/** Violations that are printed */
const MAX_PRINTED = 20

function seconds (): string {
  return (performance.now() / 1000).toFixed(1)
}

function print ({ mean, p50, max }: Figures, digits = 1): string {
  return `mean ${mean.toFixed(digits)}, p50 ${p50.toFixed(digits)}, max ${max.toFixed(digits)}`
}

function printTraffic ({ name, leaf, relay, mean }: Traffic): void {
  console.log(`${name} (${seconds()} s of real time by now): control messages`)
  console.log(`  leaf: sent ${print(leaf.sent)}; received ${print(leaf.received)}`)
  console.log(`  relay: sent for each neighbour ${print(relay.perNeighbour)} (in all ${print(relay.sent, 0)})`)
  console.log(`  all: sent a peer ${mean.sent.toFixed(1)}, neighbours ${mean.neighbours.toFixed(1)}, announcements heard ${mean.announcements.toFixed(0)}`)
}

function checkBound ({ leaf, mean }: Traffic): string[] {
  const wrong: string[] = []
  const bound = MESSAGES_BOUND + mean.neighbours
  const leafBound = MESSAGES_BOUND + ATTACHED

  if (leaf.sent.max > leafBound || leaf.received.max > leafBound) {
    wrong.push(`a leaf sent ${leaf.sent.max} or received ${leaf.received.max} control messages in the burst, at most ${leafBound} are allowed`)
  }
  if (mean.sent > bound) {
    wrong.push(`a peer sent ${mean.sent.toFixed(1)} control messages in the burst on average, at most ${bound.toFixed(1)} are allowed`)
  }

  return wrong
}

function crowd (options: Options): string[] {
  const wrong: string[] = []
  const crowd = new Crowd(options)
  const { nodes, relays, minutes, seed, topics } = options
  console.log(`${nodes} nodes: ${relays} relays with about 6 relays each beside their leaves, the others are leaves attached to ${ATTACHED} relays; seed ${seed}`)

  crowd.gather()
  const { traffic, converged } = crowd.subscribe()
  console.log(`${crowd.subscribers} leaves subscribed at once to one topic, a tenth of them to each of ${topics} more: all knew all after ${converged ?? '(not at all)'} ms`)
  printTraffic(traffic)
  wrong.push(...converged == null ? ['not all subscribers knew each other half a minute after the burst'] : [], ...checkBound(traffic))
  printTraffic(crowd.idle())

  for (let minute = 0; minute < minutes; minute++) {
    const traffic = crowd.churn(minute)

    if (options.verbose || minute === minutes - 1) {
      printTraffic(traffic)
    }
  }

  crowd.settle()
  const after = crowd.check()
  console.log(`after ${minutes} minutes of churn and some of quiet: ${after.length === 0 ? 'every subscriber known, no ghost, every map bounded' : 'WRONG'}`)
  const empty = crowd.empty()
  console.log(`after all have unsubscribed: ${empty.length === 0 ? 'every map empty' : 'WRONG'}`)
  return [...wrong, ...after, ...empty]
}

/** A mesh in which all come and subscribe at once, then smaller ones to which something happens */
async function mesh ({ mesh, degree, seed }: Options): Promise<string[]> {
  const worlds: Array<() => Report | Promise<Report>> = [
    () => burst(mesh, degree, seed),
    ...[1, 3, 10].map(count => () => crashes(count, seed, false)),
    () => halves(100, seed, false),
    () => shapes(seed),
    () => blackHole(seed),
    () => sybils(3000, seed, 'star', { isStrict: false }),
    async () => framers(seed),
    async () => flood(seed, { isBehind: false })
  ]
  const all: string[] = []

  for (const world of worlds) {
    const { lines, wrong } = await world()
    lines.forEach(line => { console.log(line) })
    all.push(...wrong)
  }

  return all
}

function random ({ seed }: Options): string[] {
  console.log(`a random network in which everything happens; seed ${seed}`)
  return randomRun(seed)
}

/** Stops at the first that is not right: its number replays it */
async function replication (options: Options): Promise<{ wrong: string[], options: Options }> {
  const { seed, seeds } = options
  console.log(`peers of one log to which everything happens; seeds ${seed} to ${seed + seeds - 1}`)

  for (let at = seed; at < seed + seeds; at++) {
    const wrong = await replicationRun(at)

    if (wrong.length > 0) {
      return { wrong, options: { ...options, seed: at, seeds: 1 } }
    }
    if ((at - seed + 1) % PROGRESS === 0) {
      console.log(`  ${at - seed + 1} of ${seeds} right (${seconds()} s)`)
    }
  }

  return { wrong: [], options }
}

async function run (options: Options): Promise<{ wrong: string[], options: Options }> {
  if (options.replication) {
    return replication(options)
  }
  if (options.mesh > 0) {
    return { wrong: await mesh(options), options }
  }
  return { wrong: options.random ? random(options) : crowd(options), options }
}

async function main (): Promise<number> {
  let options: Options

  try {
    options = parse(process.argv.slice(2))
  } catch (err: any) {
    console.error(err.message)
    return 1
  }

  const { wrong, options: again } = await run(options)
  console.log(`took ${seconds()} s, ${Math.round(process.memoryUsage().rss / 1e6)} MB`)

  if (wrong.length > 0) {
    wrong.slice(0, MAX_PRINTED).forEach(what => { console.error(`- ${what}`) })
    console.error(`${wrong.length} violations. Again: ${replay(again)}`)
    return 1
  }

  return 0
}

process.exitCode = await main()
