import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { keptRanges } from '../../../src/replication/core/placement.ts'
import { covers, RING } from '../../../src/replication/core/ring.ts'
import { randomInt, seededRandom } from '../../../src/runtime/random.ts'
import { VirtualClock } from '../../fixtures/virtual-clock.ts'
import { HostilePeer } from './hostile.ts'
import { SimNet } from './sim-net.ts'
import { LOG, REPLICAS, SimNode } from './sim-node.ts'
import type { Kept } from './disk.ts'
import type { Replicate, SharedLog } from '../../../src/replication/index.ts'
import type { Random } from '../../../src/runtime/random.ts'

const SECOND = 1000
/** Milliseconds in which things happen, and those in which all has to come right */
const TROUBLE = 40 * SECOND
const QUIET = 150 * SECOND
const MIN_NODES = 3
const MAX_NODES = 6
const MAX_SKEW = 30 * SECOND
/** Times that somebody may compare with a hostile peer: at once, and each second */
const COMPARISONS = 20
const COMPARISONS_A_SECOND = 1
/** Milliseconds in which an append ends when its signal aborts: less would do */
const ENDS = 5 * SECOND
/** Bytes of an entry, about, and of those that may come at once beyond a limit */
const ENTRY = 80
const BATCH = 20 * ENTRY
/** Peers that do not do what they say, at most, and entries that somebody appends at once in one group */
const MAX_HOSTILE = 3
const GROUP = 60
/** Times that it is looked whether all is at rest, and milliseconds between two looks */
const RESTS = 100
const LOOK_AGAIN = 17
/** Differences that are named: one is enough to replay */
const MAX_NAMED = 8

class GivenUp extends Error {
  name = 'GivenUp'
}

/** An entry whose append resolved */
interface Appended {
  id: Uint8Array
  writer: SimNode
}

export interface World {
  random: Random
  clock: VirtualClock
  net: SimNet
  nodes: SimNode[]
  appended: Appended[]
  wrong: Set<string>
  hostile: HostilePeer[]
}

/** What may happen to a random node, and how often beside the others */
const EVENTS: Array<[weight: number, event: (world: World, node: SimNode) => void]> = [
  [10, (world, node) => { append(world, node) }],
  [3, ({ random }, node) => { changeShare(random, node) }],
  [1, (world, node) => { crashForAWhile(world, node) }],
  [1, (world, node) => { stopForAWhile(world, node) }],
  [1, world => { splitForAWhile(world) }],
  [1, (world, node) => { sleepForAWhile(world, node) }],
  [1, ({ random }, node) => { node.skew = randomInt(random, 2 * MAX_SKEW) - MAX_SKEW }],
  [0.3, (world, node) => { appendGroup(world, node) }],
  [1, ({ random, clock }, node) => { failForAWhile(random, clock, node) }],
  [1, ({ random }, node) => { node.disk.slowness = random() < 0.3 ? 2_000 : 1 + 20 * random() }]
]

/**
 * Some peers of one log, to which everything happens that can, at random moments; then nothing more does, and all has to be right
 * again. After every step: nothing that was appended is lost, and nobody lets go of what too few others have. Returns what is not.
 */
export async function replicationRun (seed: number, { isTraced = false } = {}): Promise<string[]> {
  const world = await build(seed)
  const { random, clock, net, wrong } = world

  if (seed % 3 === 0) {
    net.faults = { drop: 0.05, duplicate: 0.1 }
  }

  for (let i = seed % 2 === 0 ? 1 + randomInt(random, MAX_HOSTILE) : 0; i > 0; i--) {
    const way = HostilePeer.WAYS[randomInt(random, HostilePeer.WAYS.length)]
    world.hostile.push(await HostilePeer.join(way, { clock, random, net, log: LOG }))
  }

  const end = clock.now() + TROUBLE

  while (clock.now() < end) {
    await advance(world, random() ** 2 * 2 * SECOND)
    happen(world)
  }

  net.faults = { drop: 0, duplicate: 0 }
  world.nodes.forEach(node => {
    node.disk.slowness = 5
    node.disk.isFailing = false
    node.wake()
  })
  checkWork(world)
  await Promise.all(world.hostile.map(async peer => peer.leave()))
  await advance(world, 30 * SECOND)
  net.partition(new Set())
  await advance(world, QUIET)
  await rest(world)
  check(world)
  await Promise.all(world.nodes.map(async node => node.stop()))
  await advance(world, SECOND)
  return [...wrong].slice(0, MAX_NAMED).concat(isTraced ? traceOf(world) : [])
}

