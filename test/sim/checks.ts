import type { SimNetwork } from './network.ts'
import type { SimNode } from './node.ts'
import type { Key } from '../../src/pubsub/core/types.ts'

/** Differences that are named: one is enough to replay */
const MAX_NAMED = 5

/** How many links away the nodes are that a path over relays leads to from here */
export function reachable (from: SimNode): Map<SimNode, number> {
  const found = new Map([[from, 0]])

  for (const [node, distance] of found) {
    if (node === from || node.isRelay) {
      for (const link of node.links.values()) {
        const other = link.other(node)
        found.set(other, found.get(other) ?? distance + 1)
      }
    }
  }

  found.delete(from)
  return found
}

/** Whether `node` may still believe for a while that `ghost` is on a topic */
export type Forgives = (node: SimNode, ghost: Key) => boolean

/** Everybody who keeps track of a topic knows exactly those who are on it and whom it can reach */
export function checkSubscribers (network: Pick<SimNetwork, 'running'>, topics: string[], forgives: Forgives = () => false): string[] {
  const wrong: string[] = []

  for (const node of network.running) {
    const others = reachable(node)

    for (const topic of topics) {
      if (node.core.isTracked(topic)) {
        const believed = node.core.subscribers.of(topic)
        wrong.push(...compare(`${node.key} about ${topic}`, onTopic(others, topic), believed, ghost => forgives(node, ghost)))

        if (node.observer != null) {
          wrong.push(...compare(`events of ${node.key} about ${topic}`, new Map(believed.map(key => [key, 0])), node.observer.seen(topic)))
        }
      }
      if (node.core.topics.isOn(topic) !== node.wanted.has(topic)) {
        wrong.push(`${node.key} is ${node.wanted.has(topic) ? 'not ' : ''}on ${topic}, against what its user asked for`)
      }
    }
  }

  return wrong
}

/** No ghosts in what relays remember for others, either */
export function checkRelays (network: SimNetwork, topics: string[]): string[] {
  return network.running.filter(({ isRelay }) => isRelay).flatMap(node => {
    const others = reachable(node)
    return topics.flatMap(topic => compare(`relay ${node.key} about ${topic}`, onTopic(others, topic), node.core.subscribers.of(topic)))
  })
}

/** Every map has at most what the live nodes account for */
export function checkBounded (network: SimNetwork): string[] {
  const live = network.running.length
  const topics = new Set(network.running.flatMap(node => [...node.wanted.keys()])).size
  const subscriptions = network.running.reduce((sum, { wanted }) => sum + wanted.size, 0)

  return network.running.flatMap(node => {
    const bounds: Record<string, number> = {
      topics: node.wanted.size,
      requests: 0,
      neighbours: node.links.size,
      origins: live,
      interestTopics: topics,
      interests: subscriptions,
      routes: live,
      updates: live * node.links.size
    }
    return overflow(node, bounds)
  })
}

/** When nobody is on anything, nothing is remembered but who is here */
export function checkAtRest (network: SimNetwork): string[] {
  const live = network.running.length

  return network.running.flatMap(node => overflow(node, {
    topics: 0, asked: 0, requests: 0, neighbours: node.links.size, origins: live, interestTopics: 0, interests: 0, routes: live, updates: 0
  }))
}

export function checkCalls (network: SimNetwork): string[] {
  return network.running.flatMap(node => {
    network.collect(node.observer)
    const open = node.observer?.open ?? []
    return open.length > 0 ? [`${node.key}: calls ${open.join(', ')} are not settled`] : []
  })
}

function overflow ({ key, core }: SimNode, bounds: Record<string, number>): string[] {
  const { sizes } = core
  return Object.entries(bounds).filter(([name, bound]) => sizes[name] > bound).map(([name, bound]) => `${key} holds ${sizes[name]} ${name}, at most ${bound} are accounted for`)
}

function onTopic (others: Map<SimNode, number>, topic: string): Map<Key, number> {
  return new Map([...others].filter(([other]) => other.wanted.has(topic)).map(([{ key }, distance]) => [key, distance]))
}

function compare (who: string, truth: Map<Key, number>, believed: Key[], forgives: (ghost: Key) => boolean = () => false): string[] {
  const isBelieved = new Set(believed)
  const ghosts = believed.filter(key => !truth.has(key) && !forgives(key))
  const missing = [...truth].filter(([key]) => !isBelieved.has(key)).map(([key]) => key)

  return [
    ...ghosts.length > 0 ? [`${who}: ${ghosts.length} ghosts (${ghosts.slice(0, MAX_NAMED).join(', ')})`] : [],
    ...missing.length > 0 ? [`${who}: ${missing.length} missing (${missing.slice(0, MAX_NAMED).join(', ')})`] : []
  ]
}
