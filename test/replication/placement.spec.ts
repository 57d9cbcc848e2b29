import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { Placement, coverageOf, keptRanges, positionsOf, segmentsFor, shareOf, thinnest } from '../../src/replication/core/placement.ts'
import { RING, covers, sameSegments, widthOf } from '../../src/replication/core/ring.ts'
import type { Limits, Member } from '../../src/replication/core/placement.ts'
import type { Segment } from '../../src/replication/core/ring.ts'

const ALL: Segment[] = [{ from: 0, width: RING }]
const EDGES = [0, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 31 + 1, RING - 2, RING - 1]

const replicas = fc.integer({ min: 1, max: 7 })
const position = fc.oneof(fc.constantFrom(...EDGES), fc.integer({ min: 0, max: RING - 1 }))
const width = fc.oneof(fc.constantFrom(1, 2, 2 ** 31, RING - 1, RING), fc.integer({ min: 1, max: RING }), fc.integer({ min: 1, max: 2 ** 28 }))
const segments = fc.array(fc.record({ from: position, width }), { maxLength: 3 })
const members = fc.array(segments, { maxLength: 8 }).map(all => all.map((segments, i): Member => ({ key: `peer-${i}`, segments })))

/** The entries at which anything can change, and right beside them */
function samples (all: readonly Segment[], count: number): number[] {
  const edges = all.flatMap(({ from, width }) => [from, from + width])
    .flatMap(edge => positionsOf(edge % RING, count))
    .flatMap(edge => [-2, -1, 0, 1, 2].map(by => (edge + by + RING) % RING))
  return [...EDGES, ...edges]
}

function keepersOf (at: number, count: number, all: Member[]): string[] {
  const positions = positionsOf(at, count)
  return all.filter(({ segments }) => positions.some(p => covers(segments, p))).map(({ key }) => key)
}

function someEntries (count: number): number[] {
  return Array.from({ length: count }, (_, i) => (i * 2_654_435_761) % RING)
}

function named (count: number, segments = ALL): Member[] {
  return Array.from({ length: count }, (_, i) => ({ key: `12D3KooW${i}`, segments }))
}

describe('the positions of an entry', () => {
  it('are its own, and others evenly spread', () => {
    expect(positionsOf(5, 1)).to.deep.equal([5])
    expect(positionsOf(RING - 1, 2)).to.deep.equal([RING - 1, 2 ** 31 - 1])
    expect(positionsOf(0, 3)).to.deep.equal([0, 1_431_655_765, 2_863_311_530])

    fc.assert(fc.property(position, replicas, (at, count) => {
      const all = positionsOf(at, count)
      expect(all[0]).to.equal(at)
      expect(all.every(p => Number.isInteger(p) && p >= 0 && p < RING)).to.equal(true)
      all.forEach((p, i) => {
        const gap = count === 1 ? RING : (all[(i + 1) % count] - p + RING) % RING
        expect(Math.abs(gap - RING / count)).to.be.lessThan(1)
      })
    }))
  })

  it('lie in segments exactly if the entry lies in the kept ranges', () => {
    fc.assert(fc.property(segments, position, replicas, (all, at, count) => {
      const kept = keptRanges(all, count)

      for (const p of [at, ...samples(all, count)]) {
        expect(covers(kept, p)).to.equal(positionsOf(p, count).some(one => covers(all, one)))
      }
    }), { numRuns: 300 })
  })

  it('make a share of the entries of segments', () => {
    expect(shareOf([{ from: 7, width: RING / 8 }], 2)).to.equal(1 / 4)
    expect(shareOf([{ from: 0, width: 8 }, { from: 2 ** 31, width: 8 }], 2)).to.equal(16 / RING)

    fc.assert(fc.property(segments, replicas, (all, count) => {
      expect(shareOf(all, count)).to.be.closeTo(widthOf(keptRanges(all, count)) / RING, 1e-8)
    }))
  })
})

