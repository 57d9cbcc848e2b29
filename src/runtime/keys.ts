/**
 * Bytes as the key of a map, a character each: many times cheaper to make than any other spelling. Strings are hashed
 * with a secret, so nobody can make keys collide
 */
export function keyOfBytes (bytes: Uint8Array): string {
  return String.fromCharCode.apply(null, bytes as unknown as number[])
}

export function bytesOfKey (key: string): Uint8Array {
  const bytes = new Uint8Array(key.length)
  for (let i = 0; i < key.length; i++) {
    bytes[i] = key.charCodeAt(i)
  }
  return bytes
}
