import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { privateKeyToProtobuf } from '@libp2p/crypto/keys'
import { expect } from 'aegir/chai'
import { LevelDatastore } from 'datastore-level'
import { toString } from 'uint8arrays/to-string'
import { systemClock } from '../../src/runtime/clock.ts'
import { randomInt, seededRandom } from '../../src/runtime/random.ts'
import { deleteStores, temporaryDirectory } from '../fixtures/datastores.ts'
import { allOf, closeLogs, expectTrue, name, newKey, newLog, text } from '../fixtures/logs.ts'
import type { PrivateKey } from '@libp2p/interface'

/** How many processes are killed, and how chance begins: KILLS=200 SEED=... is the long run */
const KILLS = Number(process.env.KILLS ?? 12)
const SEED = Number(process.env.SEED ?? 1)
/** Lines that a process says at most before it is killed: some hundred milliseconds of its life */
const MAX_LINES = 3000
const WRITER = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? './crash-writer.ts' : './crash-writer.js', import.meta.url))

/** What the processes said about a directory, all of them together */
interface Said {
  stored: Set<string>
  removing: Set<string>
  removed: Set<string>
  /** What may be marked: the last one that was, and what was asked for after it */
  marks: number[]
}

function hear (said: Said, line: string): void {
  const rest = line.slice(1)

  if (line.startsWith('+')) {
    said.stored.add(rest)
  } else if (line.startsWith('-')) {
    said.removing.add(rest)
  } else if (line.startsWith('!')) {
    said.removed.add(rest)
  } else if (line.startsWith('?')) {
    said.marks.push(Number(rest))
  } else if (line.startsWith('=')) {
    said.marks = [Number(rest)]
  }
}

function nothingSaid (): Said {
  return { stored: new Set(), removing: new Set(), removed: new Set(), marks: [0] }
}

function encodeKey (key: PrivateKey): string {
  return toString(privateKeyToProtobuf(key), 'base64url')
}

/** Starts a process that writes, and kills it when it has said so many lines, and a little later */
async function writeAndDie (dir: string, keys: PrivateKey[], seed: number, said: Said): Promise<void> {
  const random = seededRandom(seed)
  // what Node thinks of the way in which the tests were started is no news
  const child = spawn(process.execPath, [WRITER, dir, ...keys.map(encodeKey), `${seed}`], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, NODE_NO_WARNINGS: '1' } })
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
    hear(said, line)
    if (--left === 0) {
      kill()
    }
  })

  const [code, signal] = await closed
  await heard
  expect({ code, signal, stderr: stderr.join('') }).to.deep.equal({ code: null, signal: 'SIGKILL', stderr: '' })
}

async function lookAt (dir: string, privateKey: PrivateKey, said: Said): Promise<void> {
  const datastore = new LevelDatastore(dir)
  await datastore.open()

  try {
    const log = await newLog({ datastore, privateKey, clock: systemClock })
    const entries = await allOf(log)
    const here = new Set(entries.map(name))
    expect([...said.stored].filter(id => !here.has(id) && !said.removing.has(id))).to.deep.equal([])
    expect(log.length).to.equal(entries.length)
    expect(entries.map(name).filter(id => said.removed.has(id))).to.deep.equal([])
    const marked = await log.marked('a program')
    expect(marked).to.be.oneOf(said.marks)
    said.marks = [marked]
    await expectTrue(log, entries)
    // what one process found, the next one has to find as well
    said.stored = here.add(name(await log.append(text('after the kill'))))
    said.removing.clear()
  } finally {
    await closeLogs()
    await datastore.close()
  }
}

describe('a process that is killed while it writes a log', () => {
  afterEach(async () => {
    await closeLogs()
    await deleteStores()
  })

  it(`loses nothing that it said is stored, and leaves nothing that is not true, in ${KILLS} deaths`, async () => {
    const keys = [await newKey(), await newKey()]
    let dir = temporaryDirectory()
    let said = nothingSaid()

    for (let i = 0; i < KILLS; i++) {
      // a directory sees some deaths, one after the other
      if (i % 6 === 0) {
        dir = temporaryDirectory()
        said = nothingSaid()
      }
      try {
        await writeAndDie(dir, keys, SEED * 100_000 + i, said)
        await lookAt(dir, keys[0], said)
      } catch (err: any) {
        throw new Error(`SEED=${SEED}, death ${i}: ${err.stack}`)
      }
    }
  }).timeout(30_000 + KILLS * 5_000)
})