describe('the keepers of an entry', () => {
  it('are all whose segments cover one of its positions', () => {
    fc.assert(fc.property(members, position, replicas, (all, at, count) => {
      const placement = new Placement(all, count)

      for (const p of [at, ...samples(all.flatMap(({ segments }) => segments), count)]) {
        expect(placement.keepers(p)).to.deep.equal(keepersOf(p, count, all))
      }
    }))
  })

  it('are counted: how much of the ring has any, and how few there are', () => {
    expect(coverageOf([], 2)).to.equal(0)
    expect(thinnest([], 2)).to.equal(0)
    expect(coverageOf(named(3), 2)).to.equal(1)
    expect(thinnest(named(3), 2)).to.equal(3)
    expect(coverageOf([{ key: 'a', segments: [{ from: 9, width: RING / 4 }] }], 1)).to.equal(1 / 4)
    expect(coverageOf([{ key: 'a', segments: [{ from: 9, width: RING / 4 }] }], 2)).to.equal(1 / 2)

    // phases of halves of positions have no entry, so with two replicas none is between two entries
    fc.assert(fc.property(members, fc.constantFrom(1, 2, 4), (all, count) => {
      const placement = new Placement(all, count)
      const counts = samples(all.flatMap(({ segments }) => segments), count).map(p => placement.keepers(p).length)
      expect(thinnest(all, count)).to.equal(Math.min(...counts))
      expect(coverageOf(all, count) === 1).to.equal(thinnest(all, count) > 0)
    }))
  })
})

describe('the leaders of an entry', () => {
  it('are as many of its keepers as there are to be replicas, or all if there are fewer', () => {
    fc.assert(fc.property(members, position, replicas, (all, at, count) => {
      const placement = new Placement(all, count)
      const keepers = placement.keepers(at)
      const leaders = placement.leaders(at)

      expect(leaders).to.have.lengthOf(Math.min(count, keepers.length))
      expect(new Set(leaders).size).to.equal(leaders.length)
      expect(keepers).to.include.members(leaders)
    }))
  })

  it('are the same in whatever order the members come', () => {
    const shuffled = members.chain(all => fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length })))

    fc.assert(fc.property(shuffled, position, replicas, ([all, other], at, count) => {
      expect(new Placement(other, count).leaders(at)).to.deep.equal(new Placement(all, count).leaders(at))
    }))
  })

  it('are shared out evenly', () => {
    const placement = new Placement(named(20), 2)
    const led = new Map<string, number>()

    for (const at of someEntries(10_000)) {
      placement.leaders(at).forEach(key => led.set(key, (led.get(key) ?? 0) + 1))
    }

    // a thousand each
    expect(Math.min(...led.values())).to.be.greaterThan(850)
    expect(Math.max(...led.values())).to.be.lessThan(1150)
    expect(led.size).to.equal(20)
  })

  it('stay when somebody comes or goes, but where that one leads', () => {
    const before = new Placement(named(20), 2)
    const after = new Placement(named(21), 2)
    let moved = 0

    for (const at of someEntries(10_000)) {
      const leaders = after.leaders(at)

      if (leaders.includes('12D3KooW20')) {
        moved++
        expect(before.leaders(at)).to.include.members(leaders.filter(key => key !== '12D3KooW20'))
      } else {
        expect(leaders).to.deep.equal(before.leaders(at))
      }
    }

    expect(moved / 10_000).to.be.closeTo(2 / 21, 0.02)
  })

  it('are found for a hundred thousand entries among a thousand members within seconds', function () {
    this.timeout(20_000)
    const placement = new Placement(named(1000), 2)
    const total = someEntries(100_000).reduce((sum, at) => sum + placement.leaders(at).length, 0)

    expect(total).to.equal(200_000)
  })
})

interface Peer extends Member {
  limits: Limits
}

const BYTES = 1_000_000
/** Rounds within which all have to be content: five are common where many are full, so this is far off */
const ROUNDS = 30

function announced (peer: Peer, peers: Peer[], count: number, totalBytes = BYTES): Segment[] {
  return peer.isFixed === true ? [...peer.segments] : segmentsFor({ self: peer, members: peers, replicas: count, limits: peer.limits, totalBytes })
}

/** All of them adapt, at once or one after the other */
function adapted (peers: Peer[], count: number, isAtOnce: boolean): Peer[] {
  const next = [...peers]
  peers.forEach((peer, i) => {
    next[i] = { ...peer, segments: announced(peer, isAtOnce ? peers : next, count) }
  })
  return next
}

/** Until nobody changes. Returns the rounds in which somebody did */
function settle (peers: Peer[], count: number, isAtOnce: boolean, rounds = 0): { peers: Peer[], rounds: number } {
  const next = adapted(peers, count, isAtOnce)

  if (rounds === ROUNDS || next.every(({ segments }, i) => sameSegments(segments, peers[i].segments))) {
    return { peers, rounds }
  }
  return settle(next, count, isAtOnce, rounds + 1)
}

