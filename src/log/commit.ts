import type { Batch, Datastore, Key } from 'interface-datastore'

/** What was put into the batch is stored: `witness` is one of the keys. Under Node a datastore that could not do it says so */
export function commit (datastore: Datastore, batch: Batch, witness: Key): Promise<void> | void {
  return batch.commit()
}
