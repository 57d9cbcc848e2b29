import { expect } from 'aegir/chai'
import { FAULT_PENALTY, HELLO_TIMEOUT, MAX_FAULTS, REOPEN_CAP, REOPEN_DEADLINE } from '../../src/link/constants.ts'
import { encodeFrame, frameOf, Kind } from '../../src/link/core/frames.ts'
import { Lane } from '../../src/link/core/outbox.ts'
import { Wires } from './wires.ts'
import type { Frame } from '../../src/link/core/frames.ts'
import type { Link } from '../../src/link/link.ts'

const KIND = 20

function numbered (i: number, size = 10): Frame {
  return encodeFrame(KIND, 4, (target, at) => { new DataView(target.buffer, target.byteOffset).setUint32(at, i) }, new Uint8Array(size))
}

function numbersOf (frames: Array<{ body: Uint8Array }>): number[] {
  return frames.map(({ body }) => new DataView(body.buffer, body.byteOffset).getUint32(0))
}

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

describe('a link', () => {
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
    expect([the().opener.link.isUp, the().other.link.isUp]).to.deep.equal([true, true])
    return connection
  }

  const send = (link: Link, from: number, to: number, size = 10): void => {
    for (let i = from; i < to; i++) {
      link.send({ frame: numbered(i, size), lane: Lane.DATA })
    }
  }

  for (const [first, delays] of Object.entries({ control: { control: 0, data: 30 }, data: { control: 30, data: 0 }, neither: { control: 0, data: 0 } })) {
    it(`is up when both have said hello, ${first} stream first, and carries both ways`, async () => {
      the().delays = delays
      await up()
      send(the().opener.link, 0, 100)
      send(the().other.link, 0, 100)
      the().opener.link.sendControl(numbered(7))
      await the().clock.run(50)

      expect(numbersOf(the().other.frames).filter(i => i !== 7)).to.deep.equal(range(100).filter(i => i !== 7))
      expect(numbersOf(the().other.frames).filter(i => i === 7)).to.have.lengthOf(2)
      expect(numbersOf(the().opener.frames)).to.deep.equal(range(100))
      expect([the().opener.ups, the().other.ups]).to.deep.equal([1, 1])
      expect(the().other.link.diagnostics.halves).to.equal(0)
    })
  }

  it('gives up a neighbour that does not say hello, and tries again later', async () => {
    the().delays = { control: 0, data: HELLO_TIMEOUT * 10 }
    the().connect()
    await the().clock.run(HELLO_TIMEOUT - 10)
    expect(the().tries).to.equal(1)
    await the().clock.run(1000)

    expect(the().tries).to.equal(2)
    expect(the().opener.link.isUp).to.equal(false)
    expect(the().opener.ups + the().other.ups).to.equal(0)
    expect(the().other.link.diagnostics.halves).to.be.at.most(1)
  })

  it('opens again what ends, without being lost, and goes on where the outbox was', async () => {
    const connection = await up()

    for (let round = 0; round < 8; round++) {
      const streams = connection.streams.filter(({ status }) => status === 'open')
      streams[round % streams.length].abort(new Error('It broke'))
      await the().clock.run(5)
      send(the().opener.link, round * 10, round * 10 + 10)
      await the().clock.run(1000)
      expect([the().opener.link.isUp, the().other.link.isUp]).to.deep.equal([true, true])
    }

    expect(numbersOf(the().other.frames)).to.deep.equal(range(80))
    expect([the().opener.ups, the().opener.downs, the().other.downs]).to.deep.equal([9, 0, 0])
    expect(the().opener.link.diagnostics.sessions + the().other.link.diagnostics.sessions).to.equal(2)
  })

  it('sends a large frame from its start again when the stream that carried its first pieces is gone', async () => {
    const connection = await up()
    const [, , data] = connection.streams
    data.room = 150_000
    send(the().opener.link, 0, 2, 600_000)
    await the().clock.run(20)
    expect(the().other.link.diagnostics.held).to.be.above(100_000)
    data.abort(new Error('It broke'))
    await the().clock.run(1000)

    expect(the().other.frames.map(({ body }) => body.byteLength)).to.deep.equal([600_004, 600_004])
    expect(numbersOf(the().other.frames)).to.deep.equal([0, 1])
    expect(the().other.link.faults).to.equal(0)
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
    send(the().opener.link, 0, 300, 2000)
    send(the().other.link, 0, 300, 2000)
    the().connect()
    await the().clock.run(3)
    send(the().opener.link, 300, 500, 2000)
    send(the().other.link, 300, 500, 2000)
    await the().clock.run(1000)

    expect(numbersOf(the().other.frames).sort((a, b) => a - b)).to.deep.equal(range(500))
    expect(numbersOf(the().opener.frames).sort((a, b) => a - b)).to.deep.equal(range(500))
    expect(first.streams.every(({ status }) => status !== 'open')).to.equal(true)
    expect([the().opener.ups, the().opener.downs]).to.deep.equal([2, 0])
    the().disconnect(first)
    await the().clock.run(10)
    expect([the().opener.link.isUp, the().opener.downs, the().opener.ups]).to.deep.equal([true, 0, 2])
  })

  it('is down once when the last connection goes, and drops what waits, each once', async () => {
    const connection = await up()
    connection.streams.forEach(stream => { stream.isStuck = true })
    const dropped: number[] = []
    const sent: number[] = []
    for (let i = 0; i < 100; i++) {
      the().opener.link.send({ frame: numbered(i, 50_000), lane: Lane.DATA, onDropped: () => { dropped.push(i) }, onSent: () => { sent.push(i) } })
    }
    await the().clock.run(10)
    the().disconnect(connection)
    await the().clock.run(REOPEN_DEADLINE * 2)

    expect([...sent, ...dropped]).to.deep.equal(range(100))
    expect([the().opener.downs, the().other.downs]).to.deep.equal([1, 1])
    expect(the().opener.link.diagnostics).to.include({ outbox: 0, waiting: 0, sessions: 0 })
    await up()
    expect([the().opener.ups, the().opener.downs]).to.deep.equal([2, 1])
  })

  it('disconnects from a neighbour that takes nothing in, and from none that has nothing to take', async () => {
    const connection = await up()
    connection.streams.forEach(stream => { stream.isStuck = true })
    await the().clock.run(60_000)
    expect(the().connections).to.have.lengthOf(1)
    send(the().opener.link, 0, 5, 50_000)
    await the().clock.run(4000)
    expect(the().connections).to.have.lengthOf(1)
    await the().clock.run(8000)

    expect(the().connections).to.have.lengthOf(0)
    expect([the().opener.downs, the().other.downs]).to.deep.equal([1, 1])
  })

  it('waits for a neighbour that is slow but not dead', async () => {
    const connection = await up()
    const [, , data] = connection.streams
    data.isStuck = true
    send(the().opener.link, 0, 200, 60_000)

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
    const { frames, link } = the().other
    frames.push = (...items) => {
      releases.push(link.keep(items[0].bytes))
      return Array.prototype.push.apply(frames, items)
    }
    send(the().opener.link, 0, 150, 50_000)
    await the().clock.run(100)
    const { length } = frames

    expect(length * 50_000).to.be.within(3_900_000, 4_200_000)
    expect(the().opener.link.diagnostics.inFlight).to.be.at.most(4_194_304)
    releases.splice(0, 60).forEach(release => { release() })
    await the().clock.run(100)
    expect(frames.length).to.be.above(length + 30)
    expect(the().other.link.faults).to.equal(0)
  })

  it('cuts off a neighbour that sends past its credit', async () => {
    const connection = await up()
    const { frames, link } = the().other
    frames.push = (...items) => {
      link.keep(items[0].bytes)
      return Array.prototype.push.apply(frames, items)
    }
    const [, , data] = connection.streams
    for (let i = 0; i < 100; i++) {
      const { head, body } = numbered(i, 50_000)
      data.send(head)
      data.send(body as Uint8Array)
    }
    await the().clock.run(10)

    expect(the().other.link.faults).to.equal(1)
    expect(data.status).to.not.equal('open')
    expect(frames.length * 50_000).to.be.at.most(4_194_304)
    await the().clock.run(1000)
    expect(the().other.link.isUp).to.equal(true)
  })

  it('skips kinds that it does not know, on both streams', async () => {
    const connection = await up()
    const [control, , data] = connection.streams
    for (const kind of [4, 15]) {
      control.send(frameOf(kind, Uint8Array.of(1, 2, 3)).head)
      data.send(frameOf(kind, Uint8Array.of(1, 2, 3)).head)
    }
    send(the().opener.link, 0, 3)
    await the().clock.run(10)

    expect(numbersOf(the().other.frames)).to.deep.equal(range(3))
    expect(the().other.link.faults).to.equal(0)
  })

  it('is no link to streams that died before they were a session', async () => {
    the().delays = { control: 0, data: 30 }
    const connection = the().connect()
    await the().clock.run(10)
    connection.streams[0].abort(new Error('It broke'))
    the().isBroken = true
    await the().clock.run(100)

    expect(the().other.link.isUp).to.equal(false)
    expect(the().other.ups).to.equal(0)
    await the().clock.run(HELLO_TIMEOUT)
    expect(the().other.link.diagnostics).to.include({ halves: 0, sessions: 0 })
  })

  for (const side of ['opener', 'other'] as const) {
    it(`lets a neighbour be for a while that breaks the protocol too often, and talks to it again after that: the ${side}`, async () => {
      await up()
      for (let i = 0; i < MAX_FAULTS; i++) {
        the()[side].link.fault('a test')
      }
      await the().clock.run(FAULT_PENALTY - 1000)
      expect(the()[side].link.isUp).to.equal(false)
      expect(the()[side].downs).to.equal(1)
      await the().clock.run(REOPEN_CAP * 2)

      expect([the().opener.link.isUp, the().other.link.isUp]).to.deep.equal([true, true])
    })
  }

  it('says what waits, then ends, and opens nothing any more, when it is stopped', async () => {
    await up()
    send(the().opener.link, 0, 10)
    the().opener.link.sendControl(frameOf(KIND, Uint8Array.of(0, 0, 0, 10)))
    const stopped = the().opener.link.stop()
    await the().clock.run(1000)
    await stopped

    expect(numbersOf(the().other.frames)).to.include(10)
    expect([the().opener.downs, the().opener.link.isUp]).to.deep.equal([1, false])
    const { tries } = the()
    await the().clock.run(REOPEN_CAP * 2)
    expect(the().tries).to.equal(tries)
  })

  it('takes a hello that is none for a fault of this session only', async () => {
    const connection = await up()
    const [control] = connection.streams
    control.send(frameOf(Kind.HELLO, Uint8Array.of(0x80)).head)
    await the().clock.run(1000)

    expect(the().other.link.faults).to.equal(1)
    expect(the().other.link.isUp).to.equal(true)
  })
})
