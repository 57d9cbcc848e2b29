/**
 * Pictures of pages lie in the repository, where each byte stays for ever. A page has few colours: with a palette of
 * those, a picture has a third of the bytes. `node scripts/smaller-png.js PICTURE.png ...`
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { crc32, deflateSync, inflateSync } from 'node:zlib'

const SIGNATURE = 8
/** What a chunk has besides its data: length and type before it, a checksum behind it */
const BEFORE = 8
const AROUND = 12
const COLOURS = 128
/** How far apart colours of the palette are, squared: first those that stand out, then what is left of the shades */
const DISTANCES = [400, 150, 40]

/**
 * @typedef {{ header: Buffer, width: number, height: number, depth: number, pixels: Buffer }} Picture
 */

/**
 * As browsers write them: 8 bits for each of red, green and blue, perhaps with alpha, which is left out
 *
 * @param {Buffer} png
 * @returns {Picture}
 */
function read (png) {
  /** @type {Record<string, Buffer[]>} */
  const chunks = { IHDR: [], IDAT: [] }

  for (let at = SIGNATURE; at < png.length; at += AROUND + png.readUInt32BE(at)) {
    const type = png.toString('latin1', at + 4, at + BEFORE)
    chunks[type]?.push(png.subarray(at + BEFORE, at + BEFORE + png.readUInt32BE(at)))
  }

  const [header] = chunks.IHDR
  const [width, height, depth] = [header.readUInt32BE(0), header.readUInt32BE(4), header[9] === 6 ? 4 : 3]
  const pixels = unfiltered(inflateSync(Buffer.concat(chunks.IDAT)), width * depth, height, depth)
  return { header, width, height, depth, pixels }
}

/**
 * Each row says how its bytes were guessed from those before and above, and holds what is different
 *
 * @param {Buffer} rows
 * @param {number} length - bytes of a row
 * @param {number} height
 * @param {number} depth - bytes of a pixel
 */
function unfiltered (rows, length, height, depth) {
  const pixels = Buffer.alloc(length * height)

  for (let y = 0; y < height; y++) {
    const filter = rows[y * (length + 1)]

    for (let x = 0; x < length; x++) {
      const at = y * length + x
      const left = x >= depth ? pixels[at - depth] : 0
      const above = y > 0 ? pixels[at - length] : 0
      const corner = x >= depth && y > 0 ? pixels[at - length - depth] : 0
      const guesses = [0, left, above, (left + above) >> 1, paeth(left, above, corner)]
      pixels[at] = rows[y * (length + 1) + 1 + x] + guesses[filter]
    }
  }

  return pixels
}

/**
 * Of the three the one that is nearest to left + above - corner (PNG, 9.4)
 *
 * @param {number} left
 * @param {number} above
 * @param {number} corner
 */
function paeth (left, above, corner) {
  const [toLeft, toAbove, toCorner] = [above - corner, left - corner, left + above - 2 * corner].map(Math.abs)

  if (toLeft <= toAbove && toLeft <= toCorner) {
    return left
  }
  return toAbove <= toCorner ? above : corner
}

/**
 * @param {number} a
 * @param {number} b
 */
function distance (a, b) {
  return [16, 8, 0].reduce((sum, shift) => sum + ((a >> shift & 255) - (b >> shift & 255)) ** 2, 0)
}

/**
 * The most frequent colours that are apart from each other
 *
 * @param {number[]} colours - of each pixel
 */
function paletteOf (colours) {
  /** @type {Map<number, number>} */
  const counts = new Map()
  colours.forEach(colour => { counts.set(colour, (counts.get(colour) ?? 0) + 1) })
  const frequent = [...counts].sort((a, b) => b[1] - a[1]).map(([colour]) => colour)
  /** @type {number[]} */
  const palette = []

  for (const apart of DISTANCES) {
    for (const colour of frequent) {
      if (palette.length < COLOURS && palette.every(other => distance(colour, other) > apart)) {
        palette.push(colour)
      }
    }
  }

  return palette
}

/**
 * @param {string} type
 * @param {Buffer} data
 */
function chunk (type, data) {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const whole = Buffer.alloc(body.length + AROUND - 4)
  whole.writeUInt32BE(data.length, 0)
  body.copy(whole, 4)
  whole.writeUInt32BE(crc32(body), 4 + body.length)
  return whole
}

/**
 * @param {Buffer} png
 */
export function smaller (png) {
  const { header, width, height, depth, pixels } = read(png)
  const colours = Array.from({ length: width * height }, (_, i) => pixels.readUIntBE(i * depth, 3))
  const palette = paletteOf(colours)
  /** @type {Map<number, number>} */
  const nearest = new Map()
  // a byte for each pixel, and one before each row: it is not guessed
  const rows = Buffer.alloc((width + 1) * height)

  for (const [i, colour] of colours.entries()) {
    let index = nearest.get(colour)

    if (index == null) {
      const distances = palette.map(other => distance(colour, other))
      index = distances.indexOf(Math.min(...distances))
      nearest.set(colour, index)
    }
    rows[i + Math.floor(i / width) + 1] = index
  }

  const indexed = Buffer.from(header)
  indexed[9] = 3

  return Buffer.concat([
    png.subarray(0, SIGNATURE),
    chunk('IHDR', indexed),
    chunk('PLTE', Buffer.from(palette.flatMap(colour => [colour >> 16, colour >> 8 & 255, colour & 255]))),
    chunk('IDAT', deflateSync(rows, { level: 9, memLevel: 9 })),
    chunk('IEND', Buffer.alloc(0))
  ])
}

if (import.meta.main) {
  for (const path of process.argv.slice(2)) {
    writeFileSync(path, smaller(readFileSync(path)))
  }
}
