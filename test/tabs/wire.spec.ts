import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { expect } from 'aegir/chai'
import { AppendRefusedError, EntryId, InvalidOptionsError, NotDeliveredError, QueueFullError } from '../../src/index.ts'
import { CannotCrossError, tabs } from '../../src/tabs/index.ts'
import { errorFromWire, errorToWire, fromWire, toWire } from '../../src/tabs/wire.ts'
import { closeLogs, newLog, text } from '../fixtures/logs.ts'

function crossed (value: unknown): any {
  return fromWire(structuredClone(toWire(value, 'a test')))
}

describe('what goes from tab to tab', () => {
  afterEach(closeLogs)

  it('comes as what it was: peers, ids, entries, bytes, numbers, in whatever they lie in', async () => {
    const peerId = peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
    const log = await newLog()
    const entry = await log.append(text('a'), { group: text('g'), replicas: 3, request: text('r') })
    const found = crossed({ peers: [{ peerId, self: true }], entry, id: entry.id, time: 5n, none: undefined, data: text('b') })
    expect(found.peers[0].peerId.equals(peerId)).to.equal(true)
    expect(found.id).to.be.instanceOf(EntryId)
    expect(found.id.equals(entry.id)).to.equal(true)
    expect([found.time, found.none, found.data]).to.deep.equal([5n, undefined, text('b')])

    for (const name of ['data', 'clock', 'group', 'replicas', 'request', 'bytes', 'proof', 'previous'] as const) {
      expect(found.entry[name], name).to.deep.equal(entry[name])
    }
    expect(found.entry.author.equals(entry.author)).to.equal(true)
    expect(found.entry.id.equals(entry.id)).to.equal(true)
    const [outcome] = await (await newLog()).join([found.entry])
    expect(outcome.status).to.equal('added')
  })

  it('is a copy, also of a Buffer, whose slice is none', () => {
    class Sharing extends Uint8Array<ArrayBuffer> {
      override slice (from?: number, to?: number): Sharing {
        return this.subarray(from, to) as Sharing
      }
    }
    const bytes = new Sharing(new ArrayBuffer(100)).subarray(10, 13)
    const wired = toWire({ bytes }, 'test').bytes
    bytes.fill(9)

    expect(wired).to.deep.equal(new Uint8Array(3))
    expect(wired.buffer.byteLength).to.equal(3)
  })

  it('keeps the class of an error, what it carries, and why it came', async () => {
    const peerId = peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
    const err = errorFromWire(structuredClone(errorToWire(
      new NotDeliveredError('nobody', { recipients: [peerId], acked: [], failed: [{ peerId, reason: 'timeout' as any }] })
    ))) as NotDeliveredError
    expect(err).to.be.instanceOf(NotDeliveredError)
    expect([err.name, err.message]).to.deep.equal(['NotDeliveredError', 'nobody'])
    expect(err.result.recipients[0].equals(peerId)).to.equal(true)

    for (const Class of [AppendRefusedError, QueueFullError, InvalidOptionsError, CannotCrossError]) {
      const cause = new Class('why')
      const crossing = errorFromWire(structuredClone(errorToWire(new Error('a message', { cause }))))
      expect(crossing.cause).to.be.instanceOf(Class)
    }
    expect(errorFromWire(errorToWire('a word'))).to.be.instanceOf(Error).with.property('message', 'a word')
  })

  it('is refused by name where it is a function', () => {
    expect(() => toWire({ deep: [() => {}] }, 'open()')).to.throw(CannotCrossError, 'open() has a function in it')
  })

  it('does not begin with options that are wrong', async () => {
    for (const init of [undefined, {}, { name: '' }, { name: 'a', createNode: 1 }, { name: 'a', node: 1 }] as any[]) {
      await expect(tabs(init)).to.eventually.be.rejected.with.property('name', 'InvalidOptionsError')
    }
  })
})
