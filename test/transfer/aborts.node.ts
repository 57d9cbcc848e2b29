import { expect } from 'aegir/chai'
import { TransferNet, breathe } from '../fixtures/transfer-net.ts'
import { bytesOf } from '../fixtures/transfers.ts'
import type { IncomingTransfer, Offer, OutboundTransfer, SendOptions, TransferSource } from '../../src/transfer/index.ts'
import type { NetNode } from '../fixtures/transfer-net.ts'

const LEAF = 65_536
/** Leaves of the payload: all of them fit into the first window */
const LEAVES = 12
const SIZE = LEAVES * LEAF
/** Milliseconds until nothing is left of anything that was heard of */
const REST = 70_000

/** How much is in flight when a transfer ends */
const FLIGHTS = ['none', 'some', 'all', 'one out for resend'] as const
type FlightKind = typeof FLIGHTS[number]

interface Case {
  net: TransferNet
  a: NetNode
  b: NetNode
  sent: OutboundTransfer
  offer: Offer
  incoming: IncomingTransfer
  /** Of both programs */
  sender: AbortController
  receiver: AbortController
  /** What the source does when it is asked for more */
  source: { go?(): void, fail?(err: Error): void }
  payload: Uint8Array
  /** How the receiver's program ended */
  taken: { count: number, outcome?: string, stop(how: 'break' | 'throw'): void }
}

interface Site {
  /** Only with so much in flight: else it cannot be */
  flights?: readonly FlightKind[]
  source?: 'bytes' | 'once' | 'gated' | 'opened'
  options?: SendOptions
  /** Makes it end. What is known in this tick is looked at in this tick */
  end (test: Case): void | Promise<void>
  isOfThisTick?: boolean
  /** What the sender, and the receiver's program, are told */
  sender: string
  receiver: string
  /** Milliseconds that it may take */
  patience?: number
}

/** A name and, where it has one, a reason */
function nameOf (err: any): string {
  return err == null ? 'nothing' : `${err.name}${err.reason == null ? '' : ` ${err.reason}`}${err.name === 'Error' ? `: ${err.message}` : ''}`
}

const restart = async (node: NetNode): Promise<void> => {
  await node.transfers.stop()
  await node.start()
}

