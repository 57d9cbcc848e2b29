import { expect } from 'aegir/chai'
import { randomInt, seededRandom } from '../../src/runtime/random.ts'
import { Budget } from '../../src/transfer/core/budget.ts'
import { Extents } from '../../src/transfer/core/extents.ts'
import { FlightTracker } from '../../src/transfer/core/flight.ts'
import { Incoming } from '../../src/transfer/core/incoming.ts'
import { Layout } from '../../src/transfer/core/leaves.ts'
import { Outgoing } from '../../src/transfer/core/outgoing.ts'
import { RateWindow, RoundTrip } from '../../src/transfer/core/window.ts'
import { simulate, surveyOf } from './simulation.ts'
import type { Plan } from './simulation.ts'
import type { Share } from '../../src/transfer/core/budget.ts'
import type { Extent } from '../../src/transfer/core/extents.ts'
import type { Fragment, Status } from '../../src/transfer/core/outgoing.ts'

/** A browser runs the same code: it looks at less of it */
const IS_NODE = typeof process !== 'undefined' && process.versions?.node != null
const RUNS = IS_NODE ? 200 : 30
/** Where chance begins: TRANSFER_SEED=... replays from there */
const SEED = Number((IS_NODE ? process.env.TRANSFER_SEED : undefined) ?? 1)
const LEAF = 65_536
const KIB = 1024

function bytesOf (length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length)
  let state = seed

  for (let i = 0; i < length; i++) {
    state = (state * 1_103_515_245 + 12_345) & 0x7fff_ffff
    bytes[i] = state >> 16
  }

  return bytes
}

function same (a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && a.every((byte, i) => byte === b[i])
}

describe('extents', () => {
  it('are the set of bytes that they stand for', () => {
    const SPACE = 60

    for (let seed = SEED; seed < SEED + RUNS; seed++) {
      const random = seededRandom(seed)
      const extents = new Extents()
      const naive = new Set<number>()
      const any = (): Extent => {
        const from = randomInt(random, SPACE)
        return { from, to: from + randomInt(random, 12) }
      }
      const bytes = ({ from, to }: Extent): number[] => Array.from({ length: to - from }, (_, i) => from + i)

      for (let step = 0; step < 40; step++) {
        const extent = any()
        const isAdded = random() < 0.6
        isAdded ? extents.add(extent) : extents.delete(extent)
        bytes(extent).forEach(byte => { isAdded ? naive.add(byte) : naive.delete(byte) })
        const right = [...naive].sort((a, b) => a - b)
        const asked = any()

        expect(extents.list.flatMap(bytes), `seed ${seed}`).to.deep.equal(right)
        expect(extents.list.every(({ from, to }, i) => from < to && (i === 0 || extents.list[i - 1].to < from)), `seed ${seed}: they touch`).to.equal(true)
        expect([extents.bytes, extents.isEmpty, extents.first?.from]).to.deep.equal([right.length, right.length === 0, right[0]])
        expect(extents.has(asked)).to.equal(bytes(asked).every(byte => naive.has(byte)))
        expect(extents.meets(asked)).to.equal(bytes(asked).some(byte => naive.has(byte)))
      }

      const other = new Extents([any(), any(), any()])
      const rest = extents.without(other)
      expect(rest.list.flatMap(bytes)).to.deep.equal([...naive].sort((a, b) => a - b).filter(byte => !other.has({ from: byte, to: byte + 1 })))
      expect(extents.bytes).to.equal(naive.size)
    }
  })
})

describe('the layout of a payload', () => {
  for (const size of [0, 1, LEAF - 1, LEAF, LEAF + 1, 2 * LEAF, 3 * LEAF + 5, 2049 * LEAF, undefined]) {
    it(`of ${size ?? 'unknown'} bytes has each byte in one part, and no piece goes across`, () => {
      const layout = new Layout(size)
      const end = Math.min(layout.end ?? Infinity, 2100 * LEAF)
      let at = 0
      expect(layout.listBytes).to.equal(size == null || size <= LEAF ? 0 : Math.ceil(size / LEAF) * 32)

      while (at < end) {
        const to = layout.boundary(at)
        const middle = at + Math.floor((to - at) / 2)
        expect([layout.partOf(at), layout.partOf(middle), layout.partOf(to - 1)]).to.deep.equal([at, at, at])
        expect([layout.boundary(middle), layout.partBytes(at)]).to.deep.equal([to, to - at])

        if (at >= layout.listBytes) {
          expect(layout.startOf(layout.leafAt(middle))).to.equal(at)
          expect(layout.bytesOf(layout.leafAt(at))).to.equal(to - at)
        }
        at = to
      }

      expect(at).to.equal(end)
    })
  }

  it('of one that was unknown is known when its end is, and stays', () => {
    const layout = new Layout()
    expect([layout.ends(LEAF + 3), layout.end, layout.bytesOf(1), layout.ends(LEAF + 4), layout.ends(LEAF + 3)]).to.deep.equal([true, LEAF + 3, 3, false, true])
  })
})

