/**
 * A process that owns a store when it is told to, line by line:
 * `own` -> `owns` or `refused`, and why · `release` -> `released` · and of its own accord: `ready`, `lost`, and why
 */
import { createInterface } from 'node:readline'
import { Key } from 'interface-datastore'
import { systemClock } from '../../src/runtime/clock.ts'
import { StoreOwner } from '../../src/runtime/store-owner.ts'
import { FileDatastore } from './store-owner-files.ts'

const [dir, key] = process.argv.slice(2)
/** Milliseconds between two looks at whether the store is still ours */
const LOOK_AGAIN = 5

function say (...what: string[]): void {
  process.stdout.write(`${what.join(' ')}\n`)
}

function watch (owner: StoreOwner): void {
  try {
    owner.check()
    systemClock.after(LOOK_AGAIN, () => { watch(owner) })
  } catch (err: any) {
    say('lost', err.message)
  }
}

let owner: StoreOwner | undefined

async function act (order: string): Promise<void> {
  if (order === 'release') {
    await owner?.release()
    say('released')
    return
  }

  try {
    const datastore = new FileDatastore(dir)
    owner = await StoreOwner.open({ datastore, key: new Key(key), name: 'The log \'a\'', clock: systemClock })
    say('owns')
    watch(owner)
  } catch (err: any) {
    say('refused', err.message)
  }
}

createInterface({ input: process.stdin })
  .on('line', line => { void act(line) })
  .on('close', () => { process.exit() })
say('ready')
