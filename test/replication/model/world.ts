import { isNewer } from '../../../src/replication/core/info.ts'
import { again, textOf } from './documents.ts'
import { Life } from './life.ts'
import { compare, observe, trace } from './observer.ts'
import { Wiring } from './wiring.ts'
import type { Calls, Call } from './life.ts'
import type { View } from './observer.ts'
import type { Action, Answer, Budget, Setup } from './setup.ts'
import type { Document, Version } from '../../../src/replication/core/info.ts'
import type { MembershipEffect } from '../../../src/replication/core/membership.ts'
import type { Key } from '../../../src/replication/core/types.ts'

/** canReplicate is asked about a document whose signature is true: one that is forged gets no turn */
export interface Turn {
  document: Document
  life: Life
}

/** A log, who speaks to it, and what is under way between them, on its disk and in its turns */
export class World {
  readonly setup: Setup
  readonly wiring: Wiring
  readonly owners: Key[]
  readonly violations: string[] = []
  now = 0
  status: 'none' | 'opening' | 'open' = 'none'
  life: Life
  messages: Document[] = []
  turns = new Map<Key, Turn[]>()
  late: Turn[] = []
  view: View = new Map()
  said: Record<Key, number> = {}
  on: Record<Key, boolean> = {}
  hasSaidOff: Record<Key, boolean> = {}
  disk: Record<Key, Document[]> = {}
  writes: Record<Key, Document[][]> = {}
  /** What is stored of earlier lives and still to be read. Between one and the next others have their turns */
  unread: Document[] = []
  /** What came in this life, of each, and what was remembered */
  came: Record<Key, Document[]> = {}
  /** What canReplicate said: to the same it always says the same */
  verdicts: Record<string, boolean> = {}
  spent: Partial<Record<Budget, number>> = {}
  /** For wirings that remember something: of each owner */
  notes: Record<Key, Document[]> = {}

  constructor (setup: Setup) {
    this.setup = setup
    this.wiring = setup.wiring ?? new Wiring()
    this.owners = Object.keys(setup.says)
    this.life = this.#live()

    for (const owner of this.owners) {
      this.said[owner] = 0
      this.on[owner] = setup.on.includes(owner)
      this.disk[owner] = setup.disk?.[owner] ?? []
    }
  }

  copy (): World {
    const copy = new World(this.setup)
    const lives = new Map([[this.life, this.life.copy()]])
    const ofTurn = (turn: Turn): Turn => {
      const life = lives.get(turn.life) ?? turn.life.copy()
      lives.set(turn.life, life)
      return { ...turn, life }
    }

    copy.life = lives.get(this.life) as Life
    copy.turns = new Map([...this.turns].map(([key, turns]) => [key, turns.map(ofTurn)]))
    copy.late = this.late.map(ofTurn)
    copy.view = new Map(this.view)
    copy.messages = [...this.messages]
    copy.unread = [...this.unread]
    copy.violations.push(...this.violations)
    copy.now = this.now
    copy.status = this.status

    for (const name of ['said', 'on', 'hasSaidOff', 'disk', 'verdicts', 'spent'] as const) {
      Object.assign(copy[name], this[name])
    }
    for (const owner of this.owners) {
      copy.writes[owner] = [...this.writes[owner] ?? []]
      copy.came[owner] = [...this.came[owner] ?? []]
      copy.notes[owner] = [...this.notes[owner] ?? []]
    }

    return copy
  }

  do (action: Action): void {
    switch (action.type) {
      case 'say':
        this.messages.push(this.setup.says[action.owner][this.said[action.owner]++])
        break
      case 'deliver':
      case 'again':
      case 'drop':
        this.#message(action.type, action.message)
        break
      case 'step':
      case 'late':
        this.#step(action)
        break
      case 'on':
      case 'off':
      case 'gone':
        this.#presence(action.owner, action.type)
        break
      case 'read':
        this.#read(action.owner)
        break
      case 'opened':
        this.status = 'open'
        this.wiring.opened(this)
        break
      case 'write':
      case 'unwritten':
        this.#write(action.owner, action.type === 'write')
        break
      case 'wake':
        this.now = Math.max(this.now, this.life.core.nextWake())
        this.call(this.life, 'wake')
        break
      case 'close':
      case 'crash':
        this.#end(action.type)
        break
      case 'start':
        this.start()
        break
    }
  }

  start (): void {
    this.life = this.#live()
    this.status = 'opening'
    this.unread = this.owners.flatMap(owner => this.disk[owner])
    // both sides say what they keep when one comes to the topic
    this.owners.filter(owner => this.on[owner]).forEach(owner => { this.answer(owner) })
  }

  /** An owner sends what it says now */
  answer (owner: Key): void {
    if (this.said[owner] > 0) {
      this.messages.push(again(this.setup.says[owner][this.said[owner] - 1]))
    }
  }

  queue (mailbox: Key, turn: Turn): void {
    this.turns.set(mailbox, [...this.turns.get(mailbox) ?? [], turn])
  }

  /** What waits in turns, of one owner */
  waiting (owner: Key): Document[] {
    return [...this.turns.values()].flat().map(({ document }) => document).filter(document => document.owner === owner)
  }

