import { oneLine } from './errors.ts'
import { entryEvent } from './events.ts'
import { others } from './log.ts'
import { ownName } from './own-name.ts'
import { count, short, widthOf } from './text.ts'
import type { Options } from './flags.ts'
import type { Terminal } from './terminal.ts'
import type { PeerId } from '@libp2p/interface'
import type { Entry, SharedLog } from 'libp2p-sheaf'

/** Lines that are shown of what was appended before */
const SHOWN = 20

/** Milliseconds in which no line of before arrives, after which those that came are shown. A guess */
const QUIET = 300

/** Milliseconds that others may take to store a line before it is said that they have not */
export const ACK_TIMEOUT = 10_000

/** Lines whose fate is not known yet, at most: a file that is piped in waits for those */
const UNDER_WAY = 256

/**
 * A log as lines of a terminal
 */
export class Lines {
  readonly #log: SharedLog
  readonly #self: PeerId
  readonly #terminal: Terminal
  /** What came before the lines of old were shown; undefined: they are */
  #early?: Entry[] = []
  /** Lines that were typed and are not in the log yet. Others append here, too: over the socket of the store */
  readonly #typed: string[] = []
  /** What was appended before this began */
  readonly #begun = Date.now()
  readonly #shown: number
  /** The last ones of before that came late, how many may be kept, and how many were left out */
  readonly #late: Entry[] = []
  readonly #maxLate: number
  #omitted = 0
  readonly #quiet = setTimeout(() => { this.#showLate() }, QUIET)

  constructor (log: SharedLog, self: PeerId, terminal: Terminal, { last, json }: Pick<Options, 'last' | 'json'>) {
    // a program is told of all that arrives, unless it wants less
    this.#maxLate = last ?? (json ? Infinity : SHOWN)
    this.#shown = last ?? SHOWN
    this.#log = log
    this.#self = self
    this.#terminal = terminal
    log.addEventListener('entry:add', ({ detail: { entry } }) => { this.#onAdd(entry) })
    log.addEventListener('replicator:join', ({ detail: { peerId } }) => { this.#sayOf(peerId, 'here') })
    log.addEventListener('replication:change', ({ detail: { peerId } }) => { this.#sayOf(peerId, 'changed') })
    log.addEventListener('replicator:leave', ({ detail: { peerId } }) => {
      if (!peerId.equals(self)) {
        void terminal.print({ type: 'replicator', peer: peerId.toString(), is: 'gone' })
      }
    })
    log.addEventListener('sync:progress', ({ detail: { peerId, done, total } }) => {
      void terminal.print({ type: 'progress', what: `from ${short(peerId)}`, done, total })
    })
  }

  /** The last lines, in the order of the log, and then what arrived meanwhile */
  async showOld (): Promise<void> {
    const last: Entry[] = []

    for await (const entry of this.#shown === 0 ? [] : this.#log.entries({ reverse: true })) {
      last.unshift(entry)

      if (last.length === this.#shown) {
        break
      }
    }

    const early = this.#early ?? []
    const shown = new Set(last.map(({ id }) => id.toString()))
    this.#early = undefined
    last.forEach(entry => { this.#show(entry) })
    early.filter(({ id }) => !shown.has(id.toString())).forEach(entry => { this.#arrived(entry) })
  }

  /** Appends each line, until they end */
  async append (input: AsyncIterable<string>): Promise<void> {
    const underWay = new Set<Promise<void>>()

    for await (const line of input) {
      if (line.trim() === '') {
        continue
      }
      // the next line does not wait for those who are slow to store this one
      const appending = this.#append(line).finally(() => { underWay.delete(appending) })
      underWay.add(appending)

      if (underWay.size >= UNDER_WAY) {
        await Promise.race(underWay)
      }
    }
    await Promise.all(underWay)
  }

  async #append (line: string): Promise<void> {
    const there = others(this.#log)
    // those who keep a part may not keep this line: of the others each one counts
    const whole = there.filter(({ segments }) => widthOf(segments) === 1).length
    const wanted = Math.max(whole, Math.min(there.length, 1))
    this.#typed.push(line)

    try {
      const { id } = await this.#log.append(new TextEncoder().encode(line), wanted === 0
        ? {}
        : { ack: wanted, signal: AbortSignal.timeout(ACK_TIMEOUT) })
      await this.#terminal.print({ type: 'stored', id: id.toString(), others: wanted })
    } catch (err: any) {
      if (err.name === 'TimeoutError') {
        await this.#terminal.print({ type: 'stored', others: 0, missing: wanted })
      } else if (this.#log.status === 'open') {
        await this.#terminal.print({ type: 'note', message: `  (${oneLine(err)})` })
      }
    }
  }

  #onAdd (entry: Entry): void {
    const typed = entry.author.equals(this.#self) ? this.#typed.indexOf(new TextDecoder().decode(entry.data)) : -1

    if (this.#early != null) {
      this.#early.push(entry)
    } else if (typed >= 0) {
      // it stands here already
      this.#typed.splice(typed, 1)
    } else {
      this.#arrived(entry)
    }
  }

  #arrived (entry: Entry): void {
    if (Number(entry.clock.time) >= this.#begun) {
      this.#show(entry)
      return
    }

    this.#late.push(entry)
    this.#quiet.refresh()

    if (this.#late.length > this.#maxLate) {
      this.#late.shift()
      this.#omitted++
    }
  }

  /** What others appended while this node was off, which may be more than anybody reads */
  #showLate (): void {
    if (this.#omitted > 0) {
      const message = `* ${count(this.#omitted, 'more line')} of before: '${ownName()} cat' prints all`
      void this.#terminal.print({ type: 'note', message })
    }
    this.#omitted = 0
    this.#late.splice(0).forEach(entry => { this.#show(entry) })
  }

  #show (entry: Entry): void {
    void this.#terminal.print(entryEvent(entry, this.#self))
  }

  #sayOf (peerId: PeerId, is: 'here' | 'changed'): void {
    const replicator = this.#log.replicators().find(replicator => replicator.peerId.equals(peerId))

    if (replicator != null && !replicator.self) {
      void this.#terminal.print({
        type: 'replicator', peer: peerId.toString(), is, share: widthOf(replicator.segments)
      })
    }
  }
}
