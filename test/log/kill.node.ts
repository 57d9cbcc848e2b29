import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { privateKeyToProtobuf } from '@libp2p/crypto/keys'
import { defaultLogger } from '@libp2p/logger'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { expect } from 'aegir/chai'
import { LevelDatastore } from 'datastore-level'
import { toString } from 'uint8arrays/to-string'
import { Log } from '../../src/log/log.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { randomInt, seededRandom } from '../../src/runtime/random.ts'
import { deleteStores, temporaryDirectory } from '../fixtures/datastores.ts'
import { IS_LONG } from '../fixtures/effort.ts'
import { allOf, collect, expectTrue, LOG_ID, name, newKey, said, text } from '../fixtures/logs.ts'
import type { Sizes } from '../../src/log/constants.ts'
import type { PrivateKey } from '@libp2p/interface'

/** How many processes are killed, and how chance begins: `KILLS=200 npx aegir test --build false -t node -f test/log/kill.node.ts` */
const KILLS = Number(process.env.KILLS ?? (IS_LONG ? 40 : 4))
const SEED = Number(process.env.SEED ?? 1)
/** Deaths that one directory sees, one after the other */
const DEATHS = 6
/** Lines that a process says at most before it is killed: some hundred milliseconds of its life */
const MAX_LINES = 3000
/** Milliseconds that the next process may take to open the log: it must not wait for the lease of one that is dead, of 30 s */
const MAX_OPENING = 10_000
/** Most directories have checkpoints and merges all the time, some have the real numbers. One store keeps to one set of them */
const SMALL: Partial<Sizes> = {
  checkpointEntries: 300, checkpointRecords: 100, checkpointBytes: 100_000, pageBytes: 1_000, partPages: 4, mergeRuns: 3, recordEntries: 64, cacheBytes: 50_000
}
const WRITER = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? './kill-writer.ts' : './kill-writer.js', import.meta.url))

/** What all processes said so far about one directory */
class Promises {
  readonly sizes: Partial<Sizes>
  readonly asked = new Set<string>()
  stored = new Set<string>()
  readonly removing = new Set<string>()
  readonly removed = new Set<string>()
  /** What was found to be true in an earlier life */
  readonly verified = new Set<string>()
  /** What the program may be marked with: the last that was said to be, and what was asked for after it */
  marks = [0]

  constructor (sizes: Partial<Sizes>) {
    this.sizes = sizes
  }

  hear (line: string): void {
    const rest = line.slice(1)

    switch (line[0]) {
      case '>':
        this.asked.add(rest)
        break
      case '+':
        this.stored.add(rest)
        break
      case '-':
        this.removing.add(rest)
        break
      case '!':
        this.removed.add(rest)
        break
      case '?':
        this.marks.push(Number(rest))
        break
      case '=':
        this.marks = [Number(rest)]
    }
  }
}

function encodeKey (key: PrivateKey): string {
  return toString(privateKeyToProtobuf(key), 'base64url')
}

/** Starts a process that writes, and kills it when it has said so many lines, and a little later */
async function writeAndDie (directory: string, keys: PrivateKey[], seed: number, promises: Promises): Promise<void> {
  const random = seededRandom(seed)
  // what Node thinks of the way in which the tests were started is no news
  const child = spawn(process.execPath, [...process.execArgv, WRITER, directory, ...keys.map(encodeKey), `${seed}`, JSON.stringify(promises.sizes)], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, NODE_NO_WARNINGS: '1' } })
  const closed = once(child, 'close')
  const stderr: string[] = []
  let left = 1 + randomInt(random, MAX_LINES)
  // most of its time is spent between two lines
  let delay = randomInt(random, 200)
  const kill = (): void => {
    if (delay-- > 0) {
      systemClock.soon(kill)
    } else {
      child.kill('SIGKILL')
    }
  }
  child.stderr.on('data', chunk => { stderr.push(String(chunk)) })
  const lines = createInterface({ input: child.stdout })
  const heard = once(lines, 'close')
  lines.on('line', line => {
    promises.hear(line)
    if (--left === 0) {
      kill()
    }
  })

  const [code, signal] = await closed
  await heard
  expect({ code, signal, stderr: stderr.join('') }).to.deep.equal({ code: null, signal: 'SIGKILL', stderr: '' })
}

/** The next process: all that was said to be stored is there, and no more than was asked for */
async function lookAt (directory: string, [own, foreign]: PrivateKey[], promises: Promises): Promise<void> {
  const datastore = new LevelDatastore(directory)
  await datastore.open()
  let log: Log | undefined

  try {
    const began = performance.now()
    log = await Log.open({ id: LOG_ID, datastore, privateKey: own, logger: defaultLogger() }, promises.sizes)
    expect(performance.now() - began, 'milliseconds until it was open').to.be.below(MAX_OPENING)
    const entries = await allOf(log)
    const here = new Set(entries.map(name))

    expect([...promises.stored].filter(id => !here.has(id) && !promises.removing.has(id)), 'lost').to.deep.equal([])
    expect([...promises.removed].filter(id => here.has(id)), 'back').to.deep.equal([])
    const unasked = entries.filter(entry => !promises.stored.has(name(entry)) && !promises.asked.has(said(entry)))
    expect(unasked.filter(({ author }) => !author.equals(peerIdFromPublicKey(foreign.publicKey))).map(said), 'from nowhere').to.deep.equal([])
    expect(log.length).to.equal(entries.length)
    expect((await collect(log.arrivals())).length).to.equal(entries.length)
    expect(log.diagnostics().problems).to.deep.equal([])
    const marked = await log.marked('a program')
    expect(marked).to.be.oneOf(promises.marks)
    await expectTrue(log, entries.filter(entry => !promises.verified.has(name(entry))))
    here.forEach(id => promises.verified.add(id))

    // what one process found, the next one has to find as well
    promises.marks = [marked]
    promises.stored = here.add(name(await log.append(text('after the kill'))))
    promises.asked.add('after the kill')
    promises.removing.clear()
  } finally {
    await log?.close()
    await datastore.close()
  }
}

describe('a process that is killed while it writes a log', () => {
  afterEach(deleteStores)

  it(`loses nothing that it said is stored, and leaves nothing that is not true, in ${KILLS} deaths`, async () => {
    const keys = [await newKey(), await newKey()]
    let directory = ''
    let promises = new Promises({})

    for (let i = 0; i < KILLS; i++) {
      if (i % DEATHS === 0) {
        await deleteStores()
        directory = temporaryDirectory()
        promises = new Promises(i / DEATHS % 4 === 1 ? {} : SMALL)
      }
      try {
        await writeAndDie(directory, keys, SEED * 100_000 + i, promises)
        await lookAt(directory, keys, promises)
      } catch (err: any) {
        throw new Error(`SEED=${SEED}, death ${i}: ${err.stack}`)
      }
    }
  }).timeout(30_000 + KILLS * 5_000)
})
