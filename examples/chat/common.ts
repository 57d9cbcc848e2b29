/** Wakes whoever waits for the next change */
export class Changes {
  #next = Promise.withResolvers<void>()

  tell (): void {
    this.#next.resolve()
    this.#next = Promise.withResolvers<void>()
  }

  /** Throws the reason of the signal */
  async next (signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const aborted = Promise.withResolvers<void>()
    const onAbort = (): void => { aborted.reject(signal.reason) }
    signal.addEventListener('abort', onAbort)
    await Promise.race([this.#next.promise, aborted.promise])
      .finally(() => { signal.removeEventListener('abort', onAbort) })
  }
}

/** Why things fail in a page that is closed */
export const CLOSED = ['ProfileStoppedError', 'LogClosedError', 'DatabaseClosedError', 'AbortError']

/** What fails because the page is closed is of no interest to anybody */
export function attempt (work: Promise<unknown>): void {
  work.catch(err => { CLOSED.includes(err.name) || reportError(err) })
}

export function encode (value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value))
}

export function decode <T> (bytes: Uint8Array): T {
  return JSON.parse(new TextDecoder().decode(bytes))
}
