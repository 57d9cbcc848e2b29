import { ANYTHING, BOOLEAN, FUNCTION, SIGNAL } from '../runtime/options.ts'
import { fieldOf } from './core/indexes.ts'
import type { CompactOptions, DocumentsOptions, PutOptions, QueryOptions, ReadOptions, WatchOptions } from './index.ts'
import type { Rule } from '../runtime/options.ts'

/** The rule of each option. The log checks its own options */
type Rules<T> = { [Name in keyof T]-?: [Rule] }

const STRING: Rule = [value => typeof value === 'string', 'a string']
const STRINGS: Rule = [value => Array.isArray(value) && value.every(STRING[0]), 'an array of strings']
/** No document has what nothing is found by: who asks for a date would be told that there is none */
const FIELDS: Rule = [
  value => typeof value === 'object' && value !== null && !Array.isArray(value) &&
    Object.values(value).every(one => one === undefined || fieldOf(one) !== ''),
  'an object of fields, each with a string, a number, a bigint, true, false or null'
]
const AGE: Rule = [value => typeof value === 'number' && !Number.isNaN(value), 'a number of milliseconds']
const FROM: Rule = [value => value === 'now' || value === 'start', "'now' or 'start'"]
const CODEC: Rule = [
  ({ encode, decode, name }) => FUNCTION[0](encode) && FUNCTION[0](decode) && (name == null || STRING[0](name)),
  '{ encode, decode, name }'
]

export const OPEN: Rules<Pick<DocumentsOptions<any>, 'codec' | 'id' | 'indexes'>> = {
  codec: [CODEC], id: [STRING], indexes: [STRINGS]
}
export const PUT: Rules<PutOptions> = { ack: [ANYTHING], replicas: [ANYTHING], signal: [SIGNAL] }
export const READ: Rules<ReadOptions> = { local: [BOOLEAN], signal: [SIGNAL] }
export const QUERY: Rules<QueryOptions<any>> = { where: [FIELDS], ...READ }
export const WATCH: Rules<WatchOptions> = { from: [FROM], name: [STRING], signal: [SIGNAL] }
export const COMPACT: Rules<CompactOptions> = { age: [AGE], signal: [SIGNAL] }