const SITES: Record<string, Site> = {
  'the sender gives up by its signal': {
    end: ({ sender }) => { sender.abort(new Error('mine')) }, isOfThisTick: true, sender: 'Error: mine', receiver: 'TransferFailedError stopped'
  },
  'the sender gives up by its signal, without a reason': {
    end: ({ sender }) => { sender.abort(null) }, isOfThisTick: true, sender: 'AbortError', receiver: 'TransferFailedError stopped'
  },
  'the sender calls abort()': {
    end: ({ sent }) => { sent.abort(new Error('mine')) }, isOfThisTick: true, sender: 'Error: mine', receiver: 'TransferFailedError stopped'
  },
  'the sender calls abort() with nothing': {
    end: ({ sent }) => { sent.abort(null as any) }, isOfThisTick: true, sender: 'AbortError', receiver: 'TransferFailedError stopped'
  },
  'the deadline of the sender': {
    end: async ({ sender }) => {
      const deadline = AbortSignal.timeout(1)
      await new Promise(resolve => { deadline.addEventListener('abort', resolve) })
      sender.abort(deadline.reason)
    },
    isOfThisTick: true,
    sender: 'TimeoutError',
    receiver: 'TransferFailedError stopped'
  },
  'the source throws': {
    source: 'gated', flights: ['some', 'all'], end: ({ source }) => { source.fail?.(new Error('no more')) }, sender: 'SourceFailedError', receiver: 'TransferFailedError source'
  },
  'the source says nothing': {
    source: 'gated', flights: ['none'], end: () => {}, sender: 'TransferFailedError stalled', receiver: 'TransferFailedError stalled', patience: 700_000
  },
  'a node that stops: the sender\'s': {
    end: async ({ a }) => a.transfers.stop(), isOfThisTick: true, sender: 'TransferFailedError node-stopped', receiver: 'TransferFailedError node-stopped'
  },
  'the receiver gives up by its signal': {
    end: ({ receiver }) => { receiver.abort(new Error('mine')) }, sender: 'TransferFailedError stopped', receiver: 'Error: mine'
  },
  'the receiver gives up by its signal, without a reason': {
    end: ({ receiver }) => { receiver.abort(null) }, sender: 'TransferFailedError stopped', receiver: 'AbortError'
  },
  'the receiver calls abort()': {
    end: ({ incoming }) => { incoming.abort(new Error('mine')) }, sender: 'TransferFailedError stopped', receiver: 'Error: mine'
  },
  'the receiver calls abort() with nothing': {
    end: ({ incoming }) => { incoming.abort(null as any) }, sender: 'TransferFailedError stopped', receiver: 'AbortError'
  },
  'the receiver breaks out of its loop': {
    flights: ['none', 'some', 'one out for resend'], end: ({ taken }) => { taken.stop('break') }, sender: 'TransferFailedError stopped', receiver: 'broke out'
  },
  'the receiver throws in its loop': {
    flights: ['none', 'some', 'one out for resend'], end: ({ taken }) => { taken.stop('throw') }, sender: 'TransferFailedError stopped', receiver: 'Error: thrown'
  },
  'the receiver takes nothing any more': {
    flights: ['none'], end: () => {}, sender: 'TransferFailedError stalled', receiver: 'TransferFailedError stalled', patience: 700_000
  },
  'a node that stops: the receiver\'s': {
    end: async ({ b }) => b.transfers.stop(), sender: 'TransferFailedError node-stopped', receiver: 'TransferFailedError node-stopped'
  },
  'nothing can be sent any more': {
    flights: ['some', 'all', 'one out for resend'],
    end: ({ net }) => { net.judge = () => 'fail' },
    sender: 'TransferFailedError silent',
    receiver: 'TransferFailedError silent',
    patience: 200_000
  },
  'all that is sent is lost, probes too': {
    end: ({ net }) => { net.judge = () => 'lose' }, sender: 'TransferFailedError silent', receiver: 'TransferFailedError silent', patience: 200_000
  },
  'the other side is out of reach': {
    end: ({ b }) => { b.vanish() }, sender: 'TransferFailedError silent', receiver: 'TransferFailedError silent', patience: 200_000
  },
  'the other side asks for the same for ever': {
    flights: ['some'],
    end: async ({ net, a, b }) => {
      const { id } = net.log[0].message
      net.judge = () => 'lose'
      for (let number = 1_000_000; a.sizes.outbound > 0 && number < 1_010_000; number += 2) {
        b.say(a, { type: 'status', id, status: { number, echo: 0, horizon: SIZE * 2, wanted: [{ from: LEAVES * 32, to: LEAVES * 32 + SIZE }] } })
        b.say(a, { type: 'status', id, status: { number: number + 1, echo: 0, horizon: SIZE * 2, wanted: [] } })
      }
    },
    sender: 'TransferFailedError protocol',
    // it hears nothing of it: so it was lost
    receiver: 'TransferFailedError silent',
    patience: 200_000
  },
  'the sender sends what nobody asked for': {
    end: ({ net, a, b }) => {
      // a little of it may be left of an earlier life of the receiver
      for (let i = 0; i < 70; i++) {
        a.say(b, { type: 'data', id: net.log[0].message.id, offset: SIZE * 10, bytes: new Uint8Array(LEAF) })
      }
    },
    sender: 'TransferFailedError protocol',
    receiver: 'TransferFailedError protocol'
  },
  'the receiver\'s sender says that it gave up': {
    end: ({ net, a, b }) => { a.say(b, { type: 'end', id: net.log[0].message.id, isSender: true, reason: 1 }) },
    // it was not so: it hears from the receiver that this knows no more of it
    sender: 'TransferFailedError stopped',
    receiver: 'TransferFailedError stopped',
    patience: 200_000
  }
}

/** Has as much in flight as is asked for */
function judgeFor (flight: FlightKind, net: TransferNet): void {
  let data = 0

  net.judge = (_, __, message) => {
    switch (flight) {
      case 'none':
        return
      case 'some':
        // the second half is lost
        return message.type === 'data' && message.offset > SIZE / 2 ? 'lose' : undefined
      case 'all':
        // what comes back is lost, once something may be sent
        data += message.type === 'data' ? 1 : 0
        return message.type === 'data' || (message.type === 'status' && data > 0) ? 'lose' : undefined
      case 'one out for resend':
        // what is sent the first time is lost, the second time it does not leave yet
        if (message.type === 'data' && message.offset > SIZE / 2) {
          return data++ < LEAVES / 2 ? 'lose' : 'hold'
        }
    }
  }
}

