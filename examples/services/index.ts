/**
 * All services of libp2p-sheaf on one node, with a disk. Run it, then run the line that it prints in another terminal.
 */
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { loadOrCreateSelfKey } from '@libp2p/config'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { LevelDatastore } from 'datastore-level'
import { createLibp2p } from 'libp2p'
import { directSub, sessions, sharedLogs, stayConnected, transfers } from 'libp2p-sheaf'

const [directory = './data', ...known] = process.argv.slice(2)
const datastore = new LevelDatastore(directory)
await datastore.open()

const node = await createLibp2p({
  datastore,
  privateKey: await loadOrCreateSelfKey(datastore),
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: {
    identify: identify(),
    connected: stayConnected({ known }),
    pubsub: directSub(),
    sessions: sessions(),
    transfers: transfers(),
    logs: sharedLogs()
  }
})
const { logs, pubsub, sessions: sealed, transfers: files } = node.services

process.once('SIGINT', () => {
  // stop() writes what makes the next start fast
  Promise.resolve(node.stop()).then(async () => datastore.close()).finally(() => { process.exit() })
})

// a log that no relay can read
const log = await logs.open('hello', { confidential: true })

log.addEventListener('entry:add', ({ detail: { entry } }) => {
  console.info(`log: ${new TextDecoder().decode(entry.data)}`)
})
pubsub.addEventListener('message', ({ detail }) => {
  if (detail.topic === 'hello') {
    console.info(`pubsub: ${new TextDecoder().decode(detail.data)}`)
  }
})
sealed.addEventListener('message', ({ detail: { data } }) => {
  console.info(`session: ${new TextDecoder().decode(data)}`)
})
files.addEventListener('offer', async ({ detail: offer }) => {
  const bytes = await offer.accept().bytes(10_000_000)
  console.info(`transfer: ${bytes.byteLength} bytes`)
})
await pubsub.subscribe('hello')
console.info(`npm start --workspace examples/services -- ./data2 ${node.getMultiaddrs()[0]}`)

log.addEventListener('replicator:join', ({ detail: { peerId } }) => {
  greet(peerId).catch(err => { console.error(`${peerId} was not greeted: ${err.message}`) })
})

async function greet (peerId: Parameters<typeof sealed.send>[0]): Promise<void> {
  const signal = AbortSignal.timeout(30_000)
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(`${text} from ${node.peerId}`)

  await log.append(bytes('an entry'), { ack: 'leaders', signal })
  await pubsub.waitForSubscribers('hello', { peers: [peerId], signal })
  await pubsub.publish('hello', bytes('a message'), { to: [peerId], ack: 'all', signal })
  await sealed.send(peerId, bytes('a sealed message'), { signal })
  await files.send(peerId, new Uint8Array(1_000_000), { confidential: true, signal }).done
  console.info(`${peerId} has all four`)
}
