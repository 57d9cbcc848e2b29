import { REFRESH_INTERVAL } from '../../src/pubsub/constants.ts'
import { SimNode } from '../sim/node.ts'
import { ModelWire } from './wire.ts'
import type { Action, Fault, Setup, UserAction } from './action.ts'
import type { PubsubCore } from '../../src/pubsub/core/pubsub.ts'
import type { Key } from '../../src/pubsub/core/types.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import type { Observer } from '../sim/observer.ts'
import type { Surroundings } from '../sim/surroundings.ts'

/** Milliseconds that one action takes, so that what happened before another thing has an earlier time */
const TICK = 0.001
/** What is due within this is explored in every order; what is later only when nothing else is left to happen */
const SOON = 1000
const FIRST_EPOCH = 1000

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
    this.wires = setup.wires.map(([opener, acceptor]) => new ModelWire(this.clock, this.node(opener), this.node(acceptor)))

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
