import { MalformedError } from '../runtime/errors.ts'
import { checkOptions } from '../runtime/options.ts'
import { fieldOf, Indexes, ownOf } from './core/indexes.ts'
import { Database } from './database.ts'
import { InvalidDocumentError } from './errors.ts'
import { json } from './json.ts'
import { OPEN, QUERY } from './options.ts'
import type { Opened } from './database.ts'
import type { DocumentsOptions, OpenArguments, PutOptions, QueryOptions } from './index.ts'
import type { Entry } from '../log/index.ts'
import type { SharedLogs } from '../replication/index.ts'

/**
 * Documents that several peers write: objects with an id. Of two documents with one id, all peers take the one that
 * comes last in the order of the log.
 *
 * @example
 *
 * ```ts
 * const posts = await Documents.open<{ id: string, author: string }>(node.services.logs, 'posts', {
 *   indexes: ['author']
 * })
 *
 * await posts.put({ id: '1', author: 'ada' })
 *
 * for await (const post of posts.query({ where: { author: 'ada' } })) {
 *   console.info(post.id)
 * }
 * ```
 */
export class Documents<T extends object> extends Database<T> {
  readonly #indexes: Indexes
  readonly #id: string

  /**
   * Opens the documents on the log of this name: all nodes that open it so share it. Takes the options of the log, too
   */
  static async open<T extends object> (
    logs: SharedLogs, name: string, ...args: OpenArguments<T>
  ): Promise<Documents<T>> {
    const { codec = json, id, indexes: names = [], ...options }: DocumentsOptions<T> = args[0] ?? {}
    checkOptions('open()', { codec, id, indexes: names }, OPEN)
    const field = id ?? 'id'
    const indexes = new Indexes(names)

    return Database.opened(logs, name, {
      codec,
      form: [field, ...names],
      fieldsOf: (key, document) => {
        if (idOf(document, field) !== key) {
          throw new MalformedError('its id is not its key')
        }
        return indexes.fieldsOf(document)
      },
      onRow: (key, before, after) => {
        indexes.delete(key, before?.fields ?? [])
        indexes.add(key, after?.fields ?? [])
      }
    }, options, opened => new Documents(opened, indexes, field))
  }

  private constructor (opened: Opened<T>, indexes: Indexes, id: string) {
    super(opened)
    this.#indexes = indexes
    this.#id = id
  }

  /** Resolves when the document is stored, or as `ack` says; `get` and `query` return it from then on */
  async put (document: T, options: PutOptions = {}): Promise<Entry> {
    const id = idOf(document, this.#id)

    if (id == null) {
      throw new InvalidDocumentError(`A document has a string for its '${this.#id}': ` +
        "give it one, or name another field with the option 'id'")
    }

    return this.set(id, document, options)
  }

  /**
   * Documents whose fields have these values, in no order: first those that this node keeps, then those that others
   * keep. If one of the fields has an index, the first part reads only matching documents; the second part is read in
   * full
   */
  query (options: QueryOptions<T> = {}): AsyncGenerator<T> {
    checkOptions('query()', options, QUERY)
    // a query runs while its documents are read, and the caller may change what it asked for meanwhile
    return this.#query({ ...options, where: { ...options.where } })
  }

  async * #query ({ where = {}, ...options }: QueryOptions<T>): AsyncGenerator<T> {
    const wanted = Object.entries(where).map(([name, value]) => [name, fieldOf(value)])

    for await (const { value } of this.items(() => this.#indexes.candidates(where), options)) {
      if (wanted.every(([name, field]) => field !== '' && fieldOf(ownOf(value, name)) === field)) {
        yield value
      }
    }
  }
}

/** Other peers may put anything under a key */
function idOf (document: unknown, field: string): string | undefined {
  const id = ownOf(document, field)
  return typeof id === 'string' ? id : undefined
}
