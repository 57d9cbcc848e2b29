import { createReadStream } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { TRANSFER_TOPIC } from 'libp2p-sheaf'
import { FailedError, oneLine } from './errors.ts'
import { metaOf, PROTOCOL } from './file-offer.ts'
import { causeOf, connect } from './node.ts'
import { clipped, NAME_WIDTH, short } from './text.ts'
import type { FileEvent } from './events.ts'
import type { Node } from './node.ts'
import type { Receiver, SentFile } from './send.ts'
import type { Terminal } from './terminal.ts'
import type { PeerId } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Chunks, SubscriptionChange, TransferProgress } from 'libp2p-sheaf'

/** Milliseconds that connecting may take */
const DIAL_TIMEOUT = 10_000
/** Milliseconds until somebody who is connected, or known to a relay, must have said that he takes files */
const HELLO_TIMEOUT = 10_000
/** Milliseconds between two looks for somebody, and between two tries to connect to one who was lost. A guess */
const LOOK_INTERVAL = 50
const REDIAL_INTERVAL = 1_000

/** Bytes that are read of a file at once */
const CHUNK_BYTES = 1 << 18

/** A file on its way to another peer */
export class Dispatch {
  readonly #node: Node
  readonly #file: SentFile
  readonly #peerId: PeerId
  readonly #terminal: Terminal
  readonly #signal: AbortSignal
  /** Whether the file was read for its hashes: the next read begins where the receiver wants it */
  #isSurveyed = false
  /** Bytes that the receiver had before; undefined: it has not said so */
  #from?: number
  #since = performance.now()

  constructor (node: Node, file: SentFile, peerId: PeerId, terminal: Terminal, signal: AbortSignal) {
    this.#node = node
    this.#file = file
    this.#peerId = peerId
    this.#terminal = terminal
    this.#signal = signal
  }

  /** Resolves when the receiver has stored all of it */
  async run (): Promise<void> {
    const { size } = this.#file
    await this.#send()
    await this.#terminal.print({ type: 'progress', what: this.#what, done: size, total: size })
    await this.#terminal.print({ ...this.#event, is: 'stored', seconds: (performance.now() - this.#since) / 1_000 })
  }