export async function build (seed: number, size?: number): Promise<World> {
  const random = seededRandom(seed)
  const clock = new VirtualClock(1_700_000_000_000)
  const net = new SimNet(clock, random)
  const wrong = new Set<string>()
  const nodes: SimNode[] = []
  const count = size ?? MIN_NODES + randomInt(random, MAX_NODES - MIN_NODES + 1)

  for (let i = 0; i < count; i++) {
    const privateKey = await generateKeyPairFromSeed('Ed25519', Uint8Array.from({ length: 32 }, () => randomInt(random, 256)))
    nodes.push(new SimNode({
      name: `n${i}`,
      privateKey,
      peerId: peerIdFromPrivateKey(privateKey),
      clock,
      random,
      net,
      skew: randomInt(random, 2 * MAX_SKEW) - MAX_SKEW,
      onWrong: what => { wrong.add(what) }
    }))
  }

  // one that keeps all does not let the last one
  if (random() < 0.25 && count > MIN_NODES) {
    nodes[REPLICAS - 1].refuses = nodes[count - 1]
  }

  const world: World = { random, clock, net, nodes, appended: [], wrong, hostile: [] }
  nodes.forEach((node, i) => {
    // the first ones keep all, so that every entry has a place
    node.replicate = i < REPLICAS ? true : share(random)
    start(world, node)
  })
  await advance(world, random() * 5 * SECOND)
  return world
}

/** Rings the alarms of so much time, and lets all that follows from each happen before the next */
export async function advance (world: World, ms: number): Promise<void> {
  const { clock } = world
  const until = clock.now() + ms
  await settled()

  while (clock.step(until)) {
    await settled()
    checkCopies(world)
  }

  clock.advance(Math.max(0, until - clock.now()))
}

/** What waits for no clock is done */
async function settled (): Promise<void> {
  await new Promise<void>(resolve => { setImmediate(resolve) })
}

function happen (world: World): void {
  const { random, nodes } = world
  const node = nodes[randomInt(random, nodes.length)]
  let left = random() * EVENTS.reduce((sum, [weight]) => sum + weight, 0)

  for (const [weight, event] of EVENTS) {
    left -= weight

    if (left <= 0) {
      event(world, node)
      return
    }
  }
}

function start ({ wrong }: World, node: SimNode): void {
  node.start().catch(err => { wrong.add(`${node.init.name} did not start: ${err.stack}`) })
}

function append ({ random, clock, appended, wrong }: World, node: SimNode): void {
  const data = Uint8Array.from({ length: 8 }, () => randomInt(random, 256))
  const isGivenUp = random() < 0.2
  const group = random() < 0.3 ? Uint8Array.of(randomInt(random, 4)) : undefined
  const ack = random() < 0.3 ? 'leaders' : 'stored'

  for (let i = randomInt(random, 3); i >= 0 && node.isRunning; i--) {
    const controller = new AbortController()
    let isSettled = false
    node.log?.append(Uint8Array.of(...data, i), { group, ack, signal: controller.signal }).then(
      ({ id }) => { appended.push({ id: id.bytes, writer: node }) },
      err => { expectNamed(err, node, wrong) }
    ).finally(() => { isSettled = true })

    if (isGivenUp) {
      const { life } = node
      clock.after(random() * 2 * SECOND, () => { controller.abort(new GivenUp('the program does not wait any longer')) })
      // what is being written when it aborts is written first
      clock.after(2 * SECOND + ENDS, () => {
        if (!isSettled && node.life === life && node.isRunning && !node.isAsleep) {
          wrong.add(`${node.init.name}: an append did not end with its signal`)
        }
      })
    }
  }
}