describe('the budget', () => {
  it('is never exceeded, gives each the least that it needs while there is room, and gets all back once', () => {
    const init = { node: 1000, peer: 300, min: 10, max: 100 }

    for (let seed = SEED; seed < SEED + RUNS; seed++) {
      const random = seededRandom(seed)
      const budget = new Budget(init)
      const held: Array<Share & { peer: string }> = []
      const of = (peer?: string): number => held.filter(share => peer == null || share.peer === peer).reduce((sum, { window }) => sum + window, 0)

      for (let step = 0; step < 200; step++) {
        const peer = `${randomInt(random, 6)}`

        if (random() < 0.6) {
          const count = held.filter(share => share.peer === peer).length
          const share = budget.take(peer)
          const hasRoom = (held.length + 1) * init.min <= init.node / 2 && (count + 1) * init.min <= init.peer / 2
          expect(share != null, `seed ${seed}`).to.equal(hasRoom)
          share != null && held.push({ peer, ...share, get window () { return share.window } })
          share != null && expect(share.window).to.be.within(init.min, init.max)
        } else if (random() < 0.7 && held.length > 0) {
          const share = held[randomInt(random, held.length)]
          const granted = randomInt(random, share.window + 1)
          expect(share.resize(granted)).to.equal(share.window).and.within(Math.max(init.min, granted), init.max)
        } else if (held.length > 0) {
          const [share] = held.splice(randomInt(random, held.length), 1)
          share.end()
          share.end()
        }

        expect(budget.bytes).to.equal(of()).and.at.most(init.node)
        expect(of(peer)).to.be.at.most(init.peer)
        expect(budget.size).to.equal(held.length)
      }

      held.forEach(share => {
        share.end()
        share.resize(50)
      })
      expect([budget.bytes, budget.size]).to.deep.equal([0, 0])
      // half of what is left of the peer's share, and the least
      expect(budget.take('anybody')?.window).to.equal(init.min + init.peer / 4)
    }
  })
})

describe('the budget of some that take what they have', () => {
  for (const count of [2, 4, 7]) {
    it(`is shared evenly by ${count}, whoever came first`, () => {
      const budget = new Budget({ node: 64_000, peer: 16_000, min: 128, max: 4096 })
      const shares = Array.from({ length: count }, () => budget.take('peer') as Share)
      const even = 128 + Math.min(4096 - 128, 8000 / count)
      expect(shares[0].window - shares[count - 1].window).to.be.above(0)

      for (let round = 0; round < 50; round++) {
        shares.forEach(share => { share.resize(0) })
      }

      shares.forEach(({ window }) => { expect(window).to.be.within(even * 0.95, even * 1.01) })
    })
  }
})

describe('the window', () => {
  it('slows, and never stops: whatever is measured, a leaf may go', () => {
    for (let seed = SEED; seed < SEED + RUNS; seed++) {
      const random = seededRandom(seed)
      const window = new RateWindow()
      let [now, inFlight] = [0, 0]

      for (let step = 0; step < 200; step++) {
        now += random() < 0.05 ? randomInt(random, 60_000) : randomInt(random, 50)
        const bytes = Math.min(inFlight, randomInt(random, LEAF))

        if (random() < 0.5) {
          window.sent(LEAF, now)
          inFlight += LEAF
        } else {
          inFlight -= bytes
          random() < 0.8 ? window.acked(bytes, now) : window.discarded(bytes)
        }
        random() < 0.3 && window.limited()
        expect(window.bytes, `seed ${seed}`).to.be.within(LEAF, 4 * KIB * KIB)
        expect(window.rate).to.be.above(0)
      }
    }
  })

  it('asks after a time that grows when nobody answers, within its limits, and shrinks with the first answer', () => {
    const roundTrip = new RoundTrip()
    expect(roundTrip.timeout).to.equal(1000)
    for (let i = 0; i < 100; i++) {
      roundTrip.asked()
    }
    expect(roundTrip.timeout).to.equal(10_000)
    roundTrip.heard()
    roundTrip.measured(1)
    expect(roundTrip.timeout).to.equal(200)
    roundTrip.measured(1e9)
    expect(roundTrip.timeout).to.equal(10_000)
  })
})

