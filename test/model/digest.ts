import { NO_WAY } from '../../src/pubsub/core/routing.ts'
import type { World } from './world.ts'
import type { Version } from '../../src/pubsub/core/routing.ts'
import type { Announcement, Effect, Gossip, Key } from '../../src/pubsub/core/types.ts'
import type { SimNode } from '../sim/node.ts'

/** A peer that is not there: what is said to it shows what else would never be seen */
const PROBE = '~'
/** Numbers of announcements that a run of the model can get to */
const MAX_SEQ = 24
/** Later than any batch that waits, and sooner than anything is forgotten */
const LATER = 1000

/**
 * Two worlds with the same digest go on in the same way. What cannot be seen of a core from outside it is made to say: it
 * is woken, greeted by a peer that is not there, told of ways by that peer, and that everything is acknowledged. The world is
 * of no use after.
 */
export function digest (world: World): string {
  const seen = world.nodes.map(node => node.isRunning ? look(world, node) : 'down')
  const wires = world.wires.map(wire => [wire.isConnected, wire.ends.map(node => [
    wire.isUp(node),
    wire.unnoticed.has(node),
    wire.greeted.get(node),
    wire.arriving.get(node)?.map(message => message.type === 'hello' ? message.greeting.epoch : ofGossip(message.gossip)),
    wire.carrying.get(node)
  ])])
  // it destroys what the lines above have looked at
  const asked = world.running.map(node => ask(world, node))
  return JSON.stringify([seen, wires, asked, world.spending])
}

function look (world: World, node: SimNode): unknown {
  const { core, observer } = node
  const { subscribers, routing, topics, updates } = core
  const others = world.nodes.filter(other => other !== node).map(({ key }) => key)
  const named = [...new Set(world.nodes.flatMap(({ wanted }) => [...wanted.keys()]).concat(world.topics))].sort()

  return [
    core.epoch,
    core.sizes,
    core.nextWake() === Infinity,
    topics.isDirty,
    named.map(topic => [topic, topics.state(topic), topics.isAnnounced(topic), core.isTracked(topic), node.wanted.get(topic) ?? 0, updates.neighbours.filter(key => updates.hasAsked(key, topic))]),
    others.map(key => {
      const version = subscribers.versionOf(key)
      return [
        version?.epoch, version?.seq, subscribers.history(key).map(ofAnnouncement), [...subscribers.topicsOf(key)],
        subscribers.history(key).map(({ epoch, seq }) => subscribers.hasNews(key, { epoch, seq })),
        routing.distance(key), waysOf(node, key), [...routing.claimants(key)].sort(), others.map(neighbour => ofVersion(routing.known(neighbour, key)))
      ]
    }),
    observer?.view,
    observer?.open
  ]
}

/** Neighbours that may be taken, the best first */
function waysOf ({ core: { routing } }: SimNode, origin: Key): Key[] {
  const ways: Key[] = []

  for (let next = routing.next(origin); next != null && ways.length < 9; next = routing.next(origin, key => ways.includes(key))) {
    ways.push(next)
  }

  return ways
}

function ask (world: World, { core, key: self }: SimNode): unknown {
  const { routing, updates, topics, subscribers } = core
  const now = world.clock.now()
  const others = world.nodes.map(({ key }) => key).filter(key => key !== self)
  let at = now
  const later = (): unknown[] => core.wake(at += LATER).map(ofEffect)
  const isUrgent = updates.nextAt() <= now
  // in the next second all goes that waits for its turn; then the numbers and everything that is remembered
  const waiting = later()
  core.up(PROBE, { epoch: 1, isRelay: true }, at)
  const said = later()

  // whom it has asked already it does not ask again
  others.forEach(key => { core.doubt(key, at) })
  const doubted = later()

  // who said 'lost' is not believed by the same number; how far away is closer than what was told
  const over = others.map(origin => updates.neighbours.filter(neighbour => neighbour !== PROBE && neighbour !== origin).map(neighbour => {
    const version = subscribers.versionOf(origin)
    const isClaimant = [...routing.claimants(origin)].includes(neighbour)
    version != null && !isClaimant && routing.hear(neighbour, origin, { epoch: version.epoch, seq: version.seq, hops: 1 }, at)
    return routing.next(origin, key => key !== neighbour) === neighbour
  }))
  const feasible = others.map(origin => closestRefused(world, core, origin, at))

  // something newer: those who wait for it hear it at once
  const news = others.map(origin => {
    const version = subscribers.versionOf(origin)
    const newest = { epoch: version?.epoch ?? 1, seq: (version?.seq ?? 0) + 1 }
    const topics = [...subscribers.topicsOf(origin)]
    const announcement = { origin, ...newest, full: true, on: topics, off: [] }
    return version == null ? [] : core.receive(PROBE, { ack: -1, updates: [{ origin, ...newest, hops: 2, announcements: [announcement] }], lost: [], wanted: [], requests: [], answers: [] }, at)
  }).flat().map(ofEffect)
  const answered = later()
  const introduced = updates.neighbours.map(key => updates.introduces(key))
  const acked: unknown[] = []

  for (let seq = 0; seq <= MAX_SEQ; seq++) {
    for (const { key } of world.nodes) {
      const settled = topics.confirmed(key, seq)
      settled.length > 0 && acked.push([seq, key, settled])
    }
  }

  return [isUrgent, waiting, said, doubted, over, feasible, news, answered, introduced, acked]
}

/** The worst way that is believed: what is a little worse is further than what others were told */
function closestRefused (world: World, { routing, subscribers }: SimNode['core'], origin: Key, now: number): unknown {
  const { epoch, seq: newest } = subscribers.versionOf(origin) ?? { epoch: 0, seq: -1 }

  for (let seq = 0; seq <= newest; seq++) {
    for (let hops = world.nodes.length + 1; hops > 0; hops--) {
      routing.hear(PROBE, origin, { epoch, seq, hops }, now)

      if (routing.next(origin, key => key !== PROBE) === PROBE) {
        return [seq, hops]
      }
    }
  }
}

function ofEffect (effect: Effect): unknown {
  return effect.type === 'gossip' ? [effect.to, ofGossip(effect.gossip)] : effect
}

function ofGossip ({ ack, updates, requests, answers, lost, wanted }: Gossip): unknown {
  return [
    ack,
    updates.map(({ origin, epoch, seq, hops, announcements }) => [origin, epoch, seq, hops === NO_WAY ? -1 : hops, announcements.map(ofAnnouncement)]),
    requests.map(({ id, topic }) => [id, topic]), answers, lost, wanted.map(({ origin, epoch, seq, hops }) => [origin, epoch, seq, hops])
  ]
}

function ofAnnouncement ({ origin, epoch, seq, full, on, off }: Announcement): unknown[] {
  return [origin, epoch, seq, full, on, off]
}

function ofVersion (version?: Version): unknown {
  return version == null ? undefined : [version.epoch, version.seq]
}
