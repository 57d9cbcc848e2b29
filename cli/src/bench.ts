import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ProcessCommand } from './command.ts'
import type { Event } from './events.ts'
import type { Options } from './flags.ts'
import type { Terminal } from './terminal.ts'

export const bench: ProcessCommand = {
  about: 'measure this machine, in some seconds',
  more: `Appends to a log in a temporary directory, alone and with a second node in a thread of its own, over loopback;
then a third node catches up. Entries of 100 bytes, LevelDB. It is over in some seconds and leaves nothing behind.`,
  examples: [
    ['sheaf bench', 'a small table'],
    ['sheaf bench --json', 'for a script']
  ],
  flags: ['json', 'help'],
  isEndless: () => false,
  run,
  words
}

async function run (options: Options, terminal: Terminal, signal: AbortSignal): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), 'sheaf-bench-'))
  const clean = (): void => { rmSync(root, { recursive: true, force: true, maxRetries: 3 }) }
  process.once('exit', clean)

  // it takes a while to load: help does without it
  const { measure } = await import('./measure.ts')

  for await (const event of measure(root, signal)) {
    await terminal.print(event)
  }
}

function words (event: Event): string | undefined {
  if (event.type === 'measured') {
    return `${event.case.padEnd(64)}${event.value.toLocaleString('en').padStart(9)} ${event.unit}`
  }
}