describe('a payload on its way', function () {
  this.timeout(300_000)
  const sizes = [0, 1, 4095, LEAF - 1, LEAF, LEAF + 1, 2 * LEAF, 5 * LEAF + 77, 12 * LEAF, 30 * LEAF - 1]
  const base = { window: 4 * LEAF, flight: 2 * LEAF, maxFragment: LEAF, duplicates: 0, deaths: 0, sources: ['honest'] as Plan['sources'] }

  function planOf (seed: number, plan: Partial<Plan>): Plan {
    const random = seededRandom(seed)
    return {
      seed,
      ...base,
      payload: bytesOf(sizes[seed % sizes.length], seed),
      isSizeKnown: plan.sources != null || random() < 0.5,
      window: (2 + randomInt(random, 8)) * LEAF + randomInt(random, 1000),
      flight: (1 + randomInt(random, 6)) * LEAF,
      maxFragment: random() < 0.5 ? LEAF : 4096 + randomInt(random, LEAF - 4096),
      ...plan
    }
  }

  const networks: Record<string, { plan: Partial<Plan>, outcomes?: string[] }> = {
    'a network that loses nothing': { plan: {} },
    'messages that come twice': { plan: { duplicates: 0.2 } },
    'relays that die with all they have': { plan: { deaths: 0.03 } },
    'relays that die, and messages that come twice': { plan: { deaths: 0.02, duplicates: 0.1 } },
    'three sources': { plan: { sources: ['honest', 'honest', 'honest'], deaths: 0.01 } },
    'a source that dies beside one that does not': { plan: { sources: ['dies', 'honest', 'dies'], deaths: 0.01 } },
    'a source that lies beside an honest one': { plan: { sources: ['liar', 'honest'], duplicates: 0.05 } },
    'an honest source, and two that lie': { plan: { sources: ['honest', 'liar', 'liar'], deaths: 0.01 } },
    'a source that is there and sends nothing': { plan: { sources: ['silent', 'honest'], deaths: 0.01 } },
    'two that send nothing, one that lies, one that dies, and an honest one': { plan: { sources: ['silent', 'liar', 'silent', 'dies', 'honest'], deaths: 0.005 } },
    'nobody but one that lies': { plan: { sources: ['liar'] }, outcomes: ['done', 'no source'] }
  }

  for (const [name, { plan, outcomes = ['done'] }] of Object.entries(networks)) {
    it(`arrives as it was sent, or is refused: ${name}`, () => {
      for (let seed = SEED; seed < SEED + RUNS / 5; seed++) {
        const whole = planOf(seed, plan)
        let result: ReturnType<typeof simulate>

        try {
          result = simulate(whole)
        } catch (err: any) {
          throw new Error(`TRANSFER_SEED=${seed}: ${err.stack}`)
        }

        const { outcome, got } = result
        expect(outcome, `TRANSFER_SEED=${seed}: ${whole.payload.byteLength} bytes, ${got.byteLength} of them after ${result.ms} ms`).to.be.oneOf(outcomes)
        expect(same(got, whole.payload.subarray(0, got.byteLength)), `TRANSFER_SEED=${seed}: it is another one`).to.equal(true)
        outcome === 'done' && expect(got.byteLength).to.equal(whole.payload.byteLength)
      }
    })
  }

  it('is not sent again where nothing was lost, and a death costs what the relay had', () => {
    for (let seed = SEED; seed < SEED + RUNS / 10; seed++) {
      const payload = bytesOf(30 * LEAF - 1, seed)
      const quiet = simulate(planOf(seed, { payload, isSizeKnown: true }))
      // the list is sent, too
      expect(quiet.sent - payload.byteLength - 30 * 32, `seed ${seed}`).to.be.within(0, 4 * LEAF)
      const bad = simulate(planOf(seed, { payload, isSizeKnown: true, deaths: 0.01 }))
      expect(bad.outcome).to.equal('done')
    }
  })

  it('goes on where the receiver is: what it has is not sent', () => {
    for (let seed = SEED; seed < SEED + RUNS / 10; seed++) {
      const have = seed % 21
      const plan = planOf(seed, { payload: bytesOf(20 * LEAF + 5, seed), isSizeKnown: true, have, deaths: 0.01 })
      const { outcome, got, sent, lost } = simulate(plan)
      expect([outcome, same(got, plan.payload)], `seed ${seed}`).to.deep.equal(['done', true])
      expect(sent - lost, `seed ${seed}`).to.be.below((21 - have) * LEAF + 21 * 32 + plan.flight + plan.window)
    }
  })
})