async function begin (site: Site, flight: FlightKind): Promise<Case> {
  const net = new TransferNet()
  const [a, b] = [await net.node(), await net.node()]
  const [sender, receiver] = [new AbortController(), new AbortController()]
  const payload = bytesOf(SIZE)
  const source: Case['source'] = {}
  const gate = new Promise<void>((resolve, reject) => {
    source.go = resolve
    source.fail = reject
  })
  gate.catch(() => {})

  async function * gated (): AsyncGenerator<Uint8Array> {
    yield payload.subarray(0, SIZE - LEAF)
    await gate
    yield payload.subarray(SIZE - LEAF)
  }

  judgeFor(flight, net)
  const sources: Record<NonNullable<Site['source']>, TransferSource> = { bytes: payload, once: [payload], gated: gated(), opened: from => [payload.subarray(from)] }
  const sent = a.transfers.send(b.peerId, sources[site.source ?? 'bytes'], { signal: sender.signal, ...site.options })
  const offer = await b.offer()
  const incoming = offer.accept({ signal: receiver.signal })
  let how: 'break' | 'throw' | undefined
  let onStop = (): void => {}
  const stopped = new Promise<void>(resolve => { onStop = resolve })
  const taken: Case['taken'] = {
    count: 0,
    stop: to => {
      how = to
      onStop()
    }
  }

  ;(async () => {
    for await (const chunk of incoming) {
      taken.count += chunk.byteLength
      // one leaf, and no more: the rest is kept, or waits
      await Promise.race([stopped, new Promise(resolve => { receiver.signal.addEventListener('abort', resolve) }), isOver()])

      if (how === 'break') {
        break
      }
      if (how === 'throw') {
        throw new Error('thrown')
      }
    }
    taken.outcome = how === 'break' ? 'broke out' : 'all'
  })().catch(err => { taken.outcome = nameOf(err) })

  return { net, a, b, sent, offer, incoming, sender, receiver, source, payload, taken }
}

/** Rings when a test is over: programs that still wait go on */
let over = Promise.withResolvers<void>()
const isOver = async (): Promise<void> => over.promise

async function comeTo (flight: FlightKind, { net, a, taken }: Case): Promise<void> {
  const inFlight = (): number => a.sizes.inFlightBytes

  switch (flight) {
    case 'none':
      await net.until(() => taken.count > 0 && inFlight() === 0, 'something is in flight')
      break
    case 'some':
      await net.until(() => taken.count > 0 && inFlight() > 0 && inFlight() < SIZE * 0.7, `${inFlight()} in flight`)
      break
    case 'all':
      await net.until(() => inFlight() >= SIZE - LEAF, 'not all is in flight')
      break
    case 'one out for resend':
      await net.until(() => net.held.length > 0 && taken.count > 0, 'nothing is sent again')
      break
  }
}

function goOn (): void {
  over.resolve()
}

