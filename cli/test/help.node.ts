import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect } from 'aegir/chai'
import { ownName } from '../src/own-name.ts'
import { PATIENCE, run, start, Terminal, testsInPlaces } from './terminal.ts'

const { version, engines } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
const COMMANDS = ['peer', 'append', 'cat', 'status', 'send', 'receive', 'bench']

describe('sheaf, when it is asked about itself', function () {
  this.timeout(4 * PATIENCE)
  const test = testsInPlaces()

  test('says its version', async place => {
    expect((await run(place.dir, ['--version'])).lines).to.deep.equal([`sheaf ${version}, Node ${process.versions.node}`])
  })

  // the other tests start it from a bundle
  test('starts from its sources, file by file, in a clone', async place => {
    const source = fileURLToPath(new URL('../src/sheaf.ts', import.meta.url))
    const fromSource = async (...args: string[]): Promise<string> => (await promisify(execFile)(
      process.execPath, ['--conditions=sheaf-source', source, ...args], { cwd: place.dir, env: { ...process.env, NODE_NO_WARNINGS: '1' } }
    )).stdout
    await fromSource('append', 'a line')
    expect(await fromSource('cat')).to.equal('a line\n')
  })

  test('gives the same help however it is asked, in lines of 80 columns', async place => {
    const [long, short, word] = await Promise.all(['--help', '-h', 'help'].map(async flag => run(place.dir, [flag])))
    expect(short).to.deep.equal(long)
    expect(word).to.deep.equal(long)

    for (const command of COMMANDS) {
      const [asked, told] = await Promise.all([run(place.dir, [command, '-h']), run(place.dir, ['help', command])])
      expect(asked).to.deep.equal(told)
      expect([asked.code, asked.errors]).to.deep.equal([0, []])
      expect([...long.lines, ...asked.lines].filter(line => line.length > 80)).to.deep.equal([])
    }
  })

  test('names the Node that it needs in one line, where that is older', async place => {
    const pretend = "data:text/javascript,Object.defineProperty(process.versions, 'node', { value: '20.20.2' })"
    const { code, lines, errors } = await run(place.dir, ['peer'], { env: { NODE_OPTIONS: `--import="${pretend}"` } })
    expect([code, lines]).to.deep.equal([1, []])
    expect(errors).to.deep.equal([`sheaf needs Node ${engines.node.slice('>='.length)} or later, and this is Node 20.20.2: install a later one, see https://nodejs.org`])
  })

  test('suggests lines that work where it was started', async place => {
    for (const [env, line] of [
      [{ npm_command: 'exec' }, 'npx sheaf'], [{ npm_lifecycle_event: 'sheaf' }, 'npm run sheaf --'], [{}, 'sheaf']
    ] as const) {
      const { errors } = await run(place.dir, ['status'], { env })
      expect(errors[0]).to.include(`: '${line} peer --store ./data' makes one`)
    }

    const peer = new Terminal(place.dir, ['peer', '--store', 'memory'], { npm_command: 'run-script', npm_lifecycle_event: 'start' })
    await peer.sees(/^ {2}npm start -- --join \S+ --store memory$/)
    await peer.stop()
    // npx has fetched it, and removes it again
    expect(ownName({ env: { npm_command: 'exec' }, url: 'file:///home/x/.npm/_npx/1f/node_modules/libp2p-sheaf-cli/dist/src/own-name.js' })).to.equal('npx libp2p-sheaf-cli')
  })

  test('finds a log safe that nothing is in', async place => {
    const { terminal } = await start(place.dir)
    const { lines } = await run(place.dir, ['status'])
    expect(lines).to.include('  Safe?     yes: nothing is in it yet')
    expect(lines.join('\n')).not.to.include('Mind')
    expect(JSON.parse((await run(place.dir, ['status', '--json'])).lines[0])).to.deep.include({ safe: true, length: 0, problems: [] })
    await run(place.dir, ['append', 'x'])
    expect(JSON.parse((await run(place.dir, ['status', '--json'])).lines[0])).to.deep.include({ safe: false, length: 1 })
    await terminal.stop()
  })

  test('serves metrics at the address that it was given', async place => {
    const peer = new Terminal(place.dir, ['peer', '--json', '--metrics', '0.0.0.0:0'])
    const { metrics } = JSON.parse(await peer.sees(/"type":"listening"/))
    expect(metrics).to.match(/^http:\/\/0\.0\.0\.0:\d+\/metrics$/)
    // as a machine does that knows this one by its name
    const { statusCode } = await get(metrics, 'peer.example')
    expect(statusCode).to.equal(200)
    await peer.stop()

    const local = new Terminal(place.dir, ['peer', '--json', '--metrics', '0'])
    const said = JSON.parse(await local.sees(/"type":"listening"/))
    expect((await get(said.metrics, 'peer.example')).statusCode).to.equal(403)
    await local.stop()
  })
})

/** What is there under a host of that name, which `fetch` does not let one say */
async function get (url: string, host: string): Promise<{ statusCode?: number }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ statusCode?: number }>()
  request(url, { headers: { host } }, response => {
    response.resume()
    resolve(response)
  }).on('error', reject).end()
  return promise
}