describe('what comes in', () => {
  const payload = bytesOf(3 * LEAF + 10)
  const { list, root } = surveyOf(payload)
  const create = (): Incoming => new Incoming({ size: payload.byteLength, root, window: () => 8 * LEAF })
  const start = list.byteLength

  function feed (incoming: Incoming, key: string, from: number, to: number, bytes = payload): string[] {
    const outcomes: string[] = []
    for (let leaf = from; leaf < to; leaf++) {
      outcomes.push(incoming.data(key, start + leaf * LEAF, bytes.subarray(leaf * LEAF, (leaf + 1) * LEAF)))
    }
    return outcomes
  }

  it('in crumbs is refused: a piece of one byte each would cost a hundred times its memory', () => {
    const incoming = create()
    incoming.addSource('a')
    expect(incoming.data('a', 0, list)).to.equal('stored')
    const outcomes = Array.from({ length: 200 }, (_, i) => incoming.data('a', start + 2 * i, payload.subarray(2 * i, 2 * i + 1)))

    expect(outcomes[0]).to.equal('stored')
    expect(outcomes.findIndex(outcome => outcome === 'over')).to.equal(64)
  })

  it('from a liar that left in the middle of a leaf does not fall back on who sends the rest', () => {
    const incoming = create()
    incoming.addSource('liar')
    expect(incoming.data('liar', 0, list)).to.equal('stored')
    expect(incoming.data('liar', start, payload.slice(0, 5000).fill(1))).to.equal('stored')
    incoming.addSource('honest')
    incoming.dropSource('liar')
    incoming.check()

    expect(feed(incoming, 'honest', 0, 4)).to.deep.equal(['stored', 'stored', 'stored', 'stored'])
    expect(incoming.liars).to.deep.equal([])
    expect([0, 1, 2, 3].map(() => incoming.take()?.byteLength)).to.deep.equal([LEAF, LEAF, LEAF, 10])
    expect(incoming.outcome).to.equal('done')
  })

  it('from a liar, and was whole before the list of an honest one, does not fall back on that', () => {
    const incoming = create()
    incoming.addSource('honest')
    incoming.dropSource('honest')
    incoming.addSource('honest')
    incoming.addSource('liar')
    const owed = (key: string): Extent[] => [...incoming.standing(key)?.wanted ?? []]
    expect(owed('honest').length).to.equal(1)
    // the honest one owed everything: half of it goes to the other
    incoming.swap('honest')
    const [first] = owed('liar')
    expect(first.from).to.equal(0)
    expect(incoming.data('liar', start, payload.slice(0, LEAF).fill(3))).to.equal('stored')
    incoming.swap('liar')
    incoming.check()

    expect(incoming.data('honest', 0, list)).to.equal('mismatch')
    expect(incoming.liars).to.deep.equal(['liar'])
    incoming.dropSource('liar')
    incoming.check()
    expect(feed(incoming, 'honest', 0, 4)).to.deep.equal(['stored', 'stored', 'stored', 'stored'])
  })

  it('is verified before it is handed on, also when the list comes last', () => {
    const incoming = create()
    incoming.addSource('a')
    expect(feed(incoming, 'a', 0, 4)).to.deep.equal(['stored', 'stored', 'stored', 'stored'])
    expect([incoming.canTake, incoming.take()]).to.deep.equal([false, undefined])
    expect(incoming.data('a', 0, list)).to.equal('stored')
    expect(incoming.canTake).to.equal(true)
  })

  it('is over when nobody asked for it: beyond the window, across a leaf, empty, or from a stranger', () => {
    const incoming = new Incoming({ size: payload.byteLength, root, window: () => LEAF })
    incoming.addSource('a')
    expect([
      incoming.data('b', 0, list),
      incoming.data('a', start + LEAF, payload.subarray(LEAF, LEAF + 10)),
      incoming.data('a', start + 1, payload.subarray(1, LEAF + 1)),
      incoming.data('a', 0, payload.subarray(0, start + 1)),
      incoming.data('a', start, new Uint8Array()),
      incoming.data('a', 2 ** 53 - 5, payload.subarray(0, 10))
    ]).to.deep.equal(['over', 'over', 'over', 'over', 'over', 'over'])
  })
})

