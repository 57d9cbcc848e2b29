import { expect } from 'aegir/chai'
import { Membership } from '../../src/replication/core/membership.ts'
import { full, lettersOf } from './model/documents.ts'
import type { MembershipEffect, MembershipInit } from '../../src/replication/core/membership.ts'

const GRACE = 10
const MATURITY = 100
const A = full('p', 1, 1, 'a')
const PLUS_B = full('p', 1, 2, 'ab')
const STOP = full('p', 1, 3, '')

function create (init: Partial<MembershipInit> = {}): Membership {
  return new Membership({ maturity: MATURITY, grace: GRACE, maxPeers: 10, maxBytes: 1000, ...init })
}

function opened (init: Partial<MembershipInit> = {}): Membership {
  const core = create(init)
  core.open(0)
  return core
}

/** One with a replicator p that keeps a */
function joined (init: Partial<MembershipInit> = {}): Membership {
  const core = opened(init)
  core.present('p', 0)
  core.receive(A, true, 0)
  return core
}

/** Effects in short. What is stored is left out: it has its own tests */
function tell (effects: MembershipEffect[]): string {
  return effects.filter(({ type }) => type !== 'store').map(effect => {
    const what = effect.type === 'store' || effect.type === 'ask' ? '' : ` ${lettersOf(effect.segments)}`
    return `${effect.type} ${effect.peer}${what}${effect.type === 'leave' ? ` ${effect.reason}` : ''}`
  }).join('; ')
}

function stores (effects: MembershipEffect[]): Array<[peer: string, document: string]> {
  return effects.flatMap(effect => {
    return effect.type === 'store' ? [[effect.peer, lettersOf(effect.document?.segments ?? [])] as [string, string]] : []
  })
}

function names (core: Membership): string {
  return [...core.replicators()].map(({ peer, segments, isMature }) => `${peer} ${lettersOf(segments)}${isMature ? ' mature' : ''}`).join('; ')
}

