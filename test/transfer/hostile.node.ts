import { expect } from 'aegir/chai'
import { EndReason } from '../../src/transfer/wire.ts'
import { TransferNet } from '../fixtures/transfer-net.ts'
import { bytesOf } from '../fixtures/transfers.ts'
import { heard, idOf, LEAF, MIB, reasons, ROOT, terms, works, world } from './hostile-world.ts'
import { surveyOf } from './simulation.ts'
import type { Offer } from '../../src/transfer/index.ts'
import type { Message } from '../../src/transfer/wire.ts'
import type { NetNode } from '../fixtures/transfer-net.ts'

describe('a hostile peer', function () {
  this.timeout(60_000)
  const rejections: unknown[] = []
  const note = (err: unknown): void => { rejections.push(err) }
  before(() => { process.on('unhandledRejection', note) })
  after(() => {
    process.off('unhandledRejection', note)
    expect(rejections).to.deep.equal([])
  })

  describe('that sends', () => {
    it('declares 2^53-1 bytes, or more than anybody takes: it is refused, and no memory is taken', async () => {
      const test = await world()
      const { net, victim, hostile } = test
      const sizes = [2 ** 53 - 1, 64 * 1024 ** 3 + 1, 2 ** 40]
      sizes.forEach((size, i) => { hostile.say(victim, { type: 'offer', id: idOf(i), terms: terms({ size, root: ROOT }) }) })
      await net.run(20)
      expect(reasons(test)).to.deep.equal(sizes.map(() => EndReason.TOO_LARGE))
      expect(victim.offers).to.have.lengthOf(0)

      // it is known when the end is told: 2^53 - 1 bytes, of which one leaf is there
      hostile.say(victim, { type: 'offer', id: idOf(9), terms: terms() })
      const before = process.memoryUsage().rss
      const got = (await victim.offer()).accept().bytes(10 * MIB)
      await net.run(20)
      hostile.say(victim, { type: 'data', id: idOf(9), offset: 0, bytes: new Uint8Array(LEAF) })
      hostile.say(victim, { type: 'probe', id: idOf(9), question: 1, end: { size: 2 ** 53 - 1, root: ROOT } })
      expect((await net.outcome(got)).status).to.equal('rejected')
      expect(process.memoryUsage().rss - before).to.be.below(50 * MIB)
      await works(test)
    })

    it('declares a size that a program takes, and never sends it: what is held is not more than a window', async () => {
      const test = await world()
      const { net, victim, hostile } = test
      hostile.say(victim, { type: 'offer', id: idOf(1), terms: terms({ size: 64 * 1024 ** 3, root: ROOT }) })
      const incoming = (await victim.offer()).accept()
      const got = incoming.bytes(2 ** 40)
      got.catch(() => {})
      expect(victim.sizes.budgetBytes).to.be.at.most(4 * MIB)
      await works(test)
      expect((await net.outcome(got)).status).to.equal('rejected')
      await net.run(1)
      expect(victim.sizes).to.include({ budgetBytes: 0, listBytes: 0, inbound: 0 })
    })

    it('declares 64 GiB again and again: the hashes of one such payload have room, and others have theirs', async () => {
      const test = await world()
      const { net, victim, hostile, honest } = test
      const accept = async (from: NetNode, number: number): Promise<string> => {
        from.say(victim, { type: 'offer', id: idOf(number), terms: terms({ size: 64 * 1024 ** 3, root: new Uint8Array(32).fill(number) }) })
        const offer = await victim.offer()

        try {
          offer.accept().bytes(2 ** 40).catch(() => {})
          return 'accepted'
        } catch (err: any) {
          return err.name
        }
      }

      expect(await accept(hostile, 1)).to.equal('accepted')
      expect(await accept(hostile, 2)).to.equal('TooManyTransfersError')
      await net.run(10)
      expect(reasons(test)).to.deep.equal([EndReason.BUSY])
      expect(await accept(honest, 3)).to.equal('accepted')
      expect(victim.sizes.listBytes).to.equal(2 * 32 * MIB)

      // all peers together have a bound of their own
      for (const number of [4, 5]) {
        expect(await accept(await net.node(), number)).to.equal('accepted')
      }

      expect(await accept(await net.node(), 6)).to.equal('TooManyTransfersError')
      expect(victim.sizes.listBytes).to.equal(128 * MIB)
      await net.run(61_000)
      expect(victim.sizes).to.include({ listBytes: 0, inbound: 0 })
      await works(test)
    })

    it('sends what nobody asked for: it is cut off when that is more than an honest one may have under way', async () => {
      for (const isAccepted of [true, false]) {
        const test = await world()
        const { net, victim, hostile } = test
        const { root } = surveyOf(bytesOf(10 * LEAF))
        hostile.say(victim, { type: 'offer', id: idOf(1), terms: terms({ size: 10 * LEAF, root }) })
        const offer = await victim.offer()
        const outcome = isAccepted ? offer.accept().bytes(1e9).then(() => 'all', err => err.reason) : undefined
        let count = 0

        for (; count < 1000 && reasons(test).length === 0; count++) {
          hostile.say(victim, { type: 'data', id: idOf(1), offset: 2 ** 40, bytes: new Uint8Array(LEAF) })
        }

        expect(reasons(test)).to.deep.equal([EndReason.CREDIT])
        expect(count * LEAF).to.be.at.most(4 * MIB + 2 * LEAF)
        outcome != null && expect(await outcome).to.equal('protocol')
        expect(offer.isOpen).to.equal(false)
        await net.run(1)
        expect(victim.sizes).to.include({ keptBytes: 0, inbound: 0, budgetBytes: 0 })
        await works(test)
      }
    })

    it('sends a payload in pieces of one byte: neither memory nor count of them grows', async () => {
      const test = await world()
      const { net, victim, hostile } = test
      const payload = bytesOf(10 * LEAF)
      const { list, root } = surveyOf(payload)
      hostile.say(victim, { type: 'offer', id: idOf(1), terms: terms({ size: payload.byteLength, root }) })
      const got = (await victim.offer()).accept().bytes(1e9).then(() => 'all', err => err.reason)
      await net.run(20)
      hostile.say(victim, { type: 'data', id: idOf(1), offset: 0, bytes: list })
      let count = 0

      for (; count < 200_000 && victim.sizes.inbound > 0; count++) {
        hostile.say(victim, { type: 'data', id: idOf(1), offset: list.byteLength + 2 * count, bytes: new Uint8Array(1) })
      }

      expect(count).to.be.below(2000)
      expect(await got).to.equal('protocol')
      await works(test)
    })

    for (const [what, wrong] of Object.entries({ 'a wrong leaf': 'leaf', 'a wrong list': 'list', 'a wrong root at the end': 'root' })) {
      it(`sends ${what}: no wrong byte reaches a program as if it were right`, async () => {
        const test = await world()
        const { net, victim, hostile } = test
        const payload = bytesOf(3 * LEAF)
        const { list, root } = surveyOf(payload)
        const isKnown = wrong !== 'root'
        hostile.say(victim, { type: 'offer', id: idOf(1), terms: isKnown ? terms({ size: payload.byteLength, root }) : terms() })
        const chunks: Uint8Array[] = []
        const outcome = (async () => {
          for await (const chunk of (await victim.offer()).accept()) {
            chunks.push(chunk)
          }
          return 'all'
        })().catch(err => err.reason)
        await net.run(20)
        const start = isKnown ? list.byteLength : 0
        isKnown && hostile.say(victim, { type: 'data', id: idOf(1), offset: 0, bytes: wrong === 'list' ? list.map(byte => byte ^ 1) : list })
        for (const leaf of [0, 1, 2]) {
          const bytes = payload.slice(leaf * LEAF, (leaf + 1) * LEAF)
          bytes[5] ^= wrong === 'leaf' && leaf === 1 ? 1 : 0
          hostile.say(victim, { type: 'data', id: idOf(1), offset: start + leaf * LEAF, bytes })
        }
        isKnown || hostile.say(victim, { type: 'probe', id: idOf(1), question: 1, end: { size: payload.byteLength, root: ROOT } })
        await net.run(20)

        expect(await outcome).to.equal('mismatch')
        isKnown && expect(chunks.every((chunk, i) => Buffer.compare(chunk, payload.subarray(i * LEAF, (i + 1) * LEAF)) === 0)).to.equal(true)
        expect(reasons(test)).to.deep.equal([EndReason.MISMATCH])
        await works(test)
      })
    }

    it('makes 10,000 offers: few wait, the rest are told so at a bounded rate, and honest ones are taken', async () => {
      const test = await world()
      const { victim, hostile } = test
      const began = performance.now()

      for (let i = 0; i < 10_000; i++) {
        hostile.say(victim, { type: 'offer', id: idOf(i), terms: terms({ meta: idOf(i) }) })
      }

      expect(victim.sizes.offers).to.be.at.most(16)
      expect(heard(test).length).to.be.below(300)
      expect(performance.now() - began).to.be.below(5000)
      await works(test)
    })

    it('offers one payload under 10,000 ids: each costs an answer at most, and not one to all of them', async () => {
      for (const isAccepted of [false, true]) {
        const test = await world()
        const { victim, hostile } = test
        const root = surveyOf(bytesOf(10 * LEAF)).root
        const began = performance.now()
        hostile.say(victim, { type: 'offer', id: idOf(0), terms: terms({ size: 10 * LEAF, root }) })
        const offer = await victim.offer()
        isAccepted && offer.accept().bytes(1e9).catch(() => {})

        for (let i = 1; i < 10_000; i++) {
          hostile.say(victim, { type: 'offer', id: idOf(i), terms: terms({ size: 10 * LEAF, root }) })
          expect(heard(test).length, `after ${i}`).to.be.below(1000)
          if (performance.now() - began > 20_000) {
            throw new Error(`20 s for ${i} offers`)
          }
          i > 200 && (i += 50)
        }

        expect(victim.transfers.diagnostics().transfers.length).to.be.at.most(16)
        await works(test)
      }
    })

    it('offers what an honest peer offers, first, and is rejected: the honest offer is decided for itself', async () => {
      const test = await world()
      const { net, victim, hostile, honest } = test
      const payload = bytesOf(5 * LEAF)
      const { root } = surveyOf(payload)
      hostile.say(victim, { type: 'offer', id: idOf(1), terms: terms({ size: payload.byteLength, root }) })
      const offer = await victim.offer()
      expect(offer.from.equals(hostile.peerId)).to.equal(true)
      const sent = honest.transfers.send(victim.peerId, payload)
      await net.run(500)
      offer.reject()
      const own = await victim.offer()
      expect(own.from.equals(honest.peerId)).to.equal(true)
      const got = own.accept().bytes(1e9)

      expect((await net.outcome(sent.done)).status).to.equal('fulfilled')
      expect(Buffer.compare(await got, payload)).to.equal(0)
      expect(reasons(test)).to.deep.equal([EndReason.REJECTED])
    })

    it('lies about a payload that an honest peer serves, too: that one brings it', async () => {
      const test = await world()
      const { net, victim, hostile, honest } = test
      const payload = bytesOf(200 * LEAF + 3)
      const { root } = surveyOf(payload)
      net.rate = 2000
      const sent = honest.transfers.send(victim.peerId, payload)
      const got = (await victim.offer()).accept().bytes(1e9)
      await net.run(100)
      hostile.say(victim, { type: 'offer', id: idOf(1), terms: terms({ size: payload.byteLength, root }) })
      let lies = 0
      const seen = (): void => {
        for (const message of heard(test).slice(lies)) {
          lies++
          for (const { from, to } of message.type === 'status' ? message.status.wanted : []) {
            for (let at = from; at < to; at = Math.min(to, at - (at - 201 * 32) % LEAF + LEAF)) {
              hostile.say(victim, { type: 'data', id: idOf(1), offset: at, bytes: new Uint8Array(Math.min(to, at - (at - 201 * 32) % LEAF + LEAF) - at) })
            }
          }
        }
      }
      for (let i = 0; i < 100; i++) {
        await net.run(10)
        seen()
      }

      expect((await net.outcome(sent.done)).status).to.equal('fulfilled')
      expect(Buffer.compare((await net.outcome(got) as PromiseFulfilledResult<Uint8Array>).value, payload)).to.equal(0)
      expect(reasons(test)).to.deep.equal([EndReason.MISMATCH])
    })

    it('joins an honest source, and is silent, or says that it is there: the program waits a few seconds, not ten minutes', async () => {
      for (const isTalking of [false, true]) {
        const test = await world()
        const { net, victim, hostile, honest } = test
        const payload = bytesOf(200 * LEAF + 3)
        const { root } = surveyOf(payload)
        net.rate = 2000
        const sent = honest.transfers.send(victim.peerId, payload)
        const got = (await victim.offer()).accept().bytes(1e9)
        await net.run(100)
        hostile.say(victim, { type: 'offer', id: idOf(1), terms: terms({ size: payload.byteLength, root }) })
        let question = 0
        const talk = (): void => {
          isTalking && hostile.say(victim, { type: 'probe', id: idOf(1), question: ++question })
          net.clock.after(5000, talk)
        }
        talk()
        const began = net.clock.now()

        expect((await net.outcome(sent.done)).status).to.equal('fulfilled')
        expect(Buffer.compare((await net.outcome(got) as PromiseFulfilledResult<Uint8Array>).value, payload)).to.equal(0)
        expect(net.clock.now() - began).to.be.below(30_000)
      }
    })

    it('goes silent in the middle: its transfer is given up, and its memory is free', async () => {
      const test = await world()
      const { net, victim, hostile } = test
      hostile.say(victim, { type: 'offer', id: idOf(1), terms: terms() })
      const got = (await victim.offer()).accept().bytes(1e9).catch(err => err.reason)
      await net.run(20)
      hostile.say(victim, { type: 'data', id: idOf(1), offset: 0, bytes: new Uint8Array(LEAF) })
      await net.run(61_000)
      expect(await got).to.equal('silent')
      expect(victim.sizes).to.include({ inbound: 0, keptBytes: 0, budgetBytes: 0 })
      await works(test)
    })
  })

  describe('that floods', () => {
    const floods: Record<string, (i: number) => Message | Uint8Array> = {
      'probes of unknown ids': i => ({ type: 'probe', id: idOf(i), question: i }),
      'ends of unknown ids': i => ({ type: 'end', id: idOf(i), isSender: i % 2 === 0, reason: EndReason.DONE }),
      'statuses of unknown ids': i => ({ type: 'status', id: idOf(i), status: { number: i, echo: 0, horizon: 2 ** 53 - 1, wanted: [{ from: 0, to: 2 ** 53 - 1 }] } }),
      'data of unknown ids': i => ({ type: 'data', id: idOf(i), offset: 0, bytes: new Uint8Array(100) }),
      'offers that nobody handles': i => ({ type: 'offer', id: idOf(i), terms: terms({ protocol: `${i}` }) }),
      'what is no message': i => new Uint8Array(50).fill(i)
    }

    for (const [name, message] of Object.entries(floods)) {
      it(`${name}: it gets 200 answers, and 100 a second; others get theirs`, async () => {
        const test = await world()
        const { net, victim, hostile, honest } = test
        const began = performance.now()
        for (let i = 0; i < 20_000; i++) {
          hostile.say(victim, message(i))
        }
        expect(heard(test).length).to.be.at.most(201)
        expect(performance.now() - began, 'it takes too long').to.be.below(3000)
        await net.run(1000)
        for (let i = 0; i < 20_000; i++) {
          hostile.say(victim, message(20_000 + i))
        }
        expect(heard(test).length).to.be.at.most(310)

        // one that the victim has forgotten hears that at once
        honest.say(victim, { type: 'probe', id: idOf(5), question: 1 })
        expect(net.log.some(({ to, message }) => to === honest && message.type === 'end' && message.reason === EndReason.UNKNOWN)).to.equal(true)
        expect(Object.keys(victim.transfers.diagnostics().dropped).length).to.be.below(20)
        await works(test)
      })
    }

    it('offers that a program rejects at once: nothing is left of them but a bounded memory of how they ended', async () => {
      const test = await world()
      const { victim, hostile } = test
      victim.transfers.handle('reject', offer => { offer.reject() })
      for (let i = 0; i < 10_000; i++) {
        hostile.say(victim, { type: 'offer', id: idOf(i), terms: terms({ protocol: 'reject' }) })
      }
      expect(victim.sizes).to.include({ inbound: 0, offers: 0 })
      expect(victim.sizes.ended).to.be.at.most(4096)
      await works(test)
    })

    it('questions about a transfer of its own: one answer in a while is for all of them', async () => {
      const test = await world()
      const { net, victim, hostile } = test
      const id = idOf(1)
      hostile.say(victim, { type: 'offer', id, terms: terms() })
      const incoming = (await victim.offer()).accept()

      for (let question = 1; question <= 10_000; question++) {
        hostile.say(victim, { type: 'probe', id, question })
        hostile.say(victim, { type: 'offer', id, terms: terms() })
      }

      await net.run(1000)
      const answers = heard(test).flatMap(message => message.type === 'status' ? [message.status] : [])
      expect(answers.length).to.be.below(10)
      expect(answers.at(-1)?.echo).to.equal(10_000)
      incoming.abort()
      await works(test)
    })

    it('ends of its own make the victim forget none of an honest peer', async () => {
      const test = await world()
      const { net, victim, hostile, honest } = test
      // the word that all has come is lost
      net.judge = (_, to, message) => to === honest && message.type === 'end' ? 'lose' : undefined
      const sent = honest.transfers.send(victim.peerId, bytesOf(200_000))
      await net.outcome((await victim.offer()).accept().bytes(1e9))
      await net.run(10)
      victim.transfers.handle('reject', offer => { offer.reject() })
      for (let i = 0; i < 10_000; i++) {
        hostile.say(victim, { type: 'offer', id: idOf(i), terms: terms({ protocol: 'reject' }) })
      }
      net.judge = () => undefined
      expect((await net.outcome(sent.done)).status).to.equal('fulfilled')
      expect(victim.offers, 'it was offered twice').to.have.lengthOf(0)
    })
  })

  describe('and programs that make mistakes', () => {
    it('call with nonsense: an error says so, and nothing is left', async () => {
      const { net, victim, honest } = await world()
      const { transfers } = victim
      const nonsense: Array<() => unknown> = [
        () => transfers.send(undefined as any, new Uint8Array(1)),
        () => transfers.send('peer' as any, new Uint8Array(1)),
        () => transfers.send(victim.peerId, new Uint8Array(1)),
        () => transfers.send(honest.peerId, undefined as any),
        () => transfers.send(honest.peerId, 'text' as any),
        () => transfers.send(honest.peerId, 5 as any),
        () => transfers.send(honest.peerId, new Uint16Array(5) as any),
        () => transfers.send(honest.peerId, { [Symbol.iterator]: () => { throw new Error('no') } } as any),
        () => transfers.send(honest.peerId, new Uint8Array(1), { meta: new Uint8Array(1025) }),
        () => transfers.send(honest.peerId, new Uint8Array(1), { protocol: 'x'.repeat(257) }),
        () => transfers.send(honest.peerId, new Uint8Array(1), { protocol: '' }),
        () => transfers.send(honest.peerId, new Uint8Array(1), { signal: {} as any }),
        () => transfers.send(honest.peerId, new Uint8Array(1), { priority: 'first' as any }),
        () => transfers.send(honest.peerId, new Uint8Array(1), { sizes: 5 } as any),
        () => transfers.send(honest.peerId, new Uint8Array(1), { signal: AbortSignal.abort() }),
        () => { transfers.handle('', () => {}) },
        () => { transfers.handle(undefined as any, () => {}) }
      ]
      for (const [i, call] of nonsense.entries()) {
        expect(call, `number ${i}`).to.throw()
      }
      expect(victim.sizes).to.include({ outbound: 0, destinations: 0 })

      const sources: any[] = [['text'], [5], [undefined], () => undefined, () => 5, () => { throw new Error('no') }, { [Symbol.asyncIterator]: () => undefined }, [new Uint16Array(4)], { [Symbol.asyncIterator]: () => ({ next: async () => Promise.reject(new Error('no')) }) }]
      for (const source of sources) {
        const sent = transfers.send(honest.peerId, source)
        honest.offers.length = 0
        const offered = honest.offer().then(offer => offer.accept().bytes(1e9).catch(() => {})).catch(() => {})
        const outcome = await net.outcome(sent.done) as PromiseRejectedResult
        expect(outcome.reason?.name).to.equal('SourceFailedError')
        void offered
      }
      await net.run(61_000)
      expect(victim.sizes).to.include({ outbound: 0, destinations: 0, inFlight: 0 })
    })

    it('say no sensible limit to bytes(): it is refused, since it would be none', async () => {
      const { net, victim, honest } = await world()
      for (const max of [undefined, NaN, -1, 'much', null]) {
        const sent = honest.transfers.send(victim.peerId, [bytesOf(100_000)])
        const got = (await victim.offer()).accept().bytes(max as any)
        expect(((await net.outcome(got)) as PromiseRejectedResult).reason?.name, String(max)).to.equal('InvalidParametersError')
        expect((await net.outcome(sent.done)).status).to.equal('rejected')
      }
    })

    it('use the memory of a chunk again, as a source, and as what they have: it is copied in time', async () => {
      const { net, victim, honest } = await world()
      const payload = bytesOf(5 * LEAF + 100)
      const pieces = function * (upTo = payload.byteLength): Generator<Uint8Array> {
        const buffer = new Uint8Array(1000)
        for (let at = 0; at < upTo; at += 1000) {
          const piece = payload.subarray(at, at + 1000)
          buffer.set(piece)
          yield buffer.subarray(0, piece.byteLength)
          buffer.fill(0)
        }
      }
      const sent = honest.transfers.send(victim.peerId, pieces())
      const got = (await victim.offer()).accept().bytes(1e9)
      await net.outcome(sent.done)
      expect(Buffer.compare(await got, payload)).to.equal(0)

      const again = honest.transfers.send(victim.peerId, payload)
      const incoming = (await victim.offer()).accept({ have: pieces(3 * LEAF + 5000) })
      const from = net.outcome(incoming.from())
      const rest = net.outcome(incoming.bytes(1e9))
      expect(await from).to.deep.equal({ status: 'fulfilled', value: 3 * LEAF })
      await net.outcome(again.done)
      expect(Buffer.compare((await rest as PromiseFulfilledResult<Uint8Array>).value, payload.subarray(3 * LEAF))).to.equal(0)
    })

    it('hand in nonsense as what they have: the transfer ends, for both sides', async () => {
      const { net, victim, honest } = await world()
      for (const have of [['text'], [5], { [Symbol.asyncIterator]: () => ({ next: async () => Promise.reject(new Error('disk')) }) }] as any[]) {
        const sent = honest.transfers.send(victim.peerId, bytesOf(5 * LEAF))
        const incoming = (await victim.offer()).accept({ have })
        const [got, from] = [net.outcome(incoming.bytes(1e9)), net.outcome(incoming.from())]
        expect((await net.outcome(sent.done)).status).to.equal('rejected')
        expect([(await got).status, (await from).status]).to.deep.equal(['rejected', 'rejected'])
      }
    })

    it('throw after they accepted: the transfer ends, for both sides', async () => {
      const { net, victim, honest } = await world()
      victim.transfers.handle('late', async offer => {
        offer.accept()
        throw new Error('I cannot')
      })
      const sent = honest.transfers.send(victim.peerId, bytesOf(5 * LEAF), { protocol: 'late' })
      expect((await net.outcome(sent.done)).status).to.equal('rejected')
      expect(net.clock.now()).to.be.below(1_010_000)
      expect(victim.sizes).to.include({ inbound: 0, budgetBytes: 0 })
    })

    it('return something from a handler: that says nothing', async () => {
      const { net, victim, honest } = await world()
      const offers: Offer[] = []
      victim.transfers.handle('push', ((offer: Offer) => offers.push(offer)) as any)
      const sent = honest.transfers.send(victim.peerId, bytesOf(100), { protocol: 'push' })
      await net.until(() => offers.length > 0)
      const got = offers[0].accept().bytes(1000)
      expect((await net.outcome(sent.done)).status).to.equal('fulfilled')
      expect((await got).byteLength).to.equal(100)
    })

    it('send twenty at once to one peer: none is refused', async () => {
      const { net, victim, honest } = await world()
      victim.transfers.handle('many', async offer => { await offer.accept().bytes(1e9) })
      const sent = Array.from({ length: 20 }, (_, i) => honest.transfers.send(victim.peerId, bytesOf(3 * LEAF, i), { protocol: 'many' }))
      const outcomes = await Promise.all(sent.map(async ({ done }) => net.outcome(done)))
      expect(outcomes.map(({ status }) => status)).to.deep.equal(sent.map(() => 'fulfilled'))
    })

    it('never read what they accepted: a window is held for each, others have room, and it is given up in the end', async () => {
      const test = await world()
      const { net, victim, hostile } = test
      hostile.isMute = false
      const unread = Array.from({ length: 8 }, (_, i) => hostile.transfers.send(victim.peerId, bytesOf(100 * LEAF, i)))
      for (let i = 0; i < 8; i++) {
        (await victim.offer()).accept()
      }
      await net.run(20_000)
      expect(victim.sizes.keptBytes).to.be.at.most(victim.sizes.budgetBytes)
      expect(victim.sizes.budgetBytes).to.be.at.most(16 * MIB)
      await works(test)
      const outcomes = await Promise.all(unread.map(async ({ done }) => net.outcome(done)))
      expect(outcomes.every(({ status }) => status === 'rejected')).to.equal(true)
      await net.run(70_000)
      expect(victim.sizes).to.include({ inbound: 0, keptBytes: 0, budgetBytes: 0 })
    })
  })

  it('cannot have been the receiver in another life: what was under way to that does not end the transfer', async () => {
    for (const isQuick of [true, false]) {
      const { net, victim: sender, honest: receiver } = await world()
      const payload = bytesOf(100 * LEAF)
      net.rate = 1000
      const sent = sender.transfers.send(receiver.peerId, payload)
      void (await receiver.offer()).accept().bytes(1e9).catch(() => {})
      await net.run(2000)
      // the offer overtakes the pieces that are under way, as what is in the control lane does
      receiver.crash()
      await receiver.start()
      isQuick || await net.run(200)
      const { id } = net.log[0].message
      const offer = await receiver.offer()
      sender.say(receiver, { type: 'data', id, offset: 50 * LEAF, bytes: new Uint8Array(LEAF) })
      const incoming = offer.accept({ have: payload.subarray(0, 20 * LEAF) })
      sender.say(receiver, { type: 'data', id, offset: 90 * LEAF, bytes: new Uint8Array(LEAF) })
      const got = net.outcome(incoming.bytes(1e9))

      expect((await net.outcome(sent.done)).status).to.equal('fulfilled')
      const { value } = await got as PromiseFulfilledResult<Uint8Array>
      expect(value.byteLength).to.equal(80 * LEAF)
      expect(Buffer.compare(value, payload.subarray(20 * LEAF))).to.equal(0)
    }
  })

  it('is not needed for a pubsub of small messages to be of no use: that is said at once', async () => {
    const net = new TransferNet()
    const node = await net.node()
    await node.transfers.stop()
    node.pubsub.maxMessageSize = 2000
    expect(() => { node.transfers.afterStart() }).to.throw('maxMessageSize')
  })
})
