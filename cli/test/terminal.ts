import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'aegir/chai'
import { ROOT } from './chromium.ts'
import type { ChildProcessWithoutNullStreams } from 'node:child_process'

const { bundle } = await import(new URL('scripts/bundle.js', ROOT).href)

/** The command as it lies in the repository, but in few files: nothing has to be built, and hundreds of starts are quick */
const { files: { sheaf: BIN }, compileCache } = await bundle([new URL('../src/sheaf.ts', import.meta.url)])

/** For what is not in those: workers */
const FROM_SOURCE = ['--conditions=sheaf-source']

/** As Node is where nobody has set anything: what runs the tests sets options of its own */
const PLAIN = { NODE_COMPILE_CACHE: compileCache, NODE_NO_WARNINGS: '1', NODE_OPTIONS: '' }

/** It was not started by npm, whatever started the tests */
const INSTALLED = { npm_command: '', npm_lifecycle_event: '' }

/** Milliseconds that anything may take: a busy machine starts a process in five seconds, and measures itself in twenty-five */
export const PATIENCE = 60_000

/** Milliseconds between two looks at a condition of which nobody sends word */
const LOOK_INTERVAL = 5

/** Tests that are under way at the same time: each of them mostly waits for processes to start, or for one that waits itself */
const AT_ONCE = 2

/** Every process that a test started */
const running = new Set<Terminal>()

/** A process, and what its terminal shows */
export class Terminal {
  readonly lines: string[] = []
  readonly errors: string[] = []
  /** All that stdout said, as it came */
  shown = ''
  /** Where it runs */
  readonly dir: string
  readonly #child: ChildProcessWithoutNullStreams
  readonly #closed: Promise<unknown[]>
  #onLine = (): void => {}

  /** `shell`: what a shell does first, and then becomes the command: "$0" "$@" */
  constructor (dir: string, args: string[], env: NodeJS.ProcessEnv = {}, shell?: string) {
    this.dir = dir
    const command = [process.execPath, ...FROM_SOURCE, BIN, ...args]
    const [program, ...rest] = shell == null ? command : ['bash', '-c', shell, ...command]
    // what Node thinks of the way in which the tests were started is no news
    this.#child = spawn(program, rest, { cwd: dir, env: { ...process.env, ...PLAIN, ...INSTALLED, ...env } })
    this.#closed = once(this.#child, 'close')
    this.#child.stdout.on('data', chunk => { this.shown += String(chunk) })
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
    return this.#lineIn(this.lines, what)
  }

  /** The same, of what it says aside */
  async says (what: RegExp | string): Promise<string> {
    return this.#lineIn(this.errors, what)
  }

  async #lineIn (lines: string[], what: RegExp | string): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    const shown = (): string => `${what}: not seen, but\n${[...this.lines, ...this.errors].join('\n')}`
    const timer = setTimeout(() => { reject(new Error(shown())) }, PATIENCE)
    this.#onLine = () => {
      const at = lines.findIndex(line => typeof what === 'string' ? line === what : what.test(line))

