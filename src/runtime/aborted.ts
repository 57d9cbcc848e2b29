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