describe('what goes out', () => {
  function create (size?: number): { outgoing: Outgoing, flight: FlightTracker<Fragment, number, string> } {
    const flight = new FlightTracker<Fragment, number, string>()
    return { flight, outgoing: new Outgoing({ layout: new Layout(size), flight, owner: 1, maxFragment: LEAF }) }
  }

  function status (number: number, wanted: Extent[], horizon = 1e15, echo = 0): Status {
    return { number, echo, horizon, wanted }
  }

  it('is what was asked for, whatever a hostile receiver says', () => {
    for (let seed = SEED; seed < SEED + RUNS; seed++) {
      const random = seededRandom(seed)
      const size = random() < 0.5 ? undefined : randomInt(random, 6 * LEAF)
      const { outgoing, flight } = create(size)

      for (let step = 0; step < 60; step++) {
        let at = 0
        const wanted = Array.from({ length: randomInt(random, 5) }, () => {
          const from = at + 1 + randomInt(random, 3 * LEAF)
          at = from + 1 + randomInt(random, LEAF)
          return { from, to: random() < 0.02 ? (at = 2 ** 53 - 1) : at }
        }).filter(({ from, to }) => from < to)
        const arrived = outgoing.onStatus(status(random() < 0.1 ? 2 ** 52 : step + 1, wanted, random() < 0.2 ? 2 ** 53 - 1 : randomInt(random, 4 * LEAF), randomInt(random, 4)))
        arrived?.forEach(fragment => { flight.ack(fragment) })
        outgoing.check()

        for (let count = randomInt(random, 4); count > 0; count--) {
          const extent = outgoing.nextExtent(random() * 6000)
          const again = outgoing.nextAgain()
          const fragment = again ?? (extent == null ? undefined : { ...extent, message: new Uint8Array(extent.to - extent.from) })

          if (fragment != null) {
            expect(fragment.to, `seed ${seed}`).to.be.at.most(outgoing.layout.boundary(fragment.from))
            expect(fragment.to - fragment.from).to.be.within(1, LEAF)
            expect(fragment.to).to.be.at.most(outgoing.layout.end ?? Infinity)
            const ticket = flight.beginResend(fragment)
            ticket == null ? flight.register(fragment, outgoing.owner, fragment.message.byteLength, 'link', 0) : flight.commitResend(ticket, 'link', 0)
            outgoing.sent(fragment, flight.get(fragment)?.order ?? 0)
          }
          random() < 0.2 && outgoing.question()
          outgoing.check()
          flight.check()
        }
      }

      flight.dropStream(outgoing.owner)
      outgoing.close()
      expect([flight.bytes, flight.size, outgoing.isOwing, outgoing.hasAgain]).to.deep.equal([0, 0, false, false])
    }
  })

  for (const size of [10 * LEAF, undefined]) {
    it(`ends when the other side asks for the same again and again, ${size == null ? 'also while its end is not known' : 'a leaf or a byte'}`, () => {
      for (const bytes of [LEAF, 1]) {
        const { outgoing, flight } = create(size)
        let rounds = 0

        for (let number = 1; !outgoing.isInsatiable && rounds < 100_000; number += 2, rounds++) {
          outgoing.onStatus(status(number, [{ from: 320, to: 320 + bytes }]))
          const extent = outgoing.nextExtent(Infinity) as Extent
          const fragment = { ...extent, message: new Uint8Array(extent.to - extent.from) }
          flight.register(fragment, outgoing.owner, fragment.message.byteLength, 'link', 0)
          outgoing.sent(fragment, number)
          outgoing.onStatus(status(number + 1, []))?.forEach(fragment => { flight.ack(fragment) })
        }

        expect(rounds, `${bytes} bytes at a time`).to.be.below(2000)
      }
    })
  }
})
