/**
 * Starts a relay, and serves the page: `node server.ts [--port 8080] [--relay ADDRESS]...`. With --relay it starts
 * none, and names these to the page.
 */
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { parseArgs } from 'node:util'
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { circuitRelayServer } from '@libp2p/circuit-relay-v2'
import { identify, identifyPush } from '@libp2p/identify'
import { webSockets } from '@libp2p/websockets'
import { createLibp2p } from 'libp2p'
import { directSub, stayConnected } from 'libp2p-sheaf'
import { bundle } from './bundle.ts'

const TYPES: Record<string, string> = {
  html: 'text/html', css: 'text/css', js: 'text/javascript', json: 'application/json'
}

const { values: { port, relay: named } } = parseArgs({
  options: { port: { type: 'string', default: '8080' }, relay: { type: 'string', multiple: true, default: [] } }
})

async function startRelay (): Promise<string[]> {
  const relay = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0/ws'] },
    transports: [webSockets()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    // all browsers are on this machine: the default of 5 connections a second is made for strangers
    connectionManager: { inboundConnectionThreshold: 100 },
    services: {
      identify: identify(),
      push: identifyPush(),
      pubsub: directSub(),
      relay: circuitRelayServer(),
      // tells browsers of each other
      connected: stayConnected()
    }
  })
  return relay.getMultiaddrs().map(String)
}

const relays = named.length > 0 ? named : await startRelay()
const files = new Map<string, Uint8Array>(await bundle())
files.set('relays.json', new TextEncoder().encode(JSON.stringify(relays)))

for (const file of ['index.html', 'style.css']) {
  files.set(file, await readFile(new URL(file, import.meta.url)))
}

const server = createServer(({ url = '/' }, response) => {
  const name = new URL(url, 'http://localhost').pathname.slice(1) || 'index.html'
  const file = files.get(name)
  response.writeHead(file == null ? 404 : 200, { 'content-type': TYPES[name.split('.').at(-1) ?? ''] ?? 'text/plain' })
  response.end(file ?? 'not found')
})

server.on('error', (err: Error & { code?: string }) => {
  console.error(err.code === 'EADDRINUSE' ? `Port ${port} is in use: choose another one with --port` : err.message)
  process.exit(1)
})
server.listen(Number(port), '127.0.0.1', () => {
  const address = server.address()
  console.info(`http://localhost:${typeof address === 'object' ? address?.port : port}/`)
})
