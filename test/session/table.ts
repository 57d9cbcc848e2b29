import { bytesOfKey } from '../../src/runtime/keys.ts'
import { sha256 } from '../../src/runtime/sha256.ts'
import { ROUND_TRIES } from '../../src/session/constants.ts'
import { confirmProof } from '../../src/session/core/key-schedule.ts'
import { current } from '../../src/session/core/state.ts'
import { finish } from './model/fake.ts'
import { World } from './model/world.ts'
import type { Peer } from './model/peer.ts'
import type { Effect, Event } from '../../src/session/core/events.ts'
import type { Session } from '../../src/session/core/session.ts'
import type { SessionState } from '../../src/session/core/state.ts'
import type { Accept, Propose } from '../../src/session/core/wire.ts'

/** What the core does in each state with each event, asked of the core itself. docs/session.md shows it */

/** How often each step of a peer's shell is taken until it is in that state; `who` is in it */
const STATES: Record<string, (world: World, who: 0 | 1) => void> = {
  'no key': () => {},
  idle: () => {},
  preparing: (world, who) => { world.peers[who].rekey(world.now) },
  waiting: (world, who) => { world.peers[who].rekey(world.now); go(world, who, 'crypto', 'store') },
  deriving: (world, who) => {
    STATES.waiting(world, who)
    go(world, 1 - who, 'deliver', 'crypto', 'store')
    go(world, who, 'deliver')
  },
  computing: (world, who) => {
    STATES.waiting(world, 1 - who as 0 | 1)
    go(world, who, 'deliver')
  },
  provisional: (world, who) => {
    STATES.computing(world, who)
    go(world, who, 'crypto', 'store')
  },
  restored: (world, who) => {
    const peer = world.peers[who]
    peer.restart(peer.disk, world.now)
    peer.step({ type: 'crypto-failed', token: peer.session.state.tokens }, world.now)
    peer.crypto = []
    peer.wrong = []
  },
  closed: (world, who) => { world.peers[who].step({ type: 'close' }, world.now) }
}

const BODY = { base: 1, ack: 0, held: [], messages: [] }
const UNKNOWN = 'unknown.'
const LATE = 2 ** 45
const zeros = (length: number): Uint8Array => new Uint8Array(length)

/** The event, and who has the smaller id where that matters; undefined: there is none in this state */
type Make = (peer: Peer, world: World) => Event | undefined

