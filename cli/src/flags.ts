import { isIP } from 'node:net'
import { parseArgs } from 'node:util'
import { multiaddr } from '@multiformats/multiaddr'
import { oneLine, UsageError } from './errors.ts'
import { nearest } from './nearest.ts'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Replicate } from 'libp2p-sheaf'

export const MEMORY = 'memory'
export const DEFAULT_LOG = 'lobby'

/** What a node keeps, as it was typed and as it is meant */
export interface Share {
  text: string
  replicate: Replicate
}

/** Where to listen for HTTP */
export interface Bound {
  host: string
  port: number
}

interface FlagType<T> {
  /** What stands behind it; without one it is on or off */
  takes?: string
  short?: string
  about: string
  /** What counts where nobody says anything */
  initially?: string[]
  /** Of what was said of it, in order. What it throws is shown behind the name of the flag */
  read (texts: string[]): T
}

/** All there is to set: parsing, help and the names in the environment come from here */
export const FLAGS = {
  log: {
    takes: 'NAME',
    about: 'which log',
    initially: [DEFAULT_LOG],
    read: texts => named(texts)
  } as FlagType<string>,
  store: {
    takes: 'DIR',
    about: 'where the log and the key of the node are kept; each node has a store of its own; ' +
      `'${MEMORY}' keeps nothing`,
    initially: ['./data'],
    read: texts => named(texts)
  } as FlagType<string>,
  join: {
    takes: 'ADDRESS',
    about: 'connect to another node, which shows its address; may be repeated',
    read: texts => texts.map(address => addressed(address))
  } as FlagType<Multiaddr[]>,
  replicate: {
    takes: 'SHARE',
    about: 'what to keep: full, none, auto (as much as is needed for two copies of everything) or a part of the ring ' +
      'such as 0.25, which is about half of the entries, as each lies at two places (default: as the time before, ' +
      'at first full)',
    read: texts => texts.length === 0 ? undefined : shared(texts[texts.length - 1])
  } as FlagType<Share | undefined>,
  listen: {
    takes: 'ADDRESS',
    about: 'where to listen; may be repeated (default: TCP and WebSocket, on this machine only)',
    initially: ['/ip4/127.0.0.1/tcp/0', '/ip4/127.0.0.1/tcp/0/ws'],
    read: texts => texts.map(address => addressed(address).toString())
  } as FlagType<string[]>,
  inspect: {
    takes: 'PORT',
    about: 'where on this machine the inspector is: a page that shows this node at http://127.0.0.1:PORT/, and ' +
      'metrics for Prometheus at /metrics; 0: any port that is free; none: nowhere',
    initially: ['0'],
    read: texts => texts[texts.length - 1] === 'none' ? undefined : ported(texts[texts.length - 1])
  } as FlagType<number | undefined>,
  metrics: {
    takes: 'PORT',
    about: 'serve metrics at http://127.0.0.1:PORT/metrics as well; 0.0.0.0:PORT lets in other machines, which see ' +
      'nothing but metrics there',
    read: texts => texts.length === 0 ? undefined : boundTo(texts[texts.length - 1])
  } as FlagType<Bound | undefined>,
  last: {
    takes: 'N',
    short: 'n',
    about: 'of what was appended before, only the last N lines',
    read: texts => texts.length === 0 ? undefined : counted(texts[texts.length - 1])
  } as FlagType<number | undefined>,
  raw: {
    about: 'stdin, or each entry, byte for byte: all of stdin is one entry, and nothing is put between entries',
    read: texts => switched(texts)
  } as FlagType<boolean>,
  follow: {
    short: 'f',
    about: 'go on with what arrives from now on, until Ctrl-C',
    read: texts => switched(texts)
  } as FlagType<boolean>,
  json: {
    about: 'a line of JSON for everything: what was asked for on stdout; notes, progress and errors on stderr',
    read: texts => switched(texts)
  } as FlagType<boolean>,
  help: {
    short: 'h',
    about: 'this text',
    read: texts => switched(texts)
  } as FlagType<boolean>
}

export type Flag = keyof typeof FLAGS

export type Options = { [F in Flag]: ReturnType<typeof FLAGS[F]['read']> } & {
  /** What stands behind the command and is no flag */
  texts: string[]
}

