#!/usr/bin/env node
/**
 * The command: a log that several peers share, and files from one peer to another, from a terminal
 */
import './supported-node.ts'
import { readFileSync } from 'node:fs'
import module from 'node:module'
import { bench } from './bench.ts'
import { helpOf, helpOfAll } from './command.ts'
import { FailedError, oneLine, ReaderGoneError, UsageError } from './errors.ts'
import { parse, variableOf } from './flags.ts'
import { nearest } from './nearest.ts'
import { ownName } from './own-name.ts'
import { peer } from './peer.ts'
import { receive } from './receive.ts'
import { send } from './send.ts'
import { Terminal } from './terminal.ts'
import { WORKS } from './works.ts'
import type { Command } from './command.ts'
import type { Options } from './flags.ts'

const COMMANDS: Record<string, Command> = { peer, ...WORKS, send, receive, bench }

/** As a shell says it of who was ended by Ctrl-C */
const INTERRUPTED = 130

const say = (text: string): void => { process.stdout.write(`${text}\n`) }

/** With which code to end */
async function main ([name, ...args]: string[]): Promise<number> {
  if (name === '--version') {
    say(`sheaf ${version()}, Node ${process.versions.node}`)
    return 0
  }
  if (name === 'help' && args.length > 0) {
    return main([args[0], '--help'])
  }
  if (name === '--help' || name === '-h' || name === 'help') {
    say(helpOfAll(COMMANDS))
    return 0
  }

  const { command, options } = read(name, args)

  if (options.help) {
    say(helpOf(name, command))
    return 0
  }

  const stop = new AbortController()
  const terminal = new Terminal({
    json: options.json,
    words: event => command.words(event, options),
    stdout: process.stdout,
    stderr: process.stderr,
    now: () => performance.now(),
    onGone: err => { stop.abort(err) }
  })
  stopOnSignal(stop)

  try {
    await run(name, command, options, terminal, stop.signal)
  } catch (err: any) {
    if (!stop.signal.aborted) {
      // what nobody has foreseen is told with the place where it happened
      const isForeseen = err instanceof FailedError || err.name === 'StoreFailedError'
      await terminal.print({ type: 'error', message: isForeseen ? oneLine(err) : err.stack })
      return err instanceof FailedError ? err.exitCode : 1
    }
  } finally {
    await terminal.end()
  }

  return stop.signal.aborted && !(stop.signal.reason instanceof ReaderGoneError) && !command.isEndless(options)
    ? INTERRUPTED
    : 0
}

function version (): string {
  const path = import.meta.url.endsWith('.ts') ? '../package.json' : '../../package.json'
  return JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')).version
}

function read (name: string | undefined, args: string[]): { command: Command, options: Options } {
  const names = Object.keys(COMMANDS).join(', ')

  if (name == null || !Object.hasOwn(COMMANDS, name)) {
    const meant = name == null ? undefined : nearest(name, Object.keys(COMMANDS))
    const wrong = name == null ? 'Say what to do' : `There is no command '${name}'`
    throw new UsageError(`${wrong}: ${meant == null ? '' : `is it ${meant}? There are `}${names} ` +
      `(${ownName()} --help says more)`)
  }

  const command = COMMANDS[name]
  return { command, options: parse(args, command.flags, command.takes != null, process.env, command.initially) }
}

async function run (
  name: string, command: Command, options: Options, terminal: Terminal, signal: AbortSignal
): Promise<void> {
  if ('run' in command) {
    await command.run(options, terminal, signal)
    return
  }

  // it takes a while to load: help and mistakes do without it
  const { perform } = await import('./perform.ts')

  for await (const event of perform(name as keyof typeof WORKS, options, signal)) {
    await terminal.print(event)
  }
}

/** Ends cleanly on the first Ctrl-C, at once on the second */
function stopOnSignal (stop: AbortController): void {
  const onSignal = (): void => {
    if (stop.signal.aborted) {
      process.exit(INTERRUPTED)
    }
    stop.abort()
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
}

// what is loaded later is there sooner the next time
module.enableCompileCache?.()

main(process.argv.slice(2)).then(code => process.exit(code), err => {
  // the flags are what is wrong, so they are not known yet
  const isJson = process.argv.includes('--json') || process.env[variableOf('json')] === '1'
  process.stderr.write(`${isJson ? JSON.stringify({ type: 'error', message: err.message }) : err.message}\n`)
  process.exit(err.exitCode ?? 1)
})
