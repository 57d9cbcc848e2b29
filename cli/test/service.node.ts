import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'aegir/chai'
import { newPlace, PATIENCE, Terminal } from './terminal.ts'

const UNIT = readFileSync(new URL('../../deploy/sheaf.service', import.meta.url), 'utf8')
/** What systemd says when it is asked for its version */
const HAS_SYSTEMD = spawnSync('systemd-analyze', ['--version']).status === 0

/** docs/network.md tells how to install it */
describe('the unit for systemd', function () {
  this.timeout(2 * PATIENCE)
  const place = newPlace()

  it('starts the command with flags and variables that it knows, says where it listens, and ends well when it is told to', async () => {
    const [, name, args] = /^ExecStart=(\S+) (.*)$/m.exec(UNIT) as RegExpExecArray
    const variables = Object.fromEntries([...UNIT.matchAll(/^Environment=(\w+)=(.*)$/gm)].map(([, name, value]) => [name, value]))
    expect(name).to.equal('/usr/local/bin/sheaf')

    const terminal = new Terminal(place.dir, args.split(' '), {
      ...variables,
      // at places where nobody else is, on this machine
      SHEAF_STORE: './data',
      SHEAF_METRICS: '0',
      SHEAF_LISTEN: variables.SHEAF_LISTEN.replaceAll('0.0.0.0', '127.0.0.1').replaceAll(/tcp\/\d+/g, 'tcp/0')
    })
    const { log, addresses } = JSON.parse(await terminal.sees(/"type":"listening"/))
    expect(log).to.equal(variables.SHEAF_LOG)
    expect(addresses).to.have.lengthOf(2)
    terminal.signal('SIGTERM')
    expect(await terminal.ended()).to.equal(0)
  })

  it('is one that systemd finds nothing wrong with', function () {
    if (!HAS_SYSTEMD) {
      this.skip()
    }

    // it looks whether the command is there
    const path = join(place.dir, 'sheaf.service')
    writeFileSync(path, UNIT.replace('/usr/local/bin/sheaf', '/bin/true'))
    const { status, stderr } = spawnSync('systemd-analyze', ['verify', path], { encoding: 'utf8' })
    expect([status, ...stderr.split('\n').filter(line => line.includes(path))]).to.deep.equal([0])
  })
})
