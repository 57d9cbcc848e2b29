import { expect } from 'aegir/chai'
import { CAN_APPEND_DEADLINE } from '../../src/log/constants.ts'
import { RING } from '../../src/replication/core/ring.ts'
import { MAX_STRIKES, Trust } from '../../src/replication/core/trust.ts'
import { Digests, placeOf } from '../../src/replication/digests.ts'
import { NoAnswerError } from '../../src/replication/errors.ts'
import { RemoteReads } from '../../src/replication/remote-reads.ts'
import { eventually, range } from '../fixtures/directsub.ts'
import { closeLogs, collect, name, nameOfError, newLog, SetClock, text, texts, WindClock } from '../fixtures/logs.ts'
import { contextOf } from '../fixtures/replication-context.ts'
import type { Entry, Log } from '../../src/index.ts'
import type { Segment } from '../../src/replication/core/ring.ts'
import type { RemoteReadsInit } from '../../src/replication/remote-reads.ts'
import type { Answer, Question } from '../../src/replication/wire.ts'

const GROUPS = 150
const OF_A_GROUP = 20
const ALL: Segment[] = [{ from: 0, width: RING }]

type List = Extract<Question, { kind: 'list' }>
type Listed = Extract<Answer, { kind: 'list' }>

interface Peer {
  log: Log
  segments?: Segment[]
  isMature?: boolean
  /** It answers after that */
  gate?: Promise<void>
  /** What it makes of an answer */
  change? (answer: Listed, asked: number, first: Listed): Listed
}

