import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'

type Resolve = (args: { path: string, resolveDir: string }) => { path: string } | undefined

/** What a build of esbuild is told to do with an import */
interface Build {
  onResolve (options: { filter: RegExp }, resolve: Resolve): void
}

const IS_SOURCE = import.meta.url.endsWith('.ts')
/** The repository */
export const ROOT = new URL(IS_SOURCE ? '../../' : '../../../', import.meta.url)
const CHAT = new URL('examples/chat/', ROOT)
const HERE = fileURLToPath(new URL('.', import.meta.url))
const SOURCES = new URL(IS_SOURCE ? 'src/' : 'dist/src/', ROOT)
const EXTENSION = IS_SOURCE ? 'ts' : 'js'
const TYPES: Record<string, string> = {
  html: 'text/html', css: 'text/css', js: 'text/javascript', json: 'application/json'
}
const PACKAGE: Record<string, string> = {
  'libp2p-sheaf': `index.${EXTENSION}`,
  'libp2p-sheaf/database': `database/index.${EXTENSION}`,
  'libp2p-sheaf/tabs': `tabs/index.${EXTENSION}`,
  'libp2p-sheaf/session-worker': `session/crypto/worker.browser.${EXTENSION}`
}

/** Comes with aegir */
const aegir = createRequire(import.meta.resolve('aegir/chai'))

/** Imports of the package's own, such as '#sha256', as browsers have them: package.json names what is built of each */
async function forBrowsersOnly (): Promise<Map<string, string>> {
  const { imports = {} } = JSON.parse(await readFile(new URL('package.json', ROOT), 'utf8'))
  return new Map(Object.entries<{ browser: string }>(imports).map(([name, { browser }]) =>
    [name, fileURLToPath(new URL(browser.replace(/^.\/dist\/src\//, '').replace(/js$/, EXTENSION), SOURCES))]))
}

/** The scripts of the pages. Files for browsers stand in for those for Node, as package.json says for what is published */
async function bundle (): Promise<Map<string, Uint8Array>> {
  const own = await forBrowsersOnly()
  const forBrowsers = (build: Build): void => {
    build.onResolve({ filter: /^libp2p-sheaf/ }, ({ path }) => ({ path: fileURLToPath(new URL(PACKAGE[path], SOURCES)) }))
    build.onResolve({ filter: /^#/ }, ({ path: name }) => {
      const path = own.get(name)
      return path == null ? undefined : { path }
    })
    build.onResolve({ filter: /^\..*\.[jt]s$/ }, ({ path, resolveDir }) => {
      const file = join(resolveDir, path.replace(/(\.[jt]s)$/, '.browser$1'))
      return existsSync(file) ? { path: file } : undefined
    })
  }
  const { outputFiles } = await aegir('esbuild').build({
    entryPoints: {
      page: fileURLToPath(new URL('page.ts', CHAT)),
      profile: fileURLToPath(new URL('profile.ts', CHAT)),
      services: join(HERE, `services-page.${EXTENSION}`),
      'session-worker': 'libp2p-sheaf/session-worker'
    },
    bundle: true,
    outdir: HERE,
    format: 'esm',
    write: false,
    logLevel: 'error',
    tsconfigRaw: {},
    plugins: [{ name: 'for browsers', setup: forBrowsers }]
  })
  return new Map(outputFiles.map(({ path, contents }: { path: string, contents: Uint8Array }) =>
    [path.split(/[/\\]/).at(-1), contents]))
}

/** Serves the chat, and a page with its services alone, and says which relays there are */
export class Site {
  readonly url: string
  readonly #server: Server

  static async start (): Promise<Site> {
    const files = await bundle()
    files.set('index.html', await readFile(new URL('index.html', CHAT)))
    files.set('style.css', await readFile(new URL('style.css', CHAT)))
    files.set('services.html', Buffer.from('<!doctype html><title>Services</title><link rel="icon" href="data:,">' +
      '<script type="module" src="services.js"></script>'))
    const server = createServer(({ url = '/' }, response) => {
      const name = new URL(url, 'http://localhost').pathname.slice(1) || 'index.html'
      const file = files.get(name)
      const type = TYPES[name.split('.').at(-1) ?? ''] ?? 'text/plain'
      response.writeHead(file == null ? 404 : 200, { 'content-type': type }).end(file ?? 'not found')
    })
    await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
    return new Site(server)
  }

  private constructor (server: Server) {
    this.#server = server
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  }

  stop (): void {
    this.#server.closeAllConnections()
    this.#server.close()
  }
}
