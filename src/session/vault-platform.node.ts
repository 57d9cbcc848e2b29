import { derivedVault } from './vault.ts'
import type { CryptoProvider } from './crypto/provider.ts'
import type { Vault } from './vault.ts'
import type { PrivateKey } from '@libp2p/interface'

/**
 * Node has nowhere to keep a key that a program cannot read, so it is derived from the key of the node: that has to be
 * kept safe anyway. `vault-platform.browser.ts` is the same for browsers.
 */
export async function openVault (privateKey: PrivateKey, crypto: CryptoProvider): Promise<Vault> {
  return derivedVault(privateKey, crypto)
}
