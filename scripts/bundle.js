/**
 * Programs that tests start again and again, as few files: Node takes a second of a core to find and load the 800
 * modules of a node of libp2p one by one, and a tenth of it to load them as one
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join, parse } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'

/** Where imports of the packages that are not bundled find them */
const CACHE = join(import.meta.dirname, '../node_modules/.cache')

/** It looks for its binary beside itself */
const EXTERNAL = ['classic-level']

/** Packages in CommonJS require what is built into Node */
const REQUIRE = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);"

/**
 * A source that asks where it is lies where it did: what it finds from there, it finds
 *
 * @type {import('esbuild').Plugin}
 */
const inPlace = {
  name: 'in place',
  setup (build) {
    build.onLoad({ filter: /\.ts$/ }, async ({ path }) => ({
      contents: (await readFile(path, 'utf8')).replaceAll('import.meta.url', JSON.stringify(pathToFileURL(path).href)),
      loader: 'ts'
    }))
  }
}

/**
 * Of sources, by their names. They are removed when this process ends, and so is what Node keeps of them compiled, if
 * `compileCache` is its NODE_COMPILE_CACHE
 *
 * @param {URL[]} sources
 * @returns {Promise<{ files: Record<string, string>, compileCache: string }>}
 */
export async function bundle (sources) {
  mkdirSync(CACHE, { recursive: true })
  const dir = mkdtempSync(join(CACHE, 'programs-'))
  process.once('exit', () => { rmSync(dir, { recursive: true, force: true }) })
  const paths = sources.map(source => fileURLToPath(source))

  await build({
    entryPoints: paths.map(path => ({ in: path, out: parse(path).name })),
    outdir: dir,
    outExtension: { '.js': '.mjs' },
    banner: { js: REQUIRE },
    bundle: true,
    conditions: ['sheaf-source'],
    external: EXTERNAL,
    format: 'esm',
    logLevel: 'error',
    platform: 'node',
    plugins: [inPlace],
    // what is imported later is loaded later
    splitting: true,
    target: 'node24',
    tsconfigRaw: {}
  })

  const fileOf = (/** @type {string} */ name) => join(dir, `${name}.mjs`)
  return {
    files: Object.fromEntries(paths.map(path => [parse(path).name, fileOf(parse(path).name)])),
    compileCache: join(dir, 'compiled')
  }
}
