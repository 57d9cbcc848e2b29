/**
 * A process that owns a store when it is told to, line by line:
 * `own` -> `owns` or `refused`, and why · `release` -> `released` · and of its own accord: `ready`, `lost`, and why
 */
import { createInterface } from 'node:readline'
import { Key } from 'interface-datastore'
import { ownStore } from '../../src/log/owner.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { FileDatastore } from './owner-files.ts'
import type { Ownership } from '../../src/log/owner.ts'

const [dir, key] = process.argv.slice(2)
/** Milliseconds between two looks at whether the store is still ours */
const LOOK_AGAIN = 5

function say (...what: string[]): void {
  process.stdout.write(`${what.join(' ')}\n`)
}

function watch (ownership: Ownership): void {
  try {
    ownership.check()
    systemClock.after(LOOK_AGAIN, () => { watch(ownership) })
  } catch (err: any) {
    say('lost', err.message)
  }
}

let ownership: Ownership | undefined

async function act (order: string): Promise<void> {
  if (order === 'release') {
    await ownership?.release()
    say('released')
    return
  }

  try {
    const datastore = new FileDatastore(dir)
    ownership = await ownStore({ datastore, key: new Key(key), name: 'a log', clock: systemClock })
    say('owns')
    watch(ownership)
  } catch (err: any) {
    say('refused', err.message)
  }
}

createInterface({ input: process.stdin })
  .on('line', line => { void act(line) })
  .on('close', () => { process.exit() })
say('ready')
