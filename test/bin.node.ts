import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { expect } from 'aegir/chai'
import { systemClock } from '../src/runtime/clock.ts'
import { deleteStores, temporaryDirectory } from './fixtures/datastores.ts'
import type { ChildProcessWithoutNullStreams } from 'node:child_process'

const BIN = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? '../bin/sheaf.ts' : '../bin/sheaf.js', import.meta.url))

/** Milliseconds that anything may take: a busy machine starts a process in five seconds */
const PATIENCE = 30_000

/** Every process that a test started */
const running = new Set<Terminal>()

/** A process, and what its terminal shows */
class Terminal {
  readonly lines: string[] = []
  readonly errors: string[] = []
  readonly #child: ChildProcessWithoutNullStreams
  readonly #closed: Promise<unknown[]>
  #onLine = (): void => {}

  constructor (dir: string, args: string[]) {
    // what Node thinks of the way in which the tests were started is no news
    this.#child = spawn(process.execPath, [BIN, ...args], { cwd: dir, env: { ...process.env, NODE_NO_WARNINGS: '1' } })
    this.#closed = once(this.#child, 'close')
    createInterface({ input: this.#child.stdout }).on('line', line => { this.#hear(this.lines, line) })
    createInterface({ input: this.#child.stderr }).on('line', line => { this.#hear(this.errors, line) })
    running.add(this)
    this.#child.once('close', () => {
      running.delete(this)
      this.#onLine()
    })
  }

  /** Resolves with the first line that matches, which may be there already; each line is taken once */
  async sees (what: RegExp | string): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    const shown = (): string => `${what}: not seen, but\n${[...this.lines, ...this.errors].join('\n')}`
    const timer = systemClock.after(PATIENCE, () => { reject(new Error(shown())) })
    this.#onLine = () => {
      const at = this.lines.findIndex(line => typeof what === 'string' ? line === what : what.test(line))

      if (at >= 0) {
        // the lines behind it are for the next who looks
        this.#onLine = () => {}
        resolve(this.lines.splice(at, 1)[0])
      } else if (!running.has(this)) {
        reject(new Error(shown()))
      }
    }
    this.#onLine()

    try {
      return await promise
    } finally {
      timer.cancel()
      this.#onLine = () => {}
    }
  }

  type (line: string): void {
    this.#child.stdin.write(`${line}\n`)
  }

  /** Ends the input, as a pipe does */
  endInput (): void {
    this.#child.stdin.end()
  }

  signal (signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** With which code it ended, or by which signal */
  async ended (): Promise<unknown> {
    const timer = systemClock.after(PATIENCE, () => { this.signal('SIGKILL') })
    const [code, signal] = await this.#closed
    timer.cancel()
    return signal ?? code
  }

  /** Ctrl-C */
  async stop (): Promise<void> {
    this.signal('SIGINT')
    expect(await this.ended()).to.equal(0)
    expect(this.errors).to.deep.equal([])
  }

  #hear (lines: string[], line: string): void {
    lines.push(line)
    this.#onLine()
  }
}

/** What a node says when it is ready */
interface Introduced {
  terminal: Terminal
  /** By what others know it */
  name: string
  /** How many lines it says that there are */
  length: number
  address: string
  /** With which another one joins it */
  joinArgs: string[]
}

