import { MalformedError } from '../runtime/errors.ts'
import { fieldOf, Indexes } from './core/indexes.ts'
import { Database } from './database.ts'
import { InvalidDocumentError } from './errors.ts'
import { json } from './json.ts'
import { View } from './view.ts'
import type { DocumentsOptions, PutOptions, QueryOptions } from './index.ts'
import type { Entry } from '../log/index.ts'
import type { SharedLogs } from '../replication/index.ts'

/**
 * Documents that several peers write: objects with an id. Of two with one id the one counts that comes last in the order of the log,
 * for all of them.
 *
 * @example
 *
 * ```ts
 * const posts = await Documents.open<{ id: string, author: string }>(node.services.logs, 'posts', { indexes: ['author'] })
 *
 * await posts.put({ id: '1', author: 'ada' })
 *
 * for await (const post of posts.query({ where: { author: 'ada' } })) {
 *   console.info(post.id)
 * }
 * ```
 */
export class Documents<T extends object> extends View<T> {
  readonly #indexes: Indexes
  readonly #id: string

  /** It is the log of this name: all who open it so share it. Takes the options of the log, too */
  static async open<T extends object> (logs: SharedLogs, name: string, { codec = json, id, indexes: names = [], ...options }: DocumentsOptions<T> = {}): Promise<Documents<T>> {
    const field = id ?? 'id'
    const indexes = new Indexes(names)
    const fieldsOf = (key: string, document: T): string[] => {
      if (idOf(document, field) !== key) {
        throw new MalformedError('its id is not its key')
      }
      return indexes.fieldsOf(document)
    }

    return new Documents(await Database.open(logs, name, {
      codec,
      fields: indexes.names,
      fieldsOf,
      onRow: (key, before, after) => {
        indexes.delete(key, before?.fields ?? [])
        indexes.add(key, after?.fields ?? [])
      }
    }, options), indexes, field)
  }

  private constructor (database: Database<T>, indexes: Indexes, id: string) {
    super(database)
    this.#indexes = indexes
    this.#id = id
  }

  /** Resolves when it is stored, or as `ack` says; `get` and `query` tell it from then on */
  async put (document: T, options: PutOptions = {}): Promise<Entry> {
    const id = idOf(document, this.#id)

    if (id == null) {
      throw new InvalidDocumentError(`A document has a string for its '${this.#id}': give it one, or name another field with the option 'id'`)
    }

    return this.database.put(id, document, options)
  }

  /**
   * Those whose fields have these values, in no order: what is kept here, then what others keep. An index finds the first without reading
   * others, where one of the fields has one; the second is read in full
   */
  async * query ({ where = {}, ...options }: QueryOptions<T> = {}): AsyncGenerator<T> {
    const wanted = Object.entries(where).map(([name, value]) => [name, fieldOf(value)])

    for await (const { value } of this.database.items(() => this.#indexes.candidates(where), options)) {
      if (wanted.every(([name, field]) => field !== '' && fieldOf((value as Record<string, unknown>)[name]) === field)) {
        yield value
      }
    }
  }
}

/** Others may put what they like under a key */
function idOf (document: unknown, field: string): string | undefined {
  const id = typeof document === 'object' && document != null ? (document as Record<string, unknown>)[field] : undefined
  return typeof id === 'string' ? id : undefined
}
