import { randomInt } from '../../src/runtime/random.ts'
import { checkAtRest, checkBounded, checkCalls, checkRelays, checkSubscribers } from './checks.ts'
import { SimNetwork } from './network.ts'
import type { SimNode } from './node.ts'
import type { Random } from '../../src/runtime/random.ts'

const TOPICS = ['one', 'two', 'three']
const SECOND = 1000
const MINUTE = 60 * SECOND
/** Milliseconds in which things happen, then those in which all has to heal, and those until the lost are forgotten */
const TROUBLE = 3 * MINUTE
const HEALING = 10 * SECOND
const FORGETTING = 4 * MINUTE
const MIN_NODES = 12
const MAX_NODES = 30

/** What may happen to a random node, and how often beside the others */
const EVENTS: Array<[weight: number, event: (network: SimNetwork, node: SimNode) => void]> = [
  [8, ({ random }, node) => { node.subscribe(pick(random, TOPICS)) }],
  [4, ({ random }, node) => { node.unsubscribe(pick(random, TOPICS), random() < 0.3) }],
  [2, ({ random }, node) => { node.abort(pick(random, TOPICS)) }],
  [2, ({ random }, node) => { node.request(pick(random, TOPICS)) }],
  [3, ({ random }, node) => { anyLink(node, random)?.breakSession() }],
  [2, (network, node) => { loseLink(network, node) }],
  [1, (network, node) => { comeAgain(network, node, () => { node.crash() }) }],
  [1, (network, node) => { comeAgain(network, node, () => { node.stop() }) }],
  [1, (network, node) => { comeAgain(network, node, () => { node.crash() }, node.lastEpoch - 1 - randomInt(network.random, 1000)) }],
  [0.5, network => { splitForAWhile(network) }],
  [0.3, (_, node) => { node.crash() }]
]

/**
 * A network of some shape in which everything that can happen does, at random moments; then nothing more does, and all
 * has to be right again. Returns what is not.
 */
export function randomRun (seed: number): string[] {
  const network = new SimNetwork({ seed })
  const { random, clock } = network
  build(network, 0.5)
  const end = clock.now() + TROUBLE

  while (clock.now() < end) {
    network.advance(random() ** 2 * 4 * SECOND)
    happen(network)
  }

  network.advance(MINUTE)
  network.heal()
  network.advance(HEALING)
  const wrong = [...checkCalls(network), ...checkSubscribers(network, TOPICS), ...checkRelays(network, TOPICS)]
  network.advance(FORGETTING)
  wrong.push(...checkBounded(network), ...network.violations)

  network.running.forEach(node => { TOPICS.forEach(topic => { node.unsubscribe(topic, true) }) })
  network.advance(FORGETTING)
  return [...wrong, ...checkAtRest(network)]
}

/** A ring of relays with chords, leaves on some of them; or all relay, and are connected at random */
function build (network: SimNetwork, relaysOnly: number): void {
  const { random } = network
  const count = MIN_NODES + randomInt(random, MAX_NODES - MIN_NODES + 1)
  const relays = random() < relaysOnly ? count : 3 + randomInt(random, 4)
  const nodes = Array.from({ length: count }, (_, i) => network.start(`n${i}`, i < relays))

  nodes.forEach((node, i) => {
    if (i < relays) {
      network.connect(node, nodes[(i + 1) % relays])
      network.connect(node, nodes[randomInt(random, relays)])
    } else {
      for (let left = 1 + randomInt(random, 3); left > 0; left--) {
        network.connect(node, nodes[randomInt(random, relays)])
      }
    }
  })

  network.advance(random() * SECOND)
}

function happen (network: SimNetwork): void {
  const { random, running } = network
  const node = pick(random, running)
  let left = random() * EVENTS.reduce((sum, [weight]) => sum + weight, 0)

  for (const [weight, event] of EVENTS) {
    left -= weight

    if (left <= 0) {
      event(network, node)
      return
    }
  }
}

function anyLink (node: SimNode, random: Random): ReturnType<SimNode['links']['get']> {
  return pick(random, [...node.links.values()])
}

/** A connection goes, and another one comes a little later */
function loseLink (network: SimNetwork, node: SimNode): void {
  const link = anyLink(node, network.random)

  if (link != null) {
    const other = link.other(node)
    link.disconnect()
    network.clock.after(network.random() * 10 * SECOND, () => { network.connect(node, other) })
  }
}

/** It goes, comes back with another epoch, and finds those whom it knew */
function comeAgain (network: SimNetwork, node: SimNode, go: () => void, epoch?: number): void {
  const others = [...node.links.values()].map(link => link.other(node))
  go()
  network.clock.after(network.random() ** 2 * 20 * SECOND, () => {
    network.start(node.key, node.isRelay, epoch)
    others.forEach(other => { network.connect(node, other) })
  })
}

function splitForAWhile (network: SimNetwork): void {
  network.partition(new Set(network.running.filter(() => network.random() < 0.4)))
  network.clock.after(network.random() * 30 * SECOND, () => { network.heal() })
}

function pick<T> (random: Random, items: T[]): T {
  return items[randomInt(random, items.length)]
}
