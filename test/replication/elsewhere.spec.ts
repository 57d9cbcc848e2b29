import { expect } from 'aegir/chai'
import { RING } from '../../src/replication/core/ring.ts'
import { Elsewhere } from '../../src/replication/elsewhere.ts'
import { NoAnswerError } from '../../src/replication/errors.ts'
import { Holdings, placeOf } from '../../src/replication/holdings.ts'
import { eventually, range } from '../fixtures/directsub.ts'
import { closeLogs, collect, name, nameOfError, newLog, SetClock, text, texts } from '../fixtures/logs.ts'
import { contextOf } from '../fixtures/replication-context.ts'
import type { Entry, Log } from '../../src/index.ts'
import type { Segment } from '../../src/replication/core/ring.ts'
import type { ElsewhereInit } from '../../src/replication/elsewhere.ts'
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
    const { elsewhere } = of([{ log }], kept)
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
    const here = of([{ log }], ALL)
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
    expect(asked[0]).to.equal(1)
    expect(asked).to.include(0)
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
      const { elsewhere } = of([{ log, change, isMature: true }, { log }])
      expect(sorted(await collect(elsewhere.read({})))).to.deep.equal(sorted(entries))
    })
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

function of (peers: Peer[], kept: Segment[] = [], init: Partial<ElsewhereInit> = {}): { elsewhere: Elsewhere, asked: number[] } {
  const asked: number[] = []
  const firsts = new Map<string, Listed>()
  const questions = {
    ask: async (to: string, { segment, after }: List): Promise<Listed> => {
      const { log, gate, change } = peers[Number(to)]
      asked.push(Number(to))
      await gate
      const answer: Listed = { kind: 'list', ...await new Holdings(log, contextOf(new SetClock())).list(segment, after) }
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
  return { asked, elsewhere: new Elsewhere({ id: peers[0]?.log.id ?? '', clock: new SetClock(Date.now()), replicas: 2, ...init, questions, roster } as unknown as ElsewhereInit) }
}
