import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { concat } from 'uint8arrays/concat'
import { withArrayBuffer } from 'uint8arrays/with-array-buffer'
import { TAG_BYTES } from './constants.ts'
import { derivedVault } from './vault.ts'
import type { CryptoProvider } from './crypto/provider.ts'
import type { Vault } from './vault.ts'
import type { PrivateKey } from '@libp2p/interface'

/**
 * A key of WebCrypto that no script can read, kept in IndexedDB: whoever copies the datastore, and the key of the node
 * with it, cannot read it. Where there is no WebCrypto (a page over plain HTTP), or no IndexedDB, the key is derived
 * from that of the node.
 */
const DATABASE = 'libp2p-sheaf/session'
const KEYS = 'keys'
const CIPHER = 'AES-GCM'
const IV_BYTES = 12

export async function openVault (privateKey: PrivateKey, crypto: CryptoProvider): Promise<Vault> {
  const subtle = globalThis.crypto?.subtle as SubtleCrypto | undefined

  if (subtle == null || globalThis.indexedDB == null) {
    return derivedVault(privateKey, crypto)
  }

  try {
    return vaultOf(subtle, await storedKey(subtle, `${peerIdFromPrivateKey(privateKey)}`))
  } catch {
    // IndexedDB is there and refuses: some private windows are like that. What is stored lives no longer than the page
    return derivedVault(privateKey, crypto)
  }
}

function vaultOf (subtle: SubtleCrypto, key: CryptoKey): Vault {
  const algorithm = (iv: Uint8Array, context: Uint8Array): AesGcmParams =>
    ({ name: CIPHER, iv: withArrayBuffer(iv), additionalData: withArrayBuffer(context) })

  return {
    async seal (plaintext, context) {
      const iv = globalThis.crypto.getRandomValues(new Uint8Array(IV_BYTES))
      const sealed = await subtle.encrypt(algorithm(iv, context), key, withArrayBuffer(plaintext))
      return concat([iv, new Uint8Array(sealed)])
    },
    async open (sealed, context) {
      if (sealed.byteLength < IV_BYTES + TAG_BYTES) {
        return
      }

      try {
        const [iv, rest] = [sealed.subarray(0, IV_BYTES), sealed.subarray(IV_BYTES)]
        return new Uint8Array(await subtle.decrypt(algorithm(iv, context), key, withArrayBuffer(rest)))
      } catch {
        // the tag is wrong: it has rotted, or is of another key
      }
    }
  }
}

/** The key of this name: made when it is not there yet. The caller owns the store, so no other tab makes one */
async function storedKey (subtle: SubtleCrypto, name: string): Promise<CryptoKey> {
  const opening = indexedDB.open(DATABASE, 1)
  opening.onupgradeneeded = () => { opening.result.createObjectStore(KEYS) }
  const database = await answerOf(opening)

  try {
    const stored: CryptoKey | undefined = await answerOf(database.transaction(KEYS).objectStore(KEYS).get(name))

    if (stored != null) {
      return stored
    }

    const key = await subtle.generateKey({ name: CIPHER, length: 256 }, false, ['encrypt', 'decrypt'])
    await answerOf(database.transaction(KEYS, 'readwrite').objectStore(KEYS).put(key, name))
    return key
  } finally {
    database.close()
  }
}

async function answerOf<T> (request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => { resolve(request.result) }
    request.onerror = () => { reject(request.error ?? new Error('IndexedDB refused')) }
  })
}
