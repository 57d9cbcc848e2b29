import type { CryptoProvider } from './provider.ts'

/** What a worker is asked to do: one call of a provider */
export interface Question {
  id: number
  operation: 'generate' | 'encapsulate' | 'decapsulate' | 'seal' | 'open'
  args: Uint8Array[]
}

export interface Answer {
  id: number
  /** What the call returned: fields of an object, or one value under '' */
  result?: Record<string, Uint8Array | undefined>
  /** It threw: the key or the ciphertext is none */
  error?: string
}

/** The side of the worker. All that it was given is zeroed when it is done */
export async function answer (provider: CryptoProvider, { id, operation, args }: Question): Promise<Answer> {
  try {
    return { id, result: movable(await compute(provider, operation, args)) }
  } catch (err: any) {
    return { id, error: `${err?.message}` }
  } finally {
    args.forEach(bytes => { bytes.fill(0) })
  }
}

async function compute (
  provider: CryptoProvider, operation: Question['operation'], [first, second, third]: Uint8Array[]
): Promise<NonNullable<Answer['result']>> {
  switch (operation) {
    case 'generate':
      return { ...await provider.generate() }
    case 'encapsulate':
      return { ...await provider.encapsulate(first) }
    case 'decapsulate':
      return { '': await provider.decapsulate(first, second) }
    case 'seal':
      return { '': provider.seal(first, second, third) }
    case 'open':
      return { '': provider.open(first, second, third) }
  }
}

/** Each in a buffer of its own: what shares one with others cannot move. What was copied is zeroed */
function movable (result: NonNullable<Answer['result']>): Answer['result'] {
  return Object.fromEntries(Object.entries(result).map(([name, bytes]) => {
    const copy = bytes == null ? undefined : Uint8Array.from(bytes)
    bytes?.fill(0)
    return [name, copy]
  }))
}

/** What moves to the other side instead of being copied there: no second copy of a secret stays behind */
export function buffersOf (bytes: Array<Uint8Array | undefined>): ArrayBuffer[] {
  return bytes.flatMap(one => one == null ? [] : one.buffer as ArrayBuffer)
}
