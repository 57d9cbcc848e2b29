import { keyOfBytes } from '../../../src/runtime/keys.ts'
import { current, isReceiveOnly } from '../../../src/session/core/state.ts'
import { Peer } from './peer.ts'
import type { Flying } from './peer.ts'
import type { Action, ActionType, Budget, Setup } from './setup.ts'

/** When a world begins. Numbers of rounds are taken from it */
const BEGINNING = 1_000_000

/** Two peers, and the frames between them, which come in any order */
export class World {
  readonly setup: Setup
  peers: [Peer, Peer]
  /** Frames on their way to each */
  net: [Flying[], Flying[]] = [[], []]
  now = BEGINNING
  budget: Budget
  /** Somebody has lost what it had stored: keys may differ for a while */
  isLossy = false

  constructor (setup: Setup, peers?: [Peer, Peer]) {
    this.setup = setup
    this.budget = setup.budget
    this.peers = peers ?? [new Peer(setup, 0), new Peer(setup, 1)]
  }

  /** `both`: peers that may change; the others are shared with the world that this is a copy of */
  copy (both = true, touched = 0): World {
    const [a, b] = this.peers
    const world = new World(this.setup, [both || touched === 0 ? a.copy() : a, both || touched === 1 ? b.copy() : b])
    world.net = [this.net[0].slice(), this.net[1].slice()]
    world.now = this.now
    world.budget = this.budget
    world.isLossy = this.isLossy
    return world
  }