function share (random: Random): Replicate {
  const dice = random()
  if (dice < 0.3) {
    return true
  }
  if (dice < 0.45) {
    return false
  }
  if (dice < 0.7) {
    return { limits: dice < 0.6 ? {} : { storage: ENTRY * (5 + randomInt(random, 40)) } }
  }
  return { factor: 0.2 + 0.6 * random(), offset: random() }
}

function changeShare (random: Random, node: SimNode): void {
  const replicate = share(random)

  // those that keep all stay so
  if (node.replicate !== true && node.isRunning) {
    node.replicate = replicate === true ? { factor: 0.9 } : replicate
    void node.log?.replicate(node.replicate)
  }
}

function crashForAWhile (world: World, node: SimNode): void {
  if (node.isRunning) {
    node.crash()
    world.clock.after(world.random() ** 2 * 15 * SECOND, () => { start(world, node) })
  }
}

function stopForAWhile (world: World, node: SimNode): void {
  if (node.isRunning) {
    void node.stop().then(() => { world.clock.after(world.random() ** 2 * 15 * SECOND, () => { start(world, node) }) })
  }
}

/** Its process is stopped, and goes on where it was: mostly for seconds, sometimes for minutes */
function sleepForAWhile ({ random, clock }: World, node: SimNode): void {
  node.sleep()
  clock.after(random() ** 4 * 120 * SECOND, () => { node.wake() })
}

/** More entries of one group than go into one look, or one range */
function appendGroup ({ random, appended, wrong }: World, node: SimNode): void {
  const group = Uint8Array.of(7, randomInt(random, 2))

  for (let i = 0; i < GROUP && node.isRunning; i++) {
    node.log?.append(Uint8Array.of(9, i, i >> 8, randomInt(random, 256)), { group }).then(
      ({ id }) => { appended.push({ id: id.bytes, writer: node }) },
      err => { expectNamed(err, node, wrong) }
    )
  }
}

/** Whatever it writes is not written */
function failForAWhile (random: Random, clock: VirtualClock, { disk }: SimNode): void {
  disk.isFailing = true
  clock.after(random() ** 2 * 10 * SECOND, () => { disk.isFailing = false })
}

/** It is ending, or a leader is, or the disk fails */
function expectNamed (err: Error, node: SimNode, wrong: Set<string>): void {
  if (!['LogClosedError', 'NotReplicatedError', 'DiskError', 'GivenUp'].includes(err.name)) {
    wrong.add(`${node.init.name}: append failed: ${err.stack}`)
  }
}

function splitForAWhile ({ random, nodes, net, clock }: World): void {
  net.partition(new Set(nodes.filter(() => random() < 0.4).map(({ init }) => init.peerId.toString())))
  clock.after(random() * 15 * SECOND, () => { net.partition(new Set()) })
}

/** What of a run has to be the same when it is replayed */
function traceOf ({ clock, nodes, appended }: World): string[] {
  return [`${clock.now()}, ${appended.length} appended`, ...nodes.map(({ init: { name }, disk }) => `${name}: ${disk.arrivals} arrived, ${disk.entries.size} are there`)]
}

/** They compare now and then: between that there is nothing to do */
async function rest (world: World): Promise<void> {
  for (let i = 0; i < RESTS && !world.nodes.every(({ log }) => log == null || isAtRest(log)); i++) {
    await advance(world, LOOK_AGAIN)
  }
}

function isAtRest (log: SharedLog): boolean {
  const { outgoing, awaited, questions, comparisons } = log.diagnostics().sizes
  return outgoing + awaited + questions + comparisons === 0
}