async function start (dir: string, ...args: string[]): Promise<Introduced> {
  const terminal = new Terminal(dir, args)
  const [, name, length] = /^This is (\w+), with (\d+) lines? of/.exec(await terminal.sees(/^This is /)) as RegExpExecArray
  const address = (await terminal.sees(/^ {2}\/ip4\/.*\/tcp\/\d+\/p2p\//)).trim()
  await terminal.sees(/^ {2}\/ip4\/.*\/ws\//)
  await terminal.sees('In another terminal:')
  const joinArgs = (await terminal.sees(/^ {2}npm start -- /)).trim().split(' ').slice(3)
  return { terminal, name, length: Number(length), address, joinArgs }
}

const STORED = '  (1 other has stored it)'
const ALONE = '  (stored here; nobody else is there yet)'

/** What it does not start with, and what it says about that */
const REFUSED: Array<[name: string, says: RegExp, args: string[]]> = [
  ['a flag that is unknown', /^Unknown option '--topic'/, ['--topic', 'x']],
  ['a share that is none', /^--replicate takes full, none or a part/, ['--replicate', '2']],
  ['an address that is none', /^--join takes an address/, ['--join', 'here']],
  ['a log without a name', /^--log and --store take a name/, ['--log', '']],
  ['a log with too long a name', /^--log: /, ['--store', 'memory', '--log', 'x'.repeat(1_000)]],
  ['a store that cannot be one', /^The store in \/dev\/null\/data cannot be opened/, ['--store', '/dev/null/data']],
  ['a place where it cannot listen', /^This node cannot listen on/, ['--store', 'memory', '--listen', '/ip4/192.0.2.1/tcp/1']],
  ['nobody at an address', /^Nobody answers at \/ip4\/127.0.0.1\/tcp\/1: is the other node still running/, ['--store', 'memory', '--join', '/ip4/127.0.0.1/tcp/1']]
]

describe('npm start', function () {
  this.timeout(4 * PATIENCE)
  let dir: string

  beforeEach(() => {
    dir = temporaryDirectory()
  })

  afterEach(async () => {
    const left = [...running]
    left.forEach(terminal => { terminal.signal('SIGKILL') })
    await Promise.all(left.map(async terminal => terminal.ended()))
    await deleteStores()
  })

  it('shows in each terminal what is typed in the other, and says who has stored it', async () => {
    const a = await start(dir)
    a.terminal.type('before you came')
    await a.terminal.sees(ALONE)
    // the line that it prints is all that the second one needs
    const b = await start(dir, ...a.joinArgs)
    await a.terminal.sees(`* ${b.name} is here, and keeps all of it`)
    await b.terminal.sees(`${a.name}> before you came`)
    a.terminal.type('from the first')
    await Promise.all([a.terminal.sees(STORED), b.terminal.sees(`${a.name}> from the first`)])
    b.terminal.type('from the second')
    await Promise.all([b.terminal.sees(STORED), a.terminal.sees(`${b.name}> from the second`)])
    await b.terminal.stop()
    await a.terminal.sees(`* ${b.name} is gone`)
    a.terminal.type('alone again')
    await a.terminal.sees(ALONE)
    await a.terminal.stop()
  })

  it('brings to each what was appended while it was off, and shows it in order when it starts again', async () => {
    const a = await start(dir)
    const b = await start(dir, ...a.joinArgs)
    a.terminal.type('1, both are there')
    await b.terminal.sees(`${a.name}> 1, both are there`)
    await a.terminal.stop()
    await b.terminal.sees(`* ${a.name} is gone`)
    b.terminal.type('2, the first is off')
    await b.terminal.sees(ALONE)

    const again = await start(dir, '--join', b.address)
    expect(again.name).to.equal(a.name)
    await again.terminal.sees(`${b.name}> 2, the first is off`)
    await again.terminal.sees('you> 1, both are there')
    await b.terminal.stop()
    await again.terminal.sees(`* ${b.name} is gone`)
    again.terminal.type('3, the second is off')
    await again.terminal.sees(ALONE)

    const back = await start(dir, '--join', again.address, '--store', './data2')
    expect(back.name).to.equal(b.name)
    await back.terminal.sees(`${a.name}> 3, the second is off`)
    await Promise.all([again.terminal.stop(), back.terminal.stop()])

    const { terminal, length } = await start(dir)
    expect(length).to.equal(3)
    await terminal.sees(/3, the second is off/)
    expect(terminal.lines).to.deep.equal(['you> 1, both are there', `${b.name}> 2, the first is off`])
    await terminal.stop()
  })

  it('shows the last twenty lines, keeps its key for itself, and takes its input from a pipe', async () => {
    const a = await start(dir)
    const typed = Array.from({ length: 25 }, (_, i) => `line ${i + 1}`)
    typed.forEach(line => { a.terminal.type(line) })
    a.terminal.endInput()
    for (let i = 0; i < typed.length; i++) {
      await a.terminal.sees(ALONE)
    }
    await a.terminal.stop()
    expect((await stat(join(dir, 'data/key'))).mode & 0o777).to.equal(0o600)

    const again = await start(dir)
    expect([again.name, again.length]).to.deep.equal([a.name, 25])
    await again.terminal.sees('you> line 25')
    expect(again.terminal.lines).to.deep.equal(typed.slice(5, 24).map(line => `you> ${line}`))
    await again.terminal.stop()
  })

  it('sends on what is typed where nothing is kept, and shows nothing that could steer a terminal', async () => {
    const a = await start(dir, '--log', 'another one', '--store', 'memory')
    expect(a.joinArgs.join(' ')).to.equal(`--join ${a.address} --store memory --log 'another one'`)
    const b = await start(dir, '--join', a.address, '--log', 'another one', '--store', './b', '--replicate', 'none')
    b.terminal.type('red \u001b[31m alert')
    await Promise.all([b.terminal.sees(STORED), a.terminal.sees(`${b.name}> red \ufffd[31m alert`)])
    await Promise.all([a.terminal.stop(), b.terminal.stop()])
  })

  it('ends at once on the second Ctrl-C', async () => {
    const { terminal } = await start(dir)
    // both are there before it can do anything about the first; two of a kind would be one
    terminal.signal('SIGSTOP')
    terminal.signal('SIGINT')
    terminal.signal('SIGTERM')
    terminal.signal('SIGCONT')
    expect(await terminal.ended()).to.equal(130)
  })

  it('says in one line that its store is in use, and what to do', async () => {
    await start(dir)
    const second = new Terminal(dir, [])
    expect(await second.ended()).to.equal(1)
    expect(second.errors).to.deep.equal(['./data is in use by another node that runs: give this one a store of its own, with --store ./data2'])
  })

  for (const [name, says, args] of REFUSED) {
    it(`ends with one line about ${name}`, async () => {
      const terminal = new Terminal(temporaryDirectory(), args)
      expect(await terminal.ended()).to.equal(1)
      expect(terminal.errors).to.have.lengthOf(1)
      expect(terminal.errors[0]).to.match(says)
    })
  }

  it('says what it takes', async () => {
    const terminal = new Terminal(dir, ['--help'])
    expect(await terminal.ended()).to.equal(0)
    expect(terminal.lines.join('\n')).to.include('--replicate SHARE')
  })
})
