import { expect } from 'aegir/chai'
import { RING } from 'libp2p-sheaf'
import { refusalOf } from '../src/inspector/core/guard.ts'
import { ringOf } from '../src/inspector/core/ring.ts'
import { viewOf } from '../src/inspector/core/view.ts'
import { previewOf } from '../src/inspector/core/words.ts'
import type { StatusEvent } from '../src/events.ts'
import type { Facts } from '../src/inspector/core/facts.ts'

const NOW = 1_800_000_000_000
const WHOLE = [{ from: 0, width: RING }]

type Replicator = StatusEvent['replicators'][number]

function replicator (peer: string, about: Partial<Replicator> = {}): Replicator {
  return { peer, self: false, state: 'mature', here: true, ring: 1, entries: 1, ...about }
}

const ME = replicator('peer-of-me', { self: true })
const OTHER = replicator('peer-other')
const PRESENT = { peer: OTHER.peer, why: 'it is one', matureIn: 0 }

function statusOf (about: Partial<StatusEvent> = {}): StatusEvent {
  return {
    type: 'status',
    log: 'lobby',
    peer: ME.peer,
    store: './data',
    running: true,
    length: 7,
    bytes: 700,
    heads: 1,
    replicators: [ME, OTHER],
    coverage: 1,
    copies: 2,
    wanted: 2,
    synced: true,
    peers: [{ peer: OTHER.peer, equalAt: NOW - 3_000, missing: 0 }],
    problems: [],
    safe: true,
    ...about
  }
}

function factsOf (status: Partial<StatusEvent> = {}, about: Partial<Facts> = {}): Facts {
  return {
    now: NOW,
    startedAt: NOW - 90_000,
    addresses: [],
    status: statusOf(status),
    logProblems: [],
    segments: [{ peer: ME.peer, segments: WHOLE }, { peer: OTHER.peer, segments: WHOLE }],
    present: [PRESENT],
    neighbours: [],
    connections: [],
    known: [],
    progress: [],
    entries: [],
    transfers: [],
    mailboxes: [],
    dropped: [],
    ...about
  }
}

/** What the page says of the other peer */
function sayOfOther (status: Partial<StatusEvent>, about: Partial<Facts> = {}): string {
  const { level, state, why } = viewOf(factsOf(status, about)).peers.find(({ name }) => name === '-other') ?? {}
  return `${level}: ${state}. ${why}`
}

