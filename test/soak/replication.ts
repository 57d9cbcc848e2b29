import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { randomBytes } from '@libp2p/crypto'
import { privateKeyToProtobuf } from '@libp2p/crypto/keys'
import { multiaddr } from '@multiformats/multiaddr'
import { toString } from 'uint8arrays/to-string'
import { randomInt, seededRandom } from '../../src/runtime/random.ts'
import { deleteStores, temporaryDirectory } from '../fixtures/datastores.ts'
import { eventually, stopPeers } from '../fixtures/directsub.ts'
import { hostileReplicator } from '../fixtures/hostile-replicator.ts'
import { newKey } from '../fixtures/logs.ts'
import type { Looked, Said, Told } from './replicator.ts'
import type { Replicate } from '../../src/index.ts'
import type { Random } from '../../src/runtime/random.ts'
import type { Hostile } from '../fixtures/hostile-replicator.ts'
import type { PrivateKey } from '@libp2p/interface'
import type { ChildProcess } from 'node:child_process'

const PROCESS = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? './replicator.ts' : './replicator.js', import.meta.url))
const PROCESSES = 3
const COPIES = 2
/** Milliseconds between two appends, two changes of a share, two faults, and two looks at all stores */
const APPEND = 500
const SHARE = 5_000
const FAULT = 10_000
const LOOK = 30_000
/** Milliseconds that a process is stopped, at most; that one which was killed stays away; and in which all has to come right */
const ASLEEP = 8_000
const AWAY = 3_000
const PATIENCE = 120_000

export interface SoakInit {
  /** Milliseconds of trouble */
  time: number
  seed: number
  onLine (line: string): void
}

export interface SoakResult {
  wrong: string[]
  appended: number
  kills: number
  stops: number
  /** Bytes of heap of the largest process, at each look */
  heap: number[]
}

/** One process after the other on one store */
class Replicator {
  readonly appended: string[] = []
  address?: string
  isAsleep = false
  readonly #dir = temporaryDirectory()
  readonly #key: PrivateKey
  readonly #onWrong: (what: string) => void
  readonly #looks = new Map<number, Looked>()
  #look = 0
  #child?: ChildProcess

  constructor (key: PrivateKey, onWrong: (what: string) => void) {
    this.#key = key
    this.#onWrong = onWrong
  }

  get isUp (): boolean {
    return this.address != null && !this.isAsleep
  }

