/**
 * A process that sends a file, or receives into one, until somebody kills it. It says its address first, then how many
 * bytes it has written, or has sent as pieces of the payload, a line each; 'done' at the end
 *
 * `receive KEY FILE`: goes on with what is in the file. `send KEY FILE ADDRESS`
 */
import { createReadStream, existsSync, statSync, truncateSync, writeSync, openSync } from 'node:fs'
import { privateKeyFromProtobuf } from '@libp2p/crypto/keys'
import { multiaddr } from '@multiformats/multiaddr'
import { fromString } from 'uint8arrays/from-string'
import { TOPIC } from '../../src/transfer/constants.ts'
import { decodeMessage } from '../../src/transfer/wire.ts'
import { createTransferNode } from '../fixtures/transfers.ts'

const [role, key, file, address] = process.argv.slice(2)
const node = await createTransferNode({ privateKey: privateKeyFromProtobuf(fromString(key, 'base64url')) })
const { pubsub, transfers } = node.services

function say (line: string | number): void {
  process.stdout.write(`${line}\n`)
}

if (role === 'receive') {
  transfers.addEventListener('offer', ({ detail: offer }) => {
    void (async () => {
      const incoming = offer.accept({ have: existsSync(file) ? createReadStream(file) : undefined })
      let length = await incoming.from()
      // what was being written when the process died may be half there
      existsSync(file) && statSync(file).size > length && truncateSync(file, length)
      const handle = openSync(file, 'a')

      for await (const chunk of incoming) {
        writeSync(handle, chunk)
        length += chunk.byteLength
        say(length)
      }

      say('done')
    })()
  })
  await pubsub.subscribe('small')
  say(node.getMultiaddrs()[0].toString())
} else {
  const publish = pubsub.publish.bind(pubsub)
  let sent = 0
  pubsub.publish = async (topic, data, options) => {
    const message = topic === TOPIC ? decodeMessage(data as Uint8Array) : undefined

    if (message?.type === 'data') {
      sent += message.bytes.byteLength
      say(sent)
    }
    return publish(topic, data, options)
  }
  say(node.getMultiaddrs()[0].toString())
  const { remotePeer } = await node.dial(multiaddr(address))
  await pubsub.waitForSubscribers(TOPIC, { peers: [remotePeer] })
  await transfers.send(remotePeer, from => createReadStream(file, { start: from })).done
  say('done')
}
