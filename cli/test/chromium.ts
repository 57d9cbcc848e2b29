import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

/** A page of playwright, as much of it as is used here */
export interface Page {
  goto (url: string): Promise<{ status (): number } | null>
  reload (): Promise<unknown>
  close (): Promise<void>
  on (event: 'console', listener: (message: { type (): string, text (): string }) => void): void
  on (event: 'pageerror', listener: (err: Error) => void): void
  evaluate <A, B> (run: string | ((arg: A) => B | Promise<B>), arg?: A): Promise<B>
  waitForFunction <A> (run: (arg: A) => unknown, arg?: A, options?: { timeout?: number }): Promise<unknown>
  setViewportSize (size: { width: number, height: number }): Promise<void>
  emulateMedia (media: { colorScheme?: 'light' | 'dark', reducedMotion?: 'reduce' | 'no-preference' }): Promise<void>
  screenshot (options: { path: string, fullPage?: boolean }): Promise<unknown>
  keyboard: { press (key: string): Promise<void> }
}

export interface Context {
  newPage (): Promise<Page>
  newCDPSession (page: Page): Promise<{ send (method: string, params: object): Promise<unknown> }>
  close (): Promise<void>
}

export interface Browser {
  newContext (options?: { viewport?: { width: number, height: number }, bypassCSP?: boolean }): Promise<Context>
  close (): Promise<void>
}

/** Of the repository, which knows where the browser is */
export const ROOT = new URL(import.meta.url.endsWith('.ts') ? '../../' : '../../../', import.meta.url)

/** What aegir runs the tests in browsers with */
const aegir = createRequire(import.meta.resolve('aegir/chai'))
const runner = createRequire(aegir.resolve('playwright-test'))

/** For a page that a test serves itself. `args` are Chromium's own */
export async function launch (args: string[] = []): Promise<Browser> {
  const { ensureChromium, installedChromium } = await import(new URL('scripts/chromium.js', ROOT).href)
  ensureChromium()
  const { executablePath } = installedChromium(fileURLToPath(new URL('node_modules/.cache/ms-playwright', ROOT)))
  return runner('playwright-core').chromium.launch({ executablePath, args })
}
