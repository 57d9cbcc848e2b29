/**
 * A process that writes a log until somebody kills it. It tells of what it is about to do, and of what is done, a line each:
 * `+id` is stored · `-id` is to be removed, `!id` is · `?n` is to be marked, `=n` is · `ready`: the log is open
 */
import { privateKeyFromProtobuf } from '@libp2p/crypto/keys'
import { defaultLogger } from '@libp2p/logger'
import { LevelDatastore } from 'datastore-level'
import { fromString } from 'uint8arrays/from-string'
import { openLog } from '../../src/log/index.ts'
import { randomInt, seededRandom } from '../../src/runtime/random.ts'
import { name, texts } from '../fixtures/logs.ts'
import type { Entry, Log } from '../../src/log/index.ts'
import type { Random } from '../../src/runtime/random.ts'

const [dir, key, foreignKey, seed] = process.argv.slice(2)

function say (what: string): void {
  process.stdout.write(`${what}\n`)
}

function stored (entries: Entry[]): void {
  say(entries.map(entry => `+${name(entry)}`).join('\n'))
}

async function oldest (log: Log, count: number): Promise<Entry[]> {
  const entries: Entry[] = []
  for await (const entry of log.entries()) {
    if (entries.push(entry) === count) {
      break
    }
  }
  return entries
}

/** One of the things that a program does with a log */
async function act (log: Log, other: Log, random: Random): Promise<void> {
  switch (randomInt(random, 8)) {
    case 0:
    case 1:
      await Promise.all(texts(1 + randomInt(random, 30)).map(async data => { stored([await log.append(data)]) }))
      break
    case 2:
    case 3:
      stored(await log.appendMany(texts(1 + randomInt(random, 600))))
      break
    case 4: {
      const entries = await other.appendMany(texts(1 + randomInt(random, 100)))
      await log.join(entries)
      stored(entries)
      break
    }
    case 5: {
      const entries = await oldest(log, 1 + randomInt(random, 200))
      say(entries.map(entry => `-${name(entry)}`).join('\n'))
      await log.remove(entries.map(({ id }) => id))
      say(entries.map(entry => `!${name(entry)}`).join('\n'))
      break
    }
    case 6: {
      const arrival = randomInt(random, 1_000_000)
      say(`?${arrival}`)
      await log.mark('a program', arrival)
      say(`=${arrival}`)
      break
    }
    default:
      // a checkpoint, and what comes after it
      await log.close()
  }
}

async function write (): Promise<void> {
  const { MemoryDatastore } = await import('datastore-core')
  const random = seededRandom(Number(seed))
  const datastore = new LevelDatastore(dir)
  await datastore.open()
  const open = async (on: typeof datastore | InstanceType<typeof MemoryDatastore>, key: string): Promise<Log> => openLog({
    id: 'a log', datastore: on, privateKey: privateKeyFromProtobuf(fromString(key, 'base64url')), logger: defaultLogger()
  })
  const other = await open(new MemoryDatastore(), foreignKey)
  let log = await open(datastore, key)
  say('ready')

  for (;;) {
    await act(log, other, random)

    if (log.status === 'closed') {
      log = await open(datastore, key)
    }
  }
}

await write()
