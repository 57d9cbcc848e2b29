import { fromString } from 'uint8arrays/from-string'
import { toString } from 'uint8arrays/to-string'
import { short } from '../../text.ts'

/** Letters of a text that the page shows */
export const PREVIEW = 160

/**
 * Letters that show nothing, or that turn the text around them: `Cf` has the marks of direction. It also has the two
 * joiners, of which emoji and some scripts are made
 */
const INVISIBLE = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

/** What others wrote, in one line that shows all of its letters */
export const visible = (text: string): string => text.replace(/\s+/g, ' ').replace(INVISIBLE, '\ufffd')

/** The beginning of what is text; undefined: it is none */
export function previewOf (data: Uint8Array): string | undefined {
  // a letter of UTF-8 has four bytes at most, and the last one may be cut
  const isWhole = data.byteLength <= 4 * PREVIEW
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

  try {
    const letters = [...visible(decoder.decode(data.subarray(0, 4 * PREVIEW), { stream: !isWhole }))]
    const isCut = !isWhole || letters.length > PREVIEW
    return isCut ? `${letters.slice(0, PREVIEW).join('')}\u2026` : letters.join('')
  } catch {
    // bytes that are no text: the page says how many they are
    return undefined
  }
}

/** An owner of a mailbox: the key of a peer, which is bytes, or a name */
export function ownerInWords (owner: string): string {
  return /^[\x20-\x7e]*$/.test(owner) ? owner : short(toString(fromString(owner, 'ascii'), 'base58btc'))
}

/** Milliseconds, roughly */
export function timeInWords (ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000))

  if (seconds < 60) {
    return `${seconds} s`
  }
  if (seconds < 3_600) {
    return `${Math.floor(seconds / 60)} min`
  }
  return seconds < 172_800 ? `${Math.floor(seconds / 3_600)} h` : `${Math.floor(seconds / 86_400)} days`
}

/** As a sentence begins and ends */
export function sentence (text: string): string {
  const begun = text.charAt(0).toUpperCase() + text.slice(1)
  return /[.!?\u2026]$/.test(begun) ? begun : `${begun}.`
}
