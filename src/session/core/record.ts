import { Reader, Writer } from '../../runtime/codec.ts'
import { MalformedError } from '../../runtime/errors.ts'
import { bytesOfKey, keyOfBytes } from '../../runtime/keys.ts'
import * as limits from '../constants.ts'
import { current, keysOf, newSession } from './state.ts'
import { decode, encodeSigned, withSignature } from './wire.ts'
import type { EpochKeys, KeyId, SessionInit, SessionState } from './state.ts'
import type { Accept } from './wire.ts'

/**
 * What of a session outlives the process. It holds secrets: the shell encrypts it, and stores it in one piece.
 *
 * Not in it, on purpose: chains that seal (I9), skipped message keys and replay bits (what was skipped is sealed again
 * under the next key), messages of the program and their numbers (a new life numbers its own from 1, and each key names
 * the lives that agreed on it). So nothing has to be stored before a message leaves.
 */
export function encodeRecord (state: SessionState): Uint8Array {
  const { n, seen, keys, mode, needsFresh, origins, in: { boot, delivered } } = state
  // larger than any record: a buffer that grows leaves secrets behind in the smaller one
  const writer = new Writer(4096).byte(limits.RECORD_VERSION)
  writer.uvarint(n).uvarint(seen).byte(needsFresh ? 1 : 0).uvarint(boot).uvarint(delivered)
  writer.list(keys, key => { writeKeys(writer, key) })

  if (mode.type === 'accepted' && mode.stage === 'provisional') {
    writer.byte(1)
    writeKeys(writer, mode.keys)
    // as a frame without its signature: the shell signs it anew
    writer.bytes(encodeSigned(mode.accept, state.me, state.peer))
  } else {
    writer.byte(0)
  }
  if (origins.length > 0) {
    writer.list(origins, ({ id, number }) => { writer.raw(bytesOfKey(id)).uvarint(number) })
  }

  return writer.finish()
}

/**
 * A session in the life after the one that stored the record. Its keys open and do not seal. Throws a MalformedError
 */
export function decodeRecord (record: Uint8Array, init: SessionInit, now: number): SessionState {
  // what is read are views, and the record is the shell's to zero
  const reader = new Reader(Uint8Array.from(record))
  const state = newSession(init)

  if (reader.byte() !== limits.RECORD_VERSION) {
    throw new MalformedError('a session was stored by another version')
  }

  state.n = reader.uvarint()
  state.seen = reader.uvarint()
  state.needsFresh = reader.byte() === 1
  state.in.boot = reader.uvarint()
  state.in.delivered = reader.uvarint()
  state.in.stored = state.in.delivered
  state.keys = reader.list(limits.KEY_WINDOW, () => readKeys(reader, state, now))
  const last = current(state)

  if (last != null) {
    last.since = now
  }
  if (reader.byte() === 1) {
    const keys = readKeys(reader, state, now)
    const accept = readAccept(reader.bytes())
    state.mode = { type: 'accepted', stage: 'provisional', n: accept.n, tries: 0, wakeAt: now, keys, accept }
  }
  if (reader.left > 0) {
    state.origins = reader.list(limits.MAX_ORIGINS, () => ({
      id: keyOfBytes(reader.raw(limits.ORIGIN_BYTES)), number: reader.uvarint()
    }))
  }

  return state
}

function writeKeys (writer: Writer, keys: EpochKeys): void {
  const { id, epoch, root, confirm, receive, myBoot, peerBoot, supersededAt } = keys
  writer.raw(bytesOfKey(id)).uvarint(epoch).raw(root).raw(confirm).raw(receive.key).uvarint(receive.next)
  writer.uvarint(myBoot).uvarint(peerBoot).uvarint(supersededAt == null ? 0 : Math.max(1, Math.trunc(supersededAt)))
}

function readKeys (reader: Reader, state: SessionState, now: number): EpochKeys {
  const id: KeyId = keyOfBytes(reader.raw(limits.KEY_ID_BYTES))
  const epoch = reader.uvarint()
  const [root, confirm, receive] = [secret(reader), secret(reader), secret(reader)]
  const derived = { id, root, confirm, lowToHigh: receive, highToLow: receive }
  const next = reader.uvarint()
  const keys = keysOf(state, derived, epoch, { myBoot: reader.uvarint(), peerBoot: reader.uvarint() })
  const since = reader.uvarint()
  // a clock that was set back since does not keep an older key for as long
  const supersededAt = since === 0 ? undefined : Math.min(since, now)
  return { ...keys, send: undefined, receive: { key: receive, next }, supersededAt }
}

function readAccept (encoded: Uint8Array): Accept {
  const { frame } = decode(withSignature(encoded, new Uint8Array(0)))

  if (frame.kind !== 'accept') {
    throw new MalformedError('a stored session answers with something that is no Accept')
  }

  return frame
}

function secret (reader: Reader): Uint8Array {
  return Uint8Array.from(reader.raw(limits.SECRET_BYTES))
}