/** Nobody has let go of an entry that too few others keep: it is where it was written, or has its copies */
function checkCopies ({ nodes, appended, wrong }: World): void {
  for (const { id, writer } of appended) {
    if (!writer.disk.has(id)) {
      const copies = nodes.filter(({ disk }) => disk.has(id)).length

      if (copies < REPLICAS) {
        wrong.add(`an entry of ${writer.init.name} has ${copies} copies`)
      }
    }
  }
}

/** Nobody is kept busy by those that nudge: they are compared with seldom, and ever more seldom where that fails */
function checkWork ({ hostile, clock, wrong }: World): void {
  for (const { compared, since } of hostile) {
    const most = COMPARISONS + (clock.now() - since) / SECOND * COMPARISONS_A_SECOND

    const counts = [...compared.values()].map(({ size }) => size)

    if (counts.some(count => count > most)) {
      wrong.add(`a hostile peer was compared with ${Math.max(...counts)} times`)
    }
  }
}

/** All that keep the same have the same, and know it */
function check ({ nodes, wrong }: World): void {
  const all = new Map<string, Kept>()
  nodes.forEach(({ disk }) => { disk.entries.forEach((kept, key) => { all.set(key, kept) }) })

  for (const { init: { name }, refuses, log, disk, replicate } of nodes) {
    if (log?.status !== 'open') {
      wrong.add(`${name} does not run: ${log?.status}`)
      continue
    }

    const own = log.replicators().find(({ self }) => self)?.segments ?? []
    const kept = keptRanges(own, REPLICAS)
    const strangers = [...disk.entries.values()].filter(({ position }) => !covers(kept, position)).length
    const missing = [...all].filter(([key, { position }]) => covers(kept, position) && !disk.entries.has(key)).length
    const { sizes, problems } = log.diagnostics()
    const bytes = [...disk.entries.values()].filter(({ position }) => covers(kept, position)).reduce((sum, { entry }) => sum + entry.bytes.byteLength, 0)

    if (bytes > limitOf(replicate) + BATCH) {
      wrong.add(`${name} keeps ${bytes} bytes where its limit is ${limitOf(replicate)}`)
    }

    if (missing > 0) {
      wrong.add(`${name} lacks ${missing} of ${all.size} entries`)
    }
    if (strangers > 0) {
      wrong.add(`${name} keeps ${strangers} entries that are for others to keep`)
    }
    if (!log.synced().isSynced && !nodes.some(({ refuses }) => refuses?.init.name === name)) {
      wrong.add(`${name} is not in sync: ${JSON.stringify(log.synced())}`)
    }
    if (!isAtRest(log)) {
      wrong.add(`${name} is not at rest: ${JSON.stringify(sizes)}`)
    }
    if (log.coverage() < 1 || problems.some(problem => problem.includes('replicators where'))) {
      wrong.add(`${name}: ${problems.join()}`)
    }
    checkViews(nodes, name, refuses, log.replicators().map(({ peerId, segments }) => [peerId.toString(), segments]), wrong)
  }
}

function limitOf (replicate: Replicate): number {
  return typeof replicate === 'object' && 'limits' in replicate ? replicate.limits.storage ?? Infinity : Infinity
}

/** Everybody knows what everybody says it keeps */
function checkViews (nodes: SimNode[], name: string, refuses: SimNode | undefined, seen: Array<[string, Array<{ from: number, width: number }>]>, wrong: Set<string>): void {
  const views = new Map(seen)

  for (const node of nodes) {
    const { init, log } = node
    const own = node === refuses ? [] : log?.replicators().find(({ self }) => self)?.segments ?? []
    const view = views.get(init.peerId.toString()) ?? []

    if (JSON.stringify(own) !== JSON.stringify(view)) {
      wrong.add(`${name} believes of ${init.name} ${JSON.stringify(view)}, it is ${JSON.stringify(own)} of ${RING}`)
    }
  }
}
