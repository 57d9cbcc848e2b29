import { expect } from 'aegir/chai'
import { encodeHello } from '../../src/link/channel.ts'
import { FAULT_PENALTY, HELLO_TIMEOUT, MAX_FAULTS, OPENINGS, REOPEN_CAP, REOPEN_DEADLINE, REOPEN_FIRST, STOP_TIMEOUT } from '../../src/link/constants.ts'
import { encodeFrame, frameOf, Kind } from '../../src/link/core/frames.ts'
import { Lane } from '../../src/link/core/outbox.ts'
import { Wires, WireStream } from './wires.ts'
import type { Frame } from '../../src/link/core/frames.ts'
import type { Neighbour } from '../../src/link/neighbour.ts'

const KIND = 20

function numbered (i: number, size = 10): Frame {
  return encodeFrame(KIND, 4, (target, at) => { new DataView(target.buffer, target.byteOffset).setUint32(at, i) }, new Uint8Array(size))
}

function numbersOf (frames: Array<{ body: Uint8Array }>): number[] {
  return frames.map(({ body }) => new DataView(body.buffer, body.byteOffset).getUint32(0))
}

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

describe('a neighbour', () => {
  // made anew for every test, under a name that closures in loops may use
  const made: { wires?: Wires } = {}
  const the = (): Wires => made.wires as Wires

  beforeEach(async () => {
    made.wires = await Wires.create()
  })

  /** Up at both ends, once more than before */
  async function up (): Promise<ReturnType<Wires['connect']>> {
    const connection = the().connect()
    await the().clock.run(50)
    expect([the().opener.neighbour.isUp, the().other.neighbour.isUp]).to.deep.equal([true, true])
    return connection
  }

  const send = (neighbour: Neighbour, from: number, to: number, size = 10): void => {
    for (let i = from; i < to; i++) {
      neighbour.send({ frame: numbered(i, size), lane: Lane.DATA })
    }
  }

  it('is up when both have said hello, and carries both ways', async () => {
    await up()
    send(the().opener.neighbour, 0, 100)
    send(the().other.neighbour, 0, 100)
    the().opener.neighbour.send({ frame: numbered(1000), lane: Lane.CONTROL, isOwn: true })
    await the().clock.run(50)

    expect(numbersOf(the().other.frames)).to.deep.equal([1000, ...range(100)])
    expect(numbersOf(the().opener.frames)).to.deep.equal(range(100))
    expect([the().opener.ups, the().other.ups]).to.deep.equal([1, 1])
  })

  it('gives up a neighbour that does not say hello, and tries again later', async () => {
    the().delay = HELLO_TIMEOUT * 10
    the().connect()
    await the().clock.run(HELLO_TIMEOUT - 10)
    expect(the().tries).to.equal(1)
    await the().clock.run(1000)

    expect(the().tries).to.equal(2)
    expect(the().opener.neighbour.isUp).to.equal(false)
    expect(the().opener.ups + the().other.ups).to.equal(0)
  })

  it('notices at once that its stream was reset while that was negotiated, on both sides', async () => {
    the().onNegotiated = stream => { stream.onRemoteReset() }
    the().connect()
    await the().clock.run(REOPEN_FIRST * 2)

    expect(the().tries).to.be.above(1)
    expect(the().other.neighbour.diagnostics).to.have.property('channels', 0)

    the().onNegotiated = undefined
    await the().clock.run(REOPEN_FIRST * 20)
    expect(the().opener.neighbour.isUp).to.equal(true)
  })

  it('takes nothing before it has met the other side, nor after it is down', async () => {
    const entry = { frame: numbered(1), lane: Lane.DATA }
    expect(the().opener.neighbour.send(entry)).to.equal('refused')
    the().disconnect(await up())

    expect(the().opener.neighbour.send(entry)).to.equal('refused')
  })

  it('opens again what ends, as if nothing had happened: what was on its way, data and control, comes once and in order', async () => {
    const connection = await up()

    for (let round = 0; round < 8; round++) {
      const streams = connection.streams.filter(({ status }) => status === 'open')
      send(the().opener.neighbour, round * 20, round * 20 + 10)
      // what was written is on the wire now
      await the().clock.run(0)
      streams[round % streams.length].abort(new Error('It broke'))
      send(the().opener.neighbour, round * 20 + 10, round * 20 + 20)
      the().other.neighbour.send({ frame: numbered(round), lane: Lane.CONTROL, isOwn: true })
      await the().clock.run(5)
      await the().clock.run(10_000)
      expect([the().opener.neighbour.isUp, the().other.neighbour.isUp]).to.deep.equal([true, true])
    }

    expect(numbersOf(the().other.frames)).to.deep.equal(range(160))
    expect(numbersOf(the().opener.frames)).to.deep.equal(range(8))
    expect([the().opener.ups, the().other.ups, the().opener.downs, the().other.downs]).to.deep.equal([1, 1, 0, 0])
    expect(the().opener.neighbour.diagnostics).to.include({ channels: 1, inFlight: 0 })
    expect(the().other.neighbour.diagnostics).to.include({ channels: 1, faults: 0 })
  })

  it('goes on with a large frame where the stream that carried its first pieces is gone', async () => {
    const connection = await up()
    connection.streams[0].room = 150_000
    send(the().opener.neighbour, 0, 2, 600_000)
    await the().clock.run(20)
    expect(the().other.neighbour.diagnostics.held).to.be.above(100_000)
    connection.streams[0].abort(new Error('It broke'))
    await the().clock.run(1000)

    expect(the().other.frames.map(({ body }) => body.byteLength)).to.deep.equal([600_004, 600_004])
    expect(numbersOf(the().other.frames)).to.deep.equal([0, 1])
    expect(the().other.neighbour.faults).to.equal(0)
  })

  it('says goodbye to what was sent to an earlier life of the other side, and meets the new one, without being down', async () => {
    const connection = await up()
    const dropped: number[] = []
    connection.streams.forEach(stream => { stream.isStuck = true })
    for (let i = 0; i < 10; i++) {
      the().opener.neighbour.send({ frame: numbered(i, 50_000), lane: Lane.DATA, onDropped: () => { dropped.push(i) } })
    }
    the().other.neighbour.restart()
    await the().clock.run(1000)
    send(the().opener.neighbour, 100, 110)
    send(the().other.neighbour, 200, 210)
    await the().clock.run(1000)

    expect([the().opener.ups, the().other.ups, the().opener.downs, the().other.downs]).to.deep.equal([2, 2, 0, 0])
    expect(numbersOf(the().other.frames)).to.deep.equal(range(10).map(i => i + 100))
    expect(numbersOf(the().opener.frames)).to.deep.equal(range(10).map(i => i + 200))
    // what had gone into the stream is not known to be lost
    expect(dropped.length).to.be.above(5)
  })

  it('keeps what is said after a restart for the new life', async () => {
    await up()
    the().opener.neighbour.restart()
    send(the().opener.neighbour, 0, 10)
    await the().clock.run(1000)

    expect(numbersOf(the().other.frames)).to.deep.equal(range(10))
    expect([the().opener.ups, the().other.ups]).to.deep.equal([2, 2])
  })

  it('tries less and less often while streams cannot be opened, and is lost after a while', async () => {
    const connection = await up()
    the().isBroken = true
    connection.streams[0].abort(new Error('It broke'))
    await the().clock.run(REOPEN_DEADLINE - 100)
    expect([the().opener.downs, the().other.downs]).to.deep.equal([0, 0])
    expect(the().tries).to.be.within(7, 12)
    await the().clock.run(200)
    expect([the().opener.downs, the().other.downs]).to.deep.equal([1, 1])

    the().isBroken = false
    await the().clock.run(REOPEN_CAP * 1.3)
    expect([the().opener.ups, the().other.ups]).to.deep.equal([2, 2])
  })

  it('moves to a better connection and loses nothing on the way, nor the order', async () => {
    const first = await up()
    send(the().opener.neighbour, 0, 300, 2000)
    send(the().other.neighbour, 0, 300, 2000)
    the().connect()
    await the().clock.run(3)
    send(the().opener.neighbour, 300, 500, 2000)
    send(the().other.neighbour, 300, 500, 2000)
    await the().clock.run(1000)

    expect(numbersOf(the().other.frames)).to.deep.equal(range(500))
    expect(numbersOf(the().opener.frames)).to.deep.equal(range(500))
    expect(first.streams.every(({ status }) => status !== 'open')).to.equal(true)
    expect([the().opener.ups, the().opener.downs]).to.deep.equal([1, 0])
    the().disconnect(first)
    await the().clock.run(10)
    expect([the().opener.neighbour.isUp, the().opener.downs, the().opener.ups]).to.deep.equal([true, 0, 1])
  })

  it('moves to a better connection also when the old one is slow, and is closed at once', async () => {
    the().rate = 500_000
    const first = await up()
    send(the().opener.neighbour, 0, 30, 15_000)
    send(the().other.neighbour, 0, 30, 15_000)
    await the().clock.run(300)
    the().rate = Infinity
    the().connect()
    await the().clock.run(1)
    the().disconnect(first)
    send(the().opener.neighbour, 30, 60, 15_000)
    send(the().other.neighbour, 30, 60, 15_000)
    await the().clock.run(1000)

    expect(numbersOf(the().other.frames)).to.deep.equal(range(60))
    expect(numbersOf(the().opener.frames)).to.deep.equal(range(60))
    expect([the().opener.ups, the().other.ups, the().opener.downs, the().other.downs]).to.deep.equal([1, 1, 0, 0])
  })

  it('is down once when the last connection goes, and drops what waits, each once', async () => {
    const connection = await up()
    connection.streams.forEach(stream => { stream.isStuck = true })
    const dropped: number[] = []
    const sent: number[] = []
    for (let i = 0; i < 100; i++) {
      the().opener.neighbour.send({ frame: numbered(i, 50_000), lane: Lane.DATA, onDropped: () => { dropped.push(i) }, onSent: () => { sent.push(i) } })
    }
    await the().clock.run(10)
    the().disconnect(connection)
    await the().clock.run(REOPEN_DEADLINE * 2)

    expect([...sent, ...dropped]).to.deep.equal(range(100))
    expect([the().opener.downs, the().other.downs]).to.deep.equal([1, 1])
    expect(the().opener.neighbour.diagnostics).to.include({ outbox: 0, waiting: 0, channels: 0 })
    await up()
    expect([the().opener.ups, the().opener.downs]).to.deep.equal([2, 1])
  })

  it('disconnects from a neighbour that takes nothing in, and from none that has nothing to take', async () => {
    const connection = await up()
    connection.streams.forEach(stream => { stream.isStuck = true })
    await the().clock.run(60_000)
    expect(the().connections).to.have.lengthOf(1)
    send(the().opener.neighbour, 0, 5, 50_000)
    await the().clock.run(4000)
    expect(the().connections).to.have.lengthOf(1)
    await the().clock.run(8000)

    expect(the().connections).to.have.lengthOf(0)
    expect([the().opener.downs, the().other.downs]).to.deep.equal([1, 1])
  })

  it('waits for a neighbour that is slow but not dead', async () => {
    const connection = await up()
    const [data] = connection.streams
    data.isStuck = true
    send(the().opener.neighbour, 0, 200, 60_000)

    for (let i = 0; i < 60; i++) {
      data.unstick()
      await the().clock.run(1)
      data.isStuck = true
      await the().clock.run(3000)
    }

    expect(the().connections).to.have.lengthOf(1)
    expect(the().opener.downs).to.equal(0)
  })

  it('sends no more than the neighbour has room for, and goes on when it has', async () => {
    await up()
    const releases = [] as Array<() => void>
    const { frames, neighbour } = the().other
    frames.push = (...items) => {
      releases.push(neighbour.keep(items[0].bytes))
      return Array.prototype.push.apply(frames, items)
    }
    send(the().opener.neighbour, 0, 150, 50_000)
    await the().clock.run(100)
    const { length } = frames

    // as long as nothing was granted, a quarter of the 4 MiB
    expect(length * 50_000).to.be.within(950_000, 1_048_576)
    expect(the().opener.neighbour.diagnostics.inFlight).to.be.at.most(4_194_304)
    releases.splice(0, 60).forEach(release => { release() })
    await the().clock.run(100)
    expect(frames.length).to.be.above(length + 15)
    expect(the().other.neighbour.faults).to.equal(0)
  })

  it('cuts off a neighbour that sends past its credit', async () => {
    const connection = await up()
    const { frames, neighbour } = the().other
    frames.push = (...items) => {
      neighbour.keep(items[0].bytes)
      return Array.prototype.push.apply(frames, items)
    }
    const [data] = connection.streams
    for (let i = 0; i < 100; i++) {
      const { head, body } = numbered(i, 50_000)
      data.send(head)
      data.send(body as Uint8Array)
    }
    await the().clock.run(10)

    expect(the().other.neighbour.faults).to.equal(1)
    expect(data.status).to.not.equal('open')
    expect(frames.length * 50_000).to.be.at.most(4_194_304)
    await the().clock.run(1000)
    expect(the().other.neighbour.isUp).to.equal(true)
  })

  it('takes small frames in a piece for a fault: they would all be dealt with at once', async () => {
    const connection = await up()
    const small = numbered(1)
    const piece = Uint8Array.from([0, ...small.head, ...small.body ?? []])
    connection.streams[0].send(frameOf(Kind.PIECE, piece).head)
    await the().clock.run(10)

    expect(the().other.frames).to.deep.equal([])
    expect(the().other.neighbour.faults).to.equal(1)
  })

  it('skips kinds that it does not know', async () => {
    const connection = await up()
    const [stream] = connection.streams
    for (const kind of [4, 15]) {
      stream.send(frameOf(kind, Uint8Array.of(1, 2, 3)).head)
    }
    send(the().opener.neighbour, 0, 3)
    await the().clock.run(10)

    expect(numbersOf(the().other.frames)).to.deep.equal(range(3))
    expect(the().other.neighbour.faults).to.equal(0)
  })

  for (const side of ['opener', 'other'] as const) {
    it(`lets a neighbour be for a while that breaks the protocol too often, and talks to it again after that: the ${side}`, async () => {
      await up()
      for (let i = 0; i < MAX_FAULTS; i++) {
        the()[side].neighbour.fault('a test')
      }
      await the().clock.run(FAULT_PENALTY - 1000)
      expect(the()[side].neighbour.isUp).to.equal(false)
      expect(the()[side].downs).to.equal(1)
      await the().clock.run(REOPEN_CAP * 2)

      expect([the().opener.neighbour.isUp, the().other.neighbour.isUp]).to.deep.equal([true, true])
    })
  }

  it('says what waits, then ends, and opens nothing any more, when it is stopped', async () => {
    await up()
    send(the().opener.neighbour, 0, 10)
    the().opener.neighbour.send({ frame: numbered(10), lane: Lane.CONTROL })
    const stopped = the().opener.neighbour.stop({})
    await the().clock.run(1000)
    await stopped

    expect(numbersOf(the().other.frames)).to.include(10)
    expect([the().opener.downs, the().opener.neighbour.isUp]).to.deep.equal([1, false])
    const { tries } = the()
    await the().clock.run(REOPEN_CAP * 2)
    expect(the().tries).to.equal(tries)
  })

  it('takes a hello that is none for a fault of this channel only', async () => {
    const connection = await up()
    const [stream] = connection.streams
    stream.send(frameOf(Kind.HELLO, Uint8Array.of(0x80)).head)
    await the().clock.run(1000)

    expect(the().other.neighbour.faults).to.equal(1)
    expect(the().other.neighbour.isUp).to.equal(true)
  })

  it('carries slowly what the wire carries slowly, and cuts off nobody for it: 64 kB a second, with less patience than a write takes', async () => {
    made.wires = await Wires.create(1500)
    the().rate = 64_000
    await up()
    send(the().opener.neighbour, 0, 40, 60_000)
    await the().clock.run(45_000)

    expect(numbersOf(the().other.frames)).to.deep.equal(range(40))
    expect(the().opener.downs).to.equal(0)
    expect(the().connections).to.have.lengthOf(1)
  })

  it('is not cut off while it deals with what came, however slowly', async () => {
    await up()
    const { frames, neighbour } = the().other
    const releases = [] as Array<() => void>
    frames.push = (...items) => {
      releases.push(neighbour.keep(items[0].bytes))
      return Array.prototype.push.apply(frames, items)
    }
    send(the().opener.neighbour, 0, 100, 60_000)

    // 30 kB a second where a quarter of the window is 1 MiB
    for (let i = 0; i < 30; i++) {
      await the().clock.run(2000)
      releases.shift()?.()
    }

    expect(the().connections).to.have.lengthOf(1)
    await the().clock.run(11_000)
    expect(the().connections, 'it deals with nothing any more').to.have.lengthOf(0)
  })

  it('grants what little was dealt with a while later, and then has no timer', async () => {
    await up()
    send(the().opener.neighbour, 0, 3)
    await the().clock.run(100)
    expect(the().opener.neighbour.diagnostics.inFlight).to.be.above(0)
    await the().clock.run(300)

    expect(the().opener.neighbour.diagnostics.inFlight).to.equal(0)
    expect(the().clock.step()).to.equal(false)
  })

  it('keeps a share of the window for control: it goes through where data can not', async () => {
    await up()
    const { frames, neighbour } = the().other
    frames.push = (...items) => {
      neighbour.keep(items[0].bytes)
      return Array.prototype.push.apply(frames, items)
    }
    send(the().opener.neighbour, 0, 150, 50_000)
    await the().clock.run(100)
    const { length } = frames
    the().opener.neighbour.send({ frame: numbered(1000), lane: Lane.CONTROL })
    await the().clock.run(100)

    expect(length * 50_000).to.be.at.most(4_194_304 - 524_288)
    expect(numbersOf(frames).slice(length)).to.deep.equal([1000])
  })

  it('makes messages of priority control wait as it does those of data, and its own not', async () => {
    const connection = await up()
    connection.streams.forEach(stream => { stream.isStuck = true })
    const outcomes = range(100).map(i => the().opener.neighbour.send({ frame: numbered(i, 65_000), lane: Lane.CONTROL, flow: 'news' }))

    expect(outcomes.filter(outcome => outcome === 'admitted').length).to.be.within(60, 66)
    expect(outcomes.at(-1)).to.equal('waiting')
    expect(the().opener.neighbour.send({ frame: numbered(1000), lane: Lane.CONTROL, isOwn: true })).to.equal('admitted')
    expect(the().connections).to.have.lengthOf(1)
    connection.streams.forEach(stream => { stream.unstick() })
    await the().clock.run(100)
    expect(numbersOf(the().other.frames).filter(i => i < 1000)).to.deep.equal(range(100))
  })

  it('disconnects from a neighbour that lets 16 MiB of control wait', async () => {
    const connection = await up()
    connection.streams.forEach(stream => { stream.isStuck = true })
    const outcomes = range(300).map(i => the().opener.neighbour.send({ frame: numbered(i, 65_000), lane: Lane.CONTROL, isOwn: true }))

    expect(outcomes.indexOf('refused')).to.be.within(250, 262)
    expect(the().connections).to.have.lengthOf(0)
  })

  it('takes back what was not begun', async () => {
    const connection = await up()
    connection.streams.forEach(stream => { stream.isStuck = true })
    send(the().opener.neighbour, 0, 1)
    await the().clock.run(1)
    const entries = range(3).map(i => ({ frame: numbered(i + 1), lane: Lane.DATA }))
    entries.forEach(entry => { the().opener.neighbour.send(entry) })
    expect(the().opener.neighbour.withdraw(entries[1])).to.equal(true)
    connection.streams.forEach(stream => { stream.unstick() })
    await the().clock.run(100)

    expect(numbersOf(the().other.frames)).to.deep.equal([0, 1, 3])
    expect(the().opener.neighbour.withdraw(entries[0])).to.equal(false)
  })

  it('reads a neighbour whose bytes cost too much as slowly as its budget allows, and loses nothing of it', async () => {
    await up()
    const { frames, neighbour } = the().other
    frames.push = (...items) => {
      neighbour.spend(100)
      return Array.prototype.push.apply(frames, items)
    }
    send(the().opener.neighbour, 0, 200, 1000)
    await the().clock.run(100)
    const first = frames.length
    await the().clock.run(10_000)
    const then = frames.length
    await the().clock.run(100_000)

    // a quarter of a second at once, and as much in each second that follows
    expect(first).to.be.within(3, 4)
    expect(then - first).to.be.within(20, 30)
    expect(numbersOf(frames)).to.deep.equal(range(200))
    expect(the().connections).to.have.lengthOf(1)
  })

  it('keeps to the budget when the stream ends and another one begins', async () => {
    const connection = await up()
    const { frames, neighbour } = the().other
    frames.push = (...items) => {
      neighbour.spend(100)
      return Array.prototype.push.apply(frames, items)
    }
    send(the().opener.neighbour, 0, 100, 1000)
    await the().clock.run(100)

    for (let round = 0; round < 5; round++) {
      connection.streams.filter(({ status }) => status === 'open').forEach(stream => { stream.abort(new Error('It broke')) })
      await the().clock.run(2000)
    }

    expect(frames.length).to.be.below(7 + 27)
    await the().clock.run(60_000)
    expect(numbersOf(frames)).to.deep.equal(range(100))
  })

  it('hands on all that came before the stream was closed while it was read slowly', async () => {
    const { other, opener } = the()
    await up()
    other.frames.push = (...items) => {
      other.neighbour.spend(100)
      return Array.prototype.push.apply(other.frames, items)
    }
    send(opener.neighbour, 0, 20)
    await the().clock.run(100)
    expect(other.frames.length).to.be.below(10)

    const stopping = opener.neighbour.stop({ signal: new AbortController().signal })
    await the().clock.run(60_000)
    await stopping
    expect(numbersOf(other.frames)).to.deep.equal(range(20))
    expect(other.neighbour.diagnostics).to.have.property('channels', 0)
  })

  it('cuts off a neighbour that sends far more than it may while it is not read', async () => {
    const { other } = the()
    const connection = await up()
    other.neighbour.spend(1000)
    const flood = new Uint8Array(1024 * 1024).fill(1)
    for (let i = 0; i < 9; i++) {
      connection.streams[0].send(flood)
      await the().clock.run(5)
    }

    expect(other.neighbour.diagnostics).to.include({ faults: 1, held: 0 })
  })

  it('reads a flood of grants as slowly', async () => {
    const connection = await up()
    const flood = Uint8Array.from(range(300_000), i => [2, Kind.CREDIT, 0][i % 3])
    for (let i = 0; i < 20; i++) {
      connection.streams[0].send(flood)
    }
    await the().clock.run(100)

    // a quarter of a second at once is 12,500 of them, of 2,000,000
    expect(Number(the().other.neighbour.diagnostics.held) + connection.streams[1].readBufferLength).to.be.above(5_000_000)
  })

  it('takes a number of channels a second from an opener, and refuses more', async () => {
    const connection = await up()
    const open = async (count: number): Promise<number> => {
      const { refused } = the().other.neighbour.diagnostics
      for (let i = 0; i < count; i++) {
        the().other.neighbour.accept(connection.other, new WireStream(the().clock, 'inbound'))
      }
      await the().clock.run(0)
      return the().other.neighbour.diagnostics.refused - refused
    }

    expect(await open(30)).to.equal(21)
    await the().clock.run(3000)
    expect(await open(30)).to.equal(27)
    expect(the().other.neighbour.diagnostics.channels).to.be.at.most(14)
  })

  it('opens no more channels a second than the other side would take, to one that says hello and ends each', async () => {
    const connection = await up()
    const { tries } = the()
    const seconds = 60

    for (let i = 0; i < seconds * 50; i++) {
      the().opener.neighbour.isUp && connection.streams.at(-1)?.abort(new Error('a test'))
      await the().clock.run(20)
    }

    expect(the().tries - tries).to.be.within(seconds / 2, OPENINGS.burst + seconds * OPENINGS.rate)
    await the().clock.run(REOPEN_CAP * 2)
    expect(the().opener.neighbour.isUp).to.equal(true)
  })

  for (const side of ['opener', 'other'] as const) {
    it(`comes back after its penalty also when all connections went and came meanwhile: at the ${side}`, async () => {
      const connection = await up()
      the()[side].neighbour.fault('a test', MAX_FAULTS)
      await the().clock.run(1000)
      the().disconnect(connection)
      the()[side].again()
      the().connect()
      await the().clock.run(FAULT_PENALTY - 5000)
      expect(the()[side].neighbour.isUp).to.equal(false)
      await the().clock.run(REOPEN_CAP * 2)

      expect([the().opener.neighbour.isUp, the().other.neighbour.isUp]).to.deep.equal([true, true])
    })
  }

  it('ends a channel whose hello lies about what came, as a fault, and begins anew', async () => {
    const connection = await up()
    send(the().other.neighbour, 0, 10)
    await the().clock.run(1000)
    const stream = new WireStream(the().clock, 'inbound')
    the().other.neighbour.accept(connection.other, stream)
    // the life of the opener, and that of the other side, as they stand in the hellos that were said
    const [life, of] = the().hellos.map(({ life }) => life)
    stream.onData(frameOf(Kind.HELLO, encodeHello({ channel: 9, life, of, received: 1e6, from: 0, window: 4_194_304, maxFrame: 1e6, greeting: Uint8Array.of(1) })).head)
    await the().clock.run(10)

    expect(the().other.neighbour.faults).to.equal(1)
    expect(stream.status).to.not.equal('open')
    send(the().other.neighbour, 10, 20)
    await the().clock.run(1000)
    expect(numbersOf(the().opener.frames)).to.deep.equal(range(20))
  })

  for (const [what, frame] of Object.entries({
    'a frame before the hello': numbered(1),
    'a grant before the hello': frameOf(Kind.CREDIT, Uint8Array.of(0)),
    'a hello without a life': frameOf(Kind.HELLO, encodeHello({ channel: 1, life: 0, of: 0, received: 0, from: 0, window: 4_194_304, maxFrame: 1e6, greeting: Uint8Array.of(1) })),
    'a hello with a window that is too small': frameOf(Kind.HELLO, encodeHello({ channel: 1, life: 7, of: 0, received: 0, from: 0, window: 1000, maxFrame: 1e6, greeting: Uint8Array.of(1) }))
  })) {
    it(`takes ${what} for a fault, and for nothing else`, async () => {
      const connection = await up()
      const stream = new WireStream(the().clock, 'inbound')
      the().other.neighbour.accept(connection.other, stream)
      stream.onData(frame.head)
      await the().clock.run(10)

      expect(the().other.neighbour.faults).to.equal(1)
      expect(stream.status).to.not.equal('open')
      expect(the().other.neighbour.isUp).to.equal(true)
    })
  }

  it('is not stopped by a neighbour that reads nothing for longer than it is told to wait', async () => {
    const connection = await up()
    connection.streams.forEach(stream => { stream.isStuck = true })
    send(the().opener.neighbour, 0, 100, 50_000)
    const controller = new AbortController()
    the().clock.after(STOP_TIMEOUT, () => { controller.abort() })
    let isStopped = false
    void the().opener.neighbour.stop(controller).then(() => { isStopped = true })
    await the().clock.run(STOP_TIMEOUT + 10)

    expect(isStopped).to.equal(true)
    expect(the().opener.neighbour.diagnostics).to.include({ channels: 0, outbox: 0 })
  })
})
