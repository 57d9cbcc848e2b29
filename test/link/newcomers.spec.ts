import { expect } from 'aegir/chai'
import { Newcomers, placeOf } from '../../src/link/core/newcomers.ts'

const INIT = { budget: { rate: 250, burst: 500 }, shareBurst: 50, groupFor: 60_000 }

/** Each of these wants to cost so many milliseconds in each of `ms` milliseconds: what they may */
function run (newcomers: Newcomers, wants: Record<string, number>, from: number, ms: number): Record<string, number> {
  const used = Object.fromEntries(Object.keys(wants).map(group => [group, 0]))

  for (let now = from; now < from + ms; now++) {
    for (const [group, want] of Object.entries(wants)) {
      if (!newcomers.isSpent(group, now)) {
        newcomers.spend(group, want, now)
        used[group] += want
      }
    }
  }

  return used
}

describe('newcomers', () => {
  it('share one budget', () => {
    const { a, b } = run(new Newcomers(INIT, 0), { a: 0.5, b: 0.5 }, 0, 60_000)
    expect(a + b).to.be.within(60 * 250, 60 * 500 + 500 + 2 * 50 + 2)
  })

  it('are held up only for a moment by those who come again and again from one place', () => {
    const newcomers = new Newcomers(INIT, 0)
    // 0.05 of its time is less than its share
    const { honest, stranger } = run(newcomers, { stranger: 2, honest: 0.05 }, 0, 60_000)
    expect(honest).to.be.above(60_000 * 0.05 * 0.95)
    expect(stranger).to.be.below(60 * 500 + 600)
  })

  it('who all want more than there is get the same', () => {
    const newcomers = new Newcomers(INIT, 0)
    run(newcomers, { a: 1, b: 1, c: 1, d: 1 }, 0, 5000)
    const used = Object.values(run(newcomers, { a: 1, b: 1, c: 1, d: 1 }, 5000, 60_000))
    expect(Math.min(...used)).to.be.above(60 * 250 / 4 * 0.8)
    expect(used.reduce((sum, ms) => sum + ms, 0)).to.be.below(60 * 500 + 100)
  })

  it('are read again after as long as it says', () => {
    const newcomers = new Newcomers(INIT, 0)
    newcomers.spend('a', 1000, 0)
    newcomers.spend('b', 100, 0)
    expect(newcomers.isSpent('b', 0)).to.equal(true)
    const wait = newcomers.wait('b', 10, 0)
    expect(newcomers.isSpent('b', wait)).to.equal(false)
    expect(newcomers.isSpent('c', 0)).to.equal(false)
  })

  it('are not remembered when they cost nothing any more', () => {
    const newcomers = new Newcomers(INIT, 0)
    for (let i = 0; i < 1000; i++) {
      newcomers.spend(`${i}`, 1, i)
    }
    expect(newcomers.groups).to.equal(1000)
    newcomers.spend('a', 1, 70_000)
    expect(newcomers.groups).to.equal(1)
  })

  it('come from one place if the first bits of their addresses are the same, or the relay', () => {
    expect(placeOf('/ip4/192.0.2.7/tcp/4001/p2p/a')).to.equal('192.0.2')
    expect(placeOf('/ip6/2001:db8::7/tcp/4001')).to.equal('2001:db8:0')
    expect(placeOf('/ip6/2001:0DB8:0000:1::/udp/1/quic-v1')).to.equal('2001:db8:0')
    expect(placeOf('/ip6/::1/tcp/1')).to.equal('0:0:0')
    expect(placeOf('/ip4/192.0.2.7/tcp/4001/p2p/relay/p2p-circuit/p2p/a')).to.equal('relay')
    expect(placeOf('/dns4/example.org/tcp/443/wss')).to.equal('example.org')
    expect(placeOf('/webrtc')).to.equal('')
  })
})