  /** Where everything that is explored begins */
  start (): void {
    const { peers, setup } = this
    peers.forEach(peer => { this.#with(peer, () => { peer.step({ type: 'connected' }, this.now) }) })

    if (setup.met) {
      peers[0].rekey(this.now)
      this.settle()
      peers.forEach(peer => { peer.snapshot = peer.disk })
    } else {
      peers.forEach(peer => { peer.snapshot = peer.disk })
    }
  }

  actions (): Action[] {
    const actions: Action[] = []

    for (const peer of [0, 1] as const) {
      const add = (type: ActionType, index = 0, name?: string): void => { actions.push({ type, peer, index, name }) }
      const { crypto, queue, session } = this.peers[peer]
      const names = this.net[peer].map(({ name }) => name)

      for (const [index, name] of names.entries()) {
        if (names.indexOf(name) === index) {
          add('deliver', index, names[index].split(' ')[0])
          this.#may('drop') && add('drop', index)
          this.#may('duplicate') && add('duplicate', index)
        }
      }

      crypto.forEach((effect, index) => { add('crypto', index, effect.type) })
      queue.length > 0 && add('store')
      this.#may('rekey', peer) && add('rekey')
      this.#may('send', peer) && add('send')
      this.#may('wake') && session.nextWake() < this.now + 100_000 && add('wake')
      const rare: ActionType[] = ['crash', 'lose', 'roll back', 'reconnect']
      rare.filter(type => this.#may(type)).forEach(type => { add(type) })
    }

    return actions
  }

  do (action: Action): void {
    const peer = this.peers[action.peer]
    this.#spend(action)
    this.#with(peer, () => { this.#act(peer, action) })
  }

  #act (peer: Peer, { type, index }: Action): void {
    const mine = this.net[peer.index]

    switch (type) {
      case 'deliver': {
        const [flying] = mine.splice(index, 1)
        peer.arrive(flying, this.now)
        break
      }
      case 'drop':
        mine.splice(index, 1)
        break
      case 'duplicate':
        mine.push(mine[index])
        break
      case 'crypto':
        peer.finishCrypto(index, this.now)
        break
      case 'store':
        peer.store()
        peer.release()
        break
      case 'wake':
        this.now = Math.max(this.now, peer.session.nextWake())
        peer.step({ type: 'wake' }, this.now)
        break
      case 'rekey':
        peer.rekey(this.now)
        break
      case 'send':
        peer.send(this.now)
        break
      case 'crash':
        peer.restart(peer.disk, this.now)
        break
      case 'lose':
        this.isLossy = true
        peer.restart(undefined, this.now)
        break
      case 'roll back':
        this.isLossy = true
        peer.restart(peer.snapshot, this.now)
        break
      case 'reconnect':
        peer.step({ type: 'connected' }, this.now)
        break
    }
  }

  /** What is wrong with the world as it is; undefined: nothing */
  judge (): string | undefined {
    const [a, b] = this.peers
    const wrong = [...a.wrong, ...b.wrong]
    const [one, other] = this.peers.map(({ session }) => current(session.state))

    for (const peer of this.peers) {
      const { mode } = peer.session.state
      const held = mode.type === 'proposing' && mode.stage !== 'preparing' ? mode.seed : undefined

      if (peer.seeds.some(seed => seed !== held && seed.some(byte => byte !== 0))) {
        wrong.push(`I3 ${peer.name}: the secret of a round outlives it`)
      }
      if (peer.strange > 0 && !this.isLossy) {
        wrong.push(`I6 ${peer.name}: something cannot be opened although nothing was lost`)
      }

      const missing = peer.acked.find(label => !this.peers[1 - peer.index].disk.log.includes(label))

      if (missing != null && !this.isLossy) {
        wrong.push(`I12 ${peer.name}: ${missing} is said to be delivered, and is not stored over there`)
      }
    }
    if (!this.isLossy && Math.abs(a.epoch - b.epoch) > 1) {
      wrong.push(`I2 epochs are ${a.epoch} and ${b.epoch}`)
    }
    if (one != null && other != null && one.id !== other.id && one.epoch === other.epoch && !this.isLossy) {
      wrong.push('I4 one epoch has two keys')
    }
    for (const key of a.session.state.keys) {
      const twin = b.session.state.keys.find(({ id }) => id === key.id)

      if (twin != null && keyOfBytes(twin.confirm) !== keyOfBytes(key.confirm)) {
        wrong.push('I4 one name has two keys')
      }
    }

    return wrong[0]
  }

  /** Everything that is under way arrives, in order, and time passes when nothing is. Undefined: all comes to rest */
  drain (maxRounds = 120): string | undefined {
    this.peers.forEach(peer => { this.#with(peer, () => { peer.step({ type: 'connected' }, this.now) }) })

    for (let i = 0; i < maxRounds; i++) {
      this.settle()

      const what = this.judge()

      if (what != null) {
        return what
      }
      if (this.#isAtRest()) {
        return undefined
      }

      const next = Math.min(...this.peers.map(({ session }) => session.nextWake()))

      if (next === Infinity) {
        break
      }

      this.now = Math.max(this.now, next)
      this.peers.forEach(peer => { this.#with(peer, () => { peer.step({ type: 'wake' }, this.now) }) })
    }

    return `I11 no rest: ${this.peers.map(peer => this.#restless(peer)).join(' | ')}`
  }

  /**
   * In lockstep, as two peers that do the same at the same time: what only an accident of order would end does not end
   */
  settle (): void {
    for (let i = 0; i < 400; i++) {
      if (this.peers.every((peer, index) => peer.queue.length + peer.crypto.length + this.net[index].length === 0)) {
        return
      }

      const arriving = this.net
      this.net = [[], []]
      this.peers.forEach((peer, index) => {
        this.#with(peer, () => {
          this.#finishAll(peer)
          arriving[index].forEach(flying => { peer.arrive(flying, this.now) })
        })
      })
    }

    this.peers[0].wrong.push('I11 frames answer each other for ever')
  }

  #finishAll (peer: Peer): void {
    while (peer.queue.length > 0) {
      peer.store()
      peer.release()
    }
    while (peer.crypto.length > 0) {
      peer.finishCrypto(0, this.now)
    }
  }

  get name (): string {
    const [a, b] = this.peers
    const net = this.net.map(frames => frames.map(({ name }) => name).sort().join('|')).join('||')
    return [a.text, b.text, net, this.now, JSON.stringify(this.budget), this.isLossy].join('#')
  }

  #isAtRest (): boolean {
    const [one, other] = this.peers.map(({ session }) => current(session.state)?.id)
    return one === other && this.peers.every(peer => this.#restless(peer) === `${peer.name} idle`)
  }

  #restless (peer: Peer): string {
    const { state } = peer.session
    const reasons = [
      isReceiveOnly(state) ? 'receive-only' : '',
      state.needsFresh ? 'needs a fresh round' : '',
      peer.calls.length > 0 ? 'calls wait' : '',
      state.out.messages.length > 0 ? 'messages wait' : '', state.waiters.length > 0 ? 'waiters' : ''
    ]
    return [peer.name, state.mode.type, ...reasons.filter(reason => reason !== '')].join(' ')
  }

  /** What a peer sends while it does something goes on its way to the other */
  #with (peer: Peer, act: () => void): void {
    act()
    this.#instant(peer)
    this.net[1 - peer.index].push(...peer.sent)
    peer.sent = []
  }

  #instant (peer: Peer): void {
    while (this.setup.isCryptoInstant === true && peer.crypto.length > 0) {
      peer.finishCrypto(0, this.now)
    }
  }

  #may (type: ActionType, peer?: 0 | 1): boolean {
    const left = this.budget[type as keyof Budget] ?? 0
    return (typeof left === 'number' ? left : left[peer ?? 0]) > 0
  }

  #spend ({ type, peer }: Action): void {
    const left = this.budget[type as keyof Budget]

    if (typeof left === 'number') {
      this.budget = { ...this.budget, [type]: left - 1 }
    } else if (left != null) {
      this.budget = { ...this.budget, [type]: left.map((count, i) => i === peer ? count - 1 : count) }
    }
  }
}
