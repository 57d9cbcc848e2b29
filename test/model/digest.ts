import type { World } from './world.ts'
import type { Announcement, Effect, Gossip } from '../../src/pubsub/core/types.ts'
import type { SimNode } from '../sim/node.ts'

/** A peer that is not there: what is said to it shows what else would never be seen */
const PROBE = '~'
/** Numbers of announcements that a run of the model can get to */
const MAX_SEQ = 24

/**
 * Two worlds with the same digest go on in the same way. What cannot be seen of a core from outside it is made to say: it
 * is woken, greeted by a peer that is not there, and told that everything is acknowledged. The world is of no use after.
 */
export function digest (world: World): string {
  const seen = world.nodes.map(node => look(world, node))
  const wires = world.wires.map(wire => [wire.isConnected, wire.ends.map(node => [wire.isUp(node), wire.arriving.get(node)?.map(message => message.type === 'hello' ? message.greeting.epoch : ofGossip(message.gossip))])])
  // it destroys what the lines above have looked at
  const asked = world.nodes.map(node => ask(world, node))
  return JSON.stringify([seen, wires, asked, world.spending])
}

function look (world: World, node: SimNode): unknown {
  const { core, observer } = node
  const others = world.nodes.filter(other => other !== node).map(({ key }) => key)
  const topics = [...new Set(world.nodes.flatMap(({ wanted, core }) => [...wanted.keys(), ...core.topics.subscribed()]))].sort()

  return [
    core.epoch,
    core.sizes,
    core.nextWake() === Infinity,
    topics.map(topic => [topic, core.topics.state(topic), core.isTracked(topic), core.topics.told(topic).sort(), node.wanted.get(topic) ?? 0]),
    others.map(key => [core.subscribers.epochOf(key), fullSeq(node, key), core.subscribers.announcementsOf(key).map(announcement => [...ofAnnouncement(announcement), core.subscribers.topicsOf(key)])]),
    others.map(key => [core.routes.next(key), others.map(except => core.routes.next(key, except))]),
    observer?.view,
    observer?.open
  ]
}

function fullSeq ({ core }: SimNode, origin: string): number {
  const epoch = core.subscribers.epochOf(origin) ?? 0

  for (let seq = 0; seq < MAX_SEQ; seq++) {
    if (!core.subscribers.isPast({ origin, epoch, seq, full: false, on: [], off: [], hops: 0 })) {
      return seq - 1
    }
  }

  return MAX_SEQ
}

function ask (world: World, { core }: SimNode): unknown {
  const now = world.clock.now()
  const isUrgent = core.gossip.nextAt() <= now
  // in the next second all goes that waits for its turn; then the numbers and everything that is remembered
  const waiting = core.wake(now + 1000).map(ofEffect)
  core.up(PROBE, { epoch: 1, isRelay: true }, now)
  const said = core.wake(now + 2000).map(ofEffect)
  const acked: unknown[] = []

  for (let seq = 1; seq <= MAX_SEQ; seq++) {
    for (const { key } of world.nodes) {
      const settled = core.topics.acked(key, seq)
      settled.length > 0 && acked.push([seq, key, settled])
    }
  }

  return [isUrgent, waiting, said, acked]
}

function ofEffect (effect: Effect): unknown {
  return effect.type === 'gossip' ? [effect.to, ofGossip(effect.gossip)] : effect
}

function ofGossip ({ ack, announcements, requests, answers, lost }: Gossip): unknown {
  return [ack, announcements.map(ofAnnouncement), requests.map(({ id, topic }) => [id, topic]), answers, lost]
}

function ofAnnouncement ({ origin, epoch, seq, full, on, off, hops }: Announcement): unknown[] {
  return [origin, epoch, seq, full, on, off, hops]
}
