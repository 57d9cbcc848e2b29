import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { defaultLogger } from '@libp2p/logger'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { MemoryDatastore } from 'datastore-core'
import { KeyValue } from '../../src/database/index.ts'
import { Signer } from '../../src/pubsub/envelope.ts'
import { SharedLog } from '../../src/replication/shared-log.ts'
import { randomInt, seededRandom } from '../../src/runtime/random.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'
import { SimNet } from './replication/sim-net.ts'
import type { Random } from '../../src/runtime/random.ts'
import type { PeerId } from '@libp2p/interface'

const PEERS = 3
/** Milliseconds of virtual time */
const SECOND = 1_000
/** Between two waves of puts, after each of which the network may be cut otherwise */
const WAVE = 2 * SECOND
const WAVES = 20
/** For all of them to have all: comparisons that failed are tried again after half a minute */
const HEALING = 300
/** So many keys are written so often */
const WRITES_A_KEY = 10

interface Peer {
  peerId: PeerId
  log: SharedLog
  database: KeyValue<string>
  /** What a watch told: the last value of each key, and the entries that it told of */
  seen: Map<string, string>
  told: string[]
}

interface World {
  clock: VirtualClock
  random: Random
  net: SimNet
  peers: Peer[]
  wrong: string[]
}

/**
 * Three peers put and delete at once, on logs as they are but for the network, which is cut and healed at random. Then all of them have
 * to have the same, each watch has to have told of it, and one that was closed meanwhile has to have read only what came since.
 * Returns what is not so.
 */
export async function databaseRun (seed: number, puts: number): Promise<string[]> {
  const world = await build(seed)
  const { clock, random, net, peers, wrong } = world

  for (let wave = 0; wave < WAVES; wave++) {
    const side = new Set(peers.filter(() => random() < 0.4).map(({ peerId }) => `${peerId}`))
    net.partition(side)

    if (wave === WAVES / 2) {
      await reopen(world, peers[randomInt(random, PEERS)])
    }

    const putting = Promise.all(peers.map(async peer => write(world, peer, Math.ceil(puts / PEERS / WAVES), puts)))
    await advance(clock, WAVE, putting)
    await putting
  }

  net.partition(new Set())

  for (let i = 0; i < HEALING && !peers.every(({ log, seen, database }) => log.length === sum(world) && seen.size >= database.size && log.synced().isSynced); i++) {
    await advance(clock, SECOND)
  }

  await check(world, Math.ceil(puts / PEERS / WAVES) * WAVES * PEERS)
  await advance(clock, SECOND, Promise.all(peers.map(async ({ database, log }) => database.close().then(async () => log.end()))))
  return wrong
}

/** Entries that there are: what each appended itself is in its own log */
function sum ({ peers }: World): number {
  return Math.max(...peers.map(({ log }) => log.length))
}

async function build (seed: number): Promise<World> {
  const random = seededRandom(seed)
  const clock = new VirtualClock(1_700_000_000_000)
  const net = new SimNet(clock, random)
  const opening = Promise.all(Array.from({ length: PEERS }, async (): Promise<Peer> => {
    const privateKey = await generateKeyPairFromSeed('Ed25519', Uint8Array.from({ length: 32 }, () => randomInt(random, 256)))
    const peerId = peerIdFromPrivateKey(privateKey)
    const log = await SharedLog.open({
      id: 'a database',
      options: {},
      clock,
      random,
      port: net.port(peerId),
      privateKey,
      signer: new Signer(privateKey),
      datastore: new MemoryDatastore(),
      logger: defaultLogger(),
      close: async () => {},
      drop: async () => {}
    })
    const peer = { peerId, log, seen: new Map(), told: [], database: await openAt(log) }
    follow(peer)
    return peer
  }))
  await advance(clock, 5 * SECOND, opening)
  return { clock, random, net, peers: await opening, wrong: [] }
}

async function openAt (log: SharedLog): Promise<KeyValue<string>> {
  return KeyValue.open<string>({ open: async () => log } as unknown as Parameters<typeof KeyValue.open>[0], log.id)
}

/** A watch with a name: it goes on where it was when the database is opened again */
function follow (peer: Peer): void {
  void (async () => {
    for await (const { key, value = '', entry } of peer.database.watch({ name: 'a mirror' })) {
      peer.seen.set(key, value)
      peer.told.push(`${entry.id.bytes}`)
    }
  })()
}

async function write ({ random }: World, { database }: Peer, count: number, puts: number): Promise<void> {
  await Promise.all(Array.from({ length: count }, async () => {
    const key = `${randomInt(random, puts / WRITES_A_KEY)}`
    await (random() < 0.1 ? database.delete(key) : database.put(key, `${random()}`))
  }))
}

async function reopen ({ clock, wrong }: World, peer: Peer): Promise<void> {
  const { log } = peer
  await advance(clock, SECOND, peer.database.close())
  const { next } = peer.database.diagnostics()
  // others go on
  await advance(clock, WAVE)
  const { arrivals } = log
  const from: number[] = []
  log.arrivals = (at, options) => {
    from.push(at as number)
    return arrivals.call(log, at, options)
  }
  const opening = openAt(log)
  await advance(clock, SECOND, opening)
  peer.database = await opening
  delete (log as Partial<SharedLog>).arrivals
  follow(peer)

  if (from.length === 0 || from.some(at => at < next)) {
    wrong.push(`opened again at ${from.join()} where ${next} was to be read next`)
  }
}

async function check ({ clock, peers, wrong }: World, appended: number): Promise<void> {
  const tables: string[] = []

  for (const [i, { database, seen, told, log }] of peers.entries()) {
    const table = new Map<string, string>()
    const reading = (async () => {
      for await (const { key, value } of database.entries()) {
        table.set(key, value)
      }
    })()
    await advance(clock, SECOND, reading)
    tables.push(printed(table))
    const mirrored = printed(new Map([...seen].filter(([, value]) => value !== '')))

    if (log.length !== appended) {
      wrong.push(`peer ${i} has ${log.length} of ${appended} entries`)
    }
    if (table.size !== database.size || mirrored !== tables[i]) {
      wrong.push(`the watch of peer ${i} told of ${seen.size} keys, and not of what is there: ${table.size}`)
    }
    if (new Set(told).size !== told.length) {
      wrong.push(`the watch of peer ${i} told of something twice`)
    }
  }

  if (new Set(tables).size !== 1) {
    wrong.push('the tables differ')
  }
}

function printed (table: Map<string, string>): string {
  return JSON.stringify([...table].sort(([a], [b]) => a < b ? -1 : 1))
}

/** Rings the alarms of so much time, and for longer, until this is done */
async function advance (clock: VirtualClock, ms: number, work: Promise<unknown> = Promise.resolve()): Promise<void> {
  const until = clock.now() + ms
  const left = new Set([work])
  void work.finally(() => { left.clear() }).catch(() => {})

  do {
    await new Promise<void>(resolve => { setImmediate(resolve) })
  } while (clock.step(left.size > 0 ? Infinity : until) || left.size > 0)

  clock.advance(Math.max(0, until - clock.now()))
}