      if (at >= 0) {
        // the lines behind it are for the next who looks
        this.#onLine = () => {}
        resolve(lines.splice(at, 1)[0])
      } else if (!running.has(this)) {
        reject(new Error(shown()))
      }
    }
    this.#onLine()

    try {
      return await promise
    } finally {
      clearTimeout(timer)
      this.#onLine = () => {}
    }
  }

  /** Some keys, of which Enter is one */
  press (keys: string): void {
    this.#child.stdin.write(keys)
  }

  type (line: string): void {
    this.#child.stdin.write(`${line}\n`)
  }

  /** Ends the input, as a pipe does */
  endInput (): void {
    this.#child.stdin.end()
  }

  /** All of its input at once */
  pipe (input: string | Uint8Array): void {
    // it may end before it has read that
    this.#child.stdin.on('error', () => {})
    this.#child.stdin.end(input)
  }

  /** Reads no more of what it prints, as `head` does */
  stopReading (): void {
    this.#child.stdout.destroy()
  }

  signal (signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** With which code it ended, or by which signal */
  async ended (): Promise<unknown> {
    const timer = setTimeout(() => { this.signal('SIGKILL') }, PATIENCE)
    const [code, signal] = await this.#closed
    clearTimeout(timer)
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
export interface Introduced {
  terminal: Terminal
  /** By what others know it */
  name: string
  /** How many lines it says that there are */
  length: number
  address: string
  /** With which another one joins it */
  joinArgs: string[]
  /** Where its inspector is */
  inspector: string
}

export async function start (dir: string, ...args: string[]): Promise<Introduced> {
  const terminal = new Terminal(dir, ['peer', ...args])
  const [, name, length] = /^This is (\w+), with (\d+) lines? of/.exec(await terminal.sees(/^This is /)) as RegExpExecArray
  const address = (await terminal.sees(/^ {2}\/ip4\/.*\/tcp\/\d+\/p2p\//)).trim()
  await terminal.sees(/^ {2}\/ip4\/.*\/ws\//)
  await terminal.sees('In another terminal:')
  const joinArgs = (await terminal.sees(/^ {2}sheaf peer /)).trim().split(' ').slice(2)
  await terminal.sees('What it does, in a browser:')
  const inspector = (await terminal.sees(/^ {2}http:/)).trim()
  return { terminal, name, length: Number(length), address, joinArgs, inspector }
}

/** How a command ended, and what it said until then */
export interface Ended {
  code: unknown
  lines: string[]
  errors: string[]
  shown: string
}

/** Runs a command to its end; `input` is what is piped into it */
export async function run (dir: string, args: string[], { input = '', env, shell }: { input?: string | Uint8Array, env?: NodeJS.ProcessEnv, shell?: string } = {}): Promise<Ended> {
  const terminal = new Terminal(dir, args, env, shell)
  terminal.pipe(input)
  return { code: await terminal.ended(), lines: terminal.lines, errors: terminal.errors, shown: terminal.shown }
}

/** Where a test is, and all that it starts */
export interface Place {
  readonly dir: string
}

/** A directory of its own for some work: when that is over, so is what runs in it */
export async function inPlace (work: (place: Place) => Promise<void>): Promise<void> {
  const dir = await makePlace()

  try {
    await work({ dir })
  } finally {
    await clear(dir)
  }
}

async function makePlace (): Promise<string> {
  return mkdtemp(join(tmpdir(), 'sheaf-'))
}

async function clear (dir: string): Promise<void> {
  const left = [...running].filter(terminal => terminal.dir === dir)
  left.forEach(terminal => { terminal.signal('SIGKILL') })
  await Promise.all(left.map(async terminal => terminal.ended()))
  await rm(dir, { recursive: true, force: true })
}

/** The same for tests that have both cores busy: one after the other */
export function newPlace (): Place {
  const place = { dir: '' }
  beforeEach(async () => { place.dir = await makePlace() })
  afterEach(async () => { await clear(place.dir) })
  return place
}

/**
 * What to call in the place of `it()`: each test has a directory to itself, and while it runs the next ones of its file have begun.
 * They are reported one after the other
 */
export function testsInPlaces (): (title: string, work: (place: Place) => Promise<void>) => void {
  const begun = new Map<number, Promise<PromiseSettledResult<void>>>()
  const works: Array<(place: Place) => Promise<void>> = []

  const outcomeOf = async (i: number): Promise<PromiseSettledResult<void>> => {
    const outcome = begun.get(i) ?? Promise.allSettled([inPlace(works[i])]).then(([outcome]) => outcome)
    begun.set(i, outcome)
    return outcome
  }

  // where a word was asked for, some have begun that are not reported
  after(async () => { await Promise.all(begun.values()) })

  return (title, work) => {
    const i = works.push(work) - 1

    it(title, async () => {
      for (let next = i; next < Math.min(i + AT_ONCE, works.length); next++) {
        void outcomeOf(next)
      }

      const outcome = await outcomeOf(i)

      if (outcome.status === 'rejected') {
        throw outcome.reason
      }
    })
  }
}

/** Resolves when a condition holds of which nobody sends word */
export async function eventually (what: string, condition: () => boolean): Promise<void> {
  const deadline = performance.now() + PATIENCE

  while (!condition()) {
    if (performance.now() > deadline) {
      throw new Error(`Waited ${PATIENCE} ms in vain: ${what}`)
    }
    await sleep(LOOK_INTERVAL)
  }
}
