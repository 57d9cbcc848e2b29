import { parseArgs } from 'node:util'
import { multiaddr } from '@multiformats/multiaddr'
import type { Replicate } from '../src/index.ts'
import type { Multiaddr } from '@multiformats/multiaddr'

export const HELP = `npm start -- [--join ADDRESS ...] [--log NAME] [--store DIR] [--replicate SHARE] [--listen ADDRESS ...]

  --join ADDRESS     connect to another node; its terminal shows the address
  --log NAME         which log to open (default: lobby)
  --store DIR        where the log and the key of this node are kept; each node has a store of its own
                     (default: ./data); 'memory' keeps nothing
  --replicate SHARE  what to keep of the log: full (the default), none, or a part of it, such as 0.25
  --listen ADDRESS   where to listen (default: TCP and WebSocket on this machine only)
  --help             this text

Type a line to append it. What was appended before is shown first, what others append as it arrives.
Ctrl-C ends; a second one ends at once.`

export const MEMORY = 'memory'
export const DEFAULT_LOG = 'lobby'
const DEFAULT_STORE = './data'

export interface Options {
  join: Multiaddr[]
  log: string
  store: string
  replicate: Replicate
  listen: string[]
}

/** What the one at the terminal can do something about: the message says what, in one line */
export class UsageError extends Error {}

/** Undefined: help is wanted */
export function parse (args: string[]): Options | undefined {
  try {
    const { values } = parseArgs({
      args,
      options: {
        join: { type: 'string', multiple: true, default: [] },
        log: { type: 'string', default: DEFAULT_LOG },
        store: { type: 'string', default: DEFAULT_STORE },
        replicate: { type: 'string', default: 'full' },
        listen: { type: 'string', multiple: true, default: ['/ip4/127.0.0.1/tcp/0', '/ip4/127.0.0.1/tcp/0/ws'] },
        help: { type: 'boolean', default: false }
      }
    })

    if (values.help) {
      return
    }
    if (values.log === '' || values.store === '') {
      throw new Error('--log and --store take a name that is not empty')
    }

    values.listen.forEach(address => parseAddress('--listen', address))
    const join = values.join.map(address => parseAddress('--join', address))
    return { join, log: values.log, store: values.store, replicate: parseShare(values.replicate), listen: values.listen }
  } catch (err: any) {
    throw new UsageError(`${err.message} (--help says what it takes)`)
  }
}

function parseAddress (flag: string, address: string): Multiaddr {
  try {
    return multiaddr(address)
  } catch (err: any) {
    throw new Error(`${flag} takes an address such as /ip4/127.0.0.1/tcp/4001, not '${address}': ${err.message}`)
  }
}

function parseShare (text: string): Replicate {
  if (text === 'full' || text === 'none') {
    return text === 'full'
  }

  const factor = Number(text)

  if (!(factor > 0 && factor <= 1)) {
    throw new Error(`--replicate takes full, none or a part such as 0.25, not '${text}'`)
  }
  return { factor }
}

/** The line with which another node joins this one. Two nodes cannot have one store */
export function joinLine (address: string, { log, store }: Options): string {
  return `npm start -- --join ${quote(address)} --store ${quote(otherStore(store))}${log === DEFAULT_LOG ? '' : ` --log ${quote(log)}`}`
}

/** ./data2 for ./data, ./data3 for ./data2 */
export function otherStore (store: string): string {
  const [, name, number] = /^(.*?)(\d*)\/*$/.exec(store) as RegExpExecArray
  return store === MEMORY ? MEMORY : `${name}${number === '' ? 2 : Number(number) + 1}`
}

/** As a shell takes it for one word */
export function quote (word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}