describe('what is kept elsewhere', () => {
  let log: Log
  let entries: Entry[]

  before(async () => {
    log = await newLog()
    for (const i of range(GROUPS)) {
      await log.appendMany(texts(OF_A_GROUP, `${i} `), { group: text(`group ${i}`) })
    }
    entries = await collect(log.entries())
  })
  after(closeLogs)

  it('is all there is, where nothing is kept here, those of one group one after the other', async () => {
    const { elsewhere, asked } = of([{ log }])
    const read = await collect(elsewhere.read({}))
    expect(sorted(read)).to.deep.equal(sorted(entries))
    const places = await Promise.all(read.map(async entry => placeOf(entry)))
    expect(places).to.deep.equal([...places].sort((a, b) => a - b))
    expect(asked.length).to.be.within(2, 12)
  })

  it('is only what is for others to keep', async () => {
    const kept = [{ from: 2 ** 30, width: 2 ** 31 }]
    const { elsewhere } = of([{ log }], kept, { pairs: () => new Map([['0', { hasAll: ALL }]]) as any })
    const read = await collect(elsewhere.read({}))
    const places = await Promise.all(entries.map(async entry => placeOf(entry)))
    expect(sorted(read)).to.deep.equal(sorted(entries.filter((_, i) => places[i] < 2 ** 30 || places[i] >= 3 * 2 ** 30)))
    expect(read.length).to.be.greaterThan(0)
  })

  it('is of one group if it is asked for, and nothing if that is kept here', async () => {
    const { elsewhere, asked } = of([{ log }])
    const read = await collect(elsewhere.read({ group: text('group 7') }))
    expect(sorted(read)).to.deep.equal(sorted(entries.filter(({ data }) => new TextDecoder().decode(data).startsWith('7 '))))
    expect(asked).to.have.lengthOf(1)
    const here = of([{ log }], ALL, { pairs: () => new Map([['0', { hasAll: ALL }]]) as any })
    expect(await collect(here.elsewhere.read({ group: text('group 7') }))).to.deep.equal([])
    expect(await collect(here.elsewhere.read({}))).to.deep.equal([])
    expect([await elsewhere.keeps(text('group 7')), await here.elsewhere.keeps(text('group 7'))]).to.deep.equal([false, true])
    expect(here.asked).to.deep.equal([])
  })

  it('comes from one after the other where each keeps a part, from those first that have been in for longer', async () => {
    const { elsewhere, asked } = of([
      { log, segments: [{ from: 0, width: RING / 2 }] },
      { log, segments: [{ from: RING / 4, width: RING / 4 }], isMature: true }
    ])
    expect(sorted(await collect(elsewhere.read({})))).to.deep.equal(sorted(entries))
    expect(asked).to.include.members([0, 1])
    const all = of([{ log }, { log }, { log, isMature: true }])
    await collect(all.elsewhere.read({ group: text('group 7') }))
    expect(all.asked).to.deep.equal([2, 0])
  })

  const misbehaviours: Record<string, NonNullable<Peer['change']>> = {
    'goes away': (answer, asked) => {
      if (asked > 1) {
        throw new NoAnswerError('gone')
      }
      return answer
    },
    'tells what it told': (answer, asked, first) => asked > 1 ? first : answer,
    'tells nothing, and that there is more': () => ({ kind: 'list', entries: [], isEnd: false }),
    'tells them in another order': answer => ({ ...answer, entries: answer.entries.slice().reverse() }),
    'tells what is no entry': answer => ({ ...answer, entries: [{ bytes: text('what'), proof: text('ever') }] })
  }

  Object.entries(misbehaviours).forEach(([what, change]) => {
    it(`comes from the next one, each once, when one ${what}`, async () => {
      const { elsewhere } = of([{ log, change, isMature: true }, { log }, { log }])
      expect(sorted(await collect(elsewhere.read({})))).to.deep.equal(sorted(entries))
    })

    it(`is told in full, and then that there may be more, where one ${what} and there are too few others, until it is passed over`, async () => {
      const { elsewhere, asked } = of([{ log, change, isMature: true }, { log }])

      for (let i = 0; i < MAX_STRIKES; i++) {
        const read: Entry[] = []
        expect(await nameOfError(collectInto(read, elsewhere.read({})))).to.equal('NoReplicatorError')
        expect(sorted(read)).to.deep.equal(sorted(entries))
      }

      asked.length = 0
      expect(sorted(await collect(elsewhere.read({})))).to.deep.equal(sorted(entries))
      expect(asked).to.not.include(0)
    })
  })

  const hidings: Record<string, NonNullable<Peer['change']>> = {
    everything: () => ({ kind: 'list', entries: [], isEnd: true }),
    'every other entry': answer => ({ ...answer, entries: answer.entries.filter((_, i) => i % 2 === 0) }),
    'what lies behind its first answer': answer => ({ ...answer, isEnd: true })
  }

  Object.entries(hidings).forEach(([what, change]) => {
    it(`is told in full by another one where one hides ${what}, and is in the order of the ring`, async () => {
      const { elsewhere } = of([{ log, change, isMature: true }, { log }])
      const read = await collect(elsewhere.read({}))
      expect(sorted(read)).to.deep.equal(sorted(entries))
      const places = read.map(placeOf)
      expect(places).to.deep.equal([...places].sort((a, b) => a - b))
      expect(await collect(elsewhere.read({ group: text('group 7') }))).to.have.lengthOf(OF_A_GROUP)
    })
  })

  it('is asked of no more than there are copies, while they answer', async () => {
    const { elsewhere, asked } = of(range(5).map(() => ({ log })))
    await collect(elsewhere.read({ group: text('group 7') }))
    expect(asked).to.deep.equal([0, 1])
  })

  it('is what this node keeps, too, until it was compared with all who keep it: then it is here for as long as it is kept', async () => {
    const pairs = new Map<string, { hasAll: Segment[] }>()
    const peers: Peer[] = [{ log }]
    const { elsewhere, roster } = of(peers, ALL, { pairs: () => pairs as any })
    const group = text('group 7')
    const state = async (): Promise<[boolean, number]> => [await elsewhere.keeps(group), (await collect(elsewhere.read({ group }))).length]
    expect(await state()).to.deep.equal([false, OF_A_GROUP])
    pairs.set('0', { hasAll: [] })
    expect(await state()).to.deep.equal([false, OF_A_GROUP])
    pairs.set('0', { hasAll: ALL })
    expect(await state()).to.deep.equal([true, 0])
    // who comes later brings what it has
    roster.replicators.push({ ...roster.replicators[0], peer: '1' })
    peers.push({ log })
    pairs.clear()
    expect(await state()).to.deep.equal([true, 0])
    roster.kept = []
    expect(await state()).to.deep.equal([false, OF_A_GROUP])
    roster.kept = [...ALL]
    expect(await state()).to.deep.equal([false, OF_A_GROUP])
    roster.replicators.length = 0
    expect(await state()).to.deep.equal([true, 0])
  })

  it('of what this node is to keep, it is no error that nobody shows it: what is here is what there is', async () => {
    const mute = of([{ log, change: () => { throw new NoAnswerError('it refused') } }], ALL)
    expect(await collect(mute.elsewhere.read({}))).to.deep.equal([])
  })

  it('is refused by a canAppend that throws, and by one that says nothing for too long', async () => {
    const group = text('group 7')
    const throwing = of([{ log }], [], { canAppend: () => { throw new Error('it cannot be read') } })
    const rejecting = of([{ log }], [], { canAppend: async () => { throw new Error('it cannot be read') } })
    expect(await collect(throwing.elsewhere.read({ group }))).to.deep.equal([])
    expect(await collect(rejecting.elsewhere.read({ group }))).to.deep.equal([])
    const clock = new WindClock(Date.now())
    const hanging = of([{ log }], [], { clock, canAppend: async () => new Promise(() => {}) })
    let read: Entry[] | undefined
    void collect(hanging.elsewhere.read({ group })).then(all => { read = all })
    await eventually('it waits for ever', () => {
      clock.wind(CAN_APPEND_DEADLINE)
      return read != null
    })
    expect(read).to.deep.equal([])
  })

  it('has no entry in it whose proof is false, that is ahead, or that canAppend refuses', async () => {
    const forge: Peer['change'] = answer => ({ ...answer, entries: answer.entries.map(({ bytes }) => ({ bytes, proof: text('a proof') })) })
    expect(await collect(of([{ log, change: forge }]).elsewhere.read({ group: text('group 7') }))).to.deep.equal([])
    const refusing = of([{ log }], [], { canAppend: ({ data }) => new TextDecoder().decode(data).endsWith('3') })
    expect(await collect(refusing.elsewhere.read({ group: text('group 7') }))).to.have.lengthOf(2)
    const past = of([{ log }], [], { clock: new SetClock(1_000) })
    expect(await collect(past.elsewhere.read({ group: text('group 7') }))).to.deep.equal([])
  })

  it('is asked for in turns, and who gives up waiting for one does so at once', async () => {
    const gate = Promise.withResolvers<void>()
    const { elsewhere, asked } = of([{ log, gate: gate.promise }])
    const reading = range(20).map(async i => collect(elsewhere.read({ group: text(`group ${i}`) })))
    const controller = new AbortController()
    const aborted = nameOfError(collect(elsewhere.read({ group: text('group 20'), signal: controller.signal })))
    await eventually('nobody was asked', () => asked.length === 8)
    controller.abort(new TypeError('enough'))
    expect(await aborted).to.equal('TypeError')
    expect(asked).to.have.lengthOf(8)
    gate.resolve()
    expect((await Promise.all(reading)).map(({ length }) => length)).to.deep.equal(new Array(20).fill(OF_A_GROUP))
    expect(asked).to.have.lengthOf(20)
  })

  it('cannot be read when nobody is here who keeps it, or none of them answers', async () => {
    const half = of([{ log, segments: [{ from: 0, width: RING / 4 }] }])
    const refusing = of([{ log, change: () => { throw new NoAnswerError('it refused') } }])

    for (const { elsewhere } of [of([]), half, refusing]) {
      expect(await nameOfError(collect(elsewhere.read({})))).to.equal('NoReplicatorError')
    }
  })
})

