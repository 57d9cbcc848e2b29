import { expect } from 'aegir/chai'
import { KeyValue } from '../../src/database/index.ts'
import { deleteStores, diskStore } from '../fixtures/datastores.ts'
import { createDialer } from '../fixtures/dialers.ts'
import { eventually, range, stopPeers } from '../fixtures/directsub.ts'
import { collect } from '../fixtures/logs.ts'
import { eventuallyTrue } from '../fixtures/sharedlogs.ts'

describe('databases of nodes that can only dial', function () {
  this.timeout(60_000)
  afterEach(async () => {
    await stopPeers()
    await deleteStores()
  })

  it('are the same on two nodes that meet over a relay', async () => {
    const stores = await Promise.all([diskStore(), diskStore()])
    const nodes = await Promise.all(stores.map(async ({ datastore }) => createDialer({ datastore })))
    const all = await Promise.all(nodes.map(async ({ services }) => KeyValue.open<number>(services.logs, `users of ${nodes[0].peerId}`)))
    await Promise.all(all.flatMap((users, who) => range(50).map(async i => users.put(`${i}`, who))))
    await Promise.all(all.map(async ({ log }) => eventually('not all are here', () => log.length === 100)))
    await eventuallyTrue('they differ', async () => JSON.stringify(await table(all[0])) === JSON.stringify(await table(all[1])))
    expect(await table(all[0])).to.have.lengthOf(50)
  })
})

async function table (users: KeyValue<number>): Promise<Array<[key: string, value: number]>> {
  return (await collect(users.entries())).map(({ key, value }): [string, number] => [key, value]).sort(([a], [b]) => Number(a) - Number(b))
}
