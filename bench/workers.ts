import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { ChildProcess } from 'node:child_process'

interface Question { id: number, method: string, params: any }
interface Answer { id: number, result?: any, error?: string }

/** Milliseconds that an answer may take when the caller does not say */
const ANSWER_DEADLINE = 20_000

/** Milliseconds from asking a process to end until it is killed */
const STOP_DEADLINE = 2_000

/** Where compiled code stays: a suite starts some twenty processes, each of which would strip the types and compile anew */
const COMPILE_CACHE = fileURLToPath(new URL('../node_modules/.cache/bench', import.meta.url))

const alive = new Set<Worker>()

/**
 * A process of its own that does what it is asked to, one file of ours
 */
export class Worker {
  private readonly child: ChildProcess
  private readonly open = new Map<number, PromiseWithResolvers<any>>()
  private readonly ended: Promise<unknown>
  private asked = 0

  constructor (script: URL, execArgv: string[] = []) {
    this.child = fork(script, {
      execArgv: [...process.execArgv, ...execArgv],
      env: { NODE_COMPILE_CACHE: COMPILE_CACHE, ...process.env }
    })
    this.ended = once(this.child, 'exit')
    alive.add(this)

    this.child.on('message', ({ id, result, error }: Answer) => {
      const call = this.open.get(id)
      this.open.delete(id)

      if (error == null) {
        call?.resolve(result)
      } else {
        call?.reject(new Error(error))
      }
    })
    this.child.once('exit', (code, signal) => {
      alive.delete(this)

      for (const call of this.open.values()) {
        call.reject(new Error(`The process ended with ${code ?? signal}`))
      }
      this.open.clear()
    })
  }

  async call <T = void> (method: string, params: object = {}, deadline: number = ANSWER_DEADLINE): Promise<T> {
    if (!this.child.connected) {
      throw new Error(`The process ended before '${method}'`)
    }

    const id = this.asked++
    const call = Promise.withResolvers<T>()
    const timer = setTimeout(() => {
      this.open.delete(id)
      call.reject(new Error(`No answer to '${method}' in ${deadline} ms`))
    }, deadline)
    this.open.set(id, call)
    this.child.send({ id, method, params } satisfies Question)

    return call.promise.finally(() => { clearTimeout(timer) })
  }

  /**
   * Resolves when the process is gone
   */
  async stop (): Promise<void> {
    const timer = setTimeout(() => { this.kill() }, STOP_DEADLINE)

    // the other side ends when its channel does
    if (this.child.connected) {
      this.child.disconnect()
    }

    if (alive.has(this)) {
      await this.ended
    }
    clearTimeout(timer)
  }

  kill (): void {
    this.child.kill('SIGKILL')
  }
}

/**
 * Ends every process that is still there, without asking
 */
export function killWorkers (): void {
  for (const worker of alive) {
    worker.kill()
  }
}

/**
 * The other side: answers what the parent asks until it is gone
 */
export function serve (methods: Record<string, (params: any) => Promise<unknown>>): void {
  process.on('message', ({ id, method, params }: Question) => {
    methods[method](params).then(
      result => { process.send?.({ id, result } satisfies Answer) },
      error => { process.send?.({ id, error: error.stack } satisfies Answer) }
    )
  })
  process.on('disconnect', () => {
    process.exit(0)
  })
}
