import type { Database } from './database.ts'
import type { Change, CompactOptions, DatabaseDiagnostics, PutOptions, ReadOptions, WatchOptions } from './index.ts'
import type { Entry } from '../log/index.ts'
import type { SharedLog } from '../replication/index.ts'

/** What a database on a log is asked whatever is in it */
export abstract class View<T> {
  protected readonly database: Database<T>

  protected constructor (database: Database<T>) {
    this.database = database
  }

  /** What lies below: who keeps it, whether they are in sync */
  get log (): SharedLog {
    return this.database.log
  }

  /** How many have a value here */
  get size (): number {
    return this.database.size
  }

  async delete (key: string, options: PutOptions = {}): Promise<Entry> {
    return this.database.delete(key, options)
  }

  async get (key: string, options: ReadOptions = {}): Promise<T | undefined> {
    return this.database.get(key, options)
  }

  /** What changes from now on; ends when the database is closed */
  watch (options: WatchOptions = {}): AsyncGenerator<Change<T>> {
    return this.database.watch(options)
  }

  /** Lets go of versions that others have replaced, here. See docs/write-a-database.md before */
  async compact (options: CompactOptions): Promise<number> {
    return this.database.compact(options)
  }

  diagnostics (): DatabaseDiagnostics {
    return this.database.diagnostics()
  }

  async close (): Promise<void> {
    await this.database.close()
  }
}
