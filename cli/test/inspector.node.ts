import { once } from 'node:events'
import { createServer, request } from 'node:http'
import { connect } from 'node:net'
import { networkInterfaces } from 'node:os'
import { expect } from 'aegir/chai'
import { Inspector } from '../src/inspector/server.ts'
import { Watchers } from '../src/inspector/watchers.ts'
import { openLog, openNode } from '../src/node.ts'
import { PATIENCE, start, Terminal, testsInPlaces } from './terminal.ts'
import type { Source } from '../src/inspector/watch.ts'
import type { OpenNode } from '../src/node.ts'
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

interface Answer {
  status?: number
  headers: IncomingHttpHeaders
  body: string
}

interface Ask {
  path?: string
  method?: string
  headers?: Record<string, string>
  body?: string
}

const PATHS = ['/', '/main.js', '/vendor/preact.js', '/state.json', '/metrics', '/events']

/** As it is written: fetch() would make a path and headers nicer */
async function ask (url: string, { path = '/', method = 'GET', headers = {}, body }: Ask = {}): Promise<Answer> {
  const { port } = new URL(url)
  const asked = request({ host: '127.0.0.1', port, path, method, headers, agent: false })
  asked.end(body)
  const [response] = await once(asked, 'response') as [IncomingMessage]
  const chunks: Buffer[] = []

  for await (const chunk of response) {
    chunks.push(chunk)
  }
  return { status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks).toString() }
}

/** All that comes back over a connection until the other side ends it */
async function exchange (url: string, text: string): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  socket.write(text)
  let heard = ''
  // a reset says as much as an end
  socket.on('error', () => {})
  socket.on('data', chunk => { heard += String(chunk) })
  await once(socket, 'close')
  return heard
}

