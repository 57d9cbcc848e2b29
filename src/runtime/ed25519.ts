/**
 * Ed25519, as this platform does it: `imports` in package.json say which file that is. Only `signing.ts` uses it, as no
 * platform keeps its rule alone
 */
export { signerOf, verifierAsideOf, verifierOf } from '#ed25519'

export type Sign = (message: Uint8Array) => Uint8Array | Promise<Uint8Array>
export type Verify = (message: Uint8Array, signature: Uint8Array) => boolean | Promise<boolean>