  /** The one way into a core: what happens in it is watched */
  call<Name extends keyof Calls> (life: Life, name: Name, ...args: Calls[Name]): void {
    const before = new Map(this.owners.map(owner => [owner, life.core.infoOf(owner)]))
    const [document] = args

    if (life === this.life && this.status !== 'none' && name === 'receive' && typeof document === 'object' && !this.#isOfThisLife(document)) {
      this.violations.push(`${nameOf(document)} came in a life that is over, and reaches the next one`)
    }

    const effects = this.wiring.effects(life.call({ name, args, now: this.now } as unknown as Call))

    if (effects.length > 0 && (life !== this.life || this.status === 'none' || name === 'close')) {
      this.violations.push(`after close: ${effects[0].type} ${effects[0].peer}`)
      return
    }

    effects.forEach(effect => { this.#run(effect) })

    if (life === this.life && this.status !== 'none') {
      this.#watch(life, before)
    }
  }

  verdict (owner: Key, { epoch, sequence }: Version): boolean | undefined {
    return this.verdicts[`${owner} ${epoch}.${sequence}`]
  }

  spend (budget: Budget): void {
    this.spent[budget] = (this.spent[budget] ?? 0) + 1
  }

  #isOfThisLife ({ owner, bytes }: Document): boolean {
    return this.came[owner]?.some(document => document.bytes === bytes) === true
  }

  #live (): Life {
    const { maturity, grace, maxPeers = Infinity, maxBytes = Infinity } = this.setup
    return new Life(this.wiring, { maturity, grace, maxPeers, maxBytes })
  }

  #message (type: 'deliver' | 'again' | 'drop', at: number): void {
    const document = this.messages[at]

    if (type !== 'deliver') {
      this.spend(type)
    }
    if (type !== 'again') {
      this.messages.splice(at, 1)
    }
    if (type !== 'drop' && this.status !== 'none') {
      (this.came[document.owner] ??= []).push(document)
      this.wiring.arrived(this, { document, life: this.life })
    }
  }

  #step (action: Extract<Action, { type: 'step' | 'late' }>): void {
    const queue = action.type === 'step' ? this.turns.get(action.owner) ?? [] : this.late
    const at = action.type === 'step' ? 0 : action.turn
    const turn = queue[at]
    const isAsked = turn.life.core.isNews(turn.document)
    queue.splice(at, 1)
    queue.length === 0 && action.type === 'step' && this.turns.delete(action.owner)

    if (action.answer === 'fail') {
      this.#fail(turn)
    } else {
      this.wiring.apply(this, turn, !isAsked || this.#decide(turn.document, action.answer))
    }
  }

  #decide ({ owner, epoch, sequence }: Document, answer: Answer): boolean {
    if (answer === 'no' && this.verdict(owner, { epoch, sequence }) == null) {
      this.spend('refuse')
    }
    return (this.verdicts[`${owner} ${epoch}.${sequence}`] ??= answer === 'yes')
  }

  #fail (turn: Turn): void {
    const { document, life } = turn
    const { owner } = document

    if (life === this.life) {
      // those that it has taken the place of are lost with it, and not those that wait behind it
      const newer = (this.came[owner] ?? []).filter(other => isNewer(other, document))
      this.came[owner] = [...newer, ...this.waiting(owner)]
    }

    this.spend('fail')
    this.wiring.failed(this, turn)
  }

  #presence (owner: Key, type: 'on' | 'off' | 'gone'): void {
    this.on[owner] = type === 'on'
    this.hasSaidOff[owner] = type === 'off'
    type !== 'on' && this.spend(type)

    if (this.status !== 'none') {
      this.wiring.presence(this, owner, type === 'on', type === 'off')
      type === 'on' && this.answer(owner)
    }
  }

  #read (owner: Key): void {
    const at = this.unread.findIndex(document => document.owner === owner)
    const [document] = this.unread.splice(at, 1)
    ;(this.came[owner] ??= []).push(document)
    this.wiring.remember(this, document, this.#decide(document, 'yes'))
  }

  #write (owner: Key, isDone: boolean): void {
    const documents = this.writes[owner].shift() ?? []

    if (isDone) {
      this.disk[owner] = documents
    } else {
      this.spend('unwritten')
    }
  }

  #end (type: 'close' | 'crash'): void {
    this.spend(type)
    this.status = 'none'
    this.wiring.closed(this)

    if (type === 'close') {
      // what is being stored is stored; what waits in a turn that runs comes back to a life that is over
      this.owners.forEach(owner => { (this.writes[owner] ?? []).slice().forEach(() => { this.#write(owner, true) }) })
      this.late.push(...[...this.turns.values()].map(([running]) => running))
    } else {
      this.late = []
      this.notes = {}
    }

    this.turns = new Map()
    this.writes = {}
    this.unread = []
    this.came = {}
    this.view = new Map()
  }

  #run (effect: MembershipEffect): void {
    if (effect.type === 'store') {
      (this.writes[effect.peer] ??= []).push(effect.document == null ? [] : [effect.document])
    } else if (effect.type === 'ask') {
      this.on[effect.peer] ? this.answer(effect.peer) : this.violations.push(`${effect.peer} is asked and is not here`)
    } else {
      this.#note(this.status === 'open' ? undefined : `${effect.type} ${effect.peer} before it is open`)
      this.#note(observe(this.view, effect))
    }
  }

  #watch ({ core }: Life, before: Map<Key, Document | undefined>): void {
    const { maxPeers = Infinity, maxBytes = Infinity } = this.setup
    this.#note(compare(this.view, core))
    this.#note(core.size > maxPeers || core.bytes > maxBytes ? `${core.size} peers and ${core.bytes} bytes are too many` : undefined)

    for (const owner of this.owners) {
      const info = core.infoOf(owner)
      this.#note(trace(before.get(owner), info))
      this.#note(this.hasSaidOff[owner] && !this.on[owner] && this.view.has(owner) ? `${owner} has said that it leaves, and is in` : undefined)

      if (before.get(owner) != null && info == null && !this.on[owner]) {
        // forgotten after its time, as it may be. What waits in its turn is news then
        this.came[owner] = this.waiting(owner)
      }
    }
  }

  #note (violation?: string): void {
    violation != null && this.violations.push(violation)
  }
}

export function nameOf ({ bytes }: Document): string {
  return textOf(bytes)
}
