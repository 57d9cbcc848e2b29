import { loadOrCreateSelfKey } from '@libp2p/config'
import { expect } from 'aegir/chai'
import { Documents, KeyValue } from '../../src/database/index.ts'
import { deleteStores, diskStore } from '../fixtures/datastores.ts'
import { range, stopPeers } from '../fixtures/directsub.ts'
import { collect } from '../fixtures/logs.ts'
import { createLogNode } from '../fixtures/sharedlogs.ts'
import type { LogNode } from '../fixtures/sharedlogs.ts'
import type { Datastore } from 'interface-datastore'

interface Post {
  id: string
  author: string
}

describe('databases on the store of the platform', function () {
  this.timeout(60_000)
  afterEach(async () => {
    await stopPeers()
    await deleteStores()
  })

  it('and shared logs are closed by the end of a block that uses them, each for itself', async () => {
    const node = await createAlone((await diskStore()).datastore)
    const { logs } = node.services
    const [log, beside] = [await logs.open('notes'), await logs.open('notes')]
    await log[Symbol.asyncDispose]()
    expect([log.status, beside.status]).to.deep.equal(['closed', 'open'])

    for (const database of [await KeyValue.open<number>(logs, 'users'), await Documents.open<Post>(logs, 'posts')]) {
      await database[Symbol.asyncDispose]()
      const outcome = await database.get('x').catch(err => err.name)
      expect(outcome).to.equal('DatabaseClosedError')
    }
  })

  it('have what was put and deleted after a restart, from their checkpoints, and a watch goes on', async () => {
    const store = await diskStore()
    const first = await createAlone(store.datastore)
    const users = await KeyValue.open<number>(first.services.logs, 'users')
    const posts = await Documents.open<Post>(first.services.logs, 'posts', { indexes: ['author'] })
    const watch = users.watch({ name: 'a mirror', from: 'start' })
    await Promise.all(range(100).map(async i => users.put(`${i}`, i)))
    await Promise.all(range(100).map(async i => posts.put({ id: `${i}`, author: `a${i % 10}` })))
    await users.delete('7')
    await watch.next()
    await watch.next()
    // one is closed, the other one is not
    await posts.close()
    await first.stop()

    const node = await createAlone(await store.reopen())
    expect(node.peerId.equals(first.peerId), 'it is another author').to.be.true()
    const again = await KeyValue.open<number>(node.services.logs, 'users')
    const other = await Documents.open<Post>(node.services.logs, 'posts', { indexes: ['author'] })
    expect(again.diagnostics()).to.deep.equal({ keys: 99, next: 101, skipped: {} })
    expect([await again.get('7'), await again.get('8')]).to.deep.equal([undefined, 8])
    expect((await collect(again.entries())).map(({ value }) => value).sort((a, b) => a - b)).to.deep.equal(range(100).filter(i => i !== 7))
    expect((await collect(other.query({ where: { author: 'a3' } }))).map(({ id }) => Number(id) % 10)).to.deep.equal(new Array(10).fill(3))
    // it asked for the second one, so it has dealt with the first
    expect((await again.watch({ name: 'a mirror' }).next()).value.value).to.equal(1)
  })
})

/** As the README has it: its key lies in its store */
async function createAlone (datastore: Datastore): Promise<LogNode> {
  return createLogNode({ privateKey: await loadOrCreateSelfKey(datastore), datastore }, { transports: [], listen: [] })
}