describe('the end of a transfer', function () {
  this.timeout(30_000)
  const rejections: unknown[] = []
  const note = (err: unknown): void => { rejections.push(err) }
  before(() => { process.on('unhandledRejection', note) })
  after(() => { process.off('unhandledRejection', note) })
  beforeEach(() => { over = Promise.withResolvers() })

  for (const [name, site] of Object.entries(SITES)) {
    for (const flight of site.flights ?? FLIGHTS) {
      it(`${name}, with ${flight} in flight: nothing is in flight in the same tick, each side hears once, and the next one runs`, async () => {
        const test = await begin(site, flight)
        const { net, a, b, sent, taken } = test
        await comeTo(flight, test)
        let outcomes = 0
        let atEnd: number | undefined
        const look = (): void => {
          outcomes++
          atEnd ??= a.sizes.inFlightBytes
        }
        sent.done.then(look, look)

        const ending = site.end(test)
        site.isOfThisTick === true && ending == null && expect(a.sizes).to.include({ inFlightBytes: 0, inFlight: 0, outbound: 0 })
        await ending
        site.isOfThisTick === true && expect(a.sizes).to.include({ inFlightBytes: 0, inFlight: 0, outbound: 0 })
        await net.until(() => outcomes > 0, 'the sender hears nothing', site.patience ?? 5000)
        expect(atEnd).to.equal(0)
        // the program hears of it before it goes on: what it has by then it might take
        await net.run(50)
        goOn()
        await net.until(() => taken.outcome != null, 'the receiver hears nothing', site.patience ?? 5000)

        // what was out for a resend comes back when all is over
        net.held.splice(0).forEach((resolve, i) => { resolve(i % 2 === 0) })
        await breathe()
        const outcome = await net.outcome(sent.done)
        expect([nameOf((outcome as PromiseRejectedResult).reason), taken.outcome]).to.deep.equal([site.sender, site.receiver])
        test.sender.abort(new Error('too late'))
        test.receiver.abort(new Error('too late'))
        sent.abort()
        test.incoming.abort()
        await breathe()
        expect(outcomes).to.equal(1)

        net.judge = () => undefined
        name.includes('stops') && await restart(name.includes('receiver') ? b : a)
        b.isThere || b.appear()
        const payload = bytesOf(200_000, 3)
        const next = a.transfers.send(b.peerId, payload)
        const got = (await b.offer()).accept().bytes(1e6)
        expect((await net.outcome(next.done, 'the next one does not run')).status).to.equal('fulfilled')
        expect(Buffer.compare((await net.outcome(got) as PromiseFulfilledResult<Uint8Array>).value, payload)).to.equal(0)
        await net.run(REST)
        for (const node of [a, b]) {
          expect(node.sizes).to.include({ outbound: 0, destinations: 0, inFlight: 0, inFlightBytes: 0, inbound: 0, keptBytes: 0, budgetBytes: 0, listBytes: 0 })
        }
        expect(rejections).to.deep.equal([])
      })
    }
  }

  it('of one that stalls leaves its window to the next: that takes no longer than alone', async () => {
    const times: number[] = []

    for (const isAlone of [true, false]) {
      const net = new TransferNet()
      const [a, b] = [await net.node(), await net.node()]
      // bytes a millisecond
      net.rate = 5000
      const payload = bytesOf(8_000_000)
      const stalling = isAlone ? undefined : a.transfers.send(b.peerId, payload.subarray(1))

      if (stalling != null) {
        const offer = await b.offer()
        const { id } = net.log[0].message
        // what the receiver says of it is lost: the window is full of it
        const isOf = (message: { id: Uint8Array }): boolean => Buffer.compare(message.id, id) === 0
        void offer.accept().bytes(1e9).catch(() => {})
        await net.run(10)
        net.judge = (_, to, message) => to === a && isOf(message) ? 'lose' : undefined
        await net.run(300)
        expect(a.sizes.inFlightBytes).to.be.above(500_000)
      }

      const next = a.transfers.send(b.peerId, payload)
      const got = (await b.offer()).accept().bytes(1e9)
      stalling?.abort()
      const began = net.clock.now()
      await net.outcome(next.done)
      times.push(net.clock.now() - began)
      expect(Buffer.compare(await got, payload)).to.equal(0)
    }

    expect(times[1], times.join()).to.be.at.most(1.2 * times[0])
  })

  it('is told to the program of the receiver as the end of all of it only when all of it came', async () => {
    const net = new TransferNet()
    const [a, b] = [await net.node(), await net.node()]
    net.judge = (_, __, message) => message.type === 'data' && message.offset > SIZE / 2 ? 'lose' : undefined
    const controller = new AbortController()
    const sent = a.transfers.send(b.peerId, bytesOf(SIZE))
    const got = (await b.offer()).accept({ signal: controller.signal }).bytes(1e9)
    await net.run(100)
    controller.abort(null)

    expect((await net.outcome(got)).status).to.equal('rejected')
    expect((await net.outcome(sent.done)).status).to.equal('rejected')
  })

  it('of a send that fails late does not take back what was sent again meanwhile', async () => {
    const net = new TransferNet()
    const [a, b] = [await net.node(), await net.node()]
    let copies = 0
    // the first send of the last piece does not return; the second goes, and its ack is lost
    net.judge = (from, _, message) => {
      const isLast = message.type === 'data' && message.offset > SIZE - LEAF

      if (isLast && copies++ === 0) {
        return 'hold'
      }
      return from === b && copies > 1 ? 'lose' : undefined
    }
    const sent = a.transfers.send(b.peerId, bytesOf(SIZE))
    const got = (await b.offer()).accept().bytes(1e9)
    await net.until(() => copies === 2)
    await net.run(20)
    net.held.forEach(resolve => { resolve(false) })
    await breathe()
    expect(a.sizes.inFlight).to.equal(1)
    net.judge = () => undefined
    await net.outcome(sent.done)
    await net.outcome(got)
    expect(net.log.filter(({ message }) => message.type === 'data' && message.offset > SIZE - LEAF)).to.have.lengthOf(2)
  })

  for (const source of ['bytes', 'a function'] as const) {
    it(`is the end of reading, also while its hashes are made: of ${source}`, async () => {
      const net = new TransferNet()
      const [a, b] = [await net.node(), await net.node()]
      let [opened, read, closed] = [0, 0, 0]
      const payload = new Uint8Array(200 * LEAF)
      const open = async function * (): AsyncGenerator<Uint8Array> {
        opened++
        try {
          for (let at = 0; at < payload.byteLength; at += LEAF) {
            read++
            await new Promise<void>(resolve => { setImmediate(resolve) })
            yield payload.subarray(at, at + LEAF)
          }
        } finally {
          closed++
        }
      }
      const subarray = payload.subarray.bind(payload)
      source === 'bytes' && (payload.subarray = (from, to) => {
        read++
        return subarray(from, to)
      })
      const sent = a.transfers.send(b.peerId, source === 'bytes' ? payload : open)
      await breathe()
      await breathe()
      sent.abort()
      const before = read
      await net.run(1000)
      for (let i = 0; i < 300; i++) {
        await breathe()
      }

      expect((await net.outcome(sent.done)).status).to.equal('rejected')
      expect(read - before, 'it was read on').to.be.at.most(2)
      expect([opened, closed]).to.deep.equal(source === 'bytes' ? [0, 0] : [1, 1])
    })
  }
})
