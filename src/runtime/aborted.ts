import { AbortError } from '@libp2p/interface'

/** `work`, or the reason of the signal if that is first, or was */
export function aborted<T> (work: Promise<T>, signal?: AbortSignal, onAbort: () => void = () => {}): Promise<T> {
  if (signal == null) {
    return work
  }

  return new Promise((resolve, reject) => {
    const abort = (): void => {
      onAbort()
      reject(signal.reason ?? new AbortError())
    }

    if (signal.aborted) {
      abort()
    }
    signal.addEventListener('abort', abort, { once: true })
    work.then(resolve, reject).finally(() => { signal.removeEventListener('abort', abort) })
  })
}

/**
 * The items of a source until the signal aborts. A source that hangs is not waited for: it is told to end, and may do
 * that when it likes
 */
export async function * untilAborted<T> (
  source: Iterable<T> | AsyncIterable<T>, signal?: AbortSignal
): AsyncGenerator<T> {
  const iterator: AsyncIterator<T> | Iterator<T> = Symbol.asyncIterator in source
    ? source[Symbol.asyncIterator]()
    : source[Symbol.iterator]()

  try {
    for (;;) {
      const { done, value } = await aborted(Promise.resolve(iterator.next()), signal)

      if (done === true) {
        return
      }

      yield value
    }
  } finally {
    // one that throws here must not hide why it is ended
    void (async () => iterator.return?.())().catch(() => {})
  }
}
