import { mkdir, readdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { expect } from 'aegir/chai'
import { testsInPlaces, PATIENCE, run, start, Terminal } from './terminal.ts'
import type { Place } from './terminal.ts'
import type { AddressInfo } from 'node:net'

const ID = '12D3KooWQT8JTDHCBTJE3UvNmiFCLUu7HvtrA9YLGymZTP4vw6k8'

/** What they do not begin with, and the one line that they say about it. Nothing is left behind */
const WRONG: Array<[name: string, code: 1 | 2, says: RegExp, args: string[], env?: NodeJS.ProcessEnv]> = [
  ['no command', 2, /^Say what to do: peer, append, cat, status, send, receive, bench/, []],
  ['a command that is unknown', 2, /^There is no command 'pear'/, ['pear']],
  ['a flag that is unknown', 2, /^Unknown option '--topic' \(--help/, ['peer', '--topic', 'x']],
  ['a flag that is misspelt', 2, /^Unknown option '--folow': is it --follow\? \(--help/, ['cat', '--folow']],
  ['a command that is misspelt', 2, /^There is no command 'apend': is it append\? There are peer, /, ['apend']],
  ['a number of lines that is none', 2, /^--last takes a number of lines, not '-1'/, ['cat', '--last=-1']],
  ['bytes that are said', 2, /^--raw is for what comes from stdin/, ['append', '--raw', 'x']],
  ['a flag of another command', 2, /^Unknown option '--inspect' \(--help/, ['cat', '--inspect', '1']],
  ['a flag without what it takes', 2, /^Option '--store <value>' argument missing/, ['cat', '--store']],
  ['more than it takes', 2, /^Unexpected argument 'x'/, ['cat', 'x']],
  ['a share that is none', 2, /^--replicate takes full, none, auto or a part/, ['peer', '--replicate', '2']],
  ['an address that is none', 2, /^--join takes an address/, ['peer', '--join', 'here']],
  ['a port that is none', 2, /^--inspect takes a port/, ['peer', '--inspect', '65536']],
  ['a log without a name', 2, /^--log takes a name/, ['append', '--log', '', 'x']],
  ['a log with too long a name', 2, /^--log takes another name/, ['peer', '--store', 'memory', '--log', 'x'.repeat(1_000)]],
  ['a wrong word in the environment', 2, /^SHEAF_JSON takes 1 or 0, not 'maybe'/, ['cat'], { SHEAF_JSON: 'maybe' }],
  ['nothing to keep it in', 2, /^--store memory keeps nothing/, ['append', '--store', 'memory', 'x']],
  ['a store that is not there', 1, /^There is no store in \.\/data: 'sheaf peer --store \.\/data' makes one/, ['status']],
  ['a store that cannot be one', 1, /^The store in \/dev\/null\/data cannot be opened/, ['peer', '--store', '/dev/null/data']],
  ['a place where it cannot listen', 1, /^This node cannot listen on/, ['peer', '--store', 'memory', '--listen', '/ip4/192.0.2.1/tcp/1']],
  ['nobody at an address', 1, /^Nobody answers at \/ip4\/127.0.0.1\/tcp\/1: is the other node still running/, ['cat', '--store', 'memory', '--join', '/ip4/127.0.0.1/tcp/1']],
  ['a file without an address', 2, /^send takes a FILE and the ADDRESS that 'sheaf receive' prints/, ['send', 'x']],
  ['an address that says not whose it is', 2, /^send takes an ADDRESS that ends with \/p2p\/ID/, ['send', 'x', '/ip4/127.0.0.1/tcp/1']],
  ['an id without a way to it', 2, /^send takes an ADDRESS that begins with a slash.* an id alone goes with --join/, ['send', 'x', ID]],
  ['a file that is not there', 1, /^There is no file x$/, ['send', 'x', `/ip4/127.0.0.1/tcp/1/p2p/${ID}`]],
  ['a directory in place of a file', 1, /^\/etc is a directory: pack it, as with tar -czf etc.tar.gz \/etc, and/, ['send', '/etc', `/ip4/127.0.0.1/tcp/1/p2p/${ID}`]],
  ['nobody who takes a file', 1, /^Nobody takes files at \/ip4\/127.*: does 'sheaf receive' still run there/, ['send', '/etc/hostname', `/ip4/127.0.0.1/tcp/1/p2p/${ID}`]],
  ['a directory that is not there', 1, /^There is no directory \.\/none: make it, or name another one$/, ['receive', './none']],
  ['more directories than one', 2, /^receive takes one directory, not 2$/, ['receive', '.', '.']]
]

describe('sheaf, where something is wrong', function () {
  this.timeout(4 * PATIENCE)
  const test = testsInPlaces()

  async function expectFailure (place: Place, code: number, says: RegExp, args: string[], env?: NodeJS.ProcessEnv): Promise<void> {
    const ended = await run(place.dir, args, { env })
    expect(ended.errors.join('\n')).to.match(says)
    expect([ended.code, ended.lines, ended.errors.length]).to.deep.equal([code, [], 1])
  }

  for (const [name, code, says, args, env] of WRONG) {
    test(`ends with one line about ${name}`, async place => {
      await expectFailure(place, code, says, args, env)
      expect(await readdir(place.dir)).to.deep.equal([])
    })
  }

  test('tells a program about it in JSON', async place => {
    const { code, errors } = await run(place.dir, ['status', '--json'])
    expect([code, errors.length]).to.deep.equal([1, 1])
    expect(JSON.parse(errors[0])).to.deep.include({ type: 'error' })
    const usage = await run(place.dir, ['status', '--what'], { env: { SHEAF_JSON: '1' } })
    expect([usage.code, JSON.parse(usage.errors[0]).type]).to.deep.equal([2, 'error'])
  })

  for (const [name, damage] of [['was cut off', 20], ['is empty', 0]] as const) {
    test(`does not start with a key that ${name}, and leaves it and the log as they are`, async place => {
      await run(place.dir, ['append', 'x'])
      const key = join(place.dir, 'data/key')
      const whole = await readFile(key)
      await truncate(key, damage)

      for (const command of ['peer', 'status']) {
        await expectFailure(place, 1, /^data\/key does not hold a key \(.*\): put the right one back, or move it away/, [command])
      }

      expect(await readFile(key)).to.deep.equal(whole.subarray(0, damage))
      await writeFile(key, whole)
      expect((await run(place.dir, ['cat'])).lines).to.deep.equal(['x'])
    })
  }

  test('does not start a second node with a store', async place => {
    const { terminal } = await start(place.dir)
    await expectFailure(place, 1, /^\.\/data is in use by another node that runs: give this one a store of its own, with --store \.\/data2$/, ['peer'])
    terminal.type('still here')
    await terminal.sees('  (stored here; nobody else is there yet)')
  })

  test('says so when a process has the store that answers no commands', async place => {
    // as a program of the user's does
    const { LevelDatastore } = await import('datastore-level')
    await mkdir(join(place.dir, 'data'))
    const datastore = new LevelDatastore(join(place.dir, 'data/log'))
    await datastore.open()

    try {
      await expectFailure(place, 1, /^\.\/data is in use by another process, which does not answer: end that one, or --join its address/, ['status'])
    } finally {
      await datastore.close()
    }
  })

  test('goes on with a store whose node was killed, and whose socket lies there yet', async place => {
    const { terminal } = await start(place.dir)
    terminal.type('before')
    await terminal.sees('  (stored here; nobody else is there yet)')
    terminal.signal('SIGKILL')
    await terminal.ended()
    expect(await readdir(join(place.dir, 'data'))).to.include('socket')
    expect((await run(place.dir, ['cat'])).lines).to.deep.equal(['before'])
    await (await start(place.dir)).terminal.stop()
  })

  test('says so when the node that it asked is killed', async place => {
    const { terminal } = await start(place.dir)
    const following = new Terminal(place.dir, ['cat', '-f'])
    terminal.type('a line')
    await following.sees('a line')
    terminal.signal('SIGKILL')
    expect(await following.ended()).to.equal(1)
    expect(following.errors).to.have.lengthOf(1)
    expect(following.errors[0]).to.match(/^The node that has the store ended before this was done/)
  })

  test('runs with a store whose name is too long for a socket, and says what does not work there', async place => {
    const long = 'x'.repeat(120)
    const { terminal } = await start(place.dir, '--store', long)
    expect(terminal.errors).to.have.lengthOf(1)
    expect(terminal.errors[0]).to.match(/^'sheaf status', 'append' and 'cat' cannot ask this node: a store with a shorter name may do/)
    await expectFailure(place, 1, /is in use by another process, which does not answer/, ['status', '--store', long])
  })

  test('says which port is in use, for others and for the inspector', async place => {
    const server = createServer()
    await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
    const { port } = server.address() as AddressInfo

    try {
      await expectFailure(place, 1, /^This node cannot listen on .*EADDRINUSE/, ['peer', '--store', 'memory', '--listen', `/ip4/127.0.0.1/tcp/${port}`])
      await expectFailure(place, 1, /^The inspector cannot be served on port .*EADDRINUSE/, ['peer', '--store', 'memory', '--inspect', `${port}`])
    } finally {
      server.close()
    }
  })
})
