import { Worker } from '../workers.ts'

export type Script = 'log' | 'limit' | 'growth' | 'reads' | 'level' | 'memory' | 'crash'

export function start (script: Script): Worker {
  return new Worker(new URL(`./${script}-worker.ts`, import.meta.url), ['--expose-gc'])
}

/** Uses a new process, which keeps nothing of the round before */
export async function inProcess<T> (script: Script, use: (worker: Worker) => Promise<T>): Promise<T> {
  const worker = start(script)

  try {
    return await use(worker)
  } finally {
    await worker.stop()
  }
}