/** ./data2 for ./data, ./data3 for ./data2 */
export function otherStore (store: string): string {
  const [, name, number] = /^(.*?)(\d*)\/*$/.exec(store) as RegExpExecArray
  return store === MEMORY ? MEMORY : `${name}${number === '' ? 2 : Number(number) + 1}`
}

/** The one rule for all of them */
export const variableOf = (flag: Flag): string => `SHEAF_${flag.toUpperCase()}`

const isMany = (flag: Flag): boolean => flag === 'join' || flag === 'listen'

/** Default values that a single command has of its own */
export type Initially = Partial<Record<Flag, string[]>>

/** What was typed counts, then the environment, then what counts where nobody says anything */
export function parse (
  args: string[], flags: readonly Flag[], takesTexts: boolean, env: NodeJS.ProcessEnv, initially: Initially = {}
): Options {
  const { values, positionals } = parsed(args, flags, takesTexts)
  const options: Record<string, unknown> = { texts: positionals }

  for (const flag of Object.keys(FLAGS) as Flag[]) {
    const { read } = FLAGS[flag]
    const isWanted = flags.includes(flag)
    const typed = values[flag]?.map(String)
    const set = isWanted ? setIn(env, flag) : undefined

    try {
      options[flag] = read(typed ?? set ?? initially[flag] ?? FLAGS[flag].initially ?? [])
    } catch (err: any) {
      throw new UsageError(`${typed == null ? variableOf(flag) : `--${flag}`} takes ${oneLine(err)}`)
    }
  }

  return options as Options
}

function setIn (env: NodeJS.ProcessEnv, flag: Flag): string[] | undefined {
  const text = env[variableOf(flag)] ?? ''

  if (text !== '') {
    return isMany(flag) ? text.split(',') : [text]
  }
}

function parsed (
  args: string[], flags: readonly Flag[], takesTexts: boolean
): { values: Partial<Record<Flag, Array<string | boolean>>>, positionals: string[] } {
  const known = flags.map(flag => {
    const { takes, short } = FLAGS[flag]
    return [flag, {
      type: takes == null ? 'boolean' as const : 'string' as const,
      multiple: true as const,
      ...(short == null ? {} : { short })
    }] as const
  })

  try {
    return parseArgs({ args, options: Object.fromEntries(known), allowPositionals: takesTexts })
  } catch (err: any) {
    const [, wrong] = /^Unknown option '--([^']+)'/.exec(err.message) ?? []
    const meant = wrong == null ? undefined : nearest(wrong, flags)
    // what follows is about words that begin with a dash
    throw new UsageError(`${oneLine(err).replace(/\. .*/, '')}${meant == null ? '' : `: is it --${meant}?`} ` +
      '(--help says what it takes)')
  }
}

function named (texts: string[]): string {
  const name = texts[texts.length - 1]

  if (name === '') {
    throw new Error('a name that is not empty')
  }
  return name
}

function addressed (text: string): Multiaddr {
  try {
    return multiaddr(text.trim())
  } catch (err: any) {
    throw new Error(`an address such as /ip4/127.0.0.1/tcp/4001, not '${text}': ${err.message}`)
  }
}

/** Also of what a store remembers */
export function shared (text: string): Share {
  const words: Record<string, Replicate> = { full: true, none: false, auto: { limits: {} } }
  const factor = Number(text)

  if (Object.hasOwn(words, text)) {
    return { text, replicate: words[text] }
  }
  if (!(factor > 0 && factor <= 1)) {
    throw new Error(`full, none, auto or a part such as 0.25, not '${text}'`)
  }
  return { text, replicate: { factor } }
}

function ported (text: string): number {
  const port = Number(text)

  if (!/^\d+$/.test(text) || port > 65_535) {
    throw new Error(`a port from 0 to 65535, or none, not '${text}'`)
  }
  return port
}

/** A port, on this machine alone, or the address of this machine and a port: 0.0.0.0:9464, [::]:9464 */
function boundTo (text: string): Bound {
  const [, host = '127.0.0.1', digits] = /^(?:\[?([\d.a-fA-F:]*?)\]?:)?(\d+)$/.exec(text) ?? []
  const port = Number(digits)

  if (!(port <= 65_535) || isIP(host) === 0) {
    throw new Error(`a port from 0 to 65535, or an address and a port such as 0.0.0.0:9464, not '${text}'`)
  }
  return { host, port }
}

function counted (text: string): number {
  if (!/^\d{1,15}$/.test(text)) {
    throw new Error(`a number of lines, not '${text}'`)
  }
  return Number(text)
}

function switched (texts: string[]): boolean {
  const text = texts.length === 0 ? 'false' : texts[texts.length - 1]

  if (!['true', '1', 'false', '0'].includes(text)) {
    throw new Error(`1 or 0, not '${text}'`)
  }
  return text === 'true' || text === '1'
}
