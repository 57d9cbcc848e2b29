import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { tcp } from '@libp2p/tcp'
import { expect } from 'aegir/chai'
import { createLibp2p } from 'libp2p'
import { eventually, stopPeers, track } from '../fixtures/directsub.ts'
import { createPeer } from '../fixtures/peers.ts'
import type { Libp2p, Stream } from '@libp2p/interface'

/**
 * Why transfers bound what is in flight, and grant credit, by themselves: four facts about libp2p's streams. Each of these
 * tests fails when its fact is none any more, and says what may be simpler then
 */
const PROTOCOL = '/canary/1.0.0'
const MIB = 1024 * 1024
const CHUNK = new Uint8Array(64 * 1024)
/** Bytes that are sent to one that does not read: more than any window, and less than the process has */
const MUCH = 40 * MIB

async function node (): Promise<Libp2p> {
  return track(await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false }
  }))
}

/** A stream from one node to another, as both see it */
async function stream (): Promise<[near: Stream, far: Stream]> {
  const [a, b] = [await node(), await node()]
  let far: Stream | undefined
  await b.handle(PROTOCOL, stream => { far = stream })
  const near = await a.dialProtocol(b.getMultiaddrs(), PROTOCOL)
  near.send(new Uint8Array(1))
  await eventually('the other side sees no stream', () => far != null)
  return [near, far as Stream]
}

/** Sends until so many bytes went, or the stream takes no more; how many went */
async function flood (near: Stream, bytes: number): Promise<number> {
  let sent = 0

  while (sent < bytes && near.status === 'open') {
    if (near.writableNeedsDrain) {
      const isDrained = await Promise.race([
        new Promise<boolean>(resolve => { near.addEventListener('drain', () => { resolve(true) }, { once: true }) }),
        new Promise<boolean>(resolve => { setTimeout(() => { resolve(false) }, 500) })
      ])

      if (!isDrained) {
        break
      }
      continue
    }

    near.send(CHUNK.slice())
    sent += CHUNK.byteLength
  }

  return sent
}

describe('what libp2p does not do for transfers', function () {
  this.timeout(60_000)
  afterEach(stopPeers)

  it('onDrain() waits for one drain only', async () => {
    const [near, far] = await stream()
    far.addEventListener('message', () => {})
    const waits: boolean[] = []

    for (let round = 0; round < 3; round++) {
      while (near.send(CHUNK.slice())) {
        // until it is to be waited for
      }

      // the drain cannot come in this tick: onDrain() that resolves while it is to be waited for did not wait
      await near.onDrain()
      waits.push(!near.writableNeedsDrain)
      await eventually('it does not drain', () => !near.writableNeedsDrain)
    }

    near.abort(new Error('over'))
    expect(waits, 'onDrain() waits each time now: src/link/frame-stream.ts may use it instead of the event').to.not.deep.equal([true, true, true])
  })

  it('`for await (const bytes of stream)` holds back nobody', async () => {
    const [near, far] = await stream()
    const iterator = far[Symbol.asyncIterator]()
    await iterator.next()
    // one chunk was taken, and no more is: the sender goes on all the same
    const sent = await flood(near, MUCH)
    near.abort(new Error('over'))

    expect(sent, 'a reader that takes its time holds back the sender now: credit of one hop may be left to the stream').to.equal(MUCH)
  })

  it('pause() resets a stream that is fast', async () => {
    const [near, far] = await stream()
    far.addEventListener('message', () => {})
    await flood(near, 8 * MIB)
    far.pause()
    const sent = await flood(near, MUCH)
    await new Promise<void>(resolve => { setTimeout(resolve, 100) })
    const { status } = far
    near.abort(new Error('over'))

    expect(status === 'open' && sent < MUCH, 'pause() holds back a fast stream, and does not reset it, now: a hop may pause its stream instead of granting credit').to.equal(false)
  })

  it('a connection over a circuit relay carries 128 KiB and two minutes', async () => {
    const relay = await createPeer({ circuit: 'server' })
    const listener = await createPeer({ circuit: 'client', listen: [`${relay.getMultiaddrs()[0].toString()}/p2p-circuit`] })
    const dialer = await createPeer({ circuit: 'client' })
    await eventually('it has no place at the relay', () => listener.getMultiaddrs().length > 0)
    const connection = await dialer.dial(listener.getMultiaddrs()[0])

    expect(connection.limits, 'connections over circuit relays are not limited now: transfers may take them').to.not.equal(undefined)
    expect(Number(connection.limits?.bytes)).to.be.at.most(128 * 1024)
    // in milliseconds, whatever its name is
    expect(Number(connection.limits?.seconds)).to.be.at.most(120_000)
  })
})
