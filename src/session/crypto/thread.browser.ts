import type { Thread, ThreadEvents } from './thread.ts'
import type { Answer } from './worker-protocol.ts'

/** ML-KEM in JavaScript takes some ms */
export function isQuick (): boolean {
  return false
}

/**
 * Starts a Web Worker. webpack and Vite see this form, and bundle the file that it names; for other bundlers a program
 * makes the worker itself. Throws where there are no workers, and ends with an error where the file is not found
 */
export function startThread ({ onAnswer, onEnd }: ThreadEvents, createWorker?: () => Worker): Thread {
  const worker = createWorker?.() ?? new Worker(new URL('./worker.browser.js', import.meta.url), { type: 'module' })
  worker.onmessage = ({ data }: MessageEvent<Answer>) => { onAnswer(data) }
  worker.onerror = event => {
    // else it is reported as an error of the page
    event.preventDefault()
    onEnd(new Error(`the worker cannot run: ${event.message ?? 'its file was not found'}`))
  }
  return {
    post: (question, transfer) => { worker.postMessage(question, transfer) },
    stop: () => { worker.terminate() }
  }
}
