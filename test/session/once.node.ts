import { generateKeyPair } from '@libp2p/crypto/keys'
import { expect } from 'aegir/chai'
import { MemoryDatastore } from 'datastore-core'
import { MAX_ORIGINS } from '../../src/session/constants.ts'
import { isNews, readOnce } from '../../src/session/core/origins.ts'
import { decodePayload, encodePayload } from '../../src/session/payload.ts'
import { eventually, meet } from '../fixtures/directsub.ts'
import { crash, createSessionNode, dropped, heard, say, stopSessions } from '../fixtures/sessions.ts'
import type { Origin } from '../../src/session/core/origins.ts'
import type { SessionNode } from '../fixtures/sessions.ts'

const ORIGIN = new Uint8Array(8).fill(7)

function once (number: number, origin = ORIGIN): { once: { origin: Uint8Array, number: number } } {
  return { once: { origin, number } }
}

describe('messages that are numbered', () => {
  afterEach(stopSessions)

  it('are handed over once, in whichever life of their sender they come again', async () => {
    const [privateKey, datastore] = [await generateKeyPair('Ed25519'), new MemoryDatastore()]
    const b = await createSessionNode()
    const texts = heard(b)
    const live = async (): Promise<SessionNode> => {
      const a = await createSessionNode({ privateKey, datastore })
      await meet(a, b)
      return a
    }

    const first = await live()
    await say(first, b, 'one', once(1))
    await say(first, b, 'two', once(2))
    await crash(first)
    const second = await live()
    // who lost the answer asks again
    await say(second, b, 'two', once(2))
    await say(second, b, 'three', once(3))
    await say(second, b, 'of another one', once(1, new Uint8Array(8)))
    expect(texts).to.deep.equal(['one', 'two', 'three', 'of another one'])
    expect(dropped(b).repeated).to.equal(1)
  })

  it('are handed over once also when their receiver began a new life', async () => {
    const [privateKey, datastore] = [await generateKeyPair('Ed25519'), new MemoryDatastore()]
    const a = await createSessionNode()
    const b = await createSessionNode({ privateKey, datastore })
    await meet(a, b)
    await say(a, b, 'one', once(1))
    await crash(b)
    await eventually('the connection is there', () => a.getConnections(b.peerId).length === 0)
    const again = await createSessionNode({ privateKey, datastore })
    const texts = heard(again)
    await meet(again, a)
    await say(a, again, 'one', once(1))
    await say(a, again, 'two', once(2))
    await eventually('nothing comes', () => texts.length > 0)
    expect(texts).to.deep.equal(['two'])
  })

  it('carry their number beside a protocol and data, and others look as they did', () => {
    const payload = encodePayload('chat', Uint8Array.of(9), { origin: ORIGIN, number: 300 }) ?? new Uint8Array()
    expect(readOnce(payload)?.once).to.deep.equal({ origin: ORIGIN, number: 300 })
    expect(decodePayload(payload)).to.deep.equal({ protocol: 'chat', data: Uint8Array.of(9) })

    for (const protocol of ['', 'a', 'a'.repeat(128)]) {
      const plain = encodePayload(protocol, Uint8Array.of(129, 1, 2)) ?? new Uint8Array()
      expect(readOnce(plain), protocol).to.equal(undefined)
      expect(decodePayload(plain).protocol).to.equal(protocol)
    }
  })

  it('of many origins are remembered up to a bound, those that were heard of last', () => {
    const origins: Origin[] = []
    const of = (origin: number): boolean => {
      return isNews(origins, encodePayload('', Uint8Array.of(1), { origin: new Uint8Array(8).fill(origin), number: 1 }) ?? new Uint8Array())
    }

    for (let i = 0; i <= MAX_ORIGINS; i++) {
      expect(of(i)).to.equal(true)
    }

    expect(origins).to.have.lengthOf(MAX_ORIGINS)
    expect([of(1), of(MAX_ORIGINS), of(0)]).to.deep.equal([false, false, true])
  })
})
