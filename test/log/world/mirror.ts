import { newLog, SetClock } from '../../fixtures/logs.ts'
import { nameOf } from './copies.ts'
import type { Entry, Log } from '../../../src/log/index.ts'

/** Milliseconds since 1970: no clock of any entry is ahead of it */
const FAR = 2 ** 47

/** A log in memory that is brought to have the same entries as another one */
export class Mirror {
  readonly #here = new Map<string, Entry>()
  #log?: Log

  async of (entries: Entry[]): Promise<Log> {
    const log = this.#log ??= await newLog({ clock: new SetClock(FAR) })
    const wanted = new Map(entries.map(entry => [nameOf(entry), entry]))
    const extra = [...this.#here].filter(([id]) => !wanted.has(id))
    const missing = [...wanted].filter(([id]) => !this.#here.has(id))
    await log.remove(extra.map(([, { id }]) => id))
    await log.join(missing.map(([, entry]) => entry))
    extra.forEach(([id]) => { this.#here.delete(id) })
    missing.forEach(([id, entry]) => { this.#here.set(id, entry) })
    return log
  }
}
