import { sharedNow } from '../clock.ts'
import type { Node } from './contenders.ts'
import type { Tally } from './tally.ts'
import type { PeerId, Stream } from '@libp2p/interface'
import type { Uint8ArrayList } from 'uint8arraylist'

const SINK = '/bench/sink/1'
const FORWARD = '/bench/forward/1'
const ECHO = '/bench/echo/1'

/**
 * Bytes that are gathered into one write: what fills one record of noise, which holds 65,535 bytes with 16 of them
 * for its tag, after the 12 of yamux' header. A few more would be a second record at nearly the price of the first.
 */
const GATHER = 65_535 - 16 - 12

/** Writes after which the event loop gets a turn, so that what arrives is heard */
const WRITES_A_TURN = 32

/** Bytes: above the 16 MiB to which yamux lets its window grow, below which a paused stream could be reset */
const READ_BUFFER = 32 * 1024 * 1024

export interface RawBlast { size: number, ms: number, max: number, gather: boolean }
export interface Sent { sent: number, started: number }

/**
 * The receiving end: reads the lengths and counts the messages
 */
export async function handleSink (node: Node, tally: Tally): Promise<void> {
  await node.handle(SINK, stream => {
    const lengths = new LengthReader()

    stream.addEventListener('message', ({ data }) => {
      const count = lengths.read(data)

      if (count > 0) {
        tally.anonymous(count)
      }
    })
    closeAtEnd(stream)
  })
}

/**
 * The node in between: hands on what comes, and takes no more than it can hand on
 */
export async function handleForward (node: Node, next: PeerId): Promise<void> {
  await node.handle(FORWARD, async incoming => {
    incoming.maxReadBufferLength = READ_BUFFER
    const outgoing = await node.dialProtocol(next, SINK)

    incoming.addEventListener('message', ({ data }) => {
      if (outgoing.send(data) || incoming.readStatus !== 'readable') {
        return
      }

      incoming.pause()
      writable(outgoing).then(() => {
        // it may have ended meanwhile, with nothing left to read
        if (incoming.readStatus === 'paused') {
          incoming.resume()
        }
      }, error => { incoming.abort(error) })
    })
    closeAtEnd(incoming)
    incoming.addEventListener('end', () => {
      outgoing.close().catch(error => { outgoing.abort(error) })
    })
  })
}

/** Sends back what comes */
export async function handleEcho (node: Node): Promise<void> {
  await node.handle(ECHO, stream => {
    stream.addEventListener('message', ({ data }) => { stream.send(data) })
    closeAtEnd(stream)
  })
}

/** Small messages a second, each when the last one came back */
export async function rawEchoes (node: Node, to: PeerId, count: number): Promise<number> {
  const stream = await node.dialProtocol(to, ECHO)
  const started = sharedNow()

  for (let i = 0; i < count; i++) {
    const back = new Promise(resolve => { stream.addEventListener('message', resolve, { once: true }) })
    stream.send(new Uint8Array(100))
    await back
  }

  const ended = sharedNow()
  await stream.close()
  return count / (ended - started) * 1_000
}

/**
 * Sends for so long, or so many, over a stream of its own
 */
export async function rawBlast (node: Node, to: PeerId, hops: number, { size, ms, max, gather }: RawBlast): Promise<Sent> {
  const stream = await node.dialProtocol(to, hops > 1 ? FORWARD : SINK)
  const messages = new MessageBytes(size)
  const started = sharedNow()
  const end = started + ms
  let writes = 0

  while (messages.made < max && sharedNow() < end) {
    const more = stream.send(gather ? messages.take(GATHER) : messages.rest())

    if (!more) {
      await writable(stream)
    } else if (++writes % WRITES_A_TURN === 0) {
      await new Promise(resolve => setImmediate(resolve))
    }
  }

  // the last write may have ended within a message
  stream.send(messages.rest())
  await stream.close()

  return { sent: messages.made, started }
}

/**
 * Resolves when the stream takes more. `onDrain()` would do so once and for ever, so
 * this waits for the event, and looks again: the stream first sends what it has queued
 * and may be full from that.
 */
export async function writable (stream: Stream): Promise<void> {
  while (stream.writableNeedsDrain) {
    if (stream.writeStatus !== 'writable') {
      throw new Error(`the stream is ${stream.status}`)
    }

    await new Promise<void>(resolve => {
      const done = (): void => {
        stream.removeEventListener('drain', done)
        stream.removeEventListener('close', done)
        resolve()
      }
      stream.addEventListener('drain', done)
      stream.addEventListener('close', done)
    })
    // it sends in a microtask
    await new Promise<void>(resolve => { queueMicrotask(resolve) })
  }
}

function closeAtEnd (stream: Stream): void {
  stream.addEventListener('end', () => {
    stream.close().catch(error => { stream.abort(error) })
  })
}

/**
 * One message after the other, as bytes that can be cut anywhere. They are made where they are sent from.
 */
class MessageBytes {
  made = 0
  private readonly message: Uint8Array
  /** Bytes of the present message that have been taken */
  private at = 0

  constructor (size: number) {
    const prefix = varint(size)
    this.message = new Uint8Array(prefix.length + size).fill(0x5a)
    this.message.set(prefix)
  }

  take (length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    let filled = 0

    while (filled < length) {
      const part = this.part(length - filled)
      bytes.set(part, filled)
      filled += part.length
    }

    return bytes
  }

  /**
   * What is left of the present message, all of it if none was begun
   */
  rest (): Uint8Array {
    return this.part(this.message.length).slice()
  }

  private part (most: number): Uint8Array {
    const end = Math.min(this.message.length, this.at + most)
    const part = this.at === 0 && end === this.message.length ? this.message : this.message.subarray(this.at, end)
    this.at = end

    if (end === this.message.length) {
      this.at = 0
      this.made++
    }

    return part
  }
}

function varint (value: number): Uint8Array {
  const bytes: number[] = []

  while (value >= 0x80) {
    bytes.push((value & 0x7f) | 0x80)
    value >>>= 7
  }

  return Uint8Array.from([...bytes, value])
}

/**
 * Finds where one message ends and the next begins, however the bytes come
 */
class LengthReader {
  private length = 0
  private shift = 0
  /** Bytes of the present message that have not come yet, -1 while its length is being read */
  private missing = -1

  /**
   * Tells how many messages end in these bytes
   */
  read (data: Uint8Array | Uint8ArrayList): number {
    let count = 0

    for (const part of data instanceof Uint8Array ? [data] : data) {
      count += this.readPart(part)
    }

    return count
  }

  private readPart (part: Uint8Array): number {
    let count = 0
    let at = 0

    while (at < part.length) {
      if (this.missing < 0) {
        at = this.readLength(part, at)
      } else {
        const taken = Math.min(this.missing, part.length - at)
        this.missing -= taken
        at += taken
      }

      if (this.missing === 0) {
        count++
        this.missing = -1
      }
    }

    return count
  }

  private readLength (part: Uint8Array, at: number): number {
    const byte = part[at]
    this.length |= (byte & 0x7f) << this.shift
    this.shift += 7

    if (byte < 0x80) {
      this.missing = this.length
      this.length = 0
      this.shift = 0
    }

    return at + 1
  }
}