describe('what the inspector says', () => {
  for (const [answer, level, status] of [
    ['Yes. Every entry is kept by at least 2 nodes', 'good', {}],
    ['Not yet. Of some entries there is 1 copy', 'wait', { copies: 1, safe: false }],
    ['Not yet. Those who keep it have not all been found', 'wait', { synced: false, safe: false }],
    ['No. Nobody who is here keeps 25 % of the entries', 'bad', { coverage: 0.75, copies: 0, safe: false }],
    ['Not quite. There is one thing to look at', 'wait', { problems: ['a clock is wrong'], safe: false }]
  ] as const) {
    it(`of the safety of the data: ${answer}`, () => {
      const { safety } = viewOf(factsOf({ ...status, problems: [...'problems' in status ? status.problems : []] }))
      expect(`${safety.answer}. ${safety.why}`).to.include(answer)
      expect(safety.level).to.equal(level)
    })
  }

  it('names problems of the log itself, too', () => {
    const { problems } = viewOf(factsOf({ problems: ['a clock is wrong'] }, { logProblems: ['a page is damaged'] }))
    expect(problems).to.deep.equal(['A clock is wrong.', 'A page is damaged.'])
  })

  it('of a replicator: whether it is counted on, and why not', () => {
    const joined = { replicators: [ME, { ...OTHER, state: 'joined' as const }] }
    expect(sayOfOther({})).to.equal('good: Replicator. Others count on what it keeps.')
    expect(sayOfOther(joined, { present: [{ ...PRESENT, matureIn: 6_200 }] })).to.match(/^wait: Just joined\. .* another 7 s\.$/)
    expect(sayOfOther({ replicators: [ME, { ...OTHER, here: false }] }, { present: [] })).to.match(/^bad: Lost\. /)
    expect(sayOfOther({}, { present: [{ ...PRESENT, failing: 'silent' }] })).to.match(/^bad: Not counted on\. .* does not answer/)
    expect(sayOfOther({}, { present: [{ ...PRESENT, failing: 'unproven' }] })).to.match(/^bad: Not counted on\. .* could not prove/)
  })

  it('of a peer that is no replicator: why it is none', () => {
    const none = { replicators: [ME] }
    const neighbour = { peer: OTHER.peer, status: 'up', control: 0, data: 0, bulk: 0, repair: 0, waiting: 0, inFlight: 0, faults: 0 }
    const connection = { peer: OTHER.peer, isOutbound: true, isLimited: false }
    expect(sayOfOther(none, { present: [{ peer: OTHER.peer, why: 'canReplicate of this log refused it' }] }))
      .to.equal('idle: Not a replicator. CanReplicate of this log refused it.')
    expect(sayOfOther(none, { present: [], neighbours: [neighbour] })).to.match(/^idle: Not on this log\. .* not subscribed/)
    expect(sayOfOther(none, { present: [], connections: [connection] })).to.match(/^idle: Other protocols\. .* does not speak DirectSub/)
    expect(viewOf(factsOf({ replicators: [OTHER] })).peers[0].why).to.match(/told to keep nothing.*--replicate/)
    expect(viewOf(factsOf({ replicators: [ME] }, { present: [] })).peers[0].why).to.equal('It is the only one so far.')
  })

  it('of what waits on the way to a peer: lane by lane, and what is stuck', () => {
    const neighbour = { peer: OTHER.peer, status: 'waiting', control: 10, data: 2_000, bulk: 0, repair: 0, waiting: 1, inFlight: 50, faults: 2 }
    const { channel, lanes, remarks } = viewOf(factsOf({}, { neighbours: [neighbour] })).peers[1]
    expect(channel).to.equal('waiting for the next try')
    expect(lanes?.filter(({ isEmpty }) => !isEmpty).map(({ lane, bytes }) => `${lane} ${bytes}`)).to.deep.equal(['control 10 B', 'data 2 kB'])
    expect(remarks).to.deep.equal(['1 frame waits for room', '50 B under way', 'broke the protocol 2 times'])
  })

  it('how far a peer is in step: fetched, missing, not compared, or the same', () => {
    const say = (missing: number, equalAt?: number, progress: Facts['progress'] = []): unknown[] =>
      viewOf(factsOf({ peers: [{ peer: OTHER.peer, missing, equalAt }] }, { progress })).sync.map(({ level, words, done }) => [level, words, done])
    expect(say(0, NOW - 3_000)).to.deep.equal([['good', 'the same, 3 s ago', 1]])
    expect(say(0)).to.deep.equal([['wait', 'not compared yet', undefined]])
    expect(say(7)).to.deep.equal([['wait', 'has 7 entries that are not here yet', 0.5]])
    expect(say(7, undefined, [{ peer: OTHER.peer, done: 1_000, total: 4_000 }])).to.deep.equal([['wait', '1,000 of 4,000 entries fetched', 0.25]])
  })

  it('shows mailboxes with most waiting first, and the owner of one as peers are named elsewhere', () => {
    // the multihash of an Ed25519 key begins with 0x00 0x24
    const key = String.fromCharCode(0, 36, 8, 1, 18, 32, ...new Uint8Array(32).fill(200))
    const mailboxes = [
      { name: 'log writes', owner: 'lobby', depth: 1, age: 3.6, longest: 4 }, { name: 'questions', owner: key, depth: 9, age: 0, longest: 1 }
    ]
    const view = viewOf(factsOf({}, { mailboxes }))
    expect(view.mailboxes.map(({ name, depth }) => [name, depth])).to.deep.equal([['questions', 9], ['log writes', 1]])
    expect(view.mailboxes[0].owner).to.match(/^[1-9A-HJ-NP-Za-km-z]{6}$/)
    expect(view.mailboxes[1]).to.deep.include({ owner: 'lobby', age: 4 })
  })

  it('says how many rows it leaves out where there are more than anybody reads', () => {
    const present = Array.from({ length: 150 }, (_, i) => ({ peer: `peer${i}`, why: 'it says that it keeps nothing' }))
    const { peers, hiddenPeers } = viewOf(factsOf({ replicators: [ME] }, { present }))
    expect([peers.length, hiddenPeers]).to.deep.equal([100, 51])
  })
})

