import { FLAGS, variableOf } from './flags.ts'
import { inLines, WIDTH } from './text.ts'
import type { Event } from './events.ts'
import type { Flag, Initially, Options } from './flags.ts'
import type { Node } from './node.ts'
import type { Terminal } from './terminal.ts'
import type { SharedLog } from 'libp2p-sheaf'

interface CommandFace {
  /** What stands behind it and is no flag */
  takes?: string
  /** In a few words */
  about: string
  /** More about it, in whole sentences */
  more: string
  examples: Array<[line: string, does: string]>
  flags: readonly Flag[]
  /** Of those flags that have another value here than elsewhere when nobody sets them */
  initially?: Initially
  /** Ctrl-C is how it ends, and no failure */
  isEndless (options: Options): boolean
  /** How a person reads what it says */
  words (event: Event, options: Options): string | Uint8Array | undefined
}

/** What is done on an open log, here or in the process that has the store */
export interface WorkContext {
  node: Node
  log: SharedLog
  /** Somebody was joined for it: the others are to have a say */
  isJoined: boolean
  /** The node was there before, and goes on */
  isRunning: boolean
  /** Undefined: in memory */
  store?: string
  options: WorkOptions
  /** What stands behind the command, or comes from stdin */
  input: AsyncIterable<Uint8Array>
  signal: AbortSignal
}

/** What a process that has the store needs to know */
export interface WorkOptions {
  follow: boolean
  /** Only so many of those that were there before */
  last?: number
  /** How many entries `input` has, if that is known */
  total?: number
}

export interface LogCommand extends CommandFace {
  /** Makes a store where there is none: what only looks does not */
  isWriting: boolean
  /** It waits for what comes, so something has to be kept here */
  isKeeping (options: Options): boolean
  work (context: WorkContext): AsyncGenerator<Event>
}

export interface ProcessCommand extends CommandFace {
  run (options: Options, terminal: Terminal, signal: AbortSignal): Promise<void>
}

export type Command = LogCommand | ProcessCommand

/** Letters of the first column */
const FIRST_WIDTH = 30

/** Of all commands */
export function helpOfAll (commands: Record<string, Command>): string {
  return `A log that several peers share, and files from one peer to another.

${table(Object.entries(commands).map(([name, { about }]) => [`sheaf ${name}`, about]))}

'sheaf COMMAND --help' says more, with examples.`
}

export function helpOf (name: string, { takes, more, flags, examples, initially = {} }: Command): string {
  return `sheaf ${[name, takes, '[FLAGS]'].filter(part => part != null).join(' ')}

${inLines(more, WIDTH).join('\n')}

${table(flags.map(flag => [nameOf(flag), aboutOf(flag, initially)]))}

${table(examples.map(([line, does]) => [line, does]))}

A flag can be set in the environment, too: ${variableOf(flags[0])} is --${flags[0]}, and so on.
What is typed goes before it; on and off are 1 and 0, and where a flag may be
repeated there are commas between.`
}

function nameOf (flag: Flag): string {
  const { short, takes } = FLAGS[flag]
  return [short == null ? `--${flag}` : `-${short}, --${flag}`, takes].filter(part => part != null).join(' ')
}

function aboutOf (flag: Flag, initially: Initially): string {
  const { about } = FLAGS[flag]
  const counts = initially[flag] ?? FLAGS[flag].initially ?? []
  return counts.length === 1 ? `${about} (default: ${counts[0]})` : about
}

/** Two columns, of which the second is broken into lines. What is too long for the first has a line of its own */
function table (rows: Array<[string, string]>): string {
  const left = Math.min(FIRST_WIDTH, Math.max(...rows.map(([name]) => name.length))) + 2

  return rows.map(([name, about]) => {
    const lines = inLines(about, WIDTH - left - 2).map(line => `  ${''.padEnd(left)}${line}`)
    return name.length > left - 2
      ? [`  ${name}`, ...lines].join('\n')
      : [`  ${name.padEnd(left)}${lines[0].slice(left + 2)}`, ...lines.slice(1)].join('\n')
  }).join('\n')
}
