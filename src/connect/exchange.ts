import { Uint8ArrayList } from 'uint8arraylist'
import { Reader, Writer } from '../runtime/codec.ts'
import { MalformedError, orMalformed } from '../runtime/errors.ts'
import { MAX_NAMED, MAX_RECORD } from './constants.ts'
import type { Stream } from '@libp2p/interface'

const VERSION = 1
/** Bytes of the multihash of a peer id, at most */
const MAX_PEER = 64
/** Bytes of the longest answer: each of its parts has a length before it */
const MAX_ANSWER = 16 + MAX_NAMED * (MAX_PEER + MAX_RECORD + 8)

/** A peer, and the record with its addresses that it has signed (libp2p RFC 0003) */
export interface Named {
  peer: Uint8Array
  record: Uint8Array
}

/** Whoever opens the stream says a byte. The other side answers whom it knows, with the length of all before it */
export function answerWith (stream: Stream, named: () => Promise<Named[]>): void {
  // not before: a stream that is closed while the other side still negotiates is reset
  stream.addEventListener('message', () => {
    answer(stream, named).catch(err => { stream.abort(err) })
  }, { once: true })
}

async function answer (stream: Stream, named: () => Promise<Named[]>): Promise<void> {
  const writer = new Writer()
  writer.list(await named(), ({ peer, record }) => writer.bytes(peer).bytes(record))
  stream.send(new Writer().bytes(writer.finish()).finish())
  await stream.close()
}

/** Rejects with a MalformedError, or with the reason of the signal */
export async function ask (stream: Stream, signal: AbortSignal): Promise<Named[]> {
  const { promise, resolve, reject } = Promise.withResolvers<Named[]>()
  const answer = new Uint8ArrayList()
  const onAbort = (): void => { reject(signal.reason) }
  // before anything can come
  stream.addEventListener('message', ({ data }) => {
    answer.append(data)
    const named = orMalformed(() => decode(answer.subarray()))

    if (!(named instanceof MalformedError)) {
      resolve(named)
    } else if (answer.byteLength > MAX_ANSWER) {
      reject(named)
    }
  })
  stream.addEventListener('close', ({ error }) => {
    reject(error ?? new Error('The stream ended before the answer did'))
  }, { once: true })
  signal.addEventListener('abort', onAbort, { once: true })

  try {
    signal.throwIfAborted()
    stream.send(Uint8Array.of(VERSION))
    const named = await promise
    // nobody waits for that: it takes until the other side has closed, too
    stream.close({ signal }).catch(err => { stream.abort(err) })
    return named
  } catch (err: any) {
    stream.abort(err)
    throw err
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/** Throws a MalformedError while something is missing, too: then more may come */
function decode (bytes: Uint8Array): Named[] {
  const reader = new Reader(new Reader(bytes).bytes(MAX_ANSWER))
  return reader.list(MAX_NAMED, () => ({ peer: reader.bytes(MAX_PEER), record: reader.bytes(MAX_RECORD) }))
}
