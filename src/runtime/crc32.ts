/** CRC-32, as this platform does it: `imports` in package.json say which file that is */
export { crc32 } from '#crc32'
