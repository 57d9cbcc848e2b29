import { generateKeyPair } from '@libp2p/crypto/keys'
import { defaultLogger } from '@libp2p/logger'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { expect } from 'aegir/chai'
import { stubInterface } from 'sinon-ts'
import { Lane } from '../../src/link/index.ts'
import { DESTINATION_COST, ITEM_COST, MAX_SEQS, RECEIPT_COST, SIGNATURE_COST } from '../../src/pubsub/constants.ts'
import { Context } from '../../src/pubsub/context.ts'
import { EnvelopeType, readEnvelope, Signer } from '../../src/pubsub/envelope.ts'
import { keyOf } from '../../src/pubsub/keys.ts'
import { optionsOf } from '../../src/pubsub/options.ts'
import { Parcels } from '../../src/pubsub/parcels.ts'
import { Receipts } from '../../src/pubsub/receipts.ts'
import { Receiving } from '../../src/pubsub/receiving.ts'
import { Relaying } from '../../src/pubsub/relaying.ts'
import { Traffic } from '../../src/pubsub/traffic.ts'
import * as wire from '../../src/pubsub/wire.ts'
import { eventually, range } from '../fixtures/directsub.ts'
import type { Entry, Frame, Neighbour } from '../../src/link/index.ts'
import type { Peer } from '../../src/pubsub/context.ts'
import type { DirectSubComponents } from '../../src/pubsub/index.ts'

/** A node that one relay is the neighbour of, and the receipts that it was sent */
async function setUp (): Promise<{ context: Context, receipts: Receipts, relay: Peer, sent: wire.Receipt[], cost(): number }> {
  const [privateKey, other] = await Promise.all([generateKeyPair('Ed25519'), generateKeyPair('Ed25519')])
  const components = stubInterface<DirectSubComponents>({ privateKey, peerId: peerIdFromPrivateKey(privateKey) })
  const log = defaultLogger().forComponent('test:receipts')
  const context = new Context({ components, options: optionsOf({}), epoch: 1, log, traffic: new Traffic() })
  const sent: wire.Receipt[] = []
  let cost = 0
  const neighbour = Object.assign(stubInterface<Neighbour>({
    send: ({ frame: { head, body } }: Entry) => {
      const bytes = Uint8Array.from([...head, ...body ?? []])
      // behind its length, of 2 or 3 bytes, and its kind
      const { envelope } = wire.decodeParcel(bytes.subarray(bytes.findIndex(byte => byte < 128) + 2))
      sent.push(wire.decodeReceipt(readEnvelope(envelope).content))
      return 'admitted'
    },
    spend: ms => { cost += ms }
  }), { peerId: peerIdFromPrivateKey(other) })
  const relay = context.up(neighbour, { epoch: 1, isRelay: true })
  return { context, receipts: new Receipts(context), relay, sent, cost: () => cost }
}

describe('receipts of a tick', () => {
  it('say once what is the same of many messages, and are paid for where they speak of others', async () => {
    const { context, receipts, relay, sent, cost } = await setUp()
    const [of, gone] = await Promise.all(range(2).map(async () => keyOf(peerIdFromPrivateKey(await generateKeyPair('Ed25519')))))
    const said = { of, epoch: 1, topic: 'news', by: relay }
    range(1000).forEach(seq => { receipts.add({ ...said, status: 'unreachable', about: [gone] }, [2 * seq, 2 * seq + 1]) })
    range(10).forEach(seq => { receipts.add({ ...said, status: 'acked', about: [] }, [seq]) })
    receipts.add({ ...said, status: 'acked', topic: 'other', about: [] }, [7])
    expect(sent).to.deep.equal([])
    await new Promise<void>(resolve => { context.clock.soon(resolve) })

    expect(sent.map(({ status, topic, seqs, about }) => [status, topic, seqs.length, about])).to.deep.equal([
      ['unreachable', 'news', 2000, [gone]], ['acked', 'news', 10, []], ['acked', 'other', 1, []]
    ])
    expect(cost()).to.equal(SIGNATURE_COST)
  })

  it('are no longer than a receipt may be', async () => {
    const { context, receipts, relay, sent } = await setUp()
    const of = keyOf(peerIdFromPrivateKey(await generateKeyPair('Ed25519')))
    receipts.add({ of, epoch: 1, topic: 'news', by: relay, status: 'acked', about: [] }, range(MAX_SEQS * 2 + 5))
    await new Promise<void>(resolve => { context.clock.soon(resolve) })

    expect(sent.map(({ seqs }) => seqs.length)).to.deep.equal([MAX_SEQS, MAX_SEQS, 5])
    expect(sent.flatMap(({ seqs }) => seqs)).to.deep.equal(range(MAX_SEQS * 2 + 5))
  })
})

describe('what a neighbour brings about many', () => {
  /** The body of a frame, as the link hands it on */
  function bodyOf ({ head, body }: Frame): Uint8Array {
    const bytes = Uint8Array.from([...head, ...body ?? []])
    return bytes.subarray(bytes.findIndex(byte => byte < 128) + 2)
  }

  it('is paid for by the peers and messages that it names', async () => {
    const { context, receipts, relay, cost } = await setUp()
    const parcels = new Parcels(context)
    const receiving = new Receiving({
      context, receipts, relaying: new Relaying(context, parcels, receipts), validators: new Map(), onMessage: () => {}, onReceipt: () => {}
    })
    const names = range(500).map(i => `nobody ${i}`)
    const receipt = wire.encodeReceiptFrame({ status: 'congested', of: context.self, epoch: 1, topic: 't', seqs: range(300), about: names })
    receiving.onReceipt({ from: relay, kind: wire.Kind.RECEIPT, bytes: receipt.bytes }, bodyOf(receipt))
    expect(cost()).to.be.closeTo(RECEIPT_COST + 800 * ITEM_COST, 1e-9)

    const before = cost()
    const envelope = await new Signer(await generateKeyPair('Ed25519')).sign(1, EnvelopeType.ANNOUNCEMENT, new Uint8Array(0))
    const parcel = wire.encodeParcel({ trace: [], lane: Lane.DATA, destinations: names, envelope })
    receiving.onParcel({ from: relay, kind: wire.Kind.PARCEL, bytes: parcel.bytes }, bodyOf(parcel))
    const whole = 500 * DESTINATION_COST + SIGNATURE_COST
    // behind what is still being signed
    await eventually(() => `it paid ${cost() - before} of ${whole}`, () => cost() - before > whole - 1e-9)
    expect(cost() - before).to.be.closeTo(whole, 1e-9)
    parcels.stop()
  })
})
