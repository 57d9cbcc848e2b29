import { clearScreenDown, createInterface, cursorTo, moveCursor } from 'node:readline'
import type { Interface } from 'node:readline'

/** Lines that the arrow keys bring back */
const HISTORY = 100

/**
 * A line that is being typed at a terminal: it makes room for what is printed, and stands below it again
 */
export class Prompt {
  readonly #stdout: NodeJS.WriteStream
  readonly #reading: Interface
  #isOpen = true

  constructor (stdin: NodeJS.ReadStream, stdout: NodeJS.WriteStream) {
    this.#stdout = stdout
    this.#reading = createInterface({ input: stdin, output: stdout, prompt: '', historySize: HISTORY })
    // Ctrl-C is a key here: it is to be the signal that it is elsewhere
    this.#reading.on('SIGINT', () => { process.kill(process.pid, 'SIGINT') })
    this.#reading.on('close', () => { this.#isOpen = false })
  }

  hide (): void {
    if (this.#isOpen) {
      moveCursor(this.#stdout, 0, -this.#reading.getCursorPos().rows)
      cursorTo(this.#stdout, 0)
      clearScreenDown(this.#stdout)
      // the lines above are what was printed: it is not to go up there
      Object.assign(this.#reading, { prevRows: 0 })
    }
  }

  show (): void {
    if (this.#isOpen) {
      this.#reading.prompt(true)
    }
  }

  /** Until Ctrl-D, or `close()` */
  async * lines (): AsyncGenerator<string> {
    yield * this.#reading
  }

  /** The terminal is as it was before */
  close (): void {
    this.hide()
    this.#reading.close()
  }
}
