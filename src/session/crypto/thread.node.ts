import { Worker } from 'node:worker_threads'
import { hasNativeMlKem } from './platform.node.ts'
import type { Thread, ThreadEvents } from './thread.ts'

/** Whether each operation of X-Wing takes well under 1 ms on this thread. `thread.browser.ts` answers for browsers */
export function isQuick (): boolean {
  return hasNativeMlKem()
}

/** Starts a worker. Throws where there is none. It does not keep the process alive */
export function startThread ({ onAnswer, onEnd }: ThreadEvents, _createWorker?: () => unknown): Thread {
  // the sources run as they are, too
  const worker = new Worker(new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url))
  worker.on('message', onAnswer)
  worker.on('error', onEnd)
  worker.on('exit', code => { onEnd(new Error(`the worker has ended with ${code}`)) })
  worker.unref()
  return {
    post: (question, transfer) => { worker.postMessage(question, transfer) },
    stop: () => { void worker.terminate() }
  }
}
