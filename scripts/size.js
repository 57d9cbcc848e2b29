/**
 * What the package weighs in a page: npm run size, once it is built
 */
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'

/** What a page has that has libp2p: other parts of it weigh nothing more */
const PAGE = `
  import { noise } from '@chainsafe/libp2p-noise'
  import { yamux } from '@chainsafe/libp2p-yamux'
  import { identify } from '@libp2p/identify'
  import { webSockets } from '@libp2p/websockets'
  import { createLibp2p } from 'libp2p'
  console.log(noise, yamux, identify, webSockets, createLibp2p)
`

/**
 * Bytes that each adds to the page, at most. Measured last: 43.6, 116.1 and 121.0 kB. Wanted with `sharedLogs` are 105:
 * a limit goes down with what is measured, and these two went up by 2 kB when calls began to name wrong arguments
 */
const CASES = [
  { name: 'directSub', limit: 60_000, program: "import { directSub } from 'libp2p-sheaf'; console.log(directSub)" },
  {
    name: 'directSub, sharedLogs',
    limit: 117_000,
    program: "import { directSub, sharedLogs } from 'libp2p-sheaf'; console.log(directSub, sharedLogs)"
  },
  {
    name: 'directSub, sharedLogs, KeyValue',
    limit: 122_000,
    program: `
      import { directSub, sharedLogs } from 'libp2p-sheaf'
      import { KeyValue } from 'libp2p-sheaf/database'
      console.log(directSub, sharedLogs, KeyValue)
    `
  }
]

/** Parts that are shown of what weighs most */
const SHOWN = 8

/**
 * @param {string} contents
 * @returns {Promise<{ bytes: number, parts: Map<string, number> }>} `bytes` behind gzip, `parts` before it
 */
async function bundled (contents) {
  const { outputFiles: [{ contents: bundle }], metafile } = await build({
    stdin: { contents, resolveDir: import.meta.dirname },
    bundle: true,
    format: 'esm',
    metafile: true,
    minify: true,
    platform: 'browser',
    write: false
  })
  /** @type {Map<string, number>} */
  const parts = new Map()

  for (const [path, { bytesInOutput }] of Object.values(metafile.outputs).flatMap(({ inputs }) => Object.entries(inputs))) {
    const part = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? path.split('/').slice(0, 3).join('/')
    parts.set(part, (parts.get(part) ?? 0) + bytesInOutput)
  }

  return { bytes: gzipSync(bundle, { level: 9 }).byteLength, parts }
}

const kB = (/** @type {number} */ bytes) => `${(bytes / 1_000).toFixed(1)} kB`
const page = await bundled(PAGE)
console.log(`minified, gzip -9; a page with libp2p alone: ${kB(page.bytes)}`)

for (const { name, limit, program } of CASES) {
  const [alone, together] = await Promise.all([bundled(program), bundled(PAGE + program)])
  const added = together.bytes - page.bytes
  const heaviest = [...together.parts]
    .map(([part, bytes]) => /** @type {const} */ ([part, bytes - (page.parts.get(part) ?? 0)]))
    .sort((a, b) => b[1] - a[1])
    .slice(0, SHOWN)

  console.log(`${name}: adds ${kB(added)} (at most ${kB(limit)}), alone ${kB(alone.bytes)}`)
  console.log(`  before gzip: ${heaviest.map(([part, bytes]) => `${part} ${kB(bytes)}`).join(', ')}`)

  if (added > limit) {
    console.error(`${name} is heavier than ${kB(limit)}`)
    process.exitCode = 1
  }
}
