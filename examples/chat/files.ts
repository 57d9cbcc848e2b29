/**
 * Files, in the tab that leads: it sends for all tabs what they hand to it, and hands over what comes to whichever tab
 * accepts it. A file goes on when the leader, here or there, is replaced.
 */
import { Changes, decode, encode } from './common.ts'
import type { PeerId } from '@libp2p/interface'
import type { Offer, Transfers } from 'libp2p-sheaf'

const PROTOCOL = 'libp2p-sheaf/chat/1'
/** Bytes of a file: what is received is held in the browser until it is saved */
const MAX_FILE = 256 * 1024 * 1024
const MAX_NAME = 200
/** Files whose states are kept. A guess */
const MAX_FILES = 200
const CHUNK = 64 * 1024
/** Milliseconds that a file is waited for whose sender was replaced */
const PATIENCE = 30_000

export interface FileState {
  state: 'offered' | 'moving' | 'done' | 'failed'
  isMine: boolean
  bytes: number
  why?: string
}

export interface Outgoing {
  to: PeerId
  /** Names the file for both sides */
  id: string
  name: string
  /** Browsers hand over where it lies, not its bytes */
  file: Blob
}

interface Options {
  signal: AbortSignal
}

export class Files {
  readonly #transfers: Transfers
  readonly #changes: Changes
  /** Aborts when another tab leads. It goes on with the files: so nobody is told then that they are given up */
  readonly #leading: AbortSignal
  readonly #states = new Map<string, FileState>()
  readonly #offers = new Map<string, Offer>()
  readonly #stops = new Map<string, () => void>()

  constructor (transfers: Transfers, changes: Changes, leading: AbortSignal) {
    this.#transfers = transfers
    this.#changes = changes
    this.#leading = leading
    transfers.handle(PROTOCOL, offer => { this.#offered(offer) })
  }

  get states (): Record<string, FileState> {
    return Object.fromEntries(this.#states)
  }

  /** Resolves when the other side has all of it */
  async send ({ to, id, name, file }: Outgoing, { signal }: Options): Promise<void> {
    try {
      for (;;) {
        const transfer = this.#transfers.send(to, from => chunksOf(file, from), {
          protocol: PROTOCOL,
          confidential: true,
          meta: encode({ id, name: name.slice(0, MAX_NAME) }),
          onProgress: ({ bytes }) => { this.#moved(id, bytes) }
        })
        this.#show(id, { state: 'offered', isMine: true, bytes: 0 }, () => { transfer.abort() })
        this.#onAbort(signal, () => { transfer.abort() })
        const err = await transfer.done.then(() => undefined, err => err)

        if (err == null) {
          this.#show(id, { state: 'done', isMine: true, bytes: file.size })
          return
        }
        if (err.reason !== 'node-stopped' || this.#leading.aborted) {
          throw err
        }
        // another tab of theirs may go on with it: it is offered again
      }
    } catch (err: any) {
      this.#failed(id, err)
      throw err
    }
  }

  /** Yields how much of `have` is right, and then the rest of the file */
  async * receive ({ id, have }: { id: string, have: Blob }, { signal }: Options): AsyncGenerator<number | Uint8Array> {
    try {
      const offer = await this.#offer(id, AbortSignal.any([signal, AbortSignal.timeout(PATIENCE)]))
      const incoming = offer.accept({
        have: chunksOf(have), onProgress: ({ bytes }) => { this.#moved(id, bytes) }
      })
      this.#show(id, { state: 'moving', isMine: false, bytes: 0 }, () => { incoming.abort() })
      this.#onAbort(signal, () => { incoming.abort() })
      yield incoming.from()
      // left alone, not given up, where this is
      const chunks = incoming[Symbol.asyncIterator]()

      for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) {
        yield next.value
      }

      this.#show(id, { state: 'done', isMine: false, bytes: incoming.progress.bytes })
    } catch (err: any) {
      this.#failed(id, err)
      throw err
    }
  }

  /** A person does not want it any more, on either side */
  stop (id: string): void {
    this.#stops.get(id)?.()
  }

  #offered (offer: Offer): void {
    const { id } = decode<{ id: unknown }>(offer.meta)

    if (typeof id !== 'string' || offer.size == null || offer.size > MAX_FILE) {
      offer.reject()
      return
    }

    this.#offers.set(id, offer)
    this.#show(id, { state: 'offered', isMine: false, bytes: 0 }, () => {
      offer.reject()
      this.#failed(id, new Error('it was refused'))
    })
  }

  async #offer (id: string, signal: AbortSignal): Promise<Offer> {
    for (;;) {
      const offer = this.#offers.get(id)

      // it is decided on, or was given up before
      this.#offers.delete(id)

      if (offer != null) {
        return offer
      }
      await this.#changes.next(signal)
    }
  }

  #onAbort (signal: AbortSignal, stop: () => void): void {
    signal.addEventListener('abort', () => { this.#leading.aborted || stop() }, { once: true })
  }

  #moved (id: string, bytes: number): void {
    const file = this.#states.get(id)
    file?.state !== 'done' && file != null && this.#show(id, { ...file, state: 'moving', bytes })
  }

  #failed (id: string, { message: why }: Error): void {
    const { isMine = false, bytes = 0 } = this.#states.get(id) ?? {}
    this.#show(id, { state: 'failed', isMine, bytes, why })
  }

  #show (id: string, file: FileState, stop = this.#stops.get(id)): void {
    this.#states.set(id, file)
    stop != null && this.#stops.set(id, stop)
    const [oldest] = this.#states.size > MAX_FILES ? this.#states.keys() : []

    if (oldest != null) {
      [this.#states, this.#offers, this.#stops].forEach(map => { map.delete(oldest) })
    }

    this.#changes.tell()
  }
}

async function * chunksOf (file: Blob, from = 0): AsyncGenerator<Uint8Array> {
  for (let at = from; at < file.size; at += CHUNK) {
    yield new Uint8Array(await file.slice(at, at + CHUNK).arrayBuffer())
  }
}
