import { Key } from 'interface-datastore'
import type { Clock } from '../runtime/clock.ts'
import type { Logger } from '@libp2p/interface'
import type { Datastore } from 'interface-datastore'

const EPOCH_KEY = new Key('/libp2p-sheaf/epoch')

/**
 * The epoch of a new life: larger than that of any earlier one that is remembered, be it here or on disk. The clock
 * only makes it likely to be so where nothing is remembered; where it is not, others tell (see 'outlive').
 */
export async function nextEpoch (datastore: Datastore, last: number, clock: Clock, log: Logger): Promise<number> {
  const stored = await readEpoch(datastore, log)
  const epoch = Math.max(last + 1, stored + 1, Math.floor(clock.now()))
  await rememberEpoch(datastore, epoch, log)
  return epoch
}

/** A store that fails is no reason not to start: others remember us, too */
export async function rememberEpoch (datastore: Datastore, epoch: number, log: Logger): Promise<void> {
  try {
    await datastore.put(EPOCH_KEY, new TextEncoder().encode(String(epoch)))
  } catch (err) {
    log.error('could not store the epoch - %e', err)
  }
}

async function readEpoch (datastore: Datastore, log: Logger): Promise<number> {
  try {
    const isThere = await datastore.has(EPOCH_KEY)
    const epoch = isThere ? Number(new TextDecoder().decode(await datastore.get(EPOCH_KEY))) : 0
    return Number.isSafeInteger(epoch) ? epoch : 0
  } catch (err) {
    log.error('could not read the last epoch - %e', err)
    return 0
  }
}