  async start (): Promise<void> {
    const key = toString(privateKeyToProtobuf(this.#key), 'base64url')
    const child = this.#child = fork(PROCESS, [this.#dir, key], { execArgv: [...process.execArgv, '--expose-gc'], stdio: ['ignore', 'ignore', 'pipe', 'ipc'], env: { ...process.env, NODE_NO_WARNINGS: '1' } })
    child.stderr?.on('data', chunk => { this.#onWrong(`a process says: ${chunk}`) })
    child.on('message', (said: Said) => { child === this.#child && this.#hear(said) })
    await eventually('a process does not start', () => this.address != null, PATIENCE)
  }

  tell (told: Told): void {
    this.#child?.send(told, () => {})
  }

  async kill (): Promise<void> {
    const child = this.#child
    this.address = undefined
    this.isAsleep = false
    child?.kill('SIGKILL')
    await once(child as ChildProcess, 'exit')
  }

  sleep (): void {
    this.isAsleep = true
    this.#child?.kill('SIGSTOP')
  }

  wake (): void {
    this.isAsleep = false
    this.#child?.kill('SIGCONT')
  }

  async look (): Promise<Looked> {
    const id = ++this.#look
    this.tell({ type: 'look', id })
    await eventually('a process does not say what it has', () => this.#looks.has(id), PATIENCE)
    const looked = this.#looks.get(id) as Looked
    this.#looks.delete(id)
    return looked
  }

  #hear (said: Said): void {
    if (said.type === 'ready') {
      this.address = said.address
    } else if (said.type === 'appended') {
      said.names.forEach(name => this.appended.push(name))
    } else if (said.type === 'looked') {
      this.#looks.set(said.id, said)
    } else {
      this.#onWrong(said.reason)
    }
  }
}

/**
 * Three processes that share a log whose shares change, which are killed and stopped, among a liar and a hider. Nothing that was
 * appended is ever lost: its writer has it, or two others do; and in the end all is as it should be.
 */
export async function runReplicationSoak ({ time, seed, onLine }: SoakInit): Promise<SoakResult> {
  const random = seededRandom(seed)
  const wrong: string[] = []
  const result: SoakResult = { wrong, appended: 0, kills: 0, stops: 0, heap: [] }
  const replicators = await Promise.all(Array.from({ length: PROCESSES }, async () => new Replicator(await newKey(), what => { wrong.push(what) })))
  const began = performance.now()
  let hostile: Hostile[] = []

  const dialAll = (): void => {
    const addresses = replicators.flatMap(({ address }) => address ?? [])
    replicators.filter(({ isUp }) => isUp).forEach(replicator => { replicator.tell({ type: 'dial', addresses: addresses.filter(address => address !== replicator.address) }) })
    hostile.forEach(({ node }) => { addresses.forEach(address => { node.dial(multiaddr(address)).catch(() => {}) }) })
  }

  try {
    await Promise.all(replicators.map(async replicator => replicator.start()))
    hostile = await Promise.all([
      hostileReplicator([], { answer: question => question.kind === 'keep' ? { kind: 'keep', proofs: question.ids.map(() => randomBytes(16)) } : undefined }),
      hostileReplicator([], { answer: question => question.kind === 'list' ? { kind: 'list', entries: [], isEnd: true } : { kind: 'refused', reason: 'nothing here' } })
    ])
    dialAll()

    const next = { append: 0, share: SHARE, fault: FAULT, look: LOOK }

    for (let now = 0; now < time; now = performance.now() - began) {
      const up = replicators.filter(({ isUp }) => isUp)
      const one = up[randomInt(random, up.length)]

      if (now >= next.append) {
        next.append = now + APPEND
        one?.tell(someEntries(random))
      }
      if (now >= next.share) {
        next.share = now + SHARE
        one?.tell({ type: 'share', replicate: someShare(random) })
      }
      if (now >= next.fault && now < time - FAULT) {
        next.fault = now + FAULT
        trouble(one, random, result, dialAll)
      }
      if (now >= next.look) {
        next.look = now + LOOK
        await eventually('a process is away for long', () => replicators.every(({ isUp }) => isUp), PATIENCE)
        await check(replicators, result)
        onLine(`${Math.round(now / 1000)} s: ${result.appended} appended, ${result.kills} killed, ${result.stops} stopped, ${Math.round((result.heap.at(-1) ?? 0) / 1e6)} MB, ${wrong.length} wrong`)
      }
      await new Promise<void>(resolve => { setTimeout(resolve, 20) })
    }

    await eventually('a process is away for long', () => replicators.every(({ isUp }) => isUp), PATIENCE)
    dialAll()
    replicators.forEach(replicator => { replicator.tell({ type: 'share', replicate: true }) })
    await expectAll(replicators, wrong)
    await check(replicators, result)
  } finally {
    await Promise.all(replicators.map(async replicator => replicator.kill()))
    await stopPeers()
    await deleteStores()
  }

  return result
}

/** Mostly a few small ones, now and then many of one group, and a large one */
function someEntries (random: Random): Told {
  const dice = random()

  if (dice < 0.05) {
    return { type: 'append', count: 1, size: 100_000 + randomInt(random, 800_000) }
  }
  return dice < 0.15 ? { type: 'append', count: 200, size: 50, group: `group ${randomInt(random, 3)}` } : { type: 'append', count: 1 + randomInt(random, 20), size: 100 }
}

function someShare (random: Random): Replicate {
  const dice = random()
  if (dice < 0.4) {
    return true
  }
  return dice < 0.7 ? { limits: {} } : { factor: 0.3 + 0.7 * random(), offset: random() }
}

/** A process is killed and comes back, or is stopped and goes on */
function trouble (one: Replicator | undefined, random: Random, result: SoakResult, dialAll: () => void): void {
  if (one == null) {
    return
  }
  if (random() < 0.5) {
    result.kills++
    one.kill().then(async () => {
      await new Promise<void>(resolve => { setTimeout(resolve, random() * AWAY) })
      await one.start()
      dialAll()
    }).catch(err => { result.wrong.push(`a process did not come back: ${err.stack}`) })
  } else {
    result.stops++
    one.sleep()
    setTimeout(() => { one.wake() }, 1_000 + random() * (ASLEEP - 1_000))
  }
}

/** Each entry is with its writer, or there are its copies */
async function check (replicators: Replicator[], result: SoakResult): Promise<void> {
  const appended = replicators.map(({ appended }) => [...appended])
  const looks = await Promise.all(replicators.map(async replicator => replicator.look()))
  const stores = looks.map(({ names }) => new Set(names))
  result.appended = appended.reduce((sum, { length }) => sum + length, 0)
  result.heap.push(Math.max(...looks.map(({ heap }) => heap)))

  for (const [writer, names] of appended.entries()) {
    const thin = names.filter(name => !stores[writer].has(name) && stores.filter(store => store.has(name)).length < COPIES)

    if (thin.length > 0) {
      result.wrong.push(`${thin.length} entries have fewer than ${COPIES} copies, and their writer has let them go`)
    }
  }
}

/** All keep all: so everything that was ever appended is with everybody in the end */
async function expectAll (replicators: Replicator[], wrong: string[]): Promise<void> {
  const until = performance.now() + PATIENCE
  let missing = -1

  while (missing !== 0 && performance.now() < until) {
    const all = replicators.flatMap(({ appended }) => appended)
    const stores = (await Promise.all(replicators.map(async replicator => replicator.look()))).map(({ names }) => new Set(names))
    missing = stores.reduce((sum, store) => sum + all.filter(name => !store.has(name)).length, 0)
  }
  if (missing > 0) {
    wrong.push(`${missing} entries are not with everybody`)
  }
}
