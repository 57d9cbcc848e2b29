import { createInterface } from 'node:readline'
import type { Entry, SharedLog } from '../src/index.ts'
import type { PeerId } from '@libp2p/interface'

/** Lines that are shown of what was appended before */
const SHOWN = 20

/** Milliseconds that others may take to store a line before it is said that they have not */
const ACK_TIMEOUT = 10_000

/** Lines whose fate is not known yet, at most: a file that is piped in waits for those */
const UNDER_WAY = 256

const RING = 2 ** 32

/** The last letters of a peer id tell peers apart; the first ones are all the same */
export const short = (peerId: PeerId): string => peerId.toString().slice(-6)

/** What others write moves no cursor and rings no bell */
const printable = (data: Uint8Array): string => new TextDecoder().decode(data).replace(/\p{Cc}/gu, '�')

/**
 * A log as lines of a terminal
 */
export class Lines {
  readonly #log: SharedLog
  readonly #self: PeerId
  /** What came before the lines of old were shown; undefined: they are */
  #early?: Entry[] = []

  constructor (log: SharedLog, self: PeerId) {
    this.#log = log
    this.#self = self
    log.addEventListener('entry:add', ({ detail: { entry } }) => { this.#onAdd(entry) })
    log.addEventListener('replicator:join', ({ detail: { peerId } }) => { this.#sayOf(peerId, 'is here, and keeps') })
    log.addEventListener('replication:change', ({ detail: { peerId } }) => { this.#sayOf(peerId, 'now keeps') })
    log.addEventListener('replicator:leave', ({ detail: { peerId } }) => {
      if (!peerId.equals(self)) {
        console.info(`* ${short(peerId)} is gone`)
      }
    })
  }

  /** The last lines, in the order of the log, and then what arrived meanwhile */
  async showOld (): Promise<void> {
    const last: Entry[] = []

    for await (const entry of this.#log.entries({ reverse: true })) {
      last.unshift(entry)

      if (last.length === SHOWN) {
        break
      }
    }

    const early = this.#early ?? []
    const shown = new Set(last.map(({ id }) => id.toString()))
    this.#early = undefined
    last.forEach(entry => { this.#show(entry) })
    early.filter(({ id }) => !shown.has(id.toString())).forEach(entry => { this.#show(entry) })
  }

  /** Appends each line of a stream, until it ends */
  async append (input: NodeJS.ReadableStream): Promise<void> {
    const underWay = new Set<Promise<void>>()

    for await (const line of createInterface({ input })) {
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
    const data = new TextEncoder().encode(line)
    const others = this.#log.replicators().filter(({ self }) => !self)
    // those who keep a part may not keep this line: of the others each one counts
    const whole = others.filter(({ segments }) => segments.reduce((sum, { width }) => sum + width, 0) === RING).length
    const wanted = Math.max(whole, Math.min(others.length, 1))

    try {
      if (wanted === 0) {
        await this.#log.append(data)
        console.info('  (stored here; nobody else is there yet)')
      } else {
        await this.#log.append(data, { ack: wanted, signal: AbortSignal.timeout(ACK_TIMEOUT) })
        console.info(`  (${wanted} ${wanted === 1 ? 'other has' : 'others have'} stored it)`)
      }
    } catch (err: any) {
      console.info(err.name === 'TimeoutError'
        ? `  (stored here; ${wanted === 1 ? 'no other has' : `not all of ${wanted} others have`} said within ${ACK_TIMEOUT / 1_000} s that they stored it: they get it when they can)`
        : `  (${err.message})`)
    }
  }

  #onAdd (entry: Entry): void {
    // what was typed here stands here already
    if (this.#early != null) {
      this.#early.push(entry)
    } else if (!entry.author.equals(this.#self)) {
      this.#show(entry)
    }
  }

  #show ({ author, data }: Entry): void {
    console.info(`${author.equals(this.#self) ? 'you' : short(author)}> ${printable(data)}`)
  }

  #sayOf (peerId: PeerId, what: string): void {
    const replicator = this.#log.replicators().find(replicator => replicator.peerId.equals(peerId))

    if (replicator != null && !replicator.self) {
      console.info(`* ${short(peerId)} ${what} ${shareOf(replicator.segments)}`)
    }
  }
}

function shareOf (segments: Array<{ width: number }>): string {
  const share = segments.reduce((sum, { width }) => sum + width, 0) / RING
  return share === 1 ? 'all of it' : `${Number((share * 100).toPrecision(2))} % of it`
}
