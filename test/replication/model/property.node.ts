import { expect } from 'aegir/chai'
import fc from 'fast-check'
import { Membership } from '../../../src/replication/core/membership.ts'
import { again, lettersOf } from './documents.ts'
import { compare, observe, trace } from './observer.ts'
import { storyOf } from './stories.ts'
import type { View } from './observer.ts'
import type { Document } from '../../../src/replication/core/info.ts'
import type { MembershipEffect, MembershipInit } from '../../../src/replication/core/membership.ts'
import type { Key } from '../../../src/replication/core/types.ts'

const OWNERS = ['p', 'q', 'r']
const LIMITS: MembershipInit = { maturity: 30, grace: 10, maxPeers: Infinity, maxBytes: Infinity }
const RUNS = 300

type Step =
  | { type: 'receive' | 'remember', owner: Key, at: number }
  | { type: 'present', owner: Key }
  | { type: 'absent', owner: Key, isSaid: boolean }
  | { type: 'wake', after: number }
  | { type: 'open' }

const owner = fc.constantFrom(...OWNERS)
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ type: fc.constant('receive' as const), owner, at: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('remember' as const), owner, at: fc.nat(20) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('present' as const), owner }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('absent' as const), owner, isSaid: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('wake' as const), after: fc.nat(40) }) },
  { weight: 1, arbitrary: fc.constant({ type: 'open' as const }) }
)
const stories = fc.tuple(...OWNERS.map(storyOf)).map(said => Object.fromEntries(said.map((story, i) => [OWNERS[i], story])))
const steps = fc.array(step, { maxLength: 80 })

/** A core of which every effect is checked against what went before */
class Watched {
  readonly core: Membership
  readonly view: View = new Map()
  readonly #said: Record<Key, Document[]>
  readonly #init: MembershipInit
  #now = 0

  constructor (said: Record<Key, Document[]>, init: MembershipInit) {
    this.core = new Membership(init)
    this.#said = said
    this.#init = init
  }

  do (step: Step): MembershipEffect[] {
    return this.#watch(() => this.#call(step))
  }

  /** Whoever is asked answers at once */
  answer (effects: MembershipEffect[]): void {
    for (const { peer } of effects.filter(({ type }) => type === 'ask')) {
      const document = again(this.#said[peer].at(-1) as Document)
      this.#watch(() => this.core.receive(document, this.#judge(document), this.#now))
    }
  }

  accepts (letters: string): boolean {
    return letters !== 'bc'
  }

  #watch (call: () => MembershipEffect[]): MembershipEffect[] {
    const { core } = this
    const before = OWNERS.map(owner => core.infoOf(owner))
    const effects = call()

    for (const effect of effects) {
      if (effect.type !== 'store' && effect.type !== 'ask') {
        expect(core.status).to.equal('open')
        expect(observe(this.view, effect)).to.equal(undefined)
      }
    }

    expect(compare(this.view, core)).to.equal(undefined)
    OWNERS.forEach((owner, i) => { expect(trace(before[i], core.infoOf(owner))).to.equal(undefined) })
    this.#count()
    return effects
  }

  #judge (document: Document): boolean {
    return this.accepts(lettersOf(document.segments))
  }

  #call (step: Step): MembershipEffect[] {
    const { core } = this

    switch (step.type) {
      case 'receive':
      case 'remember': {
        const story = this.#said[step.owner]
        const document = story[step.at % story.length]
        // what is stored is read before we are open
        const name = core.status === 'opening' ? step.type : 'receive'
        return core[name](document, this.#judge(document), this.#now)
      }
      case 'present':
        return core.present(step.owner, this.#now)
      case 'absent':
        return core.absent(step.owner, step.isSaid, this.#now)
      case 'wake':
        this.#now += step.after
        return core.wake(this.#now)
      case 'open':
        return core.open(this.#now)
    }
  }

  #count (): void {
    const { core } = this
    const infos = OWNERS.flatMap(owner => core.infoOf(owner) ?? [])
    expect(core.bytes).to.equal(infos.reduce((sum, { bytes }) => sum + bytes.byteLength, 0))
    expect(core.size).to.be.at.most(this.#init.maxPeers)
    expect(core.bytes).to.be.at.most(this.#init.maxBytes)
  }
}

describe('whatever happens to who is a replicator', () => {
  it('joins and leaves alternate, every event is a transition, and the newest that each said counts in the end', () => {
    fc.assert(fc.property(stories, steps, fc.array(fc.nat(20), { maxLength: 30 }), (said, story, order) => {
      const watched = new Watched(said, LIMITS)
      story.forEach(step => { watched.do(step) })
      watched.answer(watched.do({ type: 'open' }))

      for (const owner of OWNERS) {
        watched.answer(watched.do({ type: 'present', owner }))

        for (const at of [...order, ...said[owner].keys()]) {
          watched.answer(watched.do({ type: 'receive', owner, at }))
        }

        const letters = lettersOf(said[owner].at(-1)?.segments ?? [])
        const { segments = [] } = watched.core.infoOf(owner) ?? {}
        expect(lettersOf(segments)).to.equal(letters)
        expect(watched.view.get(owner)?.letters ?? '').to.equal(watched.accepts(letters) ? letters : '')
        said[owner].forEach((_, at) => { expect(watched.do({ type: 'receive', owner, at })).to.deep.equal([]) })
      }
    }), { numRuns: RUNS })
  })

  it('nobody is in or remembered in the end who has gone', () => {
    fc.assert(fc.property(stories, steps, fc.boolean(), (said, story, isSaid) => {
      const watched = new Watched(said, LIMITS)
      story.forEach(step => { watched.do(step) })
      watched.do({ type: 'open' })
      OWNERS.forEach(owner => { watched.do({ type: 'absent', owner, isSaid }) })

      for (let i = 0; i < 2; i++) {
        watched.do({ type: 'wake', after: LIMITS.grace })
      }

      expect([watched.view.size, watched.core.size, watched.core.bytes, watched.core.nextWake()]).to.deep.equal([0, 0, 0, Infinity])
    }), { numRuns: RUNS })
  })

  it('there are no more peers and bytes than there may be', () => {
    fc.assert(fc.property(stories, steps, fc.integer({ min: 1, max: 3 }), fc.integer({ min: 0, max: 80 }), fc.boolean(), (said, story, maxPeers, maxBytes, isOpen) => {
      const watched = new Watched(said, { ...LIMITS, maxPeers, maxBytes })
      isOpen && watched.do({ type: 'open' })
      story.forEach(step => { watched.do(step) })
    }), { numRuns: RUNS })
  })

  it('what is stored, read in a next life, is what those said who were in', () => {
    fc.assert(fc.property(stories, steps, (said, story) => {
      const watched = new Watched(said, LIMITS)
      const disk = new Map<Key, Document | undefined>()
      const all = story.filter(({ type }) => type !== 'remember')

      for (const effect of [...all, { type: 'open' as const }].flatMap(step => watched.do(step))) {
        effect.type === 'store' && disk.set(effect.peer, effect.document)
      }
      for (const owner of OWNERS) {
        const stored = disk.get(owner)
        const isRight = watched.view.has(owner) ? stored === watched.core.infoOf(owner) : stored == null || isWaitedFor(watched)
        expect(isRight, `what is stored of ${owner}`).to.equal(true)
      }
    }), { numRuns: RUNS })
  })
})

/** One that stopped while it was lost is forgotten when its time is over */
function isWaitedFor ({ core }: Watched): boolean {
  return core.nextWake() < Infinity
}
