import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { privateKeyToProtobuf } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { expect } from 'aegir/chai'
import { toString } from 'uint8arrays/to-string'
import { deleteStores, temporaryDirectory } from '../fixtures/datastores.ts'
import { eventually, range } from '../fixtures/directsub.ts'
import { IS_LONG, itLong } from '../fixtures/effort.ts'
import { newKey } from '../fixtures/logs.ts'
import { overEachPubSub } from '../fixtures/sharedlogs.ts'
import type { PubSubName } from '../fixtures/sharedlogs.ts'
import type { PrivateKey } from '@libp2p/interface'
import type { ChildProcessWithoutNullStreams } from 'node:child_process'

/** Processes that are killed, one after the other: KILLS=50 is a longer run */
const KILLS = Number(process.env.KILLS ?? (IS_LONG ? 5 : 1))
/** Milliseconds that one who is lost is waited for: less than a process takes to start */
const GRACE = 100
/** Appends that a life is to have behind it before it is killed */
const LINES = 60
const PEER = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? './crash-peer.ts' : './crash-peer.js', import.meta.url))

/** A peer, whichever of its lives it lives */
class Peer {
  readonly name: string
  /** Ids of all of its appends that have resolved, in all of its lives */
  readonly stored: string[] = []
  /** What it said of others in this life */
  seen: string[] = []
  address?: string
  #lives = 0
  #halted = 0
  #list?: string[]
  #stderr = ''
  readonly #dir = temporaryDirectory()
  readonly #key: PrivateKey
  readonly #pubsub: PubSubName
  #child?: ChildProcessWithoutNullStreams
  #closed?: Promise<unknown>

  constructor (key: PrivateKey, pubsub: PubSubName) {
    this.#key = key
    this.#pubsub = pubsub
    this.name = peerIdFromPrivateKey(key).toString()
  }

  async start (): Promise<void> {
    this.seen = []
    this.address = undefined
    const args = [PEER, this.#dir, toString(privateKeyToProtobuf(this.#key), 'base64url'), `${this.name.slice(-4)}-${this.#lives++}`, `${GRACE}`, this.#pubsub]
    // what Node thinks of the way in which the tests were started is no news
    const child = this.#child = spawn(process.execPath, [...process.execArgv, ...args], { stdio: 'pipe', env: { ...process.env, NODE_NO_WARNINGS: '1' } })
    const lines = createInterface({ input: child.stdout })
    this.#closed = Promise.all([once(child, 'close'), once(lines, 'close')])
    lines.on('line', line => { this.#hear(line) })
    child.stderr.on('data', chunk => { this.#stderr += String(chunk) })
    // one that is killed does not read any more
    child.stdin.on('error', () => {})
    await eventually(() => `a process does not start: ${this.#stderr}`, () => this.address != null)
  }

  tell (what: string): void {
    this.#child?.stdin.write(`${what}\n`)
  }

  async kill (): Promise<void> {
    this.#child?.kill('SIGKILL')
    await this.#closed
    expect(this.#child?.signalCode).to.equal('SIGKILL')
    expect(this.#stderr).to.equal('')
  }

  /** In order, with all that it has to say */
  async end (): Promise<void> {
    this.#child?.stdin.end()
    await this.#closed
    expect([this.#child?.exitCode, this.#stderr]).to.deep.equal([0, ''])
  }

  async halt (): Promise<void> {
    const before = this.#halted
    this.tell('halt')
    await eventually('it goes on', () => this.#halted > before)
  }

  async list (): Promise<string[]> {
    this.#list = undefined
    this.tell('list')
    await eventually(() => `no list: ${this.#stderr}`, () => this.#list != null)
    return this.#list as unknown as string[]
  }

  #hear (line: string): void {
    if (line.startsWith('+')) {
      this.stored.push(line.slice(1))
    } else if (line.startsWith('at ')) {
      this.address = line.slice(3)
    } else if (line.startsWith('in ') || line.startsWith('out ')) {
      this.seen.push(line)
    } else if (line.startsWith('has ')) {
      this.#list = line.slice(4).split(',')
    } else if (line === 'halted') {
      this.#halted++
    }
  }
}

overEachPubSub('peers that are killed while all append', pubsub => {
  afterEach(deleteStores)

  // which pubsub carries it changes little of what is stored
  const test = pubsub === 'DirectSub' ? it : itLong

  test(`join once, catch up, and lose nothing that they had stored, in ${KILLS} deaths`, async function () {
    this.timeout(60_000 + KILLS * 30_000)

    const peers = await Promise.all(range(3).map(async () => new Peer(await newKey(), pubsub)))
    await Promise.all(peers.map(async peer => peer.start()))
    peers[1].tell(`dial ${peers[0].address}`)
    peers[2].tell(`dial ${peers[0].address}`)
    peers[2].tell(`dial ${peers[1].address}`)
    await eventually('not all are in', () => peers.every(({ seen }) => seen.length === 2))
    peers.forEach(peer => { peer.tell('go') })

    for (const i of range(KILLS)) {
      await dieAndComeBack(peers[i % 3], peers.filter((_, j) => j !== i % 3))
    }

    await Promise.all(peers.map(async peer => peer.halt()))
    const all = peers.flatMap(({ stored }) => stored)
    const lists = await settled(peers)
    expect(lists[1]).to.deep.equal(lists[0])
    expect(lists[2]).to.deep.equal(lists[0])
    const there = new Set(lists[0])
    expect(there.size).to.equal(lists[0].length)
    expect(all.filter(id => !there.has(id)), 'what was stored and is lost').to.deep.equal([])
    await Promise.all(peers.map(async peer => peer.end()))
  })
})

async function dieAndComeBack (victim: Peer, others: Peer[]): Promise<void> {
  const before = victim.stored.length
  await eventually('nothing is appended', () => victim.stored.length >= before + LINES)
  others.forEach(other => { other.seen = [] })
  await victim.kill()
  await eventually(() => `it did not leave: ${others.map(({ seen }) => seen.join())}`, () => others.every(({ seen }) => seen.length === 1))
  await victim.start()
  others.forEach(other => { victim.tell(`dial ${other.address}`) })
  await eventually(() => `it is not in: ${others.map(({ seen }) => seen.join())}`, () => others.every(({ seen }) => seen.length >= 2) && victim.seen.length >= 2)
  victim.tell('go')
  const after = victim.stored.length
  await eventually('nothing is appended after it', () => victim.stored.length > after)

  for (const { seen } of others) {
    expect(seen).to.deep.equal([`out ${victim.name} unreachable`, `in ${victim.name}`])
  }
  expect(victim.seen.slice().sort()).to.deep.equal(others.map(({ name }) => `in ${name}`).sort())
}

/** What all of them have, when they have as many */
async function settled (peers: Peer[]): Promise<string[][]> {
  const deadline = performance.now() + 20_000

  for (;;) {
    const lists = await Promise.all(peers.map(async peer => peer.list()))
    if (new Set(lists.map(({ length }) => length)).size === 1 || performance.now() > deadline) {
      return lists
    }
  }
}