/** Somebody comes, or goes */
function changed (peers: Peer[], change: Change): Peer[] {
  if ('join' in change) {
    return [...peers, { key: `late-${peers.length}-${JSON.stringify(change)}`, segments: [], limits: change.join }]
  }
  return peers.filter((_, i) => i !== change.leave % peers.length)
}

function peersOf (limits: Limits[]): Peer[] {
  return limits.map((limits, i) => ({ key: `16Uiu2HAm${i}`, segments: [], limits }))
}

/** What it may keep by its limits, and what it will if it is in want of room */
function roomOf ({ cpu = 1, storage = Infinity }: Limits): { most: number, least: number } {
  const share = storage / BYTES
  return { most: Math.min(1, cpu, share), least: Math.min(1, cpu, share < 1 ? share * 0.9 : 1) }
}

const limit = fc.oneof(
  fc.constant({}),
  fc.double({ min: 0, max: 1, noNaN: true }).map(cpu => ({ cpu })),
  fc.double({ min: 0, max: 2, noNaN: true }).map(share => ({ storage: share * BYTES }))
)
const small = fc.double({ min: 0.01, max: 0.3, noNaN: true }).map(cpu => ({ cpu }))
const limits = fc.oneof(fc.array(limit, { minLength: 1, maxLength: 12 }), fc.array(small, { minLength: 1, maxLength: 12 }))
type Change = { join: Limits } | { leave: number }
const changes = fc.array(fc.oneof<Array<fc.Arbitrary<Change>>>(fc.record({ join: limit }), fc.record({ leave: fc.nat() })), { maxLength: 5 })

/** Segments end at whole positions */
const ROUNDING = 1e-6

function expectSettled (peers: Peer[], rounds: number, count: number): void {
  const adaptive = peers.filter(({ isFixed }) => isFixed !== true)
    .map(({ segments, limits }) => ({ share: shareOf(segments, count), ...roomOf(limits) }))

  expect(rounds).to.be.lessThan(ROUNDS)
  expect(adaptive.every(({ share, most }) => share <= most)).to.equal(true, 'more than the limit')

  if (coverageOf(peers, count) < 1) {
    expect(adaptive.every(({ share, least }) => share >= least - ROUNDING)).to.equal(true, 'somebody has room')
    // small changes are not made, so a twentieth can be covered twice
    expect(adaptive.reduce((sum, { least }) => sum + least, 0) * 0.95).to.be.lessThan(1)
  }
}

