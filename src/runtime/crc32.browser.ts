const TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) {
    byte = (byte >>> 1) ^ ((byte & 1) * 0xEDB88320)
  }
  return byte
})

/** What `crc32.node.ts` is to Node */
export function crc32 (bytes: Uint8Array, before = 0): number {
  let crc = ~before
  for (let i = 0; i < bytes.byteLength; i++) {
    crc = TABLE[(crc ^ bytes[i]) & 0xff] ^ (crc >>> 8)
  }
  return ~crc >>> 0
}
