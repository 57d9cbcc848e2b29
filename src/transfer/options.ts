import { InvalidParametersError } from '@libp2p/interface'
import { systemClock } from '../runtime/clock.ts'
import { encodeString } from '../runtime/codec.ts'
import { InvalidOptionsError } from '../runtime/errors.ts'
import { ANYTHING, BOOLEAN, checkOptions, FUNCTION, SIGNAL } from '../runtime/options.ts'
import { systemRandom } from '../runtime/random.ts'
import * as limits from './constants.ts'
import type { AcceptOptions, Chunks, SendOptions, TransfersInit, TransferSource } from './index.ts'
import type { Rule } from '../runtime/options.ts'
import type { PeerId } from '@libp2p/interface'

const NAME: Rule = [value => typeof value === 'string' && value !== '', 'a name']
const PRIORITY: Rule = [value => value === 'data' || value === 'bulk', "'data' or 'bulk'"]
const PROTOCOL: Rule = [
  value => typeof value === 'string' && value.isWellFormed() && value !== '' &&
    encodeString(value).byteLength <= limits.MAX_PROTOCOL,
  `a string of 1 to ${limits.MAX_PROTOCOL} bytes`
]
const META: Rule = [
  value => value instanceof Uint8Array && value.byteLength <= limits.MAX_META,
  `a Uint8Array of at most ${limits.MAX_META} bytes`
]
const CHUNKS: Rule = [isChunks, 'a Uint8Array, or an iterable of them']

/** All options of transfers() */
export type Options = Required<TransfersInit>

const INIT: { [Name in keyof Options]-?: [Rule, Options[Name]] } = {
  pubsub: [NAME, 'pubsub'],
  sessions: [NAME, 'sessions'],
  clock: [ANYTHING, systemClock],
  random: [ANYTHING, systemRandom]
}

const SEND: Record<keyof SendOptions, [Rule]> = {
  protocol: [PROTOCOL],
  meta: [META],
  priority: [PRIORITY],
  confidential: [BOOLEAN],
  onProgress: [FUNCTION],
  signal: [SIGNAL]
}
const ACCEPT: Record<keyof AcceptOptions, [Rule]> = { have: [CHUNKS], onProgress: [FUNCTION], signal: [SIGNAL] }

/** Throws an InvalidOptionsError */
export function optionsOf (init: TransfersInit): Options {
  checkOptions('transfers()', init, INIT)
  return Object.fromEntries(
    Object.entries(INIT).map(([name, [, byDefault]]) => [name, init[name as keyof TransfersInit] ?? byDefault])
  ) as unknown as Options
}

/** Throw an InvalidOptionsError, or an InvalidParametersError */
export function checkSend (peerId: PeerId, me: PeerId, source: TransferSource, options: SendOptions): void {
  checkOptions('send()', options, SEND)

  if (typeof peerId?.toMultihash !== 'function') {
    throw new InvalidParametersError(`A transfer goes to a PeerId, not to ${String(peerId)}`)
  }
  if (peerId.equals(me)) {
    throw new InvalidParametersError('A node sends nothing to itself')
  }
  if (typeof source !== 'function' && !isChunks(source)) {
    throw new InvalidParametersError('A source is a Uint8Array, an iterable of them, ' +
      'or a function that opens one at an offset')
  }
  if (source instanceof Uint8Array && source.byteLength > limits.MAX_SIZE) {
    throw new InvalidParametersError(`${source.byteLength} bytes, at most ${limits.MAX_SIZE} go into a transfer ` +
      'of known size')
  }
}

export function checkAccept (options: AcceptOptions): void {
  checkOptions('accept()', options, ACCEPT)
}

export function checkProtocol (protocol: string): void {
  checkOptions('handle()', { protocol }, { protocol: [PROTOCOL] })

  if (protocol === undefined) {
    throw new InvalidOptionsError(`A protocol is ${PROTOCOL[1]}`)
  }
}

function isChunks (value: any): value is Uint8Array | Chunks {
  return value instanceof Uint8Array || typeof value?.[Symbol.asyncIterator] === 'function' ||
    (typeof value?.[Symbol.iterator] === 'function' && typeof value !== 'string' && !ArrayBuffer.isView(value))
}
