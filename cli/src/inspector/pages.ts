import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'

export interface Page {
  type: string
  body: Buffer
  zipped: Buffer
}

/** They lie where the sources are: a compiled server finds them there, too */
const FOLDER = new URL('page/', import.meta.url.replace(/\/dist\/(?!.*\/dist\/)/, '/'))

const SCRIPT = 'text/javascript; charset=utf-8'

/** All that is served, and from where: no address leads anywhere else */
const FILES: Record<string, { type: string, from: URL | string }> = {
  '/': { type: 'text/html; charset=utf-8', from: new URL('index.html', FOLDER) },
  '/style.css': { type: 'text/css; charset=utf-8', from: new URL('style.css', FOLDER) },
  '/icon.svg': { type: 'image/svg+xml', from: new URL('icon.svg', FOLDER) },
  ...Object.fromEntries(['main', 'app', 'sections', 'ring', 'chart', 'tables', 'html'].map(name => [
    `/${name}.js`, { type: SCRIPT, from: new URL(`${name}.js`, FOLDER) }
  ])),
  // the type checker reads the files of these names in the folder; browsers get the packages themselves
  '/vendor/preact.js': { type: SCRIPT, from: 'preact' },
  '/vendor/htm.js': { type: SCRIPT, from: 'htm' }
}

/** What goes to who asks for the page, before anything is compressed */
export async function loadPages (): Promise<Map<string, Page>> {
  return new Map(await Promise.all(Object.entries(FILES).map(async ([path, { type, from }]) => {
    const body = await readFile(new URL(typeof from === 'string' ? import.meta.resolve(from) : from))
    return [path, { type, body, zipped: await promisify(gzip)(body) }] as const
  })))
}
