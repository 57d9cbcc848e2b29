import { Key as StoreKey } from 'interface-datastore'
import { concat } from 'uint8arrays/concat'
import { encodeString, Reader, Writer } from '../runtime/codec.ts'
import { bytesOfKey } from '../runtime/keys.ts'
import { StoreOwner } from '../runtime/store-owner.ts'
import { MAX_RECORDS, RECORD_VERSION } from './constants.ts'
import { openVault } from './vault-platform.ts'
import type { Key } from './core/state.ts'
import type { CryptoProvider } from './crypto/provider.ts'
import type { Vault } from './vault.ts'
import type { Clock } from '../runtime/clock.ts'
import type { PrivateKey } from '@libp2p/interface'
import type { Datastore } from 'interface-datastore'

const ROOT = '/libp2p-sheaf/sessions'
const RECORDS = new StoreKey(`${ROOT}/records`)
const CONTEXT = encodeString('libp2p-sheaf/session/1/record:')

export interface RecordsInit {
  datastore: Datastore
  privateKey: PrivateKey
  crypto: CryptoProvider
  clock: Clock
}

/** What was found in the place of a record */
export type Found =
  | { type: 'record', record: Uint8Array, revision: number }
  | { type: 'none' }
  /** Something lies there that this node cannot have written, or that has rotted */
  | { type: 'unreadable' }

/**
 * The records of all sessions, in the datastore of the node: one a peer, encrypted, each written in one piece, by the
 * only owner of the place. Its revision grows with each one that is written.
 */
export class Records {
  readonly #datastore: Datastore
  readonly #owner: StoreOwner
  readonly #vault: Vault
  /** Of which peers there are records, those that were written last at the end */
  readonly #peers: Set<Key>

  private constructor (datastore: Datastore, owner: StoreOwner, vault: Vault, peers: Set<Key>) {
    this.#datastore = datastore
    this.#owner = owner
    this.#vault = vault
    this.#peers = peers
  }

  /** Throws a StoreInUseError if somebody else has the records open */
  static async open ({ datastore, privateKey, crypto, clock }: RecordsInit): Promise<Records> {
    const key = new StoreKey(`${ROOT}/owner`)
    const owner = await StoreOwner.open({ datastore, key, name: 'The sessions of this node', clock })

    try {
      const vault = await openVault(privateKey, crypto)
      const peers = new Set<Key>()

      for await (const key of datastore.queryKeys({ prefix: RECORDS.toString() })) {
        const peer = peerOf(key)
        peer != null && peers.add(peer)
      }

      return new Records(datastore, owner, vault, peers)
    } catch (err) {
      await owner.release()
      throw err
    }
  }

  get size (): number {
    return this.#peers.size
  }

  has (peer: Key): boolean {
    return this.#peers.has(peer)
  }

  /** Throws a StoreInUseError when the records are somebody else's by now */
  check (): void {
    this.#owner.check()
  }

  /** Throws what the datastore throws: that it cannot be read is not that nothing is there */
  async load (peer: Key): Promise<Found> {
    if (!this.#peers.has(peer)) {
      return { type: 'none' }
    }

    const sealed = await this.#read(peer)
    const opened = sealed == null ? undefined : await this.#vault.open(sealed, contextOf(peer))

    if (opened == null) {
      return { type: sealed == null ? 'none' : 'unreadable' }
    }

    const reader = new Reader(opened)
    return { type: 'record', revision: reader.uvarint(), record: reader.rest() }
  }

  /** The record stays the caller's to zero */
  async store (peer: Key, revision: number, record: Uint8Array): Promise<void> {
    this.#owner.check()
    const plaintext = new Writer(record.byteLength + 8).uvarint(revision).raw(record).finish()
    const sealed = await this.#vault.seal(plaintext, contextOf(peer))
    plaintext.fill(0)
    // it may have been lost while it was sealed
    this.#owner.check()
    await this.#datastore.put(keyOf(peer), sealed)
    this.#peers.delete(peer)
    this.#peers.add(peer)
  }

  /** Lets go of what was written least lately, past the bound. `isInUse`: not of these */
  async trim (isInUse: (peer: Key) => boolean): Promise<void> {
    for (const peer of this.#peers) {
      if (this.#peers.size <= MAX_RECORDS) {
        return
      }
      // asked now: a session may have begun while another record went
      if (!isInUse(peer)) {
        this.#owner.check()
        this.#peers.delete(peer)
        await this.#datastore.delete(keyOf(peer))
      }
    }
  }

  async close (): Promise<void> {
    await this.#owner.release()
  }

  async #read (peer: Key): Promise<Uint8Array | undefined> {
    try {
      return await this.#datastore.get(keyOf(peer))
    } catch (err: any) {
      if (err.name !== 'NotFoundError') {
        throw err
      }
    }
  }
}

/** Bytes of a peer id are hexadecimal here: a key of a datastore is text without slashes */
function keyOf (peer: Key): StoreKey {
  return RECORDS.child(new StoreKey(Array.from(bytesOfKey(peer), byte => byte.toString(16).padStart(2, '0')).join('')))
}

/** Undefined: it is no key of ours */
function peerOf (key: StoreKey): Key | undefined {
  const name = key.baseNamespace()
  return /^([0-9a-f]{2})+$/.test(name)
    ? name.replace(/../g, byte => String.fromCharCode(parseInt(byte, 16)))
    : undefined
}

function contextOf (peer: Key): Uint8Array {
  return concat([CONTEXT, Uint8Array.of(RECORD_VERSION), bytesOfKey(peer)])
}
