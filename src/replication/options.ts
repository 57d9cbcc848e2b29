import { isPeerId } from '@libp2p/interface'
import { InvalidOptionsError } from '../runtime/errors.ts'
import { ANYTHING, BOOLEAN, checkOptions, FUNCTION, MILLISECONDS, SIGNAL } from '../runtime/options.ts'
import * as limits from './constants.ts'
import type { AppendOptions, OpenOptions, SharedLog, SharedLogsInit, WaitForReplicatorsOptions } from './index.ts'
import type { EntriesOptions, TrimOptions } from '../log/index.ts'
import type { Rule } from '../runtime/options.ts'
import type { AbortOptions } from '@libp2p/interface'

type Rules<T> = { [Name in keyof T]-?: [Rule] }

const NAME: Rule = [value => typeof value === 'string', 'the name of a service']
const NUMBER: Rule = [value => typeof value === 'number' && value >= 0, 'a number from 0 on']
const WHOLE: Rule = [value => Number.isSafeInteger(value) && value >= 0, 'a whole number from 0 on']
const AGE: Rule = [value => typeof value === 'number' && !Number.isNaN(value), 'a number of milliseconds']
const ACK: Rule = [
  value => value === 'stored' || value === 'leaders' || WHOLE[0](value), "'stored', 'leaders' or how many"
]
const REPLICATE: Rule = [
  value => typeof value === 'boolean' ||
    (isOf(value, ['factor', 'offset']) && typeof value.factor === 'number' && areNumbers(value)) ||
    (isOf(value, ['segments']) && value.segments.every((one: unknown) => typeof one === 'object' && one != null)) ||
    (isOf(value, ['limits']) && isOf(value.limits, ['storage', 'cpu']) && areNumbers(value.limits)),
  'true, false, { factor, offset }, { segments } or { limits: { storage, cpu } }'
]
const BYTES: Rule = [value => value instanceof Uint8Array, 'a Uint8Array']
const FROM: Rule = [value => typeof value === 'object', 'the id of an entry, or a moment']
const SIGNALLED: Rules<AbortOptions> = { signal: [SIGNAL] }

const OPEN: Rules<OpenOptions> = {
  replicate: [REPLICATE],
  replicas: [[value => isOf(value, ['min', 'max']), '{ min, max }']],
  maturity: [MILLISECONDS],
  grace: [MILLISECONDS],
  canAppend: [FUNCTION],
  canReplicate: [FUNCTION],
  replicators: [[value => Array.isArray(value) && value.every(isPeerId), 'an array of peer ids']],
  keep: [FUNCTION],
  confidential: [BOOLEAN],
  ready: [[value => value === 'open' || value === 'synced', "'open' or 'synced'"]],
  ...SIGNALLED
}

const SERVICE: Rules<SharedLogsInit> = {
  pubsub: [NAME],
  sessions: [NAME],
  transfers: [NAME],
  clock: [ANYTHING],
  random: [ANYTHING]
}

// the log says what is wrong with a group, and with where to begin
const APPEND: Rules<AppendOptions> = {
  ack: [ACK], group: [ANYTHING], replicas: [WHOLE], request: [ANYTHING], ...SIGNALLED
}
const WAIT: Rules<WaitForReplicatorsOptions> = { count: [WHOLE], coverage: [NUMBER], ...SIGNALLED }
const ENTRIES: Rules<EntriesOptions> = { from: [FROM], reverse: [BOOLEAN], ...SIGNALLED }
const TRIM: Rules<TrimOptions> = { length: [NUMBER], bytes: [NUMBER], age: [AGE], when: [FUNCTION], ...SIGNALLED }

/** What is said of an open() that says nothing */
const REPLICAS = { min: limits.MIN_REPLICAS, max: limits.MAX_REPLICAS }
const BY_DEFAULT = { replicate: true, maturity: limits.MATURITY, grace: limits.GRACE }

