import { InvalidParametersError } from '@libp2p/interface'
import { systemClock } from '../runtime/clock.ts'
import { encodeString } from '../runtime/codec.ts'
import { ANYTHING, BOOLEAN, checkOptions, COUNT, MILLISECONDS, SIGNAL } from '../runtime/options.ts'
import { systemRandom } from '../runtime/random.ts'
import * as limits from './constants.ts'
import type { CloseOptions, RekeyOptions, SendOptions, SessionHandler, SessionsInit } from './index.ts'
import type { Rule } from '../runtime/options.ts'
import type { PeerId } from '@libp2p/interface'

const NAME: Rule = [value => typeof value === 'string' && value !== '', 'a name']
const MODE: Rule = [value => value === 'best-effort' || value === 'perfect', "'best-effort' or 'perfect'"]
const FUNCTION: Rule = [value => typeof value === 'function', 'a function']
const CRYPTO: Rule = [value => ['auto', 'inline', 'worker'].includes(value), "'auto', 'inline' or 'worker'"]
const PROTOCOL: Rule = [
  value => typeof value === 'string' && value.isWellFormed() && value !== '' &&
    encodeString(value).byteLength <= limits.MAX_PROTOCOL,
  `a string of 1 to ${limits.MAX_PROTOCOL} bytes`
]

/** All options of sessions() */
export type Options =
  Required<Omit<SessionsInit, 'allow' | 'createWorker'>> & Pick<SessionsInit, 'allow' | 'createWorker'>

/** What each option has to be, and what it is where nobody says so */
const INIT: { [Name in keyof Options]-?: [Rule, Options[Name]] } = {
  pubsub: [NAME, 'pubsub'],
  mode: [MODE, 'best-effort'],
  allow: [FUNCTION, undefined],
  maxSessions: [COUNT, limits.MAX_SESSIONS],
  queueMessages: [COUNT, limits.QUEUE_MESSAGES],
  queueBytes: [COUNT, limits.QUEUE_BYTES],
  nodeQueueBytes: [COUNT, limits.NODE_QUEUE_BYTES],
  rekeyMessages: [COUNT, limits.REKEY_MESSAGES],
  rekeyAge: [MILLISECONDS, limits.REKEY_AGE[0]],
  crypto: [CRYPTO, 'auto'],
  createWorker: [FUNCTION, undefined],
  clock: [ANYTHING, systemClock],
  random: [ANYTHING, systemRandom]
}

const ONCE: Rule = [
  ({ origin, number }) => origin instanceof Uint8Array && origin.byteLength === limits.ORIGIN_BYTES &&
    Number.isSafeInteger(number) && number > 0,
  `{ origin, number }: ${limits.ORIGIN_BYTES} bytes, and a whole number from 1 on`
]

const SEND: Record<keyof SendOptions, [Rule]> = {
  mode: [MODE], protocol: [PROTOCOL], once: [ONCE], signal: [SIGNAL]
}
const REKEY: Record<keyof RekeyOptions, [Rule]> = { wait: [BOOLEAN], signal: [SIGNAL] }
const CLOSE: Record<keyof CloseOptions, [Rule]> = { signal: [SIGNAL] }

/** Throws an InvalidOptionsError */
export function optionsOf (init: SessionsInit): Options {
  checkOptions('sessions()', init, INIT)
  return Object.fromEntries(
    Object.entries(INIT).map(([name, [, byDefault]]) => [name, init[name as keyof SessionsInit] ?? byDefault])
  ) as unknown as Options
}

/** Throw an InvalidOptionsError */
export function checkSendOptions (options: SendOptions): void {
  checkOptions('send()', options, SEND)
}

export function checkRekeyOptions (options: RekeyOptions): void {
  checkOptions('rekey()', options, REKEY)
}

export function checkCloseOptions (options: CloseOptions): void {
  checkOptions('close()', options, CLOSE)
}

export function checkHandler (protocol: string, handler: SessionHandler): void {
  checkOptions('handle()', { protocol }, { protocol: [PROTOCOL] })

  if (protocol === undefined) {
    throw new InvalidParametersError(`A protocol is ${PROTOCOL[1]}`)
  }
  if (typeof handler !== 'function') {
    throw new InvalidParametersError(`The handler of '${protocol}' is a function, not ${String(handler)}`)
  }
}

/** What a caller in JavaScript may hand in instead of a peer id, and instead of bytes, is refused at the call */
export function checkPeer (peerId: PeerId, me?: PeerId): void {
  if (typeof peerId?.toMultihash !== 'function') {
    throw new InvalidParametersError(`A session is with a PeerId, not with ${String(peerId)}`)
  }
  if (me != null && peerId.equals(me)) {
    throw new InvalidParametersError('A node has no session with itself')
  }
}

export function checkData (data: Uint8Array): void {
  if (!(data instanceof Uint8Array)) {
    throw new InvalidParametersError(`A message is a Uint8Array, not ${String(data)}`)
  }
}