describe('the inspector of a peer, over HTTP', function () {
  this.timeout(4 * PATIENCE)
  const test = testsInPlaces()

  test('serves its page, its state and metrics to who asks for this machine, all with headers that let nobody else in', async place => {
    const { inspector, name } = await start(place.dir)
    const { port } = new URL(inspector)

    for (const path of ['/', '/main.js', '/vendor/preact.js', '/vendor/htm.js', '/style.css', '/icon.svg', '/state.json', '/metrics', '/nowhere']) {
      const { status, headers, body } = await ask(inspector, { path })
      expect(status, path).to.equal(path === '/nowhere' ? 404 : 200)
      expect(body).to.have.length.above(20)
      expect(headers['content-security-policy'], path).to.match(/^default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'/)
      expect(headers).to.include({
        'x-content-type-options': 'nosniff',
        'cross-origin-resource-policy': 'same-origin',
        'cross-origin-opener-policy': 'same-origin',
        'referrer-policy': 'no-referrer',
        'cache-control': 'no-store'
      })
      expect(Object.keys(headers).filter(name => name.startsWith('access-control'))).to.deep.equal([])
    }

    expect(JSON.parse((await ask(inspector, { path: '/state.json', headers: { host: `localhost:${port}` } })).body)).to.deep.include({ log: 'lobby' })
    expect((await ask(inspector, { path: '/metrics', headers: { host: `[::1]:${port}` } })).body).to.include('libp2p_')
    expect((await ask(inspector, { path: '/state.json' })).body).to.include(name)
    const head = await ask(inspector, { method: 'HEAD' })
    expect([head.status, head.body]).to.deep.equal([200, ''])
  })

  test('refuses names that lead here, pages of other origins, and whatever would change something', async place => {
    const { inspector, name } = await start(place.dir)
    const { port, host } = new URL(inspector)
    const refused: Array<[number, Ask]> = [
      [403, { headers: { host: `evil.example:${port}` } }],
      [403, { headers: { host: '127.0.0.1' } }],
      [403, { headers: { host: `127.0.0.1.evil.example:${port}` } }],
      [403, { headers: { origin: 'http://evil.example' } }],
      [403, { headers: { origin: 'null' } }],
      [403, { headers: { origin: `http://localhost:${port}` } }],
      [403, { headers: { 'sec-fetch-site': 'cross-site' } }],
      [403, { headers: { 'sec-fetch-site': 'same-site' } }],
      [405, { method: 'POST', body: 'x' }],
      [405, { method: 'DELETE' }],
      [405, { method: 'OPTIONS', headers: { 'access-control-request-method': 'GET' } }]
    ]

    for (const path of PATHS) {
      for (const [expected, how] of refused) {
        const { status, body, headers } = await ask(inspector, { path, ...how })
        expect(status, `${path} ${JSON.stringify(how)}`).to.equal(expected)
        expect(body).to.have.length.below(120)
        expect(body).not.to.include(name)
        expect(headers.connection).to.equal('close')
      }
    }

    expect(await exchange(inspector, `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`))
      .to.match(/^HTTP\/1.1 403 /)
    expect(await exchange(inspector, `CONNECT ${host} HTTP/1.1\r\nHost: ${host}\r\n\r\n`)).to.equal('')
    expect(await exchange(inspector, 'GET / HTTP/1.0\r\n\r\n')).to.match(/^HTTP\/1.1 403 /)
    expect(await exchange(inspector, `GET / HTTP/1.1\r\nHost: ${host}\r\nX: ${'x'.repeat(9_000)}\r\n\r\n`)).to.match(/^HTTP\/1.1 431 /)
    expect(await exchange(inspector, `GET / HTTP/1.1\r\nHost: ${host}\r\nHost: evil.example\r\n\r\n`)).not.to.include(name)
  })

  test('leads to no other file, and to nobody on another machine', async place => {
    const { inspector } = await start(place.dir)
    const { host, port } = new URL(inspector)

    for (const path of [
      '/../package.json', '/../../data/key', '/..%2f..%2fpackage.json', '/%2e%2e/%2e%2e/package.json', '/vendor/../../server.ts',
      '//etc/passwd', '/..\\..\\package.json', '/page/index.html', '/index.html', '/server.ts', '/core/guard.ts', '/vendor', '/?',
      `http://${host}/state.json`, '/state.json?x', '/__proto__', '/constructor'
    ]) {
      expect((await ask(inspector, { path })).status, path).to.equal(404)
    }

    const others = Object.values(networkInterfaces()).flatMap(all => all ?? []).filter(({ internal, family }) => !internal && family === 'IPv4')

    for (const { address } of others) {
      const socket = connect(Number(port), address)
      const failed = await once(socket, 'connect').catch(err => err)
      expect(failed.code, address).to.equal('ECONNREFUSED')
    }
  })

  test('waits for nobody who does not come to an end, and is not held up by many', async place => {
    const { inspector } = await start(place.dir)
    const { host, port } = new URL(inspector)
    const slow = exchange(inspector, `GET / HTTP/1.1\r\nHost: ${host}\r\nX-Slow: `)

    // more connections than it has room for: it lets go of the rest
    const many: Socket[] = Array.from({ length: 80 }, () => connect(Number(port), '127.0.0.1').on('error', () => {}))
    const isOver = await Promise.race(many.map(async socket => once(socket, 'close')))
    expect(isOver).to.be.an('array')
    many.forEach(socket => { socket.destroy() })

    expect(await slow).to.match(/^HTTP\/1.1 408 /)
    expect((await ask(inspector)).status).to.equal(200)
  })

  test('ends with its node, and is nowhere if nobody wants it', async place => {
    const { inspector, terminal } = await start(place.dir)
    expect((await ask(inspector)).status).to.equal(200)
    await terminal.stop()
    await expect(ask(inspector)).to.eventually.be.rejectedWith(/ECONNREFUSED/)

    const without = new Terminal(place.dir, ['peer', '--json', '--inspect', 'none'])
    expect(JSON.parse(await without.sees(/"type":"listening"/))).not.to.have.any.keys('inspector', 'metrics')
    await without.stop()
  })
})

describe('those who watch a node', function () {
  this.timeout(PATIENCE)
  let opened: OpenNode
  let source: Source

  before(async () => {
    opened = await openNode({ store: 'memory', listen: [] })
    source = { node: opened.node, log: await openLog(opened, 'lobby'), startedAt: Date.now() }
  })

  after(async () => { await opened.close() })

  /** A stream that is read, and may be cut off */
  async function watch (url: string): Promise<IncomingMessage> {
    const asked = request(new URL('events', url), { agent: false }).on('error', () => {}).end()
    const [stream] = await once(asked, 'response') as [IncomingMessage]
    return stream.on('error', () => {}).resume()
  }

  async function serve (answer: (response: ServerResponse) => void): Promise<{ url: string, close (): void }> {
    const server = createServer((_, response) => { answer(response) }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    return {
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
      close: () => {
        server.close()
        server.closeAllConnections()
      }
    }
  }

  it('have a bound, and there is room again when one is gone', async () => {
    const inspector = await Inspector.serve(0)
    inspector.show(source)
    const streams = await Promise.all(Array.from({ length: 8 }, async () => watch(inspector.url)))
    expect(streams.map(({ statusCode }) => statusCode)).to.deep.equal(Array(8).fill(200))
    expect((await watch(inspector.url)).statusCode).to.equal(503)

    streams[0].destroy()
    let again = await watch(inspector.url)
    // the server hears of it when it does
    while (again.statusCode === 503) {
      again = await watch(inspector.url)
    }
    expect(again.statusCode).to.equal(200)

    inspector.close()
    await Promise.all([...streams.slice(1), again].map(async stream => stream.closed || new Promise(resolve => { stream.once('close', resolve) })))
  })

  it('do not make the node hold more than one snapshot for one that takes in nothing, and others go on', async () => {
    const watchers = new Watchers({ source, period: 1, patience: 1_500 })
    const responses: ServerResponse[] = []
    const { url, close } = await serve(response => {
      responses.push(response)
      void watchers.add(response)
    })
    const stuck = await watch(url)
    stuck.pause()
    const [response] = responses
    const one = (await watchers.snapshot()).length
    let most = 0
    const closed = once(response, 'close')
    const looking = setInterval(() => { most = Math.max(most, response.writableLength) }, 1)

    const other = await watch(url)
    let heard = 0
    other.on('data', () => { heard++ })
    await closed
    clearInterval(looking)
    const before = heard
    expect(most).to.be.within(1, 2 * one + response.writableHighWaterMark)
    await once(other, 'data')
    expect(heard).to.be.above(before)
    watchers.close()
    close()
  })

  it('are shown what comes, also of a burst, and the node listens to the log only for them', async () => {
    const watchers = new Watchers({ source, period: 20 })
    const { url, close } = await serve(response => { void watchers.add(response) })
    await source.log.append(new TextEncoder().encode('before anybody looked'))
    expect(JSON.parse(await watchers.snapshot()).entries[0].text).to.equal('before anybody looked')

    const asked = request(url, { agent: false }).on('error', () => {}).end()
    const [stream] = await once(asked, 'response') as [IncomingMessage]
    const seen = async (text: string): Promise<any> => {
      let heard = ''
      for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
        heard += String(chunk)
        const last = heard.split('\n\n').findLast(line => line.startsWith('data: ') && line.endsWith('}'))
        if (last?.includes(text) === true) {
          return JSON.parse(last.slice(6))
        }
      }
    }
    await seen('before anybody looked')
    await source.log.appendMany(Array.from({ length: 1_000 }, (_, i) => new TextEncoder().encode(`burst ${i}`)))
    const { entries, lag } = await seen('burst 999')
    expect(entries.map(({ text }: any) => text)).to.deep.equal([999, 998, 997, 996, 995, 994, 993, 992].map(i => `burst ${i}`))
    expect(lag).to.have.keys('median', 'longest')
    asked.destroy()
    watchers.close()
    close()
  })
})