describe('peers that adapt', () => {
  it('cover everything while they are not more than the replicas', () => {
    for (const count of [1, 2, 3]) {
      const { peers } = settle(peersOf(Array.from({ length: count }, () => ({}))), count, true)
      expect(peers.map(({ segments }) => segments)).to.deep.equal(peers.map(() => ALL))
    }
  })

  it('cover everything as often as there are to be replicas, and little of it more often', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 4 }), fc.boolean(), (n, count, isAtOnce) => {
      const { peers, rounds } = settle(peersOf(Array.from({ length: n }, () => ({}))), count, isAtOnce)
      const copies = peers.reduce((sum, { segments }) => sum + shareOf(segments, count), 0)

      expect(rounds).to.be.at.most(2)
      expect(thinnest(peers, count)).to.equal(Math.min(n, count))
      // small changes are not made
      expect(copies).to.be.within(Math.min(n, count) - ROUNDING, Math.min(n, count) * 1.06)
      expect(peers.every(({ segments }) => segments.length === 1)).to.equal(true)
    }))
  })

  it('settle, whatever their limits and whoever comes and goes, with nothing uncovered while somebody has room', () => {
    fc.assert(fc.property(limits, changes, segments, fc.integer({ min: 1, max: 4 }), fc.boolean(), (start, changes, fixed, count, isAtOnce) => {
      const first: Peer[] = [...peersOf(start), { key: 'fixed', segments: fixed, isFixed: true, limits: {} }]
      let { peers, rounds } = settle(first, count, isAtOnce)
      expectSettled(peers, rounds, count)

      for (const change of changes) {
        ({ peers, rounds } = settle(changed(peers, change), count, isAtOnce))
        expectSettled(peers, rounds, count)
      }
    }), { numRuns: 500 })
  })

  it('have as many copies of everything as they are to have, if as many of them have no limits', () => {
    fc.assert(fc.property(limits, fc.integer({ min: 1, max: 4 }), fc.boolean(), (others, count, isAtOnce) => {
      const { peers } = settle(peersOf([...others, ...Array.from({ length: count }, () => ({}))]), count, isAtOnce)
      expect(thinnest(peers, count)).to.be.at.least(count)
    }))
  })

  it('take over from a neighbour that is full', () => {
    const { peers } = settle(peersOf([{ cpu: 0.01 }, { cpu: 0.01 }, {}, {}]), 1, true)

    expect(coverageOf(peers, 1)).to.equal(1)
    expect(peers.reduce((sum, { segments }) => sum + shareOf(segments, 1), 0)).to.be.closeTo(1, ROUNDING)
  })

  it('share what there is if two of them begin at one place', () => {
    const count = 2 ** 16
    const begins = new Map<number, string>()
    const pair: Peer[] = []

    for (let i = 0; pair.length === 0; i++) {
      const peer: Peer = { key: `k${i}`, segments: [], limits: { cpu: 0.5 } }
      const begin = announced(peer, [], count)[0].from % (RING / count)
      const other = begins.get(begin)

      if (other != null) {
        pair.push(peer, { ...peer, key: other })
      }
      begins.set(begin, peer.key)
    }

    expect(coverageOf(settle(pair, count, true).peers, count)).to.equal(1)
  })

  it('leave to those who do not adapt what these cover', () => {
    const fixed: Peer[] = ['x', 'y'].map(key => ({ key, segments: [{ from: 0, width: RING / 8 }], isFixed: true, limits: {} }))
    const { peers } = settle([...peersOf([{}, {}, {}, {}]), ...fixed], 2, true)
    const copies = peers.reduce((sum, { segments }) => sum + shareOf(segments, 2), 0)

    expect(thinnest(peers, 2)).to.equal(2)
    // it would be 2.5 if they did not
    expect(copies).to.be.within(2 - ROUNDING, 2 * 1.06)
  })

  it('keep nothing without room, and take it all when the whole log is small', () => {
    const [peer] = peersOf([{}])

    expect(segmentsFor({ self: peer, members: [], replicas: 2, limits: { cpu: 0 }, totalBytes: 10 })).to.deep.equal([])
    expect(segmentsFor({ self: peer, members: [], replicas: 2, limits: { storage: 0 }, totalBytes: 10 })).to.deep.equal([])
    expect(segmentsFor({ self: peer, members: [], replicas: 2, limits: { storage: 10 }, totalBytes: 10 })).to.deep.equal(ALL)
    expect(segmentsFor({ self: peer, members: [], replicas: 2, limits: { storage: 10 }, totalBytes: 0 })).to.deep.equal(ALL)
  })

  it('stay as they are while the log grows and shrinks a little, and never keep more than their storage', () => {
    let [peer] = peersOf([{ storage: BYTES / 2 }])
    let changes = 0

    for (let bytes = BYTES; bytes < 2 * BYTES; bytes *= 1.001) {
      // a guess that wavers
      for (const totalBytes of [bytes, bytes * 1.01, bytes * 0.99]) {
        const segments = announced(peer, [], 2, totalBytes)
        changes += sameSegments(segments, peer.segments) ? 0 : 1
        peer = { ...peer, segments }
        expect(shareOf(segments, 2) * totalBytes).to.be.at.most(BYTES / 2)
      }
    }

    // from a half to a quarter, by steps of a twentieth
    expect(changes).to.be.at.most(16)
  })

  it('do not move for less than a twentieth of their width, unless copies are missing', () => {
    const [a, b] = peersOf([{}, {}])
    const whole: Member = { ...b, segments: ALL, isFixed: true }
    const present = (width: number): Member => ({ ...a, segments: [{ from: 0, width }] })
    const given = { replicas: 1, totalBytes: BYTES }
    const width = 2 ** 30

    // nobody else has it: 1 % more is made
    expect(widthOf(segmentsFor({ ...given, self: present(RING * 0.99), members: [], limits: {} }))).to.equal(RING)
    // 4 % less is not made, 6 % is
    const part = { ...whole, segments: [{ from: Math.floor(width * 0.96), width: RING - Math.floor(width * 0.96) }] }
    expect(segmentsFor({ ...given, self: present(width), members: [part], limits: {} })).to.deep.equal([{ from: 0, width }])
    const more = { ...whole, segments: [{ from: Math.floor(width * 0.94), width: RING - Math.floor(width * 0.94) }] }
    expect(segmentsFor({ ...given, self: present(width), members: [more], limits: {} })).to.deep.equal([{ from: 0, width: Math.floor(width * 0.94) }])
  })
})
