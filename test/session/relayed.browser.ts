import { generateKeyPair } from '@libp2p/crypto/keys'
import { webSockets } from '@libp2p/websockets'
import { multiaddr } from '@multiformats/multiaddr'
import { expect } from 'aegir/chai'
import { MemoryDatastore } from 'datastore-core'
import { eventually, range } from '../fixtures/directsub.ts'
import { agreed, crash, createSessionNode, dropped, heard, resyncs, say, stateOf, stopSessions } from '../fixtures/sessions.ts'
import type { SessionNode, SessionNodeInit } from '../fixtures/sessions.ts'
import type { Pair } from 'interface-datastore'

const RECORDS = '/libp2p-sheaf/sessions/records'

function all (datastore: MemoryDatastore): Pair[] {
  return [...datastore._all({}) as Generator<Pair>]
}

function copyOf (datastore: MemoryDatastore): MemoryDatastore {
  const copy = new MemoryDatastore()
  all(datastore).forEach(({ key, value }) => { copy.put(key, Uint8Array.from(value)) })
  return copy
}

/** A node that can only dial, with the relay as its neighbour */
async function createDialer (init: SessionNodeInit = {}): Promise<SessionNode> {
  const node = await createSessionNode(init, {
    transports: [webSockets()],
    listen: [],
    // browsers are not to dial what is on their own machine: here that is all there is
    connectionGater: { denyDialMultiaddr: () => false }
  })
  await node.dial(multiaddr(process.env.RELAY_MULTIADDR))
  await eventually('the relay is no neighbour', () => node.services.pubsub.getPeers().length > 0)
  return node
}

describe('sessions of two nodes that can only dial, and a relay between them', function () {
  this.timeout(60_000)
  afterEach(stopSessions)

  it('deliver both ways, once and in order, over new keys', async () => {
    const [a, b] = await Promise.all([createDialer(), createDialer()])
    const [atA, atB] = [heard(a), heard(b)]

    for (const round of range(5)) {
      await Promise.all([
        ...range(10).map(async i => say(a, b, `${round * 10 + i}`)),
        ...range(10).map(async i => say(b, a, `${round * 10 + i}`)),
        a.services.sessions.rekey(b.peerId),
        b.services.sessions.rekey(a.peerId)
      ])
    }

    await agreed(a, b)
    expect([atA, atB]).to.deep.equal([range(50).map(String), range(50).map(String)])
    expect(stateOf(a, b)?.epoch).to.be.within(5, 12)
  })

  it("'v9 asked for, only v0 here': storage that went back, or is gone, is one resync at most", async () => {
    const privateKey = await generateKeyPair('Ed25519')
    let datastore = new MemoryDatastore()
    const a = await createDialer()
    let b = await createDialer({ privateKey, datastore })
    const lost = resyncs(a)
    await say(a, b, 'v1')
    await agreed(a, b)
    const old = copyOf(datastore)

    for (const i of range(8)) {
      await a.services.sessions.rekey(b.peerId)
      await say(a, b, `v${i + 2}`)
    }
    for (datastore of [old, new MemoryDatastore()]) {
      await crash(b)
      b = await createDialer({ privateKey, datastore })
      const atB = heard(b)
      await Promise.all([say(a, b, 'after that'), say(b, a, 'all well')])
      await agreed(a, b)
      expect(atB.at(-1)).to.equal('after that')
    }

    expect(lost.length).to.be.lessThan(3)
    expect(dropped(b)).to.not.have.any.keys('unreadable-record')
  })

  it('are stored under a key that is not in the datastore, and that the next life finds', async () => {
    const privateKey = await generateKeyPair('Ed25519')
    const datastore = new MemoryDatastore()
    const a = await createDialer()
    const b = await createDialer({ privateKey, datastore })
    await say(a, b, 'hello')
    await b.stop()
    const records = all(datastore).filter(({ key }) => `${key}`.startsWith(RECORDS))
    expect(records).to.have.lengthOf(1)
    const again = await createDialer({ privateKey, datastore })
    await say(again, a, 'the same')
    expect(dropped(again)).to.not.have.any.keys('unreadable-record')
    // IndexedDB without the key: what is stored is of no use, and is repaired
    await again.stop()
    await new Promise<void>((resolve, reject) => {
      const request = indexedDB.deleteDatabase('libp2p-sheaf/session')
      request.onsuccess = () => { resolve() }
      request.onerror = () => { reject(request.error ?? new Error('not deleted')) }
    })
    const last = await createDialer({ privateKey, datastore })
    await say(last, a, 'and anew')
    expect(dropped(last)).to.include({ 'unreadable-record': 1 })
  })
})
