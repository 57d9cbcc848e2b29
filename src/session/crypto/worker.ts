import { parentPort } from 'node:worker_threads'
import { cryptoProvider } from './platform.ts'
import { answer, buffersOf } from './worker-protocol.ts'
import type { Question } from './worker-protocol.ts'

/** What runs in a thread of Node. `worker.browser.ts` is the same for browsers */
const provider = cryptoProvider()

parentPort?.on('message', (question: Question) => {
  void answer(provider, question).then(said => {
    parentPort?.postMessage(said, buffersOf(Object.values(said.result ?? {})))
  })
})
