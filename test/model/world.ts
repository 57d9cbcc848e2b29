import { circleOf } from '../sim/circle.ts'
import { SimNode } from '../sim/node.ts'
import { ModelWire } from './wire.ts'
import type { Action, Fault, Setup, UserAction } from './action.ts'
import type { Parcel } from './wire.ts'
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
/** Steps between the epochs of two lives: no two lives have the same one */
const NEWER = 10
const OLDER = -3
/** Steps until all that was begun has come to an end: far more than any order of them takes */
const MAX_STEPS = 2000

const IS_UNKNOWN = /^(\w): subscribed to (.+), and its neighbour (\w) does not know it$/

/**
 * A few peers, what is on its way between them, and what is left of the budget.
 */
export class World implements Surroundings {
  readonly nodes: SimNode[]
  readonly wires: ModelWire[]
  readonly violations: string[] = []
  readonly observe = true
  readonly debounce: number
  readonly clock: Clock
  readonly #setup: Setup
  readonly #spent = new Map<string, number>()
  readonly #made: Key[] = []
  /** Since when others were told of a topic of a node */
  readonly #announcedAt = new Map<string, number>()
  #now = FIRST_EPOCH

  constructor (setup: Setup) {
    this.#setup = setup
    this.debounce = setup.debounce ?? 0
    // nothing happens by itself: whose alarm is due is woken by an action
    this.clock = { now: () => this.#now, after: () => ({ cancel: () => {} }), soon: () => {} }
    this.nodes = setup.peers.map(({ key, isRelay }) => new SimNode(this, key, isRelay))
    this.nodes.forEach(node => { this.#start(node, FIRST_EPOCH) })
    this.wires = setup.wires.map(([opener, acceptor]) => new ModelWire(this.clock, this.node(opener), this.node(acceptor)))
    this.wires.forEach((wire, i) => {
      if (setup.down?.includes(i) !== true) {
        wire.connect()
      }
    })

    if (setup.met) {
      this.calm()
    }
  }

  readonly random = (): number => 0.5

  get topics (): string[] {
    return this.#setup.topics
  }

  get running (): SimNode[] {
    return this.nodes.filter(({ isRunning }) => isRunning)
  }

  node (key: Key): SimNode {
    return this.nodes.find(node => node.key === key) as SimNode
  }

  mutate (core: PubsubCore): void {
    this.#setup.mutate?.(core, this.#made.at(-1) as Key)
  }

  violation (what: string): void {
    const [, key, topic, other] = IS_UNKNOWN.exec(what) ?? []

    // a call may settle by what was confirmed long ago: who began to listen after that asks for it
    if (key == null || this.node(other).trackedSince(topic) < (this.#announcedAt.get(`${key} ${topic}`) ?? Infinity)) {
      this.violations.push(what)
    }
  }

  collect (observer?: Observer): void {
    this.violations.push(...observer?.violations ?? [])
  }

  /** What has to hold at every moment: the cores' own invariants, and that no way in use leads in a circle */
  stepped (node: SimNode): void {
    if (!node.isRunning) {
      return
    }

    try {
      node.core.check()
    } catch (err: any) {
      this.violation(`${node.key}: ${err.message}`)
    }

    for (const topic of this.topics) {
      const name = `${node.key} ${topic}`

      if (!node.core.topics.isAnnounced(topic)) {
        this.#announcedAt.delete(name)
      } else if (!this.#announcedAt.has(name)) {
        this.#announcedAt.set(name, this.#now)
      }
    }

    this.nodes.forEach(({ key }) => { this.#checkLoop(node, key) })
  }

  spent (name: string): number {
    return this.#spent.get(name) ?? 0
  }

  get spending (): Array<[string, number]> {
    return [...this.#spent].sort()
  }

  /** All that may happen next */
  actions (): Action[] {
    return [...this.#progress(), ...this.#users(), ...this.#sends(), ...this.#faults()]
  }

  do (action: Action): void {
    this.#now += TICK

    switch (action.type) {
      case 'wake':
        this.#wake(this.node(action.peer))
        break
      case 'deliver':
        action.again && this.#spend('again')
        this.#wireOf(action.from, action.to).deliver(this.node(action.to), action.again)
        break
      case 'carry':
        this.#carry(this.#wireOf(action.from, action.to), this.node(action.to))
        break
      case 'send':
        this.#spend(`${action.peer} to ${action.to}`)
        this.#forward(this.node(action.peer), { origin: action.peer, destination: action.to, trace: [] })
        break
      case 'fail':
        this.#spend('fail')
        this.#fail(action.peer, action.to)
        break
      case 'break':
        this.#spend('break')
        this.wires[action.wire].breakSession()
        break
      case 'cut':
        this.#spend('cut')
        this.wires[action.wire].disconnect()
        break
      case 'mend':
        this.wires[action.wire].connect()
        break
      case 'notice':
        this.wires[action.wire].notice(this.node(action.peer))
        break
      case 'restart':
        this.#spend(action.unnoticed ? 'unnoticed' : action.epoch)
        this.#restart(action)
        break
      case 'crash':
        this.#spend('crash')
        this.#crash(this.node(action.peer))
        break
      case 'start':
        this.#spend('start')
        this.#startAgain(this.node(action.peer))
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
    for (let i = 0; i < MAX_STEPS; i++) {
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
      const next = Math.min(...this.running.map(({ core }) => core.nextWake()))

      if (next > until || this.violations.length > 0) {
        this.#now = until
        return
      }

      this.#now = Math.max(this.#now, next)
    }
  }

  /** The neighbour that a relay hands it on to, by the rules of src/pubsub/relaying.ts */
  next (at: SimNode, { origin, destination, trace }: Parcel, from?: Key): Key | undefined {
    if (from != null && !at.isRelay) {
      return
    }

    const crossed = this.#setup.isTraceless === true ? [] : trace
    return at.core.routing.next(destination, via => via === from || via === origin || crossed.includes(via))
  }

  #progress (): Action[] {
    const delivers = this.wires.flatMap(wire => wire.ends
      .filter(node => (wire.arriving.get(node)?.length ?? 0) > 0)
      .map((node): Action => ({ type: 'deliver', from: wire.other(node).key, to: node.key, again: false })))
    const carries = this.wires.flatMap(wire => wire.ends
      .filter(node => (wire.carrying.get(node)?.length ?? 0) > 0)
      .map((node): Action => ({ type: 'carry', from: wire.other(node).key, to: node.key })))
    const notices = this.wires.flatMap((wire, i) => wire.ends
      .filter(node => wire.unnoticed.has(node) && node.isRunning)
      .map(({ key }): Action => ({ type: 'notice', wire: i, peer: key })))
    const wakes = this.running
      .filter(({ core }) => core.nextWake() <= this.#now + SOON)
      .map(({ key }): Action => ({ type: 'wake', peer: key }))
    return [...delivers, ...carries, ...notices, ...wakes]
  }

  #users (): Action[] {
    return this.running.flatMap(node => Object.entries(this.#setup.users[node.key] ?? {})
      .filter(([type, budget]) => this.spent(`${node.key} ${type}`) < budget)
      .flatMap(([type]) => this.#setup.topics.map((topic): Action => ({ type: type as UserAction, peer: node.key, topic }))))
  }

  #sends (): Action[] {
    return (this.#setup.sends ?? [])
      .filter(({ from, to }) => this.spent(`${from} to ${to}`) === 0 && this.node(from).isRunning && this.node(from).core.routing.isReachable(to))
      .map(({ from, to }): Action => ({ type: 'send', peer: from, to }))
  }

  #faults (): Action[] {
    const { faults = {}, cutting, crashing } = this.#setup
    const may = (fault: Fault): boolean => this.spent(fault) < (faults[fault] ?? 0)
    const actions: Action[] = []

    this.wires.forEach((wire, i) => {
      if (!wire.isConnected) {
        wire.ends.every(({ isRunning }) => isRunning) && actions.push({ type: 'mend', wire: i })
        return
      }
      if (may('break')) {
        actions.push({ type: 'break', wire: i })
      }
      if (may('cut') && cutting?.includes(i) !== false) {
        actions.push({ type: 'cut', wire: i })
      }
      for (const node of may('again') ? wire.ends : []) {
        if (wire.arriving.get(node)?.[0]?.type === 'gossip') {
          actions.push({ type: 'deliver', from: wire.other(node).key, to: node.key, again: true })
        }
      }
    })
    for (const { key, core } of this.running) {
      may('newer') && actions.push({ type: 'restart', peer: key, epoch: 'newer', unnoticed: false })
      may('older') && actions.push({ type: 'restart', peer: key, epoch: 'older', unnoticed: false })
      may('unnoticed') && actions.push({ type: 'restart', peer: key, epoch: 'newer', unnoticed: true })
      may('crash') && crashing?.includes(key) !== false && actions.push({ type: 'crash', peer: key })

      for (const { key: to } of may('fail') ? this.nodes : []) {
        if (to !== key && !core.routing.isNeighbour(to) && core.routing.isReachable(to)) {
          actions.push({ type: 'fail', peer: key, to })
        }
      }
    }
    for (const { key, isRunning } of this.nodes) {
      !isRunning && may('start') && actions.push({ type: 'start', peer: key })
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

  #start (node: SimNode, epoch: number): void {
    this.#made.push(node.key)
    node.start(epoch)
  }

  #crash (node: SimNode): void {
    node.crash()
    this.wires.forEach(({ unnoticed }) => { unnoticed.delete(node) })
  }

  #startAgain (node: SimNode): void {
    this.#start(node, node.lastEpoch + NEWER)
    this.wires.filter(({ ends }) => ends.includes(node) && ends.every(({ isRunning }) => isRunning)).forEach(wire => { wire.connect() })
  }

  #restart ({ peer, epoch, unnoticed }: Extract<Action, { type: 'restart' }>): void {
    const node = this.node(peer)
    const wires = this.wires.filter(({ ends, isConnected }) => isConnected && ends.includes(node))
    this.#crash(node)

    for (const wire of unnoticed ? [] : wires) {
      wire.notice(wire.other(node))
    }

    this.#start(node, node.lastEpoch + (epoch === 'newer' ? NEWER : OLDER))
    wires.forEach(wire => { wire.connect() })
  }

  #carry (wire: ModelWire, node: SimNode): void {
    const parcel = wire.carrying.get(node)?.shift() as Parcel

    if (parcel.origin === node.key) {
      this.violation(`a message came back to ${node.key}, which made it`)
    } else if (parcel.trace.includes(node.key)) {
      this.violation(`a message came back to ${node.key}, which it had passed`)
    } else {
      this.#forward(node, parcel, wire.other(node).key)
    }
  }

  #forward (at: SimNode, parcel: Parcel, from?: Key): void {
    const next = parcel.destination === at.key ? undefined : this.next(at, parcel, from)

    if (next != null) {
      this.#wireOf(at.key, next).carry(at, from == null ? parcel : { ...parcel, trace: [...parcel.trace, at.key] })
    }
  }

  #fail (peer: Key, to: Key): void {
    const { core } = this.node(peer)
    core.acked(to, core.routing.next(to) as Key, false, this.#now)
    this.stepped(this.node(peer))
  }

  #checkLoop (start: SimNode, origin: Key): void {
    const circle = circleOf(start, origin)

    if (circle != null) {
      this.violation(`the ways to ${origin} lead in a circle: ${circle.join(', ')}`)
    }
  }

  #spend (name: string): void {
    this.#spent.set(name, this.spent(name) + 1)
  }
}
