import { generateKeyPair } from '@libp2p/crypto/keys'
import { defaultLogger } from '@libp2p/logger'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { expect } from 'aegir/chai'
import { TypedEventEmitter } from 'main-event'
import { stubInterface } from 'sinon-ts'
import { Neighbours } from '../../src/link/neighbours.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'
import type { NeighbourHandlers } from '../../src/link/neighbour.ts'
import type { Connection, Libp2pEvents, PeerId, PeerStore, Topology } from '@libp2p/interface'
import type { ConnectionManager, Registrar } from '@libp2p/interface-internal'

describe('neighbours', () => {
  const events = new TypedEventEmitter<Libp2pEvents>()
  let connections: Connection[]
  let registrar: ReturnType<typeof stubInterface<Registrar>>
  let neighbours: Neighbours
  let remotePeer: PeerId

  beforeEach(async () => {
    const [own, other] = await Promise.all([1, 2].map(async () => peerIdFromPrivateKey(await generateKeyPair('Ed25519'))))
    remotePeer = other
    connections = []
    registrar = stubInterface<Registrar>()
    registrar.unhandle.rejects(new Error('not handled'))
    const connectionManager = stubInterface<ConnectionManager>()
    connectionManager.getConnections.callsFake(() => connections)
    neighbours = new Neighbours({
      components: { peerId: own, registrar, connectionManager, peerStore: stubInterface<PeerStore>(), events, logger: defaultLogger() },
      clock: new VirtualClock(),
      random: Math.random,
      handlers: stubInterface<NeighbourHandlers>(),
      maxFrame: 1e6,
      laneCapacity: 1e6,
      slowAfter: 1000,
      runOnLimitedConnection: false
    })
    await neighbours.start()
  })

  const find = (connection: Connection): void => {
    (registrar.register.firstCall.args[1] as Topology).onConnect?.(remotePeer, connection)
  }
  const newConnection = (status: 'open' | 'closed'): Connection => {
    return stubInterface<Connection>({ status, remotePeer, limits: undefined, newStream: async () => new Promise(() => {}) })
  }

  it('are not made of peers whose connection is gone when they are found', () => {
    find(newConnection('closed'))

    expect(neighbours.size).to.equal(0)
  })

  it('go with their last connection', () => {
    const connection = newConnection('open')
    connections = [connection]
    find(connection)
    expect(neighbours.size).to.equal(1)
    connections = []
    events.safeDispatchEvent('connection:close', { detail: connection })

    expect(neighbours.size).to.equal(0)
  })

  it('stop without a rejection, whatever libp2p says', async () => {
    const connection = newConnection('open')
    connections = [connection]
    find(connection)
    await neighbours.stop()

    expect(neighbours.size).to.equal(0)
  })
})
