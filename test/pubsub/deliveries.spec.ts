import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { Deliveries } from '../../src/pubsub/core/deliveries.ts'
import type { DeliveryEffect, Outcome } from '../../src/pubsub/core/deliveries.ts'
import type { Key } from '../../src/pubsub/core/types.ts'

const INIT = { timeout: 1000, resendInterval: 300 }

function sent (to: Record<Key, Key | undefined>, wanted = Object.keys(to).length): Deliveries<string> {
  const deliveries = new Deliveries<string>(INIT)
  expect(deliveries.sent({ call: 1, topic: 't', seq: 7, content: 'content', to: new Map(Object.entries(to)), wanted }, 0)).to.deep.equal([])
  return deliveries
}

const settled = (outcome: Outcome, call = 1): Array<DeliveryEffect<string>> => [{ type: 'settled', call, outcome }]
const again = (...to: Key[]): Array<DeliveryEffect<string>> => [{ type: 'send', topic: 't', seq: 7, content: 'content', to }]

describe('messages that wait for acks', () => {
  it('are settled when all who were asked for have acked', () => {
    const deliveries = sent({ a: 'a', b: 'r' })

    expect(deliveries.receipt('acked', 't', 7, ['a'])).to.deep.equal([])
    expect(deliveries.receipt('acked', 't', 7, ['b'])).to.deep.equal(settled({ acked: ['a', 'b'], failed: [] }))
    expect(deliveries.size).to.equal(0)
    expect(deliveries.nextAt()).to.equal(Infinity)
  })

  it('are settled when as many have acked as satisfy the caller', () => {
    const deliveries = sent({ a: 'a', b: 'b', c: 'c' }, 2)
    deliveries.receipt('acked', 't', 7, ['a'])

    expect(deliveries.receipt('acked', 't', 7, ['c'])).to.deep.equal(settled({ acked: ['a', 'c'], failed: [] }))
  })

  it('are settled at once when they are for nobody', () => {
    const deliveries = new Deliveries<string>(INIT)

    expect(deliveries.sent({ call: 1, topic: 't', seq: 7, content: 'content', to: new Map(), wanted: 0 }, 0)).to.deep.equal(settled({ acked: [], failed: [] }))
    expect(deliveries.size).to.equal(0)
  })

  it('are settled with a reason for each who refused or could not be sent to', () => {
    const deliveries = sent({ a: 'a', b: 'b', c: 'c' })
    deliveries.receipt('not-subscribed', 't', 7, ['a'])
    deliveries.failed('t', 7, 'b', 'congested')

    expect(deliveries.receipt('acked', 't', 7, ['c'])).to.deep.equal(settled({
      acked: ['c'],
      failed: [{ key: 'a', reason: 'not-subscribed' }, { key: 'b', reason: 'congested' }]
    }))
  })

  it('do not count an ack twice, nor one of somebody else', () => {
    const deliveries = sent({ a: 'a', b: 'b' })

    for (const key of ['a', 'a', 'x']) {
      expect(deliveries.receipt('acked', 't', 7, [key])).to.deep.equal([])
    }
    expect(deliveries.receipt('acked', 't', 8, ['b'])).to.deep.equal([])
    expect(deliveries.receipt('acked', 'u', 7, ['b'])).to.deep.equal([])
    expect(deliveries.receipt('not-subscribed', 't', 7, ['a'])).to.deep.equal([])
    expect(deliveries.failed('t', 7, 'a', 'congested')).to.deep.equal([])
    expect(deliveries.receipt('acked', 't', 7, ['b'])).to.deep.equal(settled({ acked: ['a', 'b'], failed: [] }))
  })

  it('do not hear receipts that come late', () => {
    const deliveries = sent({ a: 'a' })
    deliveries.receipt('acked', 't', 7, ['a'])

    for (const status of ['acked', 'not-subscribed', 'unreachable'] as const) {
      expect(deliveries.receipt(status, 't', 7, ['a'])).to.deep.equal([])
    }
  })

  it('are sent again to those whose way is gone, and to nobody else', () => {
    const deliveries = sent({ a: 'a', b: 'r', c: 'r', d: 's' })
    deliveries.receipt('acked', 't', 7, ['c'])

    expect(deliveries.gone('r')).to.deep.equal(again('b'))
    deliveries.sentBy('t', 7, 'b', 's')
    expect(deliveries.gone('r')).to.deep.equal([])
    expect(deliveries.gone('s')).to.deep.equal(again('b', 'd'))
  })

  it('are sent again to those whom a relay cannot reach, while they are open', () => {
    const deliveries = sent({ a: 'r', b: 'r', c: 'r', d: 'r' })
    deliveries.receipt('acked', 't', 7, ['a'])
    deliveries.receipt('not-subscribed', 't', 7, ['b'])

    expect(deliveries.receipt('unreachable', 't', 7, ['a', 'b', 'c', 'x'])).to.deep.equal(again('c'))
    expect(deliveries.receipt('unreachable', 't', 7, ['a', 'b', 'x'])).to.deep.equal([])
  })

  it('are sent again now and then to those who have not acked', () => {
    const deliveries = sent({ a: 'a', b: 'b' })
    deliveries.receipt('acked', 't', 7, ['a'])

    expect(deliveries.nextAt()).to.equal(300)
    expect(deliveries.wake(299)).to.deep.equal([])
    expect(deliveries.wake(300)).to.deep.equal(again('b'))
    expect(deliveries.nextAt()).to.equal(600)
  })

  it('are given up when time is over', () => {
    const deliveries = sent({ a: 'a', b: 'b' })
    deliveries.receipt('acked', 't', 7, ['a'])

    expect(deliveries.wake(1000)).to.deep.equal(settled({ acked: ['a'], failed: [{ key: 'b', reason: 'timeout' }] }))
    expect(deliveries.size).to.equal(0)
  })

  it('are forgotten when the caller gives up, and settled when everything stops', () => {
    const deliveries = sent({ a: 'a' })
    deliveries.sent({ call: 2, topic: 't', seq: 8, content: 'content', to: new Map([['b', 'b']]), wanted: 1 }, 0)
    deliveries.abort(1)

    expect(deliveries.size).to.equal(1)
    expect(deliveries.stop()).to.deep.equal(settled({ acked: [], failed: [{ key: 'b', reason: 'stopped' }] }, 2))
    expect(deliveries.stop()).to.deep.equal([])
  })

  it('are settled once each, every destination with one fate, whatever happens', () => {
    const key = fc.constantFrom('a', 'b', 'c', 'x')
    const event = fc.oneof(
      fc.record({ do: fc.constantFrom('acked' as const, 'not-subscribed' as const, 'unreachable' as const, 'congested' as const), seq: fc.nat(3), key }),
      fc.record({ do: fc.constant('gone' as const), key }),
      fc.record({ do: fc.constant('time' as const), ms: fc.nat(400) })
    )

    fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 4, maxLength: 4 }), fc.array(event, { maxLength: 60 }), (wanted, events) => {
      const deliveries = new Deliveries<string>(INIT)
      const outcomes = new Map<number, Outcome>()
      let now = 0

      const note = (effects: Array<DeliveryEffect<string>>): void => {
        for (const effect of effects) {
          if (effect.type === 'settled') {
            expect(outcomes.has(effect.call)).to.equal(false)
            outcomes.set(effect.call, effect.outcome)
          } else {
            expect(effect.to).to.not.include('x').and.to.not.have.lengthOf(0)
            expect(outcomes.has(effect.seq)).to.equal(false)
          }
        }
      }

      for (let seq = 0; seq < 4; seq++) {
        note(deliveries.sent({ call: seq, topic: 't', seq, content: '', to: new Map([['a', 'a'], ['b', 'x'], ['c', 'x']]), wanted: wanted[seq] }, now))
      }
      for (const event of events) {
        if (event.do === 'time') {
          now += event.ms
          note(deliveries.wake(now))
        } else if (event.do === 'gone') {
          note(deliveries.gone(event.key))
        } else if (event.do === 'congested') {
          note(deliveries.failed('t', event.seq, event.key, 'congested'))
        } else {
          note(deliveries.receipt(event.do, 't', event.seq, [event.key]))
        }
      }

      note(deliveries.wake(now + INIT.timeout))
      expect(deliveries.size).to.equal(0)
      expect([...outcomes.keys()].sort()).to.deep.equal([0, 1, 2, 3])

      for (const [call, { acked, failed }] of outcomes) {
        const keys = [...acked, ...failed.map(({ key }) => key)]
        expect(new Set(keys).size).to.equal(keys.length)
        expect(acked.length >= wanted[call] || keys.length === 3).to.equal(true)
      }
    }))
  })
})
