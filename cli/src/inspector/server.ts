import { once } from 'node:events'
import { createServer } from 'node:http'
import { register } from 'prom-client'
import { FailedError, oneLine } from '../errors.ts'
import { HEADERS, refusalOf } from './core/guard.ts'
import { loadPages } from './pages.ts'
import { Watchers } from './watchers.ts'
import type { Page } from './pages.ts'
import type { Source } from './watch.ts'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

const HOST = '127.0.0.1'

/** Connections at once, bytes of the headers of a request, and milliseconds that it may take to say them. Guesses */
const MAX_CONNECTIONS = 64
const MAX_HEADERS = 8_192
const HEADERS_TIMEOUT = 5_000
const REQUEST_TIMEOUT = 10_000
const IDLE_TIMEOUT = 5_000
const CHECKING_INTERVAL = 1_000

const PLAIN = 'text/plain; charset=utf-8'

/**
 * The page of a node, and what it measures for Prometheus: for this machine, and to read only
 */
export class Inspector {
  readonly #server: Server
  #pages?: Promise<Map<string, Page>>
  #watchers?: Watchers

  static async serve (port: number): Promise<Inspector> {
    const inspector = new Inspector()
    inspector.#server.listen(port, HOST)

    try {
      await once(inspector.#server, 'listening')
      return inspector
    } catch (err: any) {
      throw new FailedError(`The inspector cannot be served on port ${port}: ` +
        `end who listens there, or take another one with --inspect (${oneLine(err)})`)
    }
  }

  private constructor () {
    this.#server = createServer({
      maxHeaderSize: MAX_HEADERS,
      headersTimeout: HEADERS_TIMEOUT,
      requestTimeout: REQUEST_TIMEOUT,
      keepAliveTimeout: IDLE_TIMEOUT,
      connectionsCheckingInterval: CHECKING_INTERVAL
    }, (request, response) => {
      this.#answer(request, response).catch(err => { answer(response, 503, `${oneLine(err)}\n`) })
    })
    this.#server.maxConnections = MAX_CONNECTIONS
    // nothing here speaks another protocol
    this.#server.on('upgrade', (_, socket) => {
      socket.on('error', () => {})
      socket.end('HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 0\r\n\r\n')
    })
    this.#server.on('connect', (_, socket) => { socket.destroy() })
  }

  get url (): string {
    return `http://${HOST}:${this.#port}/`
  }

  /** The node is there: from now on the page shows it */
  show (source: Source): void {
    this.#watchers = new Watchers({ source })
  }

  close (): void {
    this.#watchers?.close()
    this.#watchers = undefined
    this.#server.close()
    this.#server.closeAllConnections()
  }

  get #port (): number {
    return (this.#server.address() as AddressInfo).port
  }

  async #answer (request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method, url = '', headers } = request
    // who has gone needs no answer
    response.on('error', () => {})
    Object.entries(HEADERS).forEach(([name, value]) => { response.setHeader(name, value) })
    const refusal = refusalOf({
      method, host: headers.host, origin: headers.origin, site: headers['sec-fetch-site']?.toString()
    }, this.#port)

    if (refusal != null) {
      response.setHeader('connection', 'close')
      answer(response, refusal.status, `${refusal.why}\n`)
      return
    }

    switch (url) {
      case '/metrics':
        answer(response, 200, await register.metrics(), register.contentType)
        break
      case '/state.json':
        answer(response, 200, await this.#shown.snapshot(), 'application/json; charset=utf-8')
        break
      case '/events':
        await this.#stream(method, response)
        break
      default:
        await this.#page(request, response)
    }
  }

  get #shown (): Watchers {
    if (this.#watchers == null) {
      throw new FailedError('The node is being started, or ends')
    }
    return this.#watchers
  }

  async #stream (method: string | undefined, response: ServerResponse): Promise<void> {
    if (method === 'HEAD') {
      answer(response, 200, '', 'text/event-stream')
    } else if (!await this.#shown.add(response)) {
      answer(response, 503, 'too many pages are open: close one\n')
    }
  }

  async #page ({ url = '', headers }: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#pages ??= loadPages()
    const page = (await this.#pages).get(url)

    if (page == null) {
      answer(response, 404, 'there is /, /state.json and /metrics\n')
      return
    }

    const isZipped = /\bgzip\b/.test(headers['accept-encoding']?.toString() ?? '')
    response.setHeader('vary', 'accept-encoding')

    if (isZipped) {
      response.setHeader('content-encoding', 'gzip')
    }
    answer(response, 200, isZipped ? page.zipped : page.body, page.type)
  }
}

/** Nothing, if the other side has gone or has got its answer already */
function answer (response: ServerResponse, status: number, body: string | Buffer, type = PLAIN): void {
  if (!response.headersSent) {
    response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) })
    response.end(body)
  }
}
