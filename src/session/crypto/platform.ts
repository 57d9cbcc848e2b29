/** What sessions need of cryptography, as this platform does it: `imports` in package.json say which file that is */
export { cryptoProvider, platformCipher, platformPrimitives, primitivesBy, providerBy } from '#session-crypto'
