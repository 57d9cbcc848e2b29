import { once } from 'node:events'
import { ReaderGoneError } from './errors.ts'
import { inLines, WIDTH } from './text.ts'
import type { Event, ProgressEvent } from './events.ts'
import type { Prompt } from './prompt.ts'

/** Milliseconds until a bar is drawn: what is done by then needs none */
const PATIENCE = 500
/** Milliseconds between two pictures of a bar, and between two lines of JSON about it */
const BAR_INTERVAL = 100
const LINE_INTERVAL = 250
/** Milliseconds after which a bar that has not moved makes room */
const STALE = 2_000
/** Letters */
const BAR_WIDTH = 24

export interface TerminalInit {
  /** A line of JSON for everything */
  json: boolean
  /** Nothing: there is nothing to say about it */
  words (event: Event): string | Uint8Array | undefined
  stdout: NodeJS.WriteStream
  stderr: NodeJS.WriteStream
  /** Milliseconds */
  now (): number
  /** Nobody reads any more */
  onGone (err: ReaderGoneError): void
}

/**
 * Where a command says what it has to say: what was asked for on stdout; notes, progress and errors on stderr
 */
export class Terminal {
  readonly #init: TerminalInit
  #isGone = false
  /** When the first progress was heard of, and when the last was shown */
  #since?: number
  #shownAt = -Infinity
  #bar = ''
  #prompt?: Prompt

  constructor (init: TerminalInit) {
    this.#init = init
    init.stdout.on('error', () => {
      this.#isGone = true
      init.onGone(new ReaderGoneError('Nobody reads what is printed'))
    })
    // there is nobody left who could be told
    init.stderr.on('error', () => {})
  }

  /** What is typed at it stays below what is printed; undefined: nothing is */
  prompt (prompt: Prompt | undefined): void {
    this.#prompt = prompt
  }

  async print (event: Event): Promise<void> {
    const { json, words, stdout, stderr } = this.#init

    if (event.type === 'progress') {
      this.#progress(event)
      return
    }

    const isAside = event.type === 'note' || event.type === 'error'
    const inWords = isAside ? event.message : words(event)
    const line = json ? lineOf(event) : inWords

    if (line == null) {
      return
    }

    const stream = isAside ? stderr : stdout
    // a person reads whole words; whoever takes lines gets one
    const shown = isAside && stream.isTTY && !json ? inLines(event.message, stream.columns ?? WIDTH).join('\n') : line
    // a line on the same screen goes above the bar
    const bar = stream.isTTY ? this.#bar : ''
    this.#clear(bar)
    this.#prompt?.hide()
    // bytes are for nobody who reads lines
    const isTaken = this.#isGone || stream.write(typeof shown === 'string' ? `${shown}\n` : shown)
    this.#prompt?.show()
    this.#draw(this.#init.now() < this.#shownAt + STALE ? bar : '')

    if (!isTaken && stream === stdout) {
      // it fails when the reader goes: that was heard of already
      await once(stdout, 'drain').catch(() => {})
    }
  }

  /** Resolves when all is out */
  async end (): Promise<void> {
    this.#clear(this.#bar)

    if (!this.#isGone) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#init.stdout.write('', () => { resolve() })
      await promise
    }
  }

  #progress ({ type, what, done, total }: ProgressEvent): void {
    const { json, stderr } = this.#init
    const now = this.#init.now()
    const isLast = done === total
    this.#since ??= now

    if (json) {
      if (isLast || now >= this.#shownAt + LINE_INTERVAL) {
        this.#shownAt = now
        stderr.write(`${lineOf({ type, what, done, total })}\n`)
      }
    } else if (isLast) {
      this.#clear(this.#bar)
    } else if (
      stderr.isTTY && this.#prompt == null && now >= this.#since + PATIENCE && now >= this.#shownAt + BAR_INTERVAL
    ) {
      this.#shownAt = now
      this.#clear(this.#bar)
      this.#draw(bar(what, done, total))
    }
  }

  #draw (bar: string): void {
    if (bar !== '') {
      this.#bar = bar
      this.#init.stderr.write(bar)
    }
  }

  #clear (bar: string): void {
    if (bar !== '') {
      this.#bar = ''
      this.#init.stderr.write('\r\u001b[K')
    }
  }
}

/** One line for everybody: some take these two for the end of one, and JSON lets them stand */
function lineOf (event: Event): string {
  return JSON.stringify(event).replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029')
}

function bar (what: string, done: number, total?: number): string {
  if (total == null) {
    return `${what} ${done.toLocaleString('en')}`
  }

  const full = Math.round(BAR_WIDTH * Math.min(1, total === 0 ? 1 : done / total))
  return `${what} [${'#'.repeat(full)}${'-'.repeat(BAR_WIDTH - full)}] ${done.toLocaleString('en')} of ` +
    `${total.toLocaleString('en')}`
}
