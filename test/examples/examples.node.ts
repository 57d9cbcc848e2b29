import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'aegir/chai'
import { eventually } from '../fixtures/directsub.ts'
import type { ChildProcess } from 'node:child_process'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const ADDRESS = /\/ip4\/\S+/
/** So that node finds this package by its name, as a program that has installed it does */
const SCRATCH = join(ROOT, '.cache')
/** Milliseconds that a busy machine may take to start a program, and that to say something */
const PATIENCE = 60_000

interface Program {
  child: ChildProcess
  /** What it has printed */
  said (): string
  /** With which code it has ended */
  ended: Promise<number>
}

/** Programs that a test started: none is left behind */
const running = new Set<ChildProcess>()

function run (file: string, ...args: string[]): Program {
  const child = spawn(process.execPath, ['--conditions=sheaf-source', file, ...args])
  let said = ''
  running.add(child)
  child.stdout.on('data', chunk => { said += String(chunk) })
  child.stderr.on('data', chunk => { said += String(chunk) })
  const ended = once(child, 'close').then(([code]) => {
    running.delete(child)
    return code
  })
  return { child, said: () => said, ended }
}

async function says (program: Program, what: RegExp): Promise<string> {
  await eventually(() => `it only says: ${program.said()}`, () => what.test(program.said()), PATIENCE)
  return (what.exec(program.said()) as RegExpExecArray)[0]
}

const example = (name: string): string => join(ROOT, 'examples', name, 'index.ts')

describe('examples', function () {
  this.timeout(3 * PATIENCE)
  let dir: string

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'sheaf-examples-'))
  })

  afterEach(async () => {
    running.forEach(child => { child.kill('SIGKILL') })
    await eventually('a program does not end', () => running.size === 0)
    await rm(dir, { recursive: true })
  })

  it('services: two nodes exchange an entry, a message, a sealed message and a transfer', async () => {
    const first = run(example('services'), join(dir, '1'))
    const second = run(example('services'), join(dir, '2'), await says(first, ADDRESS))
    await Promise.all([first, second].map(async program => says(program, /has all four/)))
    const [, author] = /(\w+) has all four/.exec(first.said()) as RegExpExecArray

    for (const kind of ['log: an entry', 'pubsub: a message', 'session: a sealed message']) {
      expect(first.said()).to.include(`${kind} from ${author}`)
    }
    await says(first, /transfer: 1000000 bytes/)
    first.child.kill('SIGINT')
    expect(await first.ended).to.equal(0)
  })

  it('to-do: three processes agree on a list, and two of them when one was killed', async () => {
    const program = run(example('to-do'))
    expect(await program.ended, program.said()).to.equal(0)
    expect(program.said()).to.include('bob and eve agree')
  })

  it('relay: sealed messages arrive once and in order, although a relay is killed', async () => {
    const program = run(example('relay'))
    expect(await program.ended, program.said()).to.equal(0)
    expect(program.said().match(/message \d+/g)).to.deep.equal(Array.from({ length: 20 }, (_, i) => `message ${i + 1}`))
    expect(program.said()).to.include('each once: true')
  })

  it('file-share: files of one directory come to another one', async () => {
    const [theirs, ours] = [join(dir, 'theirs'), join(dir, 'ours')]
    const file = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i % 251))
    await mkdir(theirs)
    await writeFile(join(theirs, 'film.bin'), file)
    const first = run(example('file-share'), theirs)
    const second = run(example('file-share'), ours, await says(first, ADDRESS))
    await says(second, /fetched film.bin/)
    expect(Buffer.compare(await readFile(join(ours, 'film.bin')), file)).to.equal(0)
  })
})

describe('programs in the documents', function () {
  this.timeout(3 * PATIENCE)
  const dirs: string[] = []

  /** The program of a heading, where node finds what it imports */
  function programOf (document: string, heading: string): string {
    const text = readFileSync(join(ROOT, document), 'utf8')
    const [, code] = /```TypeScript\n(.*?)```/s.exec(text.slice(text.indexOf(`\n## ${heading}\n`))) as RegExpExecArray
    const dir = mkdtempSync(join(SCRATCH, 'document-'))
    const file = join(dir, 'program.ts')
    dirs.push(dir)
    writeFileSync(file, code)
    return file
  }

  before(async () => {
    await mkdir(SCRATCH, { recursive: true })
  })

  afterEach(async () => {
    running.forEach(child => { child.kill('SIGKILL') })
    await eventually('a program does not end', () => running.size === 0)
    dirs.splice(0).forEach(dir => { rmSync(dir, { recursive: true }) })
  })

  it('the quickstart of the README, run twice, shows what both said, at both', async () => {
    const file = programOf('README.md', 'Quickstart')
    const first = run(file)
    const line = await says(first, /node notes.mjs \S+/)
    const second = run(file, line.split(' ')[2])

    for (const program of [first, second]) {
      await eventually(() => program.said(), () => program.said().match(/says hello/g)?.length === 2, PATIENCE)
    }
  })

  it('publishing and subscribing of the guide, run twice, says who has a message', async () => {
    const file = programOf('docs/guide.md', 'Publish and subscribe')
    const first = run(file)
    const second = run(file, await says(first, ADDRESS))
    await Promise.all([first, second].map(async program => says(program, /1 peers have it/)))
    await says(first, /on news: hello/)
  })

  it('the node of the guide that remembers is the same one when it is started again', async () => {
    const file = programOf('docs/guide.md', 'A node that remembers')
    const store = join(dirs[0], 'notes')
    const first = run(file, store)
    const name = await says(first, /p2p\/\w+/)
    first.child.kill('SIGKILL')
    await first.ended
    expect(await says(run(file, store), /p2p\/\w+/)).to.equal(name)
  })

  for (const [heading, shows] of [['A database', '1 { name: \'Ada\' }'], ['A log without a network', 'added']]) {
    it(`'${heading}' of the guide runs to its end`, async () => {
      const program = run(programOf('docs/guide.md', heading))
      await says(program, new RegExp(shows))
    })
  }
})
