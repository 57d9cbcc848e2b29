import { generateKeyPair } from '@libp2p/crypto/keys'
import { expect } from 'aegir/chai'
import { MemoryDatastore } from 'datastore-core'
import { TOPIC } from '../../src/transfer/constants.ts'
import { decodeMessage } from '../../src/transfer/wire.ts'
import { Cable, removeCables } from '../fixtures/cable.ts'
import { eventually, meet, stopPeers } from '../fixtures/directsub.ts'
import { bytesOf, createTransferNode, nextOffer, rests } from '../fixtures/transfers.ts'
import type { IncomingTransfer } from '../../src/index.ts'
import type { TransferNode } from '../fixtures/transfers.ts'
import type { PrivateKey } from '@libp2p/interface'

const KIB = 1024
const MIB = 1024 * KIB
const LEAF = 64 * KIB
/** Bytes on their way to one peer at most */
const WINDOW = 4 * MIB

/** Bytes of pieces that a node sends in the clear from now on */
function tap (node: TransferNode): { data: number } {
  const { pubsub } = node.services
  const publish = pubsub.publish.bind(pubsub)
  const sent = { data: 0 }
  pubsub.publish = async (topic, data, options) => {
    const message = topic === TOPIC ? decodeMessage(data as Uint8Array) : undefined
    sent.data += message?.type === 'data' ? message.bytes.byteLength : 0
    return publish(topic, data, options)
  }
  return sent
}

async function kill (node: TransferNode): Promise<void> {
  node.getConnections().forEach(connection => { connection.abort(new Error('killed')) })
  await node.stop()
}

/** A peer that lives more than once */
interface Lives {
  privateKey: PrivateKey
  datastore: MemoryDatastore
}

async function lives (): Promise<Lives> {
  return { privateKey: await generateKeyPair('Ed25519'), datastore: new MemoryDatastore() }
}

/** Takes chunks until `stop` says so, or all is there */
async function take (incoming: IncomingTransfer, into: Uint8Array[], stop: () => boolean = () => false): Promise<void> {
  for await (const chunk of incoming) {
    into.push(chunk)

    if (stop()) {
      return
    }
  }
}

function tell (what: string): void {
  // eslint-disable-next-line no-console
  console.info(`      ${what}`)
}

const lengthOf = (chunks: Uint8Array[]): number => chunks.reduce((sum, { byteLength }) => sum + byteLength, 0)

