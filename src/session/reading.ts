import { MalformedError, orMalformed } from '../runtime/errors.ts'
import { verifyWith } from '../runtime/signing.ts'
import { then } from '../runtime/then.ts'
import { TokenBucket } from '../runtime/token-bucket.ts'
import * as limits from './constants.ts'
import { decode, decodeBody, FrameKind } from './core/wire.ts'
import type { Event } from './core/events.ts'
import type { Session } from './core/session.ts'
import type { Key } from './core/state.ts'
import type { Decoded, Sealed, Signed } from './core/wire.ts'
import type { XWingQueue } from './crypto/x-wing-queue.ts'
import type { Verify } from '../runtime/ed25519.ts'
import type { PublicKey } from '@libp2p/interface'

export interface ReadingInit {
  me: Key
  peer: Key
  session: Session
  crypto: XWingQueue
  now (): number
  /** The public key of the peer, if it is known */
  publicKey (): PublicKey | undefined
}

/** What a frame comes to: an event of the session, or why it is dropped */
export type Read = Event | { type: 'dropped', reason: string }

/**
 * Takes frames of one peer apart, verifies and opens them. What that may cost is bounded for each peer: signatures by
 * their number, frames that do not open by the steps of the chain that they cost in vain.
 */
export class Reading {
  readonly #init: ReadingInit
  readonly #strange: TokenBucket
  readonly #signed: TokenBucket
  readonly #vain: TokenBucket
  #verify?: Verify

  constructor (init: ReadingInit) {
    const now = init.now()
    this.#init = init
    this.#strange = new TokenBucket(limits.STRANGER_FRAMES, now)
    this.#signed = new TokenBucket(limits.SIGNED_FRAMES, now)
    this.#vain = new TokenBucket(limits.VAIN_STEPS, now)
  }

  /** At once where the platform verifies and opens at once */
  read (bytes: Uint8Array): Read | Promise<Read> {
    const decoded = orMalformed((): Decoded => decode(ownOf(bytes)))

    if (decoded instanceof MalformedError) {
      return dropped('malformed')
    }
    if ('signed' in decoded) {
      return this.#readSigned(decoded)
    }
    if ('head' in decoded) {
      return this.#readSealed(decoded)
    }

    return this.#mayAsk() ? { type: 'frame', frame: decoded.frame } : dropped('too-many')
  }

  /** Frames of rounds cost us more than the peer */
  #mayAsk (): boolean {
    const { session, now } = this.#init
    return (session.state.keys.length > 0 ? this.#signed : this.#strange).take(1, now())
  }

  #readSigned ({ frame, from, to, signed, signature }: Signed): Read | Promise<Read> {
    const { me, peer, publicKey } = this.#init

    if (from !== peer || to !== me) {
      return dropped('not-ours')
    }
    if (!this.#mayAsk()) {
      return dropped('too-many')
    }
    if (this.#verify == null) {
      const key = publicKey()
      this.#verify = key == null ? undefined : verifyWith(key)
    }

    return this.#verify == null
      ? dropped('no-public-key')
      : then(this.#verify(signed, signature), isGood => isGood ? { type: 'frame', frame } : dropped('forged'))
  }

  #readSealed ({ frame, head, ciphertext }: Sealed): Read | Promise<Read> {
    const { session, crypto, now } = this.#init

    if (this.#vain.level(now()) <= 0) {
      return dropped('too-many')
    }

    const opening = session.openingOf(frame)

    if (opening.type === 'unknown') {
      return { type: 'unopened', head: frame }
    }
    if (opening.type !== 'key') {
      return dropped(opening.type)
    }

    return then(crypto.open(opening.key, head, ciphertext), ({ body }) => {
      const read = body == null ? undefined : orMalformed(() => decodeBody(frame.kind, body))

      if (read == null) {
        this.#vain.spend(1 + opening.steps, now())
        return dropped('forged')
      }

      return read instanceof MalformedError ? dropped('malformed') : { type: 'opened', head: frame, body: read }
    })
  }
}

/**
 * What a session keeps of a signed frame must not keep all that came along with that; what is sealed is opened to bytes
 * of its own
 */
function ownOf (bytes: Uint8Array): Uint8Array {
  const isKept = bytes.byteLength > 1 && bytes[1] < FrameKind.CONFIRM
  return isKept ? Uint8Array.from(bytes) : bytes
}

function dropped (reason: string): Read {
  return { type: 'dropped', reason }
}
