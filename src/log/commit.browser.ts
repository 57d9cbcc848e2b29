import { WriteFailedError } from './errors.ts'
import type { Batch, Datastore, Key } from 'interface-datastore'

/** What `commit.ts` is to Node: that datastore for IndexedDB keeps silent when its disk is full, so we look */
export async function commit (datastore: Datastore, batch: Batch, witness: Key): Promise<void> {
  await batch.commit()

  if (!await datastore.has(witness)) {
    throw new WriteFailedError('The datastore did not store what it said it did: it may be full')
  }
}
