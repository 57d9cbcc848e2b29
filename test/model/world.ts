import { REFRESH_INTERVAL } from '../../src/pubsub/constants.ts'
import { SimNode } from '../sim/node.ts'
import { freeze } from '../sim/surroundings.ts'
import type { Greeting, PubsubCore } from '../../src/pubsub/core/pubsub.ts'
import type { Gossip, Key } from '../../src/pubsub/core/types.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import type { Observer } from '../sim/observer.ts'
import type { Surroundings, Wire } from '../sim/surroundings.ts'

export type UserAction = 'subscribe' | 'unsubscribe' | 'abort' | 'request'

export type Action =
  | { type: UserAction, peer: Key, topic: string }
  | { type: 'wake', peer: Key }
  /** `again`: it stays on the wire, to arrive once more */
  | { type: 'deliver', from: Key, to: Key, again: boolean }
  /** The session breaks, the connection lives */
  | { type: 'break', wire: number }
  /** The connection goes, and comes back */
  | { type: 'cut', wire: number }
  | { type: 'mend', wire: number }
  /** Crash and start; 'unnoticed': its neighbours meet the new life before they miss the old one */
  | { type: 'restart', peer: Key, epoch: 'newer' | 'older', unnoticed: boolean }

export type Fault = 'break' | 'cut' | 'again' | 'newer' | 'older' | 'unnoticed'

/** What is explored: who there is, and how often at most what happens */
export interface Setup {
  peers: Array<{ key: Key, isRelay: boolean }>
  wires: Array<[Key, Key]>
  topics: string[]
  users: Record<Key, Partial<Record<UserAction, number>>>
  faults?: Partial<Record<Fault, number>>
  /** Whether all have greeted each other before it begins */
  met: boolean
  /** Milliseconds between subscribe() and its announcement: by default the end of the tick */
  debounce?: number
  mutate? (core: PubsubCore): void
}

type Message = { type: 'hello', greeting: Greeting } | { type: 'gossip', gossip: Gossip }

/** Milliseconds that one action takes, so that what happened before another thing has an earlier time */
const TICK = 0.001
/** What is due within this is explored in every order; what is later only when nothing else is left to happen */
const SOON = 1000
const FIRST_EPOCH = 1000

/**
 * A link as in the simulator, but for time: each message waits until it is chosen.
 */
export class ModelWire implements Wire {
  readonly ends: [SimNode, SimNode]
  readonly arriving = new Map<SimNode, Message[]>()
  readonly #world: World
  readonly #up = new Set<SimNode>()
  isConnected = false
  upSince = Infinity

  constructor (world: World, opener: SimNode, acceptor: SimNode) {
    this.#world = world
    this.ends = [opener, acceptor]
    this.connect()
  }

  connect (): void {
    const [opener, acceptor] = this.ends
    this.isConnected = true
    opener.links.set(acceptor.key, this)
    acceptor.links.set(opener.key, this)
    this.breakSession()
  }

  other (node: SimNode): SimNode {
    const [opener, acceptor] = this.ends
    return node === opener ? acceptor : opener
  }

  isUp (node: SimNode): boolean {
    return this.#up.has(node)
  }

  send (from: SimNode, gossip: Gossip): void {
    if (this.#up.has(from)) {
      freeze(gossip)
      this.arriving.get(this.other(from))?.push({ type: 'gossip', gossip })
    }
  }

  breakSession (): void {
    const [opener, acceptor] = this.ends
    this.#end()

    if (this.isConnected) {
      this.arriving.get(acceptor)?.push({ type: 'hello', greeting: opener.greeting })
    }
  }

  disconnect (): void {
    const [opener, acceptor] = this.ends
    this.isConnected = false
    this.#end()
    opener.links.delete(acceptor.key)
    acceptor.links.delete(opener.key)
  }

  close (): void {
    this.disconnect()
  }

