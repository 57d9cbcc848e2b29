/** SHA-256, as this platform does it: `imports` in package.json say which file that is */
export { LARGE_BYTES, sha256, sha256Sliced } from '#sha256'
