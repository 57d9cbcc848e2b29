import { expect } from 'aegir/chai'
import { InvalidOptionsError } from '../../src/runtime/errors.ts'
import { TOPIC } from '../../src/transfer/constants.ts'
import { encodeMessage } from '../../src/transfer/wire.ts'
import { eventually, meet, settles, stopPeers } from '../fixtures/directsub.ts'
import { IS_LONG } from '../fixtures/effort.ts'
import { createPeer } from '../fixtures/peers.ts'
import { bytesOf, chain, createTransferNode, nextOffer, rests } from '../fixtures/transfers.ts'
import type { Message } from '../../src/transfer/wire.ts'

const LEAF = 65_536
const MIB = 1024 * 1024
/** Around the ends of a leaf, where there is no list, and with one */
const SIZES = [0, 1, LEAF - 1, LEAF, LEAF + 1, MIB, ...IS_LONG ? [20_000_000] : []]
/** Milliseconds until the other side knows that a node stops: it is told, and does not find out */
const PROMPT = 5000

describe('transfers, over TCP', function () {
  this.timeout(60_000)
  afterEach(stopPeers)

  for (const hops of [2, 3]) {
    for (const confidential of [false, true]) {
      it(`arrive over ${hops - 1} hops ${confidential ? 'sealed' : 'in the clear'}, whatever their size, known or not`, async () => {
        const nodes = await chain(hops)
        const [a, b] = [nodes[0], nodes[hops - 1]]

        for (const size of SIZES) {
          for (const isKnown of [true, false]) {
            const payload = bytesOf(size)
            const offered = nextOffer(b)
            const progress: number[] = []
            const sent = a.services.transfers.send(b.peerId, isKnown ? payload : [payload], { confidential, meta: new Uint8Array(5), onProgress: ({ bytes }) => { progress.push(bytes) } })
            const offer = await offered
            expect(offer).to.include({ isConfidential: confidential, isOpen: true, protocol: '' })
            expect([offer.size, offer.root?.byteLength]).to.deep.equal(isKnown ? [size, 32] : [undefined, undefined])
            expect(offer.from.equals(a.peerId)).to.equal(true)
            const got = await offer.accept().bytes(size)
            await sent.done
            expect(Buffer.compare(got, payload), `${size} bytes`).to.equal(0)
            expect(sent.progress).to.deep.equal({ bytes: size, size })
            expect(progress.at(-1)).to.equal(size)
          }
        }

        await rests(...nodes)
      })
    }
  }

  for (const who of ['sender', 'receiver'] as const) {
    it(`end at once, for both sides, when the node of the ${who} stops`, async () => {
      const [a, b] = await chain(2)
      const offered = nextOffer(b)
      const controller = new AbortController()
      const sent = a.services.transfers.send(b.peerId, (function * () {
        while (!controller.signal.aborted) {
          yield new Uint8Array(LEAF)
        }
      })())
      const incoming = (await offered).accept()
      const reading = (async () => {
        for await (const { byteLength } of incoming) {
          expect(byteLength).to.be.above(0)
        }
      })()
      reading.catch(() => {})
      await eventually('it does not begin', () => incoming.progress.bytes > MIB)
      const began = performance.now()
      void (who === 'sender' ? a : b).stop()
      const [atSender, atReceiver] = await Promise.all([settles('the sender', sent.done), settles('the receiver', reading)])
      controller.abort()

      expect([atSender, atReceiver].map(outcome => (outcome as PromiseRejectedResult).reason?.reason)).to.deep.equal(['node-stopped', 'node-stopped'])
      expect(performance.now() - began).to.be.below(PROMPT)
    })
  }

  it('are told to the program that handles their protocol, and rejected when there is none', async () => {
    const [a, b] = await chain(2)
    const named: string[] = []
    b.services.transfers.handle('photos', async offer => {
      named.push(offer.protocol)
      await offer.accept().bytes(100)
    })
    await a.services.transfers.send(b.peerId, bytesOf(100), { protocol: 'photos' }).done
    const outcome = await settles('', a.services.transfers.send(b.peerId, bytesOf(100), { protocol: 'films' }).done)
    b.services.transfers.unhandle('photos')
    const after = await settles('', a.services.transfers.send(b.peerId, bytesOf(100), { protocol: 'photos' }).done)

    expect(named).to.deep.equal(['photos'])
    expect([outcome, after].map(outcome => (outcome as PromiseRejectedResult).reason?.reason)).to.deep.equal(['rejected', 'rejected'])
  })

  it('stand a peer that floods their topic by hand: it gets few answers, and an honest transfer beside it ends well', async () => {
    const [honest, victim] = await chain(2)
    const hostile = await createPeer()
    await meet(hostile, victim as any)
    await hostile.services.pubsub.subscribe(TOPIC)
    await hostile.services.pubsub.waitForSubscribers(TOPIC, { peers: [victim.peerId] })
    let answers = 0
    hostile.services.pubsub.addEventListener('message', () => { answers++ })
    const id = (i: number): Uint8Array => {
      const id = new Uint8Array(16)
      new DataView(id.buffer).setUint32(0, i)
      return id
    }
    const messages: Array<(i: number) => Message> = [
      i => ({ type: 'offer', id: id(i), terms: { size: 2 ** 53 - 1, root: new Uint8Array(32), protocol: '', meta: id(i) } }),
      i => ({ type: 'offer', id: id(i), terms: { size: LEAF * 100, root: new Uint8Array(32), protocol: '', meta: new Uint8Array() } }),
      i => ({ type: 'offer', id: id(i), terms: { protocol: '', meta: id(i) } }),
      i => ({ type: 'probe', id: id(i), question: i }),
      i => ({ type: 'status', id: id(i), status: { number: i, echo: 0, horizon: 1e15, wanted: [{ from: 0, to: 1e15 }] } }),
      i => ({ type: 'data', id: id(i), offset: 0, bytes: new Uint8Array(1000) }),
      i => ({ type: 'end', id: id(i), isSender: i % 2 === 0, reason: 0 })
    ]
    const payload = bytesOf(4 * MIB)
    const fromHonest = new Promise<Uint8Array>((resolve, reject) => {
      victim.services.transfers.addEventListener('offer', ({ detail: offer }) => {
        offer.from.equals(honest.peerId) && offer.accept().bytes(1e9).then(resolve, reject)
      })
    })
    const controller = new AbortController()
    const began = performance.now()
    let sent = 0
    const say = async (): Promise<void> => {
      const i = sent++
      await hostile.services.pubsub.publish(TOPIC, encodeMessage(messages[i % messages.length](i)), { to: [victim.peerId] })
    }
    const flood = (async () => {
      while (!controller.signal.aborted) {
        await Promise.all(Array.from({ length: 200 }, say))
      }
    })()
    await eventually('the flood does not rise', () => sent > 4000)
    const transfer = honest.services.transfers.send(victim.peerId, payload)
    expect(Buffer.compare(await fromHonest, payload)).to.equal(0)
    await transfer.done
    await eventually('it is not enough', () => sent > 10_000)
    controller.abort()
    await flood
    const seconds = (performance.now() - began) / 1000
    const { sizes } = victim.services.transfers.diagnostics()
    // eslint-disable-next-line no-console
    console.info(`      ${sent} messages in ${seconds.toFixed(1)} s, ${answers} answers`)

    // 16 offers that wait are answered once, and once more for each that joins one of them
    expect(answers).to.be.at.most(200 + 100 * seconds + 100)
    expect(sizes.offers).to.be.at.most(16)
    expect(sizes).to.include({ keptBytes: 0, budgetBytes: 0 })
  })

  it('are not accepted with an option that there is not: it is named, and the offer stays open', async () => {
    const [a, b] = await chain(2)
    const offered = nextOffer(b)
    const sent = a.services.transfers.send(b.peerId, bytesOf(5))
    const offer = await offered
    const mistyped: object = { signals: [] }
    expect(() => offer.accept(mistyped)).to.throw(InvalidOptionsError, 'signals')
    expect((await offer.accept().bytes(5)).byteLength).to.equal(5)
    await sent.done
  })

  it('need DirectSub, and sessions if they are confidential: an error says so', async () => {
    const node = await createTransferNode()
    expect(() => node.services.transfers.send(node.peerId, new Uint8Array(1))).to.throw('itself')
    const other = await createTransferNode()
    await node.stop()
    expect(() => node.services.transfers.send(other.peerId, new Uint8Array(1))).to.throw('start the node')
  })
})