  /** What arrives first at `node` */
  deliver (node: SimNode, again: boolean): void {
    const [opener, acceptor] = this.ends
    const waiting = this.arriving.get(node) as Message[]
    const message = waiting[0]

    if (!again) {
      waiting.shift()
    }
    if (message.type === 'gossip') {
      node.receive(this.other(node).key, message.gossip)
      return
    }
    if (node === acceptor) {
      this.arriving.get(opener)?.push({ type: 'hello', greeting: acceptor.greeting })
    } else {
      this.upSince = this.#world.clock.now()
    }

    this.#up.add(node)
    node.up(this.other(node).key, message.greeting)
  }

  #end (): void {
    this.upSince = Infinity
    this.#up.clear()
    this.ends.forEach(end => { this.arriving.set(end, []) })
  }
}

/**
 * A few peers, what is on its way between them, and what is left of the budget.
 */
export class World implements Surroundings {
  readonly nodes: SimNode[]
  readonly wires: ModelWire[]
  readonly violations: string[] = []
  readonly refreshInterval = REFRESH_INTERVAL
  readonly observe = true
  readonly isReliable = true
  readonly debounce: number
  readonly clock: Clock
  readonly #setup: Setup
  readonly #spent = new Map<string, number>()
  #now = FIRST_EPOCH