describe('the ring of the inspector', () => {
  const quarter = RING / 4
  const member = (peer: string, from: number, width: number, counts = true): Parameters<typeof ringOf>[0][number] =>
    ({ peer, segments: [{ from, width }], counts })

  it('shows where there are too few copies, and says how much that is', () => {
    // a quarter keeps the entries opposite of it, too: half of them
    const { bands, shares, copies } = ringOf([member('a', 0, quarter), member('b', quarter / 2, quarter)], 2)
    expect(copies).to.equal(0)
    expect(shares).to.deep.equal([{ copies: 0, share: 0.25 }, { copies: 1, share: 0.5 }, { copies: 2, share: 0.25 }])
    expect(bands.map(({ from, to, copies }) => [from, to, copies])).to.deep.equal([
      [0, 0.125, 1], [0.125, 0.25, 2], [0.25, 0.375, 1], [0.375, 0.5, 0],
      [0.5, 0.625, 1], [0.625, 0.75, 2], [0.75, 0.875, 1], [0.875, 1, 0]
    ])
  })

  it('draws a segment that goes past the end as two, and who is lost without counting it', () => {
    const { tracks, copies } = ringOf([member('a', 3 * quarter, 2 * quarter), member('b', 0, RING, false)], 2)
    expect(tracks[0].announced).to.deep.equal([{ from: 0, to: 0.25 }, { from: 0.75, to: 1 }])
    expect([tracks[0].share, tracks[1].counts, copies]).to.deep.equal([1, false, 1])
  })

  it('hides no gap, however narrow, and never has more bands than can be seen', () => {
    const gap = ringOf([member('a', 1, RING - 1)], 1)
    expect(gap.copies).to.equal(0)
    expect(gap.bands[0]).to.deep.equal({ from: 0, to: 1 / 720, copies: 0 })
    const segments = Array.from({ length: 2_000 }, (_, i) => ({ from: i * 2_000_000, width: 100_000 }))
    const many = ringOf([{ peer: 'a', segments, counts: true }], 1)
    expect(many.bands.length).to.be.at.most(720)
    expect(many.tracks[0].announced.length).to.be.at.most(256)
  })

  it('counts replicators for which there is no track', () => {
    const ring = ringOf(Array.from({ length: 11 }, (_, i) => member(`p${i}`, 0, RING)), 2)
    expect([ring.tracks.length, ring.hidden, ring.copies]).to.deep.equal([8, 3, 11])
  })
})

describe('the beginning of an entry', () => {
  const preview = (text: string): string | undefined => previewOf(new TextEncoder().encode(text))

  it('is text in one line, in which nothing steers what is around it', () => {
    expect(preview('one\n\ttwo')).to.equal('one two')
    expect(preview('a\u202eb\u0000c\u2066d')).to.equal('a\ufffdb\ufffdc\ufffdd')
    expect(preview('<b>ש</b> 👩‍🚀')).to.equal('<b>ש</b> 👩‍🚀')
  })

  it('is cut between letters, and is nothing where bytes are no text', () => {
    expect(preview('é'.repeat(1_000))).to.equal(`${'é'.repeat(160)}…`)
    // 640 bytes end within a letter of three
    expect(preview(`a${'€'.repeat(1_000)}`)).to.equal(`a${'€'.repeat(159)}…`)
    expect(previewOf(Uint8Array.of(0xff, 0xfe))).to.equal(undefined)
    expect(previewOf(Uint8Array.of(0xe2, 0x82))).to.equal(undefined)
  })
})

describe('who may ask the inspector', () => {
  const PORT = 9464
  const asked = { method: 'GET', host: `127.0.0.1:${PORT}` }

  it('is who calls it by a name of this machine, with its port', () => {
    for (const host of ['127.0.0.1:9464', 'localhost:9464', 'LOCALHOST:9464', '[::1]:9464']) {
      expect(refusalOf({ ...asked, host }, PORT), host).to.equal(undefined)
    }
    for (const host of [
      undefined, '', '127.0.0.1', 'localhost', '127.0.0.1:9465', 'evil.example:9464', '127.0.0.1.evil.example:9464',
      'localhost.:9464', '0.0.0.0:9464', '127.0.0.1:9464, evil.example', 'evil.example#@127.0.0.1:9464'
    ]) {
      expect(refusalOf({ ...asked, host }, PORT)?.status, host).to.equal(403)
    }
    expect(refusalOf({ ...asked, host: 'localhost' }, 80)).to.equal(undefined)
  })

  it('is no page of another origin, or of another site', () => {
    expect(refusalOf({ ...asked, origin: 'http://127.0.0.1:9464', site: 'same-origin' }, PORT)).to.equal(undefined)
    expect(refusalOf({ ...asked, site: 'none' }, PORT)).to.equal(undefined)
    for (const origin of ['null', 'http://evil.example', 'http://localhost:9464', 'https://127.0.0.1:9464', 'http://127.0.0.1:9465', '']) {
      expect(refusalOf({ ...asked, origin }, PORT)?.status, origin).to.equal(403)
    }
    for (const site of ['cross-site', 'same-site', 'something new']) {
      expect(refusalOf({ ...asked, site }, PORT)?.status, site).to.equal(403)
    }
  })

  it('changes nothing', () => {
    expect(refusalOf({ ...asked, method: 'HEAD' }, PORT)).to.equal(undefined)
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'get', undefined]) {
      expect(refusalOf({ ...asked, method }, PORT)?.status, method).to.equal(405)
    }
  })
})
