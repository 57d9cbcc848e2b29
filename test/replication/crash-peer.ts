/**
 * A process with a log on LevelDB, told what to do line by line, which says what it sees and what is done:
 *
 * - `dial <address>` · `go`: appends from now on · `halt`: and no more · `list`
 * - `at <address>`: is ready · `+<id>`: an append resolved · `in <peer>`, `out <peer> <reason>` · `halted` · `has <id>,<id>...`
 */
import { createInterface } from 'node:readline'
import { privateKeyFromProtobuf } from '@libp2p/crypto/keys'
import { multiaddr } from '@multiformats/multiaddr'
import { LevelDatastore } from 'datastore-level'
import { fromString } from 'uint8arrays/from-string'
import { name, text } from '../fixtures/logs.ts'
import { createLogNode, namesIn, openAt } from '../fixtures/sharedlogs.ts'
import type { PubSubName } from '../fixtures/sharedlogs.ts'

/** Appends that are under way at once, and milliseconds between two of these */
const BURST = 4
const PAUSE = 8

const [dir, key, life, grace, pubsub] = process.argv.slice(2)

function say (what: string): void {
  process.stdout.write(`${what}\n`)
}

async function run (): Promise<void> {
  const datastore = new LevelDatastore(dir)
  await datastore.open()
  const node = await createLogNode({ datastore, privateKey: privateKeyFromProtobuf(fromString(key, 'base64url')), pubsub: pubsub as PubSubName })
  const log = await openAt(node, { maturity: 50, grace: Number(grace) })
  const work = { isOn: false, count: 0 }
  log.addEventListener('replicator:join', ({ detail }) => { say(`in ${detail.peerId}`) })
  log.addEventListener('replicator:leave', ({ detail }) => { say(`out ${detail.peerId} ${detail.reason}`) })
  say(`at ${node.getMultiaddrs()[0]}`)

  const append = async (): Promise<void> => {
    while (work.isOn) {
      await Promise.all(Array.from({ length: BURST }, async () => { say(`+${name(await log.append(text(`${life} ${work.count++}`)))}`) }))
      await new Promise<void>(resolve => { setTimeout(resolve, PAUSE) })
    }
    say('halted')
  }

  for await (const line of createInterface({ input: process.stdin })) {
    const [what, address] = line.split(' ')

    if (what === 'dial') {
      await node.dial(multiaddr(address))
    } else if (what === 'go') {
      work.isOn = true
      void append()
    } else if (what === 'halt') {
      work.isOn = false
    } else if (what === 'list') {
      say(`has ${(await namesIn(log)).join()}`)
    }
  }

  await node.stop()
  await datastore.close()
  process.exit(0)
}

await run()
