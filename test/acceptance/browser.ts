import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { ROOT } from './site.ts'
import { PATIENCE } from './until.ts'

/** A page of playwright, as much of it as is used here */
export interface Page {
  goto (url: string): Promise<unknown>
  reload (): Promise<unknown>
  close (options?: { runBeforeUnload?: boolean }): Promise<void>
  evaluate <A, B> (run: (arg: A) => B | Promise<B>, arg?: A): Promise<B>
  fill (selector: string, value: string): Promise<void>
  click (selector: string): Promise<void>
  press (selector: string, key: string): Promise<void>
  textContent (selector: string): Promise<string | null>
  setInputFiles (selector: string, files: { name: string, mimeType: string, buffer: Buffer }): Promise<void>
  setViewportSize (size: { width: number, height: number }): Promise<void>
  emulateMedia (media: { colorScheme: 'light' | 'dark' }): Promise<void>
  screenshot (options: { path: string }): Promise<unknown>
  setDefaultTimeout (ms: number): void
  waitForEvent (event: 'download'): Promise<{ suggestedFilename (): string, path (): Promise<string> }>
  on (event: 'console', listener: (message: ConsoleMessage) => void): void
  on (event: 'pageerror' | 'crash', listener: (err: Error) => void): void
  keyboard: { press (key: string): Promise<void>, type (text: string): Promise<void> }
}

interface ConsoleMessage {
  type (): string
  text (): string
  location (): { url: string }
}

export interface Context {
  newPage (): Promise<Page>
  pages (): Page[]
  setOffline (isOffline: boolean): Promise<void>
  close (): Promise<void>
}

export interface Browser {
  newContext (): Promise<Context>
  close (): Promise<void>
}

interface Chromium {
  launch (options: object): Promise<Browser>
  launchPersistentContext (directory: string, options: object): Promise<Context>
}

/** What the browser itself says when a server is not there: no script of a page can keep it from that */
const UNREACHABLE = /^WebSocket connection to 'ws:.*' failed|^Failed to load resource: net::ERR_/

/** Comes with aegir, as that with which it runs the tests in browsers */
const runner = createRequire(createRequire(import.meta.resolve('aegir/chai')).resolve('playwright-test'))

async function chromium (): Promise<{ chromium: Chromium, executablePath?: string }> {
  const { ensureChromium, installedChromium } = await import(new URL('scripts/chromium.js', ROOT).href)
  ensureChromium()
  const { executablePath } = installedChromium(fileURLToPath(new URL('node_modules/.cache/ms-playwright', ROOT)))
  return { chromium: runner('playwright-core').chromium, executablePath }
}

export async function launch (args: string[] = []): Promise<Browser> {
  const { chromium: found, executablePath } = await chromium()
  return found.launch({ executablePath, args })
}

/** A profile in a directory of its own, which a test can copy, and put back */
export async function launchIn (directory: string): Promise<Context> {
  const { chromium: found, executablePath } = await chromium()
  return found.launchPersistentContext(directory, { executablePath })
}

/** Kills the tab: resolves when it is dead */
export async function crash (page: Page): Promise<void> {
  const crashed = new Promise<void>(resolve => { page.on('crash', () => { resolve() }) })
  // never loads
  page.goto('chrome://crash').catch(() => {})
  await crashed
}

/** Notes whatever goes wrong in a page */
export function watch (page: Page, name: string, errors: string[]): void {
  page.setDefaultTimeout(PATIENCE)
  page.on('console', message => {
    if (message.type() === 'error' && !UNREACHABLE.test(message.text())) {
      errors.push(`${name}: ${message.text()} (${message.location().url})`)
    }
  })
  page.on('pageerror', err => { errors.push(`${name}: ${err.stack ?? err.message}`) })
}
