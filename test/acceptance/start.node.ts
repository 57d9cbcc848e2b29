import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { expect } from 'aegir/chai'
import { launch, watch } from './browser.ts'
import { ALICE, BOB, Person } from './person.ts'
import { ROOT } from './site.ts'
import { after as pause, PATIENCE, until } from './until.ts'
import type { Browser } from './browser.ts'
import type { ChildProcess } from 'node:child_process'

/** Milliseconds after which browsers that depend on the relay would have noticed that it is gone: pings and a guess */
const NOTICED = 12_000

describe('npm start --workspace examples/chat', function () {
  this.timeout(PATIENCE * 4)
  const errors: string[] = []
  const lines: string[] = []
  let server: ChildProcess
  let browser: Browser

  before(async () => {
    expect(existsSync(new URL('dist/src/index.js', ROOT)), 'what it needs is not built: npm run build').to.equal(true)
    // as the script does, once the package is built
    server = spawn(process.execPath, ['server.ts', '--port', '0'], {
      cwd: fileURLToPath(new URL('examples/chat/', ROOT)), stdio: ['ignore', 'pipe', 'inherit']
    })
    createInterface({ input: server.stdout ?? process.stdin }).on('line', line => lines.push(line))
    browser = await launch()
  })

  after(async () => {
    server.kill('SIGKILL')
    await browser?.close()
    expect(errors).to.deep.equal([])
  })

  it('prints one address, at which two people meet, and talk on directly when relay and server are gone', async () => {
    await until('it says where it is', () => lines.length > 0)
    expect(lines).to.have.lengthOf(1)
    expect(lines[0]).to.match(/^http:\/\/localhost:\d+\/$/)
    const [a, b] = await Promise.all([ALICE, BOB].map(async name => {
      const context = await browser.newContext()
      const page = await context.newPage()
      watch(page, name, errors)
      await page.goto(lines[0])
      return Person.at(name, page, context)
    }))
    await Promise.all([a.talkTo(BOB), b.talkTo(ALICE)])
    await a.say('over the relay, or not')
    await b.hears(['over the relay, or not'])
    await until('they are connected directly', async () => await a.peers() === 2 && await b.peers() === 2, PATIENCE * 2)
    server.kill('SIGKILL')
    await pause(NOTICED)
    expect([await a.isConnected(), await b.isConnected()]).to.deep.equal([true, true])
    await b.say('without it')
    await a.hears(['without it'])
    await b.all('read')
  })
})
