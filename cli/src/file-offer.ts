import { isSafeName } from './file-name.ts'

/** How 'sheaf send' and 'sheaf receive' know each other */
export const PROTOCOL = 'sheaf/file'

/**
 * The meta of an offer. `run` differs each time: otherwise a sender that was killed and returns would be one more
 * source of the old transfer, which first waits for the dead one
 */
export function metaOf (name: string): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ name, run: crypto.randomUUID() }))
}

/** Undefined: a stranger said something else */
export function nameIn (meta: Uint8Array): string | undefined {
  try {
    const said: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(meta))
    const name = said != null && Object.hasOwn(said, 'name') ? (said as { name: unknown }).name : undefined
    return isSafeName(name) ? name : undefined
  } catch {
    // it is no JSON, or no text at all: whoever sent it hears that it is rejected
    return undefined
  }
}
