import { cryptoProvider } from './platform.ts'
import { answer, buffersOf } from './worker-protocol.ts'
import type { Question } from './worker-protocol.ts'

/** What runs in a Web Worker: a program that bundles its own names this file as `libp2p-sheaf/session-worker` */
interface Scope {
  onmessage: ((event: { data: Question }) => void) | null
  postMessage (message: unknown, transfer: ArrayBuffer[]): void
}

const scope = globalThis as unknown as Scope
const provider = cryptoProvider()

scope.onmessage = ({ data }) => {
  void answer(provider, data).then(said => {
    scope.postMessage(said, buffersOf(Object.values(said.result ?? {})))
  })
}
