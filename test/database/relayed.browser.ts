import { webSockets } from '@libp2p/websockets'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { KeyValue } from '../../src/database/index.ts'
import { deleteStores, diskStore } from '../fixtures/datastores.ts'
import { eventually, range, stopPeers } from '../fixtures/directsub.ts'
import { collect } from '../fixtures/logs.ts'
import { createLogNode, eventuallyTrue } from '../fixtures/sharedlogs.ts'
import type { LogNode } from '../fixtures/sharedlogs.ts'

const relay = process.env.RELAY_MULTIADDR

describe('databases of nodes that can only dial', function () {
  this.timeout(60_000)
  afterEach(async () => {
    await stopPeers()
    await deleteStores()
  })

  it('are the same on two nodes that meet over a relay', async () => {
    const nodes = await Promise.all([createDialer(), createDialer()])
    const all = await Promise.all(nodes.map(async ({ services }) => KeyValue.open<number>(services.logs, `users of ${nodes[0].peerId}`)))
    await Promise.all(all.flatMap((users, who) => range(50).map(async i => users.put(`${i}`, who))))
    await Promise.all(all.map(async ({ log }) => eventually('not all are here', () => log.length === 100)))
    await eventuallyTrue('they differ', async () => JSON.stringify(await table(all[0])) === JSON.stringify(await table(all[1])))
    expect(await table(all[0])).to.have.lengthOf(50)
  })
})

async function createDialer (): Promise<LogNode> {
  const { datastore } = await diskStore()
  const node = await createLogNode({ datastore }, { transports: [webSockets()], listen: [], connectionGater: { denyDialMultiaddr: () => false } })
  await node.dial(multiaddr(relay))
  return node
}

async function table (users: KeyValue<number>): Promise<Array<[key: string, value: number]>> {
  return (await collect(users.entries())).map(({ key, value }): [string, number] => [key, value]).sort(([a], [b]) => Number(a) - Number(b))
}
