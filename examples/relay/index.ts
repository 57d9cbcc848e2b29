/**
 * Two peers that cannot dial each other talk through two relays. Nobody but the two can read what they say. One of the
 * relays is killed in the middle of it: each message arrives once, and in order.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { createLibp2p } from 'libp2p'
import { directSub, sessions, stayConnected } from 'libp2p-sheaf'
import type { ChildProcess } from 'node:child_process'

const RELAY = fileURLToPath(new URL('./relay.ts', import.meta.url))
const MESSAGES = 20

async function startRelay (): Promise<{ child: ChildProcess, address: string }> {
  const child = fork(RELAY, { execArgv: ['--conditions=sheaf-source'] })
  const [address] = await once(child, 'message')
  return { child, address }
}

const relays = await Promise.all([startRelay(), startRelay()])
const known = relays.map(({ address }) => address)

// neither listens: others reach them over a relay alone
const [alice, bob] = await Promise.all(['alice', 'bob'].map(async () => createLibp2p({
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: {
    identify: identify(),
    connected: stayConnected({ known, min: known.length }),
    pubsub: directSub({ canRelay: false }),
    sessions: sessions()
  }
})))
const heard: string[] = []
const { promise: all, resolve } = Promise.withResolvers<void>()

bob.services.sessions.addEventListener('message', ({ detail: { data } }) => {
  heard.push(new TextDecoder().decode(data))
  console.info(`bob hears: ${heard.at(-1)}`)
  heard.length === MESSAGES && resolve()
})

// in order, whatever happens on the way
for (let i = 1; i <= MESSAGES; i++) {
  if (i === MESSAGES / 2) {
    console.info('the first relay is killed')
    relays[0].child.kill('SIGKILL')
  }

  // resolves when bob has the message
  await alice.services.sessions.send(bob.peerId, new TextEncoder().encode(`message ${i}`))
}

await all
console.info(`bob heard ${heard.length} messages, each once: ${new Set(heard).size === MESSAGES}`)
console.info('epoch and state:', alice.services.sessions.state(bob.peerId))

await Promise.all([alice.stop(), bob.stop()])
relays[1].child.kill()