describe('transfers in bad weather, over TCP', function () {
  this.timeout(120_000)

  afterEach(async () => {
    removeCables()
    await stopPeers()
  })

  describe('that are sealed', () => {
    const payload = bytesOf(6 * MIB, 3)

    it('go on when their receiver was killed and lives anew', async () => {
      const receiver = await lives()
      const a = await createTransferNode()
      const first = await createTransferNode(receiver)
      await meet(a as any, first as any)
      await a.services.pubsub.waitForSubscribers(TOPIC, { peers: [first.peerId] })
      const offered = nextOffer(first)
      const sent = a.services.transfers.send(first.peerId, payload, { confidential: true })
      const here: Uint8Array[] = []
      let killed: Promise<void> | undefined
      // it takes no more, but does not say so either: it is dead
      const taken = take((await offered).accept(), here, () => {
        killed ??= lengthOf(here) > payload.byteLength / 2 ? kill(first) : undefined
        return false
      })
      await taken.catch(() => {})
      await killed
      await eventually('the connection is there', () => a.getConnections(first.peerId).length === 0)

      const second = await createTransferNode(receiver)
      const again = nextOffer(second)
      await meet(a as any, second as any)
      const offer = await again
      expect(offer.isConfidential).to.equal(true)
      const incoming = offer.accept({ have: [...here] })
      const from = await incoming.from()
      await take(incoming, here)
      await sent.done
      expect(from).to.be.greaterThan(payload.byteLength / 2)
      expect(Buffer.compare(Buffer.concat(here), payload)).to.equal(0)
      await rests(a, second)
    })

    it('go on when their sender was killed and offers them anew', async () => {
      const sender = await lives()
      const b = await createTransferNode()
      const first = await createTransferNode(sender)
      await meet(first as any, b as any)
      await first.services.pubsub.waitForSubscribers(TOPIC, { peers: [b.peerId] })
      const offered = nextOffer(b)
      first.services.transfers.send(b.peerId, payload, { confidential: true }).done.catch(() => {})
      const here: Uint8Array[] = []
      let second: Promise<TransferNode> | undefined
      const anew = async (): Promise<TransferNode> => {
        await kill(first)
        await eventually('the connection is there', () => b.getConnections(first.peerId).length === 0)
        const node = await createTransferNode(sender)
        await meet(node as any, b as any)
        await node.services.pubsub.waitForSubscribers(TOPIC, { peers: [b.peerId] })
        return node
      }
      // as a program does that lives anew: it offers what it had offered, and what was verified is not sent again
      let done: Promise<void> | undefined
      await take((await offered).accept(), here, () => {
        if (lengthOf(here) > payload.byteLength / 2 && second == null) {
          second = anew()
          done = second.then(async node => node.services.transfers.send(b.peerId, payload, { confidential: true }).done)
        }
        return false
      })
      await done
      expect(Buffer.compare(Buffer.concat(here), payload)).to.equal(0)
      await rests(await second as TransferNode, b)
    })
  })

  describe('over a relay that stands still, and of which nobody is told', () => {
    async function frozen (): Promise<{ a: TransferNode, b: TransferNode, cables: Cable[] }> {
      // who has nothing to say to the relay hears of its end from libp2p
      const node = async (): Promise<TransferNode> => createTransferNode({ isMonitored: true })
      const [a, relay, b] = [await node(), await node(), await node()]
      const cables = [await Cable.to(relay.getMultiaddrs()), await Cable.to(relay.getMultiaddrs())]
      await a.dial(cables[0].address)
      await b.dial(cables[1].address)
      await a.services.pubsub.waitForSubscribers(TOPIC, { peers: [b.peerId] })
      return { a, b, cables }
    }

    it('wait for it, and go on where they were when it wakes', async () => {
      const { a, b, cables } = await frozen()
      const payload = bytesOf(12 * MIB, 4)
      const sent = tap(a)
      const offered = nextOffer(b)
      const transfer = a.services.transfers.send(b.peerId, payload)
      const here: Uint8Array[] = []
      let isFrozen = false
      await take((await offered).accept(), here, () => {
        if (!isFrozen && lengthOf(here) > payload.byteLength / 2) {
          isFrozen = true
          cables.forEach(cable => { cable.freeze() })
          setTimeout(() => { cables.forEach(cable => { cable.thaw() }) }, 6_000)
        }
        return false
      })
      await transfer.done
      expect(Buffer.compare(Buffer.concat(here), payload)).to.equal(0)
      // a hop loses nothing: only a relay that is replaced does
      expect(sent.data - payload.byteLength - payload.byteLength / LEAF * 32).to.be.at.most(WINDOW + LEAF)
      await rests(a, b)
    })

    it('go on by another relay', async () => {
      const { a, b, cables } = await frozen()
      const other = await createTransferNode({ isMonitored: true })
      const payload = bytesOf(12 * MIB, 5)
      const sent = tap(a)
      const offered = nextOffer(b)
      const transfer = a.services.transfers.send(b.peerId, payload)
      const here: Uint8Array[] = []
      let isFrozen = false
      let frozenAt = 0
      await take((await offered).accept(), here, () => {
        if (!isFrozen && lengthOf(here) > payload.byteLength / 2) {
          isFrozen = true
          frozenAt = performance.now()
          cables.forEach(cable => { cable.freeze() })
          void meet(a as any, other as any)
          void meet(b as any, other as any)
        }
        return false
      })
      await transfer.done
      tell(`${((performance.now() - frozenAt) / 1000).toFixed(1)} s, ${((sent.data - payload.byteLength) / KIB).toFixed(0)} KiB sent again`)
      expect(Buffer.compare(Buffer.concat(here), payload)).to.equal(0)
      expect(sent.data - payload.byteLength - payload.byteLength / LEAF * 32).to.be.at.most(WINDOW + LEAF)
    })
  })

  it('over a slow cable take as long as its bytes do, and small messages have their turn', async () => {
    const [a, b] = [await createTransferNode(), await createTransferNode()]
    const cable = await Cable.to(b.getMultiaddrs())
    await a.dial(cable.address)
    await a.services.pubsub.waitForSubscribers(TOPIC, { peers: [b.peerId] })
    await b.services.pubsub.subscribe('small')
    await a.services.pubsub.waitForSubscribers('small', { peers: [b.peerId] })
    cable.latency = 20
    cable.rate = 512 * KIB
    const payload = bytesOf(3 * MIB, 6)
    const sent = tap(a)
    const offered = nextOffer(b)
    const began = performance.now()
    const transfer = a.services.transfers.send(b.peerId, payload)
    const got = (await offered).accept().bytes(1e9)
    const over = { is: false }
    void transfer.done.then(() => { over.is = true }, () => { over.is = true })
    const took: number[] = []

    while (!over.is) {
      const at = performance.now()
      await a.services.pubsub.publish('small', new Uint8Array(64), { ack: 'all' })
      took.push(performance.now() - at)
    }

    await transfer.done
    const seconds = (performance.now() - began) / 1000
    const [p50] = took.sort((one, other) => one - other).slice(took.length / 2)
    const longest = took.at(-1) as number
    tell(`${seconds.toFixed(1)} s for 3 MiB at 512 KiB/s; small messages: p50 ${p50.toFixed(0)} ms, longest ${longest.toFixed(0)} ms`)
    expect(Buffer.compare(await got, payload)).to.equal(0)
    expect(seconds).to.be.within(5, 20)
    // slow is not lost: nothing but the list of hashes is sent beside the payload
    expect(sent.data - payload.byteLength).to.equal(payload.byteLength / LEAF * 32)
    // what is in the buffers of the way goes first, and that is not the payload
    expect(longest).to.be.below(4_000)
  })
})
