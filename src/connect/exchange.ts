import { Uint8ArrayList } from 'uint8arraylist'
import { Reader, Writer } from '../runtime/codec.ts'
import { MalformedError } from '../runtime/errors.ts'
import { MAX_NAMED, MAX_RECORD } from './constants.ts'
import type { Stream } from '@libp2p/interface'

/** Bytes of the multihash of a peer id, at most */
const MAX_PEER = 64
/** Bytes of the longest answer: each of its parts has a length before it */
const MAX_ANSWER = 8 + MAX_NAMED * (MAX_PEER + MAX_RECORD + 8)

/** A peer, and the record with its addresses that it has signed (libp2p RFC 0003) */
export interface Named {
  peer: Uint8Array
  record: Uint8Array
}

/** Whoever opens the stream says nothing; the other side says whom it knows, and closes */
export async function answerWith (stream: Stream, named: () => Promise<Named[]>): Promise<void> {
  const writer = new Writer().list(await named(), ({ peer, record }) => writer.bytes(peer).bytes(record))
  stream.send(writer.finish())
  await stream.close()
}

/** Rejects with a MalformedError, or with the reason of the signal */
export async function ask (stream: Stream, signal: AbortSignal): Promise<Named[]> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
  const answer = new Uint8ArrayList()
  const onAbort = (): void => { reject(signal.reason) }
  // before anything can come
  stream.addEventListener('message', ({ data }) => {
    answer.append(data)

    if (answer.byteLength > MAX_ANSWER) {
      reject(new MalformedError(`more than ${MAX_ANSWER} bytes`))
    }
  })
  stream.addEventListener('remoteCloseWrite', () => { resolve(answer.subarray()) }, { once: true })
  stream.addEventListener('close', ({ error }) => { reject(error ?? new Error('The stream ended')) }, { once: true })
  signal.addEventListener('abort', onAbort, { once: true })

  try {
    signal.throwIfAborted()
    const reader = new Reader(await promise)
    const named = reader.list(MAX_NAMED, () => ({ peer: reader.bytes(MAX_PEER), record: reader.bytes(MAX_RECORD) }))
    await stream.close({ signal })
    return named
  } catch (err: any) {
    stream.abort(err)
    throw err
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
