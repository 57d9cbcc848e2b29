import { randomFillSync } from 'node:crypto'
import { statSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { isSafeName } from '../src/file-name.ts'
import { startStranger, stopStrangers } from './stranger.ts'
import { eventually, newPlace, PATIENCE, run, start, Terminal } from './terminal.ts'
import type { Ended } from './terminal.ts'
import type { OutboundTransfer } from 'libp2p-sheaf'

const LEAF = 65_536
/** So much that a process is killed before all of it is there, wherever that is */
const LARGE = 32 * 1024 ** 2
const MIDDLE = 12 * 1024 ** 2

interface Receiving {
  terminal: Terminal
  peer: string
  /** As the line says it that another person copies */
  address: string
  port: string
}

async function receiving (dir: string, ...args: string[]): Promise<Receiving> {
  const terminal = new Terminal(dir, ['receive', 'in', '--json', ...args])
  const { peer, send } = JSON.parse(await terminal.sees(/"type":"receiving"/))
  const [, address] = /^sheaf send FILE (.*)$/.exec(send) as RegExpExecArray
  const [, port = ''] = /\/tcp\/(\d+)/.exec(address) ?? []
  return { terminal, peer, address, port }
}

const eventOf = async (terminal: Terminal, is: 'begun' | 'stored', name = ''): Promise<any> => {
  return JSON.parse(await terminal.sees(new RegExp(`"name":"${name}.*"is":"${is}"`)))
}

/** What `done` was, each time that it was said of this file */
const progressOf = ({ errors }: Terminal, name: string): number[] => errors.map(line => JSON.parse(line))
  .filter(({ type, what }) => type === 'progress' && what === name)
  .map(({ done }) => done)

const bytesOf = (size: number): Buffer => randomFillSync(Buffer.alloc(size))

describe('sheaf send and receive', function () {
  this.timeout(4 * PATIENCE)
  const place = newPlace()
  const inbox = (name = ''): string => join(place.dir, 'in', name)
  const names = async (): Promise<string[]> => (await readdir(inbox())).sort()
  const expectEqual = async (name: string, bytes: Uint8Array): Promise<void> => {
    expect(Buffer.compare(await readFile(inbox(name)), bytes)).to.equal(0)
  }

  const sizeOf = (name: string): number => statSync(inbox(`${name}.part`), { throwIfNoEntry: false })?.size ?? 0
  /** A piece of a leaf is of no use */
  const wholeLeaves = (name: string): number => sizeOf(name) - sizeOf(name) % LEAF
  /** More than so many bytes, and not all */
  const untilHere = async (name: string, bytes: number): Promise<void> => {
    await eventually(`not more than ${bytes} bytes came`, () => sizeOf(name) > bytes)
  }

  beforeEach(async () => mkdir(inbox()))
  afterEach(stopStrangers)

  /** Another program than `sheaf send`, which says of its files what it wants */
  async function stranger (address: string): Promise<{ offer (bytes: Uint8Array, meta: unknown): OutboundTransfer }> {
    const node = await startStranger()
    const { remotePeer } = await node.dial(multiaddr(address))
    return {
      offer (bytes, meta) {
        const text = typeof meta === 'string' ? meta : JSON.stringify(meta)
        return node.services.transfers.send(remotePeer, bytes, { protocol: 'sheaf/file', meta: new TextEncoder().encode(text) })
      }
    }
  }

  async function outcome ({ done }: OutboundTransfer): Promise<string> {
    return done.then(() => 'done', err => err.reason)
  }

  it('take a file as it is, an empty one too, overwrite none, and end on Ctrl-C', async () => {
    const large = bytesOf(3 * LEAF + 1)
    await Promise.all([
      writeFile(join(place.dir, 'large.bin'), large),
      writeFile(join(place.dir, 'empty'), ''),
      writeFile(join(place.dir, 'report.tar.gz'), 'new'),
      writeFile(inbox('report.tar.gz'), 'old')
    ])
    const { terminal, address } = await receiving(place.dir)
    const send = async (name: string): Promise<Ended> => run(place.dir, ['send', name, address])
    const sent = await Promise.all(['large.bin', 'empty', 'report.tar.gz'].map(send))
    sent.forEach(({ code, errors }) => { expect([code, errors]).to.deep.equal([0, []]) })
    expect(sent[0].lines[1]).to.match(/^large\.bin is stored there: 197 kB in .* s, .*B\/s$/)

    await expectEqual('large.bin', large)
    await expectEqual('report.tar.gz', Buffer.from('old'))
    await expectEqual('report-2.tar.gz', Buffer.from('new'))
    expect(await names()).to.deep.equal(['empty', 'large.bin', 'report-2.tar.gz', 'report.tar.gz'])
    expect(await eventOf(terminal, 'stored', 'report')).to.deep.include({ path: 'in/report-2.tar.gz', size: 3, from: 0 })

    // Ctrl-C ends one side as a shell wants it, and the other one keeps what is there and goes on
    await writeFile(join(place.dir, 'middle.bin'), bytesOf(MIDDLE))
    const sending = new Terminal(place.dir, ['send', 'middle.bin', address])
    await untilHere('middle.bin', 0)
    sending.signal('SIGINT')
    expect([await sending.ended(), sending.errors]).to.deep.equal([130, []])
    const isNoted = (): boolean => terminal.errors.some(line => /"Interrupted: middle.bin from .*it goes on"/.test(line))
    await eventually('it was not said', isNoted)
    expect(await names()).to.include('middle.bin.part').and.not.include('middle.bin')
    terminal.signal('SIGINT')
    expect(await terminal.ended()).to.equal(0)
  })

  it('send only the rest when the sender was killed, and then both, and are started again', async () => {
    const large = bytesOf(LARGE)
    await writeFile(join(place.dir, 'large.bin'), large)
    const first = await receiving(place.dir)
    const killed = new Terminal(place.dir, ['send', 'large.bin', first.address, '--json'])
    await untilHere('large.bin', LARGE / 4)
    killed.signal('SIGKILL')
    await killed.ended()
    expect(await names()).to.deep.equal(['large.bin.part'])
    expect((await eventOf(first.terminal, 'begun')).from).to.equal(0)
    const before = wholeLeaves('large.bin')

    const again = new Terminal(place.dir, ['send', 'large.bin', first.address, '--json'])
    const { from } = await eventOf(again, 'begun')
    expect(from).to.be.at.least(before).and.below(LARGE / 2)
    expect((await eventOf(first.terminal, 'begun')).from).to.equal(from)
    await untilHere('large.bin', LARGE / 2)
    ;[again, first.terminal].forEach(terminal => { terminal.signal('SIGKILL') })
    await Promise.all([again.ended(), first.terminal.ended()])
    expect(Math.min(...progressOf(again, 'large.bin'))).to.be.at.least(from)
    const half = wholeLeaves('large.bin')

    const second = await receiving(place.dir)
    expect(second.address).not.to.equal(first.address)
    const last = new Terminal(place.dir, ['send', 'large.bin', second.address, '--json'])
    expect(await last.ended()).to.equal(0)
    expect((await eventOf(second.terminal, 'begun')).from).to.equal(half)
    expect((await eventOf(last, 'stored')).from).to.equal(half)
    expect(Math.min(...progressOf(last, 'large.bin'))).to.be.at.least(half)
    expect(progressOf(last, 'large.bin').at(-1)).to.equal(LARGE)
    await expectEqual('large.bin', large)
    expect(await names()).to.deep.equal(['large.bin'])
  })

  it('go on by themselves when the receiver was killed and is started again at its address', async () => {
    const middle = bytesOf(MIDDLE)
    await writeFile(join(place.dir, 'middle.bin'), middle)
    const killed = await receiving(place.dir, '--store', 'key')
    const sending = new Terminal(place.dir, ['send', 'middle.bin', killed.address, '--json'])
    await untilHere('middle.bin', MIDDLE / 3)
    killed.terminal.signal('SIGKILL')
    await killed.terminal.ended()
    const here = wholeLeaves('middle.bin')

    const again = await receiving(place.dir, '--store', 'key', '--listen', `/ip4/127.0.0.1/tcp/${killed.port}`)
    expect(again.address).to.equal(killed.address)
    expect(await sending.ended()).to.equal(0)
    const said = sending.errors.map(line => JSON.parse(line)).filter(({ type }) => type !== 'progress')
    expect(said.map(({ message }) => message.slice(6))).to.deep.equal([' is out of reach; it has a minute to come back'])
    expect((await eventOf(again.terminal, 'stored')).from).to.be.at.least(here)
    await expectEqual('middle.bin', middle)
    expect(await names()).to.deep.equal(['middle.bin'])
  })

  it('reject every name that is none for a file in the directory, and all when that is gone', async () => {
    const { terminal, address } = await receiving(place.dir)
    const { offer } = await stranger(address)
    const wrong = [
      '', '.', '..', '.hidden', '-rf', '/etc/x', '../x', 'a/b', 'a\\b',
      'a\u0000b', 'a\nb', 'a\u001b[31m', 'a\u009bb', 'a\u202etxt.exe', 'a\u2028b',
      'x'.repeat(256), '\ud800', 5, null, ['x'], { toString: 'x' }
    ]

    for (const meta of [...wrong.map(name => ({ name })), 'no JSON', 'null', '"x"', '{}', '\u00ff']) {
      expect([meta, await outcome(offer(bytesOf(1), meta))]).to.deep.equal([meta, 'rejected'])
    }

    expect(await names()).to.deep.equal([])
    expect(await readdir(place.dir)).to.deep.equal(['in'])
    const note = /^{"type":"note","message":"Rejected: a file from \w+: its name/
    expect(terminal.errors.filter(line => !note.test(line))).to.deep.equal([])
    expect(terminal.errors).to.have.lengthOf(26)
    // nor can anything be written where no directory is any more
    await rm(inbox(), { recursive: true })
    expect(await outcome(offer(bytesOf(1), { name: 'x' }))).to.equal('rejected')
    expect(terminal.errors.at(-1)).to.match(/"Rejected: x from \w+: in is not there any more"/)
    await mkdir(inbox())
    // it goes on, and takes the longest names that a file can have
    const long = `${'x'.repeat(251)}.txt`
    expect(await outcome(offer(bytesOf(LEAF), { name: long }))).to.equal('done')
    expect(await outcome(offer(bytesOf(LEAF), { name: long }))).to.equal('done')
    expect(await names()).to.deep.equal([`${'x'.repeat(249)}-2.txt`, long])
  })

  it('reject names that Windows reads as something else, on Windows only', () => {
    const names = ['NUL', 'con.txt', 'COM1', 'lpt9.log', 'a:b', 'a?', 'x.', 'x ', 'a|b']
    expect(names.filter(name => isSafeName(name, 'win32'))).to.deep.equal([])
    expect(names.filter(name => !isSafeName(name, 'linux'))).to.deep.equal([])
    expect(['null', 'console.txt', 'com10', 'a.b', 'x y'].filter(name => !isSafeName(name, 'win32'))).to.deep.equal([])
  })

  it('write two files of one name apart, and let a file alone that only has the name of a part', async () => {
    const others = bytesOf(2 * LEAF)
    await writeFile(inbox('movie.part'), others)
    const { address } = await receiving(place.dir)
    const { offer } = await stranger(address)
    const payloads = [bytesOf(40 * LEAF), bytesOf(40 * LEAF + 5), bytesOf(30 * LEAF)]
    const same = payloads[0].slice()
    const sent = [...payloads, same].map((payload, i) => offer(payload, { name: 'movie', i }))
    expect(await Promise.all(sent.map(outcome))).to.deep.equal(['done', 'done', 'done', 'done'])
    expect(await names()).to.deep.equal(['movie', 'movie-2', 'movie-3', 'movie-4', 'movie.part'])
    await expectEqual('movie.part', others)
    const came = await Promise.all(['movie', 'movie-2', 'movie-3', 'movie-4'].map(async name => readFile(inbox(name))))
    expect(came.sort(Buffer.compare)).to.deep.equal([...payloads, same].sort(Buffer.compare))
  })

  it('say when there is no room left while it is written, and keep what is there', async () => {
    // no file of this shell's may have more than 128 blocks of 1 KiB
    const terminal = new Terminal(place.dir, ['receive', 'in', '--json'], {}, 'ulimit -f 128; exec "$0" "$@"')
    const { send } = JSON.parse(await terminal.sees(/"type":"receiving"/))
    const { offer } = await stranger(send.split(' ')[3])
    expect(await outcome(offer(bytesOf(4 * LEAF), { name: 'x' }))).to.equal('stopped')
    const note = /"Interrupted: x from \w+: there is no more room in in; 131 kB are here, sent again it goes on"/
    await eventually('it was not said', () => terminal.errors.some(line => note.test(line)))
    expect(await outcome(offer(bytesOf(LEAF), { name: 'y' }))).to.equal('done')
    expect(await names()).to.deep.equal(['x.part', 'y'])
  })

  it('reach each other by way of a node that both have joined', async () => {
    const relay = await start(place.dir, '--store', 'memory')
    const { terminal, address } = await receiving(place.dir, '--join', relay.address)
    expect(address).to.match(/^\w+ --join \/ip4\//)
    await writeFile(join(place.dir, 'file'), 'over a relay')
    const sent = await run(place.dir, ['send', 'file', ...address.split(' ')])
    expect([sent.code, sent.errors]).to.deep.equal([0, []])
    await eventOf(terminal, 'stored', 'file')
    await expectEqual('file', Buffer.from('over a relay'))
    // the relay itself takes none, and says so at once
    const refused = await run(place.dir, ['send', 'file', relay.address])
    expect([refused.code, refused.errors.length]).to.deep.equal([1, 1])
    expect(refused.errors[0]).to.match(/^\w{6} does not take file: it says why where it runs, if that is 'sheaf receive'$/)
  })

  it('say what they take, with examples, in lines of 80 columns', async () => {
    for (const command of ['send', 'receive']) {
      const { code, lines } = await run(place.dir, [command, '--help'])
      expect(code).to.equal(0)
      expect(lines.join('\n')).to.include(`\n  sheaf ${command}`).and.include('--json').and.include('SHEAF_')
      expect(lines.filter(line => line.length > 80)).to.deep.equal([])
    }
  })
})
