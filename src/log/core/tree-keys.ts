export function expectSize (key: Uint8Array, size: number): void {
  if (key.byteLength !== size) {
    throw new RangeError(`A key of ${key.byteLength} bytes where keys have ${size}`)
  }
}

export function compareKeys (a: Uint8Array, aAt: number, b: Uint8Array, bAt: number, width: number): number {
  for (let i = 0; i < width; i++) {
    const difference = a[aAt + i] - b[bAt + i]
    if (difference !== 0) {
      return difference
    }
  }
  return 0
}

/** How many of the first `size` keys, which lie in `keys` one behind the other, are below `key` */
export function countBelow (keys: Uint8Array, size: number, key: Uint8Array): number {
  const width = key.byteLength

  // many a key is newer than all others
  if (size === 0 || compareKeys(keys, (size - 1) * width, key, 0, width) < 0) {
    return size
  }

  let low = 0
  let high = size - 1

  while (low < high) {
    const middle = (low + high) >>> 1
    if (compareKeys(keys, middle * width, key, 0, width) < 0) {
      low = middle + 1
    } else {
      high = middle
    }
  }

  return low
}

/**
 * Where a full node is cut when something goes in at `at`. What comes behind all others opens a new node: most keys come in
 * ascending order, and so the nodes they leave behind are full.
 */
export function cutOf (at: number, capacity: number): number {
  return at === capacity ? capacity : capacity >>> 1
}