describe('who is a replicator', () => {
  describe('joins and leaves', () => {
    it('joins when it is here and says that it keeps something, whichever comes first', () => {
      const core = opened()
      expect(tell(core.receive(A, true, 0))).to.equal('')
      expect(tell(core.present('p', 0))).to.equal('join p a')

      const other = opened()
      expect(tell(other.present('p', 0))).to.equal('')
      expect(tell(other.receive(A, true, 0))).to.equal('join p a')
      expect(names(other)).to.equal('p a')
    })

    it('joins once for an announcement and the answer to a question in one tick', () => {
      const core = joined()
      expect(tell(core.receive(full('p', 1, 1, 'a'), true, 0))).to.equal('')
      expect(tell(core.receive(full('p', 1, 2, 'a'), true, 0))).to.equal('')
      expect(tell(core.present('p', 0))).to.equal('')
    })

    it('changes when it says something else, and does not join', () => {
      const core = joined()
      expect(tell(core.receive(PLUS_B, true, 1))).to.equal('change p ab')
      expect(tell(core.receive(full('p', 1, 3, 'c'), true, 2))).to.equal('change p c')
      expect(tell(core.receive(full('p', 2, 1, 'd'), true, 3))).to.equal('change p d')
    })

    it('makes no event of a reset to the same, nor of what is older', () => {
      const core = joined()
      expect(tell(core.receive(full('p', 1, 5, 'a'), true, 1))).to.equal('')
      expect(core.receive(full('p', 1, 4, 'c'), true, 1)).to.deep.equal([])
      expect(core.receive(full('p', 1, 5, 'a'), true, 1)).to.deep.equal([])
      expect(names(core)).to.equal('p a')
    })

    it('leaves when it stops, and joins again when it begins again', () => {
      const core = joined()
      expect(tell(core.receive(STOP, true, 1))).to.equal('leave p a stopped')
      expect(tell(core.receive(PLUS_B, true, 1))).to.equal('')
      expect(tell(core.receive(full('p', 1, 4, 'c'), true, 2))).to.equal('join p c')
    })

    it('leaves at once when it says that it leaves the topic, and joins again when it is back', () => {
      const core = joined()
      expect(tell(core.absent('p', true, 1))).to.equal('leave p a unsubscribed')
      expect(core.absent('p', true, 1)).to.deep.equal([])
      expect(tell(core.present('p', 2))).to.equal('join p a')
    })

    it('stays out when its document comes after it has left the topic', () => {
      const core = joined()
      core.absent('p', true, 1)
      expect(tell(core.receive(PLUS_B, true, 1))).to.equal('')
      expect(names(core)).to.equal('')
      expect(tell(core.present('p', 2))).to.equal('join p ab')
    })

    it('is out when canReplicate refuses it, and says so', () => {
      const core = opened()
      core.present('p', 0)
      expect(tell(core.receive(A, false, 0))).to.equal('')
      expect(core.why('p')).to.include('refused')
      expect(tell(core.receive(PLUS_B, true, 1))).to.equal('join p ab')
      expect(tell(core.receive(full('p', 1, 3, 'abc'), false, 2))).to.equal('leave p ab refused')
    })

    it('keeps peers apart', () => {
      const core = joined()
      core.present('q', 0)
      expect(tell(core.receive(full('q', 1, 1, 'b'), true, 0))).to.equal('join q b')
      expect(tell(core.absent('p', true, 1))).to.equal('leave p a unsubscribed')
      expect(names(core)).to.equal('q b')
    })
  })

  describe('time', () => {
    it('makes mature who has been in for the maturity time, once', () => {
      const core = joined()
      expect(core.nextWake()).to.equal(MATURITY)
      expect(core.wake(MATURITY - 1)).to.deep.equal([])
      expect(tell(core.wake(MATURITY))).to.equal('mature p a')
      expect(core.wake(MATURITY)).to.deep.equal([])
      expect(core.nextWake()).to.equal(Infinity)
      expect(names(core)).to.equal('p a mature')
    })

    it('knows since when one is in, mature or not, whatever it changes, until it joins again', () => {
      const core = opened()
      const since = (): number[] => [...core.replicators()].map(replicator => replicator.since)
      core.present('p', 7)
      core.receive(A, true, 7)
      core.wake(7 + MATURITY)
      core.receive(PLUS_B, true, 500)
      expect([names(core), since()]).to.deep.equal(['p ab mature', [7]])
      core.absent('p', true, 600)
      core.present('p', 603)
      expect([names(core), since()]).to.deep.equal(['p ab', [603]])
    })

    it('leaves one mature that changes', () => {
      const core = joined()
      core.wake(MATURITY)
      expect(tell(core.receive(PLUS_B, true, MATURITY))).to.equal('change p ab')
      expect(names(core)).to.equal('p ab mature')
    })

    it('begins again when one joins again', () => {
      const core = joined()
      core.absent('p', true, 50)
      core.present('p', 60)
      expect(core.wake(MATURITY)).to.deep.equal([])
      expect(tell(core.wake(60 + MATURITY))).to.equal('mature p a')
    })

    it('waits for one that is lost: who is back within the grace time neither leaves nor joins', () => {
      const core = joined()
      expect(core.absent('p', false, 1)).to.deep.equal([])
      expect([...core.replicators()].map(({ isPresent }) => isPresent)).to.deep.equal([false])
      expect(core.wake(GRACE)).to.deep.equal([])
      expect(core.present('p', GRACE)).to.deep.equal([])
      expect(core.wake(5 * GRACE)).to.deep.equal([])
      expect(names(core)).to.equal('p a')
    })

    it('lets go, once, of one that stays away', () => {
      const core = joined()
      core.absent('p', false, 1)
      expect(core.nextWake()).to.equal(1 + GRACE)
      expect(tell(core.wake(1 + GRACE))).to.equal('leave p a unreachable')
      // what it said is known for a while
      expect(core.nextWake()).to.equal(1 + 2 * GRACE)
      expect([core.size, tell(core.wake(1 + 2 * GRACE)), core.size]).to.deep.equal([1, '', 0])
      expect(tell(core.present('p', 2 + 2 * GRACE))).to.equal('')
    })

    it('does not wait longer for one because it is missed once more', () => {
      const core = joined()
      core.absent('p', false, 0)
      core.absent('p', false, GRACE - 1)
      expect(tell(core.wake(GRACE))).to.equal('leave p a unreachable')
    })

    it('does not wait for one that was lost, and then says that it leaves', () => {
      const core = joined()
      core.absent('p', false, 0)
      expect(tell(core.absent('p', true, 1))).to.equal('leave p a unsubscribed')
    })

    it('knows why one leaves that was lost: it stopped in the meantime', () => {
      const core = joined()
      core.absent('p', false, 0)
      expect(tell(core.receive(STOP, true, 1))).to.equal('leave p a stopped')
      expect(tell(core.receive(full('p', 1, 4, 'b'), true, 2))).to.equal('')
      expect(tell(core.present('p', 3))).to.equal('join p b')
    })

    it('lets one mature while it is waited for', () => {
      const core = joined({ grace: 1000 })
      core.absent('p', false, 0)
      expect(tell(core.wake(MATURITY))).to.equal('mature p a')
    })

    it('forgets who is gone, some time later: an old document is no news until then', () => {
      const core = joined()
      core.receive(full('p', 1, 9, 'b'), true, 0)
      core.absent('p', true, 0)
      core.wake(GRACE - 1)
      core.receive(A, true, GRACE - 1)
      expect(core.infoOf('p')?.sequence).to.equal(9)

      // what it said last it said a moment ago
      core.wake(2 * GRACE - 2)
      expect(core.size).to.equal(1)
      core.wake(2 * GRACE - 1)
      expect([core.size, core.bytes, core.nextWake()]).to.deep.equal([0, 0, Infinity])
    })
  })

  describe('what is missing', () => {
    it('is asked for when its owner comes, again if the answer was lost, until it is here', () => {
      const core = joined({ maxBytes: A.bytes.byteLength })
      const q = full('q', 1, 2, 'a')
      core.present('q', 0)
      expect(core.receive(q, true, 0)).to.deep.equal([])
      expect(tell(core.present('q', 1))).to.equal('ask q')
      expect(tell(core.present('q', 2))).to.equal('ask q')
      core.absent('p', true, 3)
      // an older one that is small enough is no answer
      expect(tell(core.receive(full('q', 1, 1, ''), true, 3))).to.equal('')
      expect(tell(core.present('q', 3))).to.equal('ask q')
      expect(tell(core.receive(q, true, 3))).to.equal('join q a')
      expect(tell(core.present('q', 4))).to.equal('')
    })

    it('is asked for when we are open, of those that are here', () => {
      const core = create({ maxBytes: 1 })
      core.present('p', 0)
      core.receive(A, true, 0)
      core.receive(full('q', 1, 1, 'a'), true, 0)
      expect(tell(core.open(0))).to.equal('ask p')
    })
  })

  describe('while we open', () => {
    it('tells of nothing, and of all at once when we are open', () => {
      const core = create()
      expect(core.receive(A, true, 0)).to.deep.equal([])
      expect(core.receive(PLUS_B, true, 0)).to.deep.equal([])
      expect(core.present('p', 0)).to.deep.equal([])
      expect(core.nextWake()).to.equal(Infinity)
      expect(core.wake(1)).to.deep.equal([])
      expect(names(core)).to.equal('')
      expect(tell(core.open(2))).to.equal('join p ab')
      expect(core.open(2)).to.deep.equal([])
    })

    it('stays out who stops before we are open, also when an older announcement comes late', () => {
      const core = create()
      core.present('p', 0)
      core.receive(A, true, 0)
      core.receive(STOP, true, 0)
      core.receive(PLUS_B, true, 0)
      expect(tell(core.open(0))).to.equal('')
      expect(names(core)).to.equal('')
    })

    it('stays out who leaves before we are open', () => {
      const core = create()
      core.receive(A, true, 0)
      core.present('p', 0)
      core.absent('p', true, 0)
      expect(tell(core.open(0))).to.equal('')
    })

    it('keeps what came before its owner, for the grace time after we are open', () => {
      const core = create()
      core.receive(A, true, 0)
      core.open(500)
      core.wake(500 + GRACE - 1)
      expect(tell(core.present('p', 500 + GRACE - 1))).to.equal('join p a')
    })

    it('counts maturity from when we are open', () => {
      const core = create()
      core.present('p', 0)
      core.receive(A, true, 0)
      core.open(50)
      expect(core.nextWake()).to.equal(50 + MATURITY)
    })
  })

  describe('after a restart', () => {
    it('joins once who is back, before we are open or after', () => {
      const early = create()
      early.remember(A, true, 0)
      early.present('p', 0)
      expect(tell(early.open(0))).to.equal('join p a')
      expect(tell(early.receive(full('p', 1, 1, 'a'), true, 1))).to.equal('')

      const late = create()
      late.remember(A, true, 0)
      expect(tell(late.open(0))).to.equal('')
      expect(names(late)).to.equal('')
      expect(tell(late.present('p', GRACE - 1))).to.equal('join p a')
    })

    it('forgets without a word who does not come back', () => {
      const core = create()
      core.remember(A, true, 0)
      core.remember(PLUS_B, true, 0)
      core.open(0)
      expect(core.absent('p', false, 1)).to.deep.equal([])
      expect(core.wake(GRACE)).to.deep.equal([{ type: 'store', peer: 'p' }])
      core.wake(2 * GRACE)
      expect(core.size).to.equal(0)
    })

    it('believes what came while it read rather than what it read', () => {
      const core = create()
      core.present('p', 0)
      core.receive(full('p', 2, 1, 'c'), true, 0)
      core.remember(A, true, 0)
      core.remember(PLUS_B, true, 0)
      const effects = core.open(0)
      expect(tell(effects)).to.equal('join p c')
      expect(stores(effects)).to.deep.equal([['p', 'c']])
    })

    it('forgets who is here and is refused now', () => {
      const core = create()
      core.remember(A, false, 0)
      core.present('p', 0)
      expect(core.open(0)).to.deep.equal([{ type: 'store', peer: 'p' }])
    })
  })

  describe('what is stored', () => {
    it('is what those said who are in, and nothing of those who left', () => {
      const core = opened()
      core.present('p', 0)
      expect(stores(core.receive(A, true, 0))).to.deep.equal([['p', 'a']])
      expect(stores(core.receive(PLUS_B, true, 0))).to.deep.equal([['p', 'ab']])
      expect(stores(core.receive(full('p', 1, 3, 'ab'), true, 0))).to.deep.equal([['p', 'ab']])
      expect(stores(core.receive(A, true, 0))).to.deep.equal([])
      expect(stores(core.absent('p', true, 0))).to.deep.equal([['p', '']])
      expect(stores(core.receive(full('p', 1, 4, 'a'), true, 0))).to.deep.equal([])
      expect(stores(core.present('p', 0))).to.deep.equal([['p', 'a']])
    })

    it('is not stored again when it was remembered, and is when a newer one is known', () => {
      const core = create()
      core.remember(A, true, 0)
      core.present('p', 0)
      expect(stores(core.open(0))).to.deep.equal([])

      const other = create()
      other.receive(A, true, 0)
      other.receive(PLUS_B, true, 0)
      other.remember(A, true, 0)
      other.present('p', 0)
      expect(stores(other.open(0))).to.deep.equal([['p', 'ab']])
    })
  })

  describe('closing', () => {
    it('ends all of it, without an event', () => {
      const core = joined()
      core.close()
      const effects = [
        core.receive(PLUS_B, true, 1), core.remember(A, true, 1), core.present('q', 1), core.absent('p', true, 1), core.open(1), core.wake(1000)
      ]
      expect(effects.flat()).to.deep.equal([])
      expect([core.status, core.size, core.bytes, core.nextWake(), names(core)]).to.deep.equal(['closed', 0, 0, Infinity, ''])
    })

    it('is possible before we are open', () => {
      const core = create()
      core.receive(A, true, 0)
      core.close()
      expect(core.open(0)).to.deep.equal([])
      expect([core.status, core.size]).to.deep.equal(['closed', 0])
    })
  })

  describe('bounds', () => {
    it('forgets first who is out and gone for longest, and never who is in, here or waited for', () => {
      const core = joined({ maxPeers: 3 })
      core.receive(full('q', 1, 1, 'a'), true, 0)
      core.receive(full('r', 1, 1, 'a'), true, 0)
      core.receive(full('q', 1, 1, 'a'), true, 0)
      core.receive(full('s', 1, 1, 'a'), true, 0)
      expect(['p', 'q', 'r', 's'].map(peer => core.infoOf(peer) != null)).to.deep.equal([true, true, false, true])

      core.present('q', 0)
      core.present('s', 0)
      expect(core.present('t', 0)).to.deep.equal([])
      expect(core.receive(full('t', 1, 1, 'a'), true, 0)).to.deep.equal([])
      expect(names(core)).to.equal('p a; q a; s a')
    })

    it('forgets neither who is here and says nothing, nor who is remembered and waited for', () => {
      const core = create({ maxPeers: 2 })
      core.remember(A, true, 0)
      core.present('q', 0)
      expect(core.present('r', 0)).to.deep.equal([])
      core.open(0)
      expect(core.present('r', 0)).to.deep.equal([])
      expect(tell(core.receive(full('q', 1, 1, 'a'), true, 0))).to.equal('join q a')
      expect(tell(core.present('p', 0))).to.equal('join p a')
    })

    it('makes room for one that is here by what those said who are not, and asks these when they come', () => {
      const { byteLength } = A.bytes
      const core = opened({ maxBytes: 2 * byteLength })
      core.receive(full('q', 1, 1, 'a'), true, 0)
      core.receive(full('r', 1, 1, 'a'), true, 0)
      core.present('p', 0)
      expect(tell(core.receive(A, true, 0))).to.equal('join p a')
      expect(core.bytes).to.equal(2 * byteLength)
      expect(core.infoOf('q')).to.equal(undefined)
      expect(tell(core.present('q', 0))).to.equal('ask q')
      expect(tell(core.present('r', 0))).to.equal('join r a')
    })

    it('keeps what it knows where there is no room for what is newer, and asks for that when its owner comes next', () => {
      const core = joined({ maxBytes: A.bytes.byteLength })
      expect(core.receive(PLUS_B, true, 1)).to.deep.equal([])
      expect(names(core)).to.equal('p a')
      core.absent('p', false, 2)
      expect(tell(core.present('p', 3))).to.equal('ask p')
    })

    it('always has room for one that stops', () => {
      const core = joined({ maxBytes: 1 })
      expect(names(core)).to.equal('')
      const full = joined({ maxBytes: A.bytes.byteLength })
      expect(tell(full.receive(STOP, true, 1))).to.equal('leave p a stopped')
    })
  })

  it('says why a peer is none', () => {
    const core = create()
    expect(core.why('p')).to.include('nothing is known of it')
    core.present('p', 0)
    expect(core.why('p')).to.include('has not said yet')
    core.receive(A, true, 0)
    expect(core.why('p')).to.include('not open yet')
    core.open(0)
    expect(core.why('p')).to.equal('it is one')
    core.absent('p', false, 0)
    expect(core.why('p')).to.include('out of reach')
    core.absent('p', true, 0)
    expect(core.why('p')).to.include('not on the topic')
    core.receive(STOP, true, 0)
    expect(core.why('p')).to.include('keeps nothing')
    core.present('q', 0)
    core.absent('q', false, 0)
    expect(core.why('q')).to.include('never said')
  })

  it('says whether a document is news, and changes nothing', () => {
    const core = joined()
    expect([A, PLUS_B, full('p', 2, 0, ''), full('q', 1, 1, 'a')].map(document => core.isNews(document))).to.deep.equal([false, true, true, true])
    expect([core.size, names(core), core.isIn('p'), core.isIn('q')]).to.deep.equal([1, 'p a', true, false])
  })
})
