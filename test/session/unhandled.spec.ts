import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { expect } from 'aegir/chai'
import { HANDLER_PATIENCE, UNHANDLED_BYTES, UNHANDLED_BYTES_A_PEER } from '../../src/session/constants.ts'
import { Unhandled } from '../../src/session/unhandled.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'
import type { PeerId } from '@libp2p/interface'

const KIB = 1024

async function someone (): Promise<PeerId> {
  return peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
}

function setting (): { clock: VirtualClock, unhandled: Unhandled, dropped (): number } {
  const clock = new VirtualClock()
  let dropped = 0
  return { clock, unhandled: new Unhandled(clock, count => { dropped += count }), dropped: () => dropped }
}

describe('messages without a handler', () => {
  it('wait after the start in their order, each protocol by itself, as copies of what arrived', async () => {
    const { unhandled, dropped } = setting()
    const from = await someone()
    const arrived = Uint8Array.of(1, 2, 3)
    unhandled.begin()
    ;['a', 'b', 'a'].forEach((protocol, i) => { unhandled.add(protocol, { from, data: arrived.subarray(i, i + 1) }) })
    arrived.fill(0)
    expect(unhandled.take('a').map(({ data }) => [...data])).to.deep.equal([[1], [3]])
    expect(unhandled.take('a')).to.deep.equal([])
    expect(dropped()).to.equal(0)
  })

  it('are dropped and counted before the start, when nobody has handled them in time, and after that', async () => {
    const { clock, unhandled, dropped } = setting()
    const message = { from: await someone(), data: new Uint8Array(8) }
    unhandled.add('a', message)
    expect(dropped()).to.equal(1)
    unhandled.begin()
    unhandled.add('a', message)
    clock.advance(HANDLER_PATIENCE - 1)
    expect(dropped()).to.equal(1)
    clock.advance(1)
    expect([dropped(), unhandled.take('a')]).to.deep.equal([2, []])
    unhandled.add('a', message)
    expect([dropped(), unhandled.take('a')]).to.deep.equal([3, []])
  })

  it('take no more than their peer may, however small they are, and all peers together no more than all may', async () => {
    const { unhandled, dropped } = setting()
    unhandled.begin()
    const [first, ...others] = await Promise.all(Array.from({ length: 12 }, someone))

    for (let i = 0; i < 10_000; i++) {
      unhandled.add('a', { from: first, data: new Uint8Array(0) })
    }

    const few = unhandled.take('a')
    expect(few.length + dropped()).to.equal(10_000)
    expect(few.length).to.be.within(UNHANDLED_BYTES_A_PEER / KIB, UNHANDLED_BYTES_A_PEER / 128)

    for (const from of others) {
      for (let i = 0; i < 1_000; i++) {
        unhandled.add('b', { from, data: new Uint8Array(KIB) })
      }
    }

    expect(unhandled.take('b').length * KIB).to.be.within(UNHANDLED_BYTES / 2, UNHANDLED_BYTES)
    // there is room again
    unhandled.add('b', { from: first, data: new Uint8Array(KIB) })
    expect(unhandled.take('b')).to.have.lengthOf(1)
  })
})