  async #send (): Promise<void> {
    const { name } = this.#file
    const transfer = this.#node.services.transfers.send(this.#peerId, from => this.#open(from), {
      protocol: PROTOCOL,
      meta: metaOf(name),
      signal: this.#signal,
      onProgress: progress => { this.#show(progress) }
    })
    const over = new AbortController()
    const sayIfGone = ({ detail }: CustomEvent<SubscriptionChange>): void => { this.#onChange(detail, over.signal) }
    this.#node.services.pubsub.addEventListener('subscription-change', sayIfGone)

    try {
      await transfer.done
    } catch (err: any) {
      this.#signal.throwIfAborted()
      throw this.#failure(err)
    } finally {
      over.abort()
      this.#node.services.pubsub.removeEventListener('subscription-change', sayIfGone)
    }
  }

  get #what (): string {
    return clipped(this.#file.name, NAME_WIDTH)
  }

  get #event (): Omit<FileEvent, 'is'> {
    const { name, size, path } = this.#file
    // nothing is read again if all of it was there
    return { type: 'file', direction: 'out', peer: this.#peerId.toString(), name, size, from: this.#from ?? size, path }
  }

  #open (from: number): Chunks {
    const { path, size } = this.#file

    if (!this.#isSurveyed) {
      this.#isSurveyed = true
      return this.#survey()
    }

    if (this.#from == null) {
      this.#from = from
      this.#since = performance.now()
      void this.#terminal.print({ ...this.#event, is: 'begun' })
    }
    return from < size ? read(path, from, size) : []
  }

  /** Large files take a while until their first byte leaves */
  async * #survey (): AsyncGenerator<Uint8Array> {
    const { path, size } = this.#file
    let done = 0

    for await (const chunk of size === 0 ? [] : read(path, 0, size)) {
      yield chunk
      done += chunk.byteLength
      await this.#terminal.print({ type: 'progress', what: `reading ${this.#what}`, done, total: size })
    }
  }

  #show ({ bytes }: TransferProgress): void {
    const { size } = this.#file

    // that all is there is said when it is stored
    if (this.#from != null && bytes < size) {
      void this.#terminal.print({ type: 'progress', what: this.#what, done: bytes, total: size })
    }
  }

  #onChange ({ peerId, subscriptions }: SubscriptionChange, over: AbortSignal): void {
    const change = subscriptions.find(({ topic }) => topic === TRANSFER_TOPIC)

    if (peerId.equals(this.#peerId) && change?.subscribe === false && !over.aborted) {
      void this.#terminal.print({
        type: 'note', message: `${short(peerId)} is out of reach; it has a minute to come back`
      })
      void redial(this.#node, peerId, AbortSignal.any([over, this.#signal]))
    }
  }

  #failure (err: Error & { reason?: string, cause?: any }): Error {
    const { path, name } = this.#file
    const who = short(this.#peerId)

    switch (err.name) {
      case 'TransferRejectedError':
        return new FailedError(err.reason === 'rejected'
          ? `${who} does not take ${name}: it says why where it runs, if that is 'sheaf receive'`
          : `${who} takes nothing now (${err.reason}): run it again later`)
      case 'TransferFailedError':
        return new FailedError(err.reason === 'mismatch'
          ? `${path} changed while it was sent: send it again when it stays as it is`
          : `Interrupted: ${oneLine(err).replace(this.#peerId.toString(), who)}. Run it again, it goes on where it was`)
      case 'SourceFailedError':
        return new FailedError(`${path} cannot be read to its end (${oneLine(err.cause ?? err)}): ` +
          'run it again when it can')
      default:
        return err
    }
  }
}

/** A file that grows while it is sent is sent as large as it was */
function read (path: string, from: number, size: number): Chunks {
  return createReadStream(path, { start: from, end: size - 1, highWaterMark: CHUNK_BYTES })
}

/** Resolves when there is a way to somebody who takes transfers, over relays or not */
export async function reach (
  node: Node,
  { peerId, address }: Receiver,
  relays: Multiaddr[],
  signal: AbortSignal
): Promise<void> {
  await connect(node, relays, signal)

  if (address != null) {
    // a relay leads there, too
    await dial(node, address, signal).catch(err => {
      if (relays.length === 0) {
        throw err
      }
    })
  }

  const deadline = performance.now() + HELLO_TIMEOUT

  while (!node.services.pubsub.getSubscribers(TRANSFER_TOPIC).some(other => other.equals(peerId))) {
    if (performance.now() > deadline) {
      const where = relays.length === 0 ? address : `${short(peerId)}, by way of ${relays.join(' or ')}`
      throw new FailedError(`Nobody takes files at ${where}: does 'sheaf receive' still run there?`)
    }
    await setTimeout(LOOK_INTERVAL, undefined, { signal })
  }
}

async function dial (node: Node, address: Multiaddr, signal: AbortSignal): Promise<void> {
  try {
    await node.dial(address, { signal: AbortSignal.any([signal, AbortSignal.timeout(DIAL_TIMEOUT)]) })
  } catch (err: any) {
    signal.throwIfAborted()
    throw new FailedError(`Nobody takes files at ${address}: does 'sheaf receive' still run there? (${causeOf(err)})`)
  }
}

/** Until it is there, or not waited for any more */
async function redial (node: Node, peerId: PeerId, signal: AbortSignal): Promise<void> {
  while (!signal.aborted && node.getConnections(peerId).length === 0) {
    await node.dial(peerId, { signal: AbortSignal.any([signal, AbortSignal.timeout(DIAL_TIMEOUT)]) }).catch(() => {})
    await setTimeout(REDIAL_INTERVAL, undefined, { signal }).catch(() => {})
  }
}
