/**
 * Peers share the files of a directory: which there are is a database, and the files themselves go as transfers.
 * `npm start --workspace examples/file-share -- ./films` shares a directory, and prints the line that joins another.
 * Each file that others share and that is not in the directory is fetched into it.
 */
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, readdir, rename, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import { peerIdFromString } from '@libp2p/peer-id'
import { tcp } from '@libp2p/tcp'
import { createLibp2p } from 'libp2p'
import { directSub, sharedLogs, stayConnected, transfers } from 'libp2p-sheaf'
import { Documents } from 'libp2p-sheaf/database'

interface SharedFile {
  /** Its name */
  id: string
  size: number
  /** The peer that shares it */
  peer: string
}

const PROTOCOL = 'file-share'
const [directory = './shared', ...known] = process.argv.slice(2)
await mkdir(directory, { recursive: true })

const node = await createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: {
    identify: identify(),
    connected: stayConnected({ known }),
    pubsub: directSub(),
    transfers: transfers(),
    logs: sharedLogs()
  }
})
const { logs, pubsub, transfers: service } = node.services
const own = node.peerId.toString()
const files = await Documents.open<SharedFile>(logs, 'shared files')

/** Files that are being fetched */
const wanted = new Set<string>()
const here = async (): Promise<Set<string>> => new Set(await readdir(directory))

// a peer asks for a file by its name: it gets the file, and nothing outside of the directory
await pubsub.subscribe(`${PROTOCOL}/${own}`)
pubsub.addEventListener('message', async ({ detail: { topic, from, data } }) => {
  const name = new TextDecoder().decode(data)

  if (topic === `${PROTOCOL}/${own}` && name === basename(name) && (await here()).has(name)) {
    service.send(from, start => createReadStream(join(directory, name), { start }), { protocol: PROTOCOL, meta: data })
      .done.catch(err => { console.error(`${name} was not sent: ${err.message}`) })
  }
})

// only what this peer has asked for is taken
service.handle(PROTOCOL, async offer => {
  const name = new TextDecoder().decode(offer.meta)

  if (!wanted.has(name)) {
    offer.reject()
    return
  }

  const part = join(directory, `.${name}.part`)
  // verified, chunk by chunk
  await pipeline(offer.accept(), createWriteStream(part))
  await rename(part, join(directory, name))
  wanted.delete(name)
  console.info(`fetched ${name}, ${offer.size} bytes`)
})

for (const name of await here()) {
  const { size } = await stat(join(directory, name))
  await files.put({ id: name, size, peer: own })
}

console.info(`npm start --workspace examples/file-share -- ./inbox ${node.getMultiaddrs()[0]}`)

for await (const { value: file } of files.watch({ from: 'start' })) {
  if (file == null || file.peer === own || file.id !== basename(file.id) || (await here()).has(file.id)) {
    continue
  }

  wanted.add(file.id)
  const peerId = peerIdFromString(file.peer)
  const topic = `${PROTOCOL}/${file.peer}`
  await pubsub.waitForSubscribers(topic, { peers: [peerId] })
  await pubsub.publish(topic, new TextEncoder().encode(file.id), { to: [peerId], ack: 'all' })
}
