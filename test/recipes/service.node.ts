import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { expect } from 'aegir/chai'
import { deleteStores, temporaryDirectory } from '../fixtures/datastores.ts'

const UNIT = readFileSync(new URL('../../deploy/sheaf.service', import.meta.url), 'utf8')
const COMMAND = fileURLToPath(new URL('../../bin/sheaf.ts', import.meta.url))
/** What systemd says when it is asked for its version */
const HAS_SYSTEMD = spawnSync('systemd-analyze', ['--version']).status === 0

/** docs/network.md tells how to install it */
describe('recipe: a service', function () {
  this.timeout(60_000)
  afterEach(deleteStores)

  it('starts the command with flags and variables that it knows, says where it listens, and ends well when it is told to', async () => {
    const store = temporaryDirectory()
    const [, name, ...args] = /^ExecStart=(\S+) (.*)$/m.exec(UNIT)?.flatMap((text, i) => i === 2 ? text.split(' ') : [text]) ?? []
    const variables = Object.fromEntries([...UNIT.matchAll(/^Environment=(\w+)=(.*)$/gm)].map(([, name, value]) => [name, value]))
    expect(name).to.equal('/usr/local/bin/sheaf')

    const child = spawn(process.execPath, [COMMAND, ...args], {
      // at places where nobody else is, on this machine
      env: { ...process.env, ...variables, SHEAF_STORE: store, SHEAF_INSPECT: '0', SHEAF_LISTEN: variables.SHEAF_LISTEN.replaceAll('0.0.0.0', '127.0.0.1').replaceAll(/tcp\/\d+/g, 'tcp/0') },
      stdio: ['ignore', 'pipe', 'inherit']
    })
    const exited = once(child, 'exit')

    for await (const line of createInterface({ input: child.stdout })) {
      const said = JSON.parse(line)

      if (said.type === 'listening') {
        expect(said.log).to.equal(variables.SHEAF_LOG)
        expect(said.addresses).to.have.lengthOf(2)
        child.kill('SIGTERM')
      }
    }

    expect(await exited).to.deep.equal([0, null])
  })

  it('is a unit that systemd finds nothing wrong with', function () {
    if (!HAS_SYSTEMD) {
      this.skip()
    }

    // it looks whether the command is there
    const path = join(temporaryDirectory(), 'sheaf.service')
    writeFileSync(path, UNIT.replace('/usr/local/bin/sheaf', '/bin/true'))
    const { status, stderr } = spawnSync('systemd-analyze', ['verify', path], { encoding: 'utf8' })
    expect([status, ...stderr.split('\n').filter(line => line.includes(path))]).to.deep.equal([0])
  })
})