  constructor (setup: Setup) {
    this.#setup = setup
    this.debounce = setup.debounce ?? 0
    // nothing happens by itself: whose alarm is due is woken by an action
    this.clock = { now: () => this.#now, after: () => ({ cancel: () => {} }), soon: () => {} }
    this.nodes = setup.peers.map(({ key, isRelay }) => new SimNode(this, key, isRelay))
    this.nodes.forEach(node => { node.start(FIRST_EPOCH) })
    this.wires = setup.wires.map(([opener, acceptor]) => new ModelWire(this, this.node(opener), this.node(acceptor)))

    if (setup.met) {
      this.calm()
    }
  }

  readonly random = (): number => 0.5

  get topics (): string[] {
    return this.#setup.topics
  }

  node (key: Key): SimNode {
    return this.nodes.find(node => node.key === key) as SimNode
  }

  mutate (core: PubsubCore): void {
    this.#setup.mutate?.(core)
  }

  violation (what: string): void {
    this.violations.push(what)
  }

  collect (observer?: Observer): void {
    this.violations.push(...observer?.violations ?? [])
  }

  spent (name: string): number {
    return this.#spent.get(name) ?? 0
  }

  get spending (): Array<[string, number]> {
    return [...this.#spent].sort()
  }

  /** Whether something that was said was lost on its way */
  get isHarmed (): boolean {
    return ['break', 'cut', 'newer', 'older', 'unnoticed'].some(fault => this.spent(fault) > 0)
  }

  /** All that may happen next */
  actions (): Action[] {
    return [...this.#progress(), ...this.#users(), ...this.#faults()]
  }

  do (action: Action): void {
    this.#now += TICK

    switch (action.type) {
      case 'wake':
        this.#wake(this.node(action.peer))
        break
      case 'deliver':
        this.#spend(action.again ? 'again' : 'delivered')
        this.#wireOf(action.from, action.to).deliver(this.node(action.to), action.again)
        break
      case 'break':
        this.#spend('break')
        this.wires[action.wire].breakSession()
        break
      case 'cut':
        this.#spend('cut')
        this.wires[action.wire].disconnect()
        this.#notice(this.wires[action.wire])
        break
      case 'mend':
        this.wires[action.wire].connect()
        break
      case 'restart':
        this.#spend(action.unnoticed ? 'unnoticed' : action.epoch)
        this.#restart(action)
        break
      case 'subscribe':
      case 'unsubscribe':
      case 'abort':
      case 'request':
        this.#spend(`${action.peer} ${action.type}`)
        this.node(action.peer)[action.type](action.topic)
        break
    }
  }

  /** Everything arrives, and everything that is due soon happens, until there is nothing of either */
  calm (): void {
    for (let i = 0; i < 1000; i++) {
      const [next] = this.#progress()

      if (next == null) {
        return
      }

      this.do(next)
    }

    this.violation('it never becomes quiet')
  }

  /** Time passes, with everything that it brings */
  pass (ms: number): void {
    const until = this.#now + ms

    for (;;) {
      this.calm()
      const next = Math.min(...this.nodes.map(({ core }) => core.nextWake()))

      if (next > until) {
        this.#now = until
        return
      }

      this.#now = Math.max(this.#now, next)
    }
  }

  #progress (): Action[] {
    const delivers = this.wires.flatMap(wire => wire.ends
      .filter(node => (wire.arriving.get(node)?.length ?? 0) > 0)
      .map((node): Action => ({ type: 'deliver', from: wire.other(node).key, to: node.key, again: false })))
    const wakes = this.nodes
      .filter(({ core }) => core.nextWake() <= this.#now + SOON)
      .map(({ key }): Action => ({ type: 'wake', peer: key }))
    return [...delivers, ...wakes]
  }

  #users (): Action[] {
    return this.nodes.flatMap(node => Object.entries(this.#setup.users[node.key] ?? {})
      .filter(([type, budget]) => this.spent(`${node.key} ${type}`) < budget)
      .flatMap(([type]) => this.#setup.topics.map((topic): Action => ({ type: type as UserAction, peer: node.key, topic }))))
  }

  #faults (): Action[] {
    const may = (fault: Fault): boolean => this.spent(fault) < (this.#setup.faults?.[fault] ?? 0)
    const actions: Action[] = []

    this.wires.forEach((wire, i) => {
      if (!wire.isConnected) {
        actions.push({ type: 'mend', wire: i })
        return
      }
      if (may('break')) {
        actions.push({ type: 'break', wire: i })
      }
      if (may('cut')) {
        actions.push({ type: 'cut', wire: i })
      }
      for (const node of may('again') ? wire.ends : []) {
        if (wire.arriving.get(node)?.[0]?.type === 'gossip') {
          actions.push({ type: 'deliver', from: wire.other(node).key, to: node.key, again: true })
        }
      }
    })
    for (const { key } of this.nodes) {
      may('newer') && actions.push({ type: 'restart', peer: key, epoch: 'newer', unnoticed: false })
      may('older') && actions.push({ type: 'restart', peer: key, epoch: 'older', unnoticed: false })
      may('unnoticed') && actions.push({ type: 'restart', peer: key, epoch: 'newer', unnoticed: true })
    }

    return actions
  }

  #wireOf (one: Key, other: Key): ModelWire {
    return this.wires.find(({ ends: [opener, acceptor] }) => (opener.key === one && acceptor.key === other) || (opener.key === other && acceptor.key === one)) as ModelWire
  }

  #wake (node: SimNode): void {
    const at = node.core.nextWake()
    this.#now = at === Infinity ? this.#now : Math.max(this.#now, at)
    node.wake()
  }

  #notice (wire: ModelWire): void {
    for (const node of wire.ends) {
      node.lost(wire.other(node).key, node.life)
    }
  }

  #restart ({ peer, epoch, unnoticed }: Extract<Action, { type: 'restart' }>): void {
    const node = this.node(peer)
    const wires = this.wires.filter(({ ends, isConnected }) => isConnected && ends.includes(node))
    node.crash()

    for (const wire of unnoticed ? [] : wires) {
      const other = wire.other(node)
      other.lost(peer, other.life)
    }

    node.start(node.lastEpoch + (epoch === 'newer' ? 1 : -1))
    wires.forEach(wire => { wire.connect() })
  }

  #spend (name: string): void {
    if (name !== 'delivered') {
      this.#spent.set(name, this.spent(name) + 1)
    }
  }
}

export function describe (action: Action): string {
  switch (action.type) {
    case 'deliver':
      return `${action.from} -> ${action.to}${action.again ? ' (comes again)' : ''}`
    case 'break':
    case 'cut':
    case 'mend':
      return `${action.type} wire ${action.wire}`
    case 'wake':
      return `wake ${action.peer}`
    case 'restart':
      return `restart ${action.peer}, ${action.epoch} epoch${action.unnoticed ? ', unnoticed' : ''}`
    case 'subscribe':
    case 'unsubscribe':
    case 'abort':
    case 'request':
      return `${action.peer} ${action.type} ${action.topic}`
  }
}
