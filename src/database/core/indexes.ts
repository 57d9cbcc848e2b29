import { toString } from 'uint8arrays/to-string'
import { encodeString } from '../../runtime/codec.ts'
import { sha256 } from '../../runtime/sha256.ts'

/** Characters of a value that rows and indexes name as it is: of a longer one they name the hash. A guess */
const MAX_NAMED = 64

/** What a field can be asked for by */
export type FieldValue = string | number | bigint | boolean | null

/** As indexes and rows name it; '' where it is nothing that can be asked for */
export function fieldOf (value: unknown): string {
  switch (typeof value) {
    case 'number':
      // JSON says null of what is not finite
      return Number.isFinite(value) ? JSON.stringify(value) : String(value)
    case 'string':
    case 'boolean':
      return shortened(JSON.stringify(value))
    case 'bigint':
      return shortened(`${value}n`)
    default:
      return value === null ? 'null' : ''
  }
}

/** The own property of an object, not one that all objects have: an index may be called 'constructor' */
export function ownOf (object: unknown, name: string): unknown {
  return typeof object === 'object' && object != null && Object.hasOwn(object, name)
    ? (object as Record<string, unknown>)[name]
    : undefined
}

/** Nothing of a long value stays in memory: a slice of a string holds all of it */
function shortened (name: string): string {
  return name.length <= MAX_NAMED ? name : `#${toString(sha256(encodeString(name)), 'base64url')}`
}

/**
 * Which keys have which values in some fields.
 */
export class Indexes {
  readonly names: string[]
  readonly #keys: Array<Map<string, Set<string>>>

  constructor (names: string[]) {
    this.names = names
    this.#keys = names.map(() => new Map())
  }

  fieldsOf (document: object): string[] {
    return this.names.map(name => fieldOf(ownOf(document, name)))
  }

  add (key: string, fields: string[]): void {
    fields.forEach((field, i) => {
      if (field !== '') {
        const keys = this.#keys[i].get(field) ?? new Set()
        this.#keys[i].set(field, keys.add(key))
      }
    })
  }

  delete (key: string, fields: string[]): void {
    fields.forEach((field, i) => {
      const keys = this.#keys[i].get(field)
      keys?.delete(key)

      if (keys?.size === 0) {
        this.#keys[i].delete(field)
      }
    })
  }

  /** Keys among which all are that match, and as few others as one index can tell; undefined: no index helps */
  candidates (where: Record<string, unknown>): Iterable<string> | undefined {
    const sets = this.names.flatMap((name, i) => Object.hasOwn(where, name)
      ? [this.#keys[i].get(fieldOf(where[name])) ?? new Set<string>()]
      : [])
    return sets.sort((a, b) => a.size - b.size)[0]
  }
}