const EVENTS: Record<string, Make | { loses: Make }> = {
  'rekey()': () => ({ type: 'rekey', call: 900, deadline: LATE }),
  'send()': () => ({ type: 'send', call: 900, payload: zeros(1) }),
  'close()': () => ({ type: 'close' }),
  connected: () => ({ type: 'connected' }),
  disconnected: () => ({ type: 'disconnected' }),
  'Propose, stale': ({ session }) => proposal(session, { n: 0 }),
  'Propose, the same again': ({ session: { state, state: { mode } } }) => mode.type === 'accepted'
    ? proposal({ state }, { n: mode.n })
    : undefined,
  'Propose, ratchet on the current key; a tie is won': ({ session }) => ratchet(session, current(session.state)?.id),
  'Propose, ratchet on the current key; a tie is lost': {
    loses: ({ session }) => ratchet(session, current(session.state)?.id)
  },
  'Propose, fresh': ({ session }) => proposal(session, {}),
  'Propose, ratchet on the provisional key': ({ session }) => ratchet(session, provisional(session.state)?.id),
  'Propose, ratchet on an older key': ({ session }) => ratchet(session, older(session.state)),
  'Propose, ratchet on an unknown key': ({ session }) => ratchet(session, UNKNOWN),
  'Accept of our round': ({ session: { state: { mode } } }) => mode.type === 'proposing' && mode.stage !== 'preparing'
    ? accept({ n: mode.n, proposeHash: sha256(mode.encoded), epoch: mode.propose.epoch + 1 })
    : undefined,
  'Accept of our round, wrong epoch': ({ session: { state: { mode } } }) =>
    mode.type === 'proposing' && mode.stage === 'waiting'
      ? accept({ n: mode.n, proposeHash: sha256(mode.encoded), epoch: mode.propose.epoch + 7 })
      : undefined,
  'Accept of a round that is done': ({ session: { state } }) => {
    const key = current(state)
    return key == null ? undefined : accept({ n: 1, key: key.id, epoch: key.epoch })
  },
  'Accept of a round that is dead': () => accept({ n: 1 }),
  'Confirm of the provisional key': ({ session: { state } }) => {
    const keys = provisional(state)
    const proof = keys == null ? zeros(32) : confirmProof(keys.confirm, bytesOfKey(keys.id), keys.epoch, 1 - state.rank)
    return keys == null
      ? undefined
      : {
          type: 'frame',
          frame: {
            kind: 'confirm', key: keys.id, epoch: keys.epoch, proof
          }
        }
  },
  'Confirm, wrong proof': ({ session: { state } }) => {
    const keys = provisional(state) ?? current(state)
    return keys == null
      ? undefined
      : { type: 'frame', frame: { kind: 'confirm', key: keys.id, epoch: keys.epoch, proof: zeros(32) } }
  },
  'Data under the provisional key': ({ session: { state } }) => {
    const keys = provisional(state)
    const head = { kind: 'data' as const, key: keys?.id ?? '', epoch: keys?.epoch ?? 0, counter: 0 }
    return keys == null
      ? undefined
      : {
          type: 'opened',
          head,
          body: {
            ...BODY, messages: [{ seq: 1, payload: zeros(1) }]
          }
        }
  },
  'Data under a known key': ({ session: { state } }) => {
    const keys = current(state)
    const counter = keys?.receive.next ?? 0
    const head = { kind: 'data' as const, key: keys?.id ?? '', epoch: keys?.epoch ?? 0, counter }
    return keys == null
      ? undefined
      : {
          type: 'opened',
          head,
          body: {
            ...BODY, messages: [{ seq: 1, payload: zeros(1) }]
          }
        }
  },
  'Close under a known key': ({ session: { state } }) => {
    const keys = current(state)
    const counter = keys?.receive.next ?? 0
    const head = { kind: 'close' as const, key: keys?.id ?? '', epoch: keys?.epoch ?? 0, counter }
    return keys == null ? undefined : { type: 'opened', head, body: BODY }
  },
  'Confirm or Data, unknown key, epoch not newer': ({ session: { state } }) => current(state) == null
    ? undefined
    : { type: 'unopened', head: { kind: 'data', key: UNKNOWN, epoch: 1, counter: 0 } },
  'Confirm or Data, unknown key, newer epoch': () =>
    ({ type: 'unopened', head: { kind: 'data', key: UNKNOWN, epoch: 99, counter: 0 } }),
  'Resync of the current key': ({ session: { state } }) => current(state) == null
    ? undefined
    : { type: 'frame', frame: { kind: 'resync', n: LATE, unknown: current(state)?.id ?? '' } },
  'Resync of another key': () => ({ type: 'frame', frame: { kind: 'resync', n: LATE, unknown: UNKNOWN } }),
  'Resync, stale': ({ session: { state } }) =>
    ({ type: 'frame', frame: { kind: 'resync', n: 0, unknown: current(state)?.id ?? UNKNOWN } }),
  'Cancel of our round': ({ session: { state: { mode } }, name }) => mode.type === 'proposing'
    ? { type: 'frame', frame: { kind: 'cancel', by: name, n: mode.n, reason: 'lost-tie', seen: 0 } }
    : undefined,
  'Cancel of the round of the peer': ({ session: { state: { mode, peer } } }) => mode.type === 'accepted'
    ? { type: 'frame', frame: { kind: 'cancel', by: peer, n: mode.n, reason: 'timeout', seen: 0 } }
    : undefined,
  'Cancel of any other': ({ name }) =>
    ({ type: 'frame', frame: { kind: 'cancel', by: name, n: 1, reason: 'dead-round', seen: 0 } }),
  'result of crypto': (
    { crypto: [effect], name, lives }
  ) => effect == null ? undefined : finish(effect, `${name}${lives}`),
  'result of crypto that proves nothing': ({ session: { state: { mode } } }) =>
    mode.type === 'proposing' && mode.stage === 'deriving'
      ? { type: 'decapsulated', token: mode.token, secret: zeros(32) }
      : undefined,
  'crypto failed': ({ crypto: [effect] }) => effect == null
    ? undefined
    : {
        type: 'crypto-failed', token: effect.token
      },
  'result of crypto, another token': () => ({ type: 'decapsulated', token: -1, secret: zeros(32) }),
  timer: ({ session: { state: { mode } } }) => 'wakeAt' in mode ? { type: 'wake' } : undefined,
  'timer, tries are used up': ({ session: { state: { mode } } }) => {
    if (!('wakeAt' in mode)) {
      return undefined
    }

    mode.tries = ROUND_TRIES - 1
    return { type: 'wake' }
  }
}

