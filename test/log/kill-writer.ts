/**
 * A process that writes a log until somebody kills it. It says what it is about to do, and what is done, a line each:
 * `>text`: this is to be appended · `+id`: it is stored · `-id`: it is to be removed · `!id`: it is removed ·
 * `?n`: the program is to be marked with this · `=n`: it is · `ready`: the log is open
 */
import { privateKeyFromProtobuf } from '@libp2p/crypto/keys'
import { defaultLogger } from '@libp2p/logger'
import { MemoryDatastore } from 'datastore-core'
import { LevelDatastore } from 'datastore-level'
import { fromString } from 'uint8arrays/from-string'
import { Log } from '../../src/log/log.ts'
import { randomInt, seededRandom } from '../../src/runtime/random.ts'
import { LOG_ID, name, texts } from '../fixtures/logs.ts'
import type { Entry } from '../../src/log/index.ts'
import type { Datastore } from 'interface-datastore'

const [directory, key, foreignKey, seed, sizes] = process.argv.slice(2)
const random = seededRandom(Number(seed))

function say (...lines: string[]): void {
  process.stdout.write(lines.map(line => `${line}\n`).join(''))
}

async function open (datastore: Datastore, privateKey: string): Promise<Log> {
  return Log.open({ id: LOG_ID, datastore, privateKey: privateKeyFromProtobuf(fromString(privateKey, 'base64url')), logger: defaultLogger() }, JSON.parse(sizes))
}

async function append (log: Log, count: number): Promise<void> {
  const what = texts(count, `${seed}.${random()}.`)
  say(...what.map(bytes => `>${new TextDecoder().decode(bytes)}`))
  const entries = count > 30 ? await log.appendMany(what) : await Promise.all(what.map(async data => log.append(data)))
  say(...entries.map(entry => `+${name(entry)}`))
}

async function join (log: Log, other: Log): Promise<void> {
  const entries = await other.appendMany(texts(1 + randomInt(random, 100), `${seed}.`))
  await log.join(entries)
  say(...entries.map(entry => `+${name(entry)}`))
}

async function removeOldest (log: Log, count: number): Promise<void> {
  const entries: Entry[] = []

  for await (const entry of log.entries()) {
    if (entries.push(entry) >= count) {
      break
    }
  }

  say(...entries.map(entry => `-${name(entry)}`))
  await log.remove(entries.map(({ id }) => id))
  say(...entries.map(entry => `!${name(entry)}`))
}

async function mark (log: Log, arrival: number): Promise<void> {
  say(`?${arrival}`)
  await log.mark('a program', arrival)
  say(`=${arrival}`)
}

const datastore = new LevelDatastore(directory)
await datastore.open()
const other = await open(new MemoryDatastore(), foreignKey)
let log = await open(datastore, key)
say('ready')

for (;;) {
  const count = randomInt(random, 600)

  switch (randomInt(random, 8)) {
    case 0:
    case 1:
      await append(log, 1 + count % 30)
      break
    case 2:
    case 3:
      await append(log, 31 + count)
      break
    case 4:
      await join(log, other)
      break
    case 5:
      await removeOldest(log, 1 + count % 300)
      break
    case 6:
      await mark(log, count)
      break
    default:
      await log.close()
      log = await open(datastore, key)
  }
}