/** Where the calls of a log have their options, and what those may be */
const CALLS: { [Name in keyof SharedLog]?: [at: number, rules: Record<string, [Rule]>] } = {
  acked: [2, SIGNALLED],
  append: [1, APPEND],
  appendMany: [1, APPEND],
  arrivals: [1, SIGNALLED],
  elsewhere: [0, { group: [BYTES], ...SIGNALLED }],
  entries: [0, ENTRIES],
  export: [0, { from: [FROM], ...SIGNALLED }],
  import: [1, SIGNALLED],
  trim: [0, TRIM],
  waitForSync: [0, SIGNALLED],
  waitForReplicators: [0, WAIT]
}

const TEXT: Rule = [value => typeof value === 'string' && value !== '', 'a name']
const ENTRY_ID: Rule = [value => value?.bytes instanceof Uint8Array, 'the id of an entry']
const SOURCE: Rule = [
  value => typeof (value?.[Symbol.asyncIterator] ?? value?.[Symbol.iterator]) === 'function', 'an iterable of bytes'
]

/** What the calls of a log are handed beside their options, in its order */
const HANDED: { [Name in keyof SharedLog]?: Array<[what: string, rule: Rule]> } = {
  arrivals: [['from', [value => value === null || WHOLE[0](value), 'the number of an arrival']]],
  acked: [['entry', [value => ENTRY_ID[0](value?.id), 'an entry']], ['ack', ACK]],
  get: [['id', ENTRY_ID]],
  has: [['id', ENTRY_ID]],
  import: [['source', SOURCE]],
  keeps: [['group', BYTES]],
  mark: [['program', TEXT]],
  marked: [['program', TEXT]],
  shelf: [['program', TEXT]],
  trim: [['what is trimmed', [value => value !== null, 'an object']]]
}

/** Each of these throws an InvalidOptionsError that names what is wrong, and then nothing has changed */
export function checkInit (init: SharedLogsInit): void {
  checkOptions('sharedLogs()', init, SERVICE)
}

export function checkOpenOptions (options: OpenOptions): void {
  checkOptions('open()', options, OPEN)
}

export function checkCall (name: keyof SharedLog & string, args: unknown[]): void {
  if (name === 'replicate') {
    checkOptions('replicate()', { 'what is handed over': args[0] ?? null }, { 'what is handed over': [REPLICATE] })
    return
  }

  for (const [i, handed] of HANDED[name]?.entries() ?? []) {
    const [what, rule] = handed
    checkOptions(`${name}()`, { [what]: args[i] ?? null }, { [what]: [rule] })
  }

  const [at, rules] = CALLS[name] ?? [Infinity, {}]

  if (args[at] !== undefined) {
    checkOptions(`${name}()`, args[at] as object, rules)
  }
}

/** A log that is open already has the options of who opened it first, or those that replicate() has changed since */
export function expectSame (id: string, asked: OpenOptions, first: OpenOptions): void {
  const [wanted, known] = [filled(asked), filled(first)]

  for (const name of Object.keys(OPEN) as Array<keyof OpenOptions>) {
    if (asked[name] !== undefined && name !== 'signal' && name !== 'ready' && !isSame(wanted[name], known[name])) {
      const what = 'open it without one, or close it everywhere before'
      throw new InvalidOptionsError(`The log '${id}' is open with another '${name}': ${what}`)
    }
  }
}

function filled (options: OpenOptions): OpenOptions {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
  return { ...BY_DEFAULT, ...given, replicas: { ...REPLICAS, ...options.replicas } }
}

function isSame (a: any, b: any): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a == null || b == null) {
    return Object.is(a, b)
  }
  return [...Object.keys(a), ...Object.keys(b)].every(name => isSame(a[name], b[name]))
}

function isOf (value: object, names: string[]): boolean {
  return typeof value === 'object' && Object.keys(value).every(name => names.includes(name))
}

function areNumbers (values: object): boolean {
  return Object.values(values).every(value => value === undefined || typeof value === 'number')
}