/** The lines of the table, without its head */
export function tableLines (): string[] {
  return Object.entries(EVENTS).flatMap(([event, make]) => {
    const groups = new Map<string, string[]>()

    for (const state of Object.keys(STATES)) {
      const outcome = outcomeOf(state, make)
      outcome != null && groups.set(outcome, [...groups.get(outcome) ?? [], state])
    }

    return [...groups].map(([outcome, states]) => `| ${event} | ${states.join(', ')} | ${outcome} |`)
  })
}

function outcomeOf (state: string, make: Make | { loses: Make }): string | undefined {
  const world = new World({ budget: {}, met: state !== 'no key' })
  const who = typeof make === 'function' ? 0 : 1
  const peer = world.peers[who]
  world.start()
  // a second epoch: there is an older key
  state !== 'no key' && world.peers[1 - who].rekey(world.now)
  world.settle()
  STATES[state](world, who)
  const event = (typeof make === 'function' ? make : make.loses)(peer, world)

  if (event == null) {
    return undefined
  }

  const { session } = peer
  const before = nameOf(session.state)
  const effects = session.step(event, {
    now: event.type === 'wake' ? session.nextWake() : world.now, random: () => 0.5
  })
  const after = nameOf(session.state)
  const does = effects.map(doing)
  return `${does.length > 0 ? does.join(', ') : '-'} | ${after === before ? 'same' : after}`
}

function nameOf ({ mode }: SessionState): string {
  return 'stage' in mode ? mode.stage : mode.type
}

function doing (effect: Effect): string {
  switch (effect.type) {
    case 'send':
      return effect.frame.kind === 'cancel' && 'reason' in effect.frame.frame
        ? `Cancel(${effect.frame.frame.reason})`
        : effect.frame.kind.replace(/^./, letter => letter.toUpperCase())
    case 'count':
      return `count ${effect.what}`
    case 'send-settled':
    case 'rekey-settled':
      return `settle ${effect.outcome}`
    case 'round-failed':
      return `round-failed ${effect.reason}`
    case 'generate':
    case 'encapsulate':
    case 'decapsulate':
    case 'persist':
    case 'deliver':
    case 'epoch':
    case 'resync':
    case 'peer-closed':
    case 'closed':
      return effect.type
  }
}

function proposal ({ state }: Pick<Session, 'state'>, fields: Partial<Propose>): Event {
  const epoch = current(state)?.epoch ?? 0
  const propose = { kind: 'propose' as const, n: LATE, round: 'fresh' as const, epoch, boot: 9, publicKey: zeros(1216) }
  return { type: 'frame', frame: { ...propose, ...fields } }
}

function ratchet (session: Session, base: string | undefined): Event | undefined {
  const { state } = session
  const epoch = provisional(state)?.id === base ? provisional(state)?.epoch : current(state)?.epoch
  return base == null ? undefined : proposal(session, { round: 'ratchet', base, epoch: epoch ?? 0 })
}

function accept (fields: Partial<Accept>): Event {
  const accept = { kind: 'accept' as const, n: 1, proposeHash: zeros(32), epoch: 99, boot: 9, ciphertext: zeros(1120) }
  return { type: 'frame', frame: { ...accept, key: UNKNOWN, proof: zeros(32), ...fields } }
}

function provisional ({ mode }: SessionState): { id: string, epoch: number, confirm: Uint8Array } | undefined {
  return mode.type === 'accepted' && mode.stage === 'provisional' ? mode.keys : undefined
}

function older ({ keys }: SessionState): string | undefined {
  return keys.length > 1 ? keys[0].id : undefined
}

function go (world: World, peer: number, ...types: Array<'deliver' | 'crypto' | 'store'>): void {
  types.forEach(type => { world.do({ type, peer: peer as 0 | 1, index: 0 }) })
}