function sorted (entries: Entry[]): string[] {
  return entries.map(name).sort()
}

async function collectInto (all: Entry[], source: AsyncIterable<Entry>): Promise<void> {
  for await (const entry of source) {
    all.push(entry)
  }
}

interface Setting {
  elsewhere: RemoteReads
  asked: number[]
  roster: { kept: Segment[], here: string[], replicators: Array<{ peer: string, segments: Segment[], isMature: boolean, isPresent: boolean }> }
}

function of (peers: Peer[], kept: Segment[] = [], init: Partial<RemoteReadsInit> = {}): Setting {
  const asked: number[] = []
  const firsts = new Map<string, Listed>()
  const questions = {
    ask: async (to: string, { segment, after }: List): Promise<Listed> => {
      const { log, gate, change } = peers[Number(to)]
      asked.push(Number(to))
      await gate
      const answer: Listed = { kind: 'list', ...await new Digests(log, contextOf(new SetClock())).list(segment, after) }
      const first = firsts.get(to) ?? answer
      firsts.set(to, first)
      return change == null ? answer : change(answer, asked.filter(other => other === Number(to)).length, first)
    }
  }
  const roster = {
    kept,
    here: peers.map((_, i) => `${i}`),
    replicators: peers.map(({ segments = ALL, isMature = false }, i) => ({ peer: `${i}`, segments, isMature, isPresent: true }))
  }
  const base = { id: peers[0]?.log.id ?? '', clock: new SetClock(Date.now()), replicas: 2, trust: new Trust(), pairs: () => undefined }
  return { asked, roster, elsewhere: new RemoteReads({ ...base, ...init, questions, roster } as unknown as RemoteReadsInit) }
}
