import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'

interface Pair {
  client: Socket
  server: Socket
  /** Half-open: both sides think that it is there, and nothing gets through any more */
  isDead: boolean
}

/** TCP between one person and a relay, which a test delays, freezes, resets and cuts */
export class Proxy {
  readonly port: number
  /** When somebody connected, in milliseconds */
  readonly attempts: number[] = []
  /** Milliseconds that each chunk takes more, each way */
  latency = 0
  readonly #server: Server
  readonly #pairs = new Set<Pair>()
  #target?: number
  #isFrozen = false

  static async start (target?: number): Promise<Proxy> {
    const server = createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new Proxy(server, target)
  }

  private constructor (server: Server, target?: number) {
    this.port = (server.address() as AddressInfo).port
    this.#server = server
    this.#target = target
    server.on('connection', client => { this.#accept(client) })
  }

  get connections (): number {
    return this.#pairs.size
  }

  /** Where it leads to from now on. Without a port whoever connects is reset */
  lead (target?: number): void {
    this.#target = target
  }

  /** As a router does that has forgotten a connection */
  reset (): void {
    this.#pairs.forEach(({ client, server }) => {
      client.resetAndDestroy()
      server.resetAndDestroy()
    })
  }

  /** Nobody gets through any more: the cable is out */
  cut (): void {
    this.lead()
    this.reset()
  }

  /** Those that are connected stay so, and nothing arrives any more. Who connects anew gets through */
  swallow (): void {
    this.#pairs.forEach(pair => { pair.isDead = true })
  }

  /** Nothing moves, and nothing is lost, until `thaw` */
  freeze (): void {
    this.#isFrozen = true
    this.#pairs.forEach(({ client, server }) => {
      client.pause()
      server.pause()
    })
  }

  thaw (): void {
    this.#isFrozen = false
    this.#pairs.forEach(({ client, server }) => {
      client.resume()
      server.resume()
    })
  }

  stop (): void {
    this.#server.close()
    this.reset()
  }

  #accept (client: Socket): void {
    this.attempts.push(performance.now())

    if (this.#target == null) {
      client.resetAndDestroy()
      return
    }

    const server = connect(this.#target, '127.0.0.1')
    const pair: Pair = { client, server, isDead: false }
    this.#pairs.add(pair)

    for (const [from, to] of [[client, server], [server, client]]) {
      from.setNoDelay(true)
      from.on('data', chunk => { this.#pass(pair, to, chunk) })
      // reset by us, or by an end: the other end hears of it as it would without us
      from.on('error', () => { to.resetAndDestroy() })
      from.on('close', () => {
        this.#pairs.delete(pair)
        pair.isDead || to.end()
      })
      this.#isFrozen && from.pause()
    }
  }

  #pass (pair: Pair, to: Socket, chunk: Buffer): void {
    const write = (): void => { pair.isDead || to.destroyed || to.write(chunk) }

    // timers of one length ring in their order
    if (this.latency > 0) {
      setTimeout(write, this.latency)
    } else {
      write()
    }
  }
}
