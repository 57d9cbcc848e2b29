import { SILENCE } from '../fixtures/core.ts'
import { COMMON, Mesh, ringOf } from './mesh.ts'
import type { Report } from './mesh-worlds.ts'
import type { SimNode } from './node.ts'
import type { Update } from '../../src/pubsub/core/types.ts'

const SECOND = 1000
/** Milliseconds between two messages of those who lie */
const PAUSE = 20
/** Identities that are announced at once */
const BATCH = 100
/** Milliseconds after the liar is gone until all is right again */
const HEALING = 120 * SECOND

/** Bounds that are reached while one watches */
const BOUNDS = { maxSubscribersPerTopic: 100, maxDirectoryBytes: 200_000 }

/** Eight who are honest, and the liar */
const SHAPES = {
  /** All are beside the first one, the liar, too */
  star: [1, 2, 3, 4, 5, 6, 7, 8].map((i): [number, number] => [0, i]),
  /** All are beside all */
  clique: Array.from({ length: 9 }, (_, a) => Array.from({ length: a }, (_, b): [number, number] => [a, b])).flat(),
  /** The liar is beside two of them, which pass on what it says */
  ring: [...ringOf(8), [8, 0], [8, 4]] as Array<[number, number]>
}

/** Peers whom nobody has ever seen, and who are on the topic of all */
function invented (from: number, count: number): Update[] {
  return Array.from({ length: count }, (_, i) => {
    const origin = `sybil ${from + i}`
    return { origin, epoch: 1, seq: 0, hops: 1, announcements: [{ origin, epoch: 1, seq: 0, full: true, on: [COMMON], off: [] }] }
  })
}

/**
 * One neighbour announces thousands that are behind it. Honest neighbours go on knowing each other (`isStrict`: all honest peers do), and
 * what a node remembers keeps to its bounds: the cores look at it after everything that happens to any node. When the liar is gone, all
 * who are honest know each other again.
 */
export function sybils (count: number, seed: number, shape: keyof typeof SHAPES, { isStrict }: { isStrict: boolean }): Report {
  const mesh = new Mesh({ seed, observe: false, isChecked: true, bounds: BOUNDS }, 9, () => SHAPES[shape])
  const [liar, honest] = [mesh.nodes[8], mesh.nodes.slice(0, 8)]
  mesh.network.advance(SECOND)
  mesh.subscribe()
  const wrong = new Map<string, number>()
  const look = (): void => {
    mesh.network.advance(PAUSE)
    honest.forEach(node => { wrongAt(node, honest, isStrict).forEach(what => wrong.set(what, (wrong.get(what) ?? 0) + 1)) })
  }

  for (let from = 0; from < count; from += BATCH) {
    liar.links.forEach(link => { link.send(liar, { ...SILENCE, updates: invented(from, BATCH) }) })
    look()
  }
  for (let i = 0; i < 50; i++) {
    look()
  }

  // one that comes while all places are taken is known to whom it tells
  const late = mesh.network.start('late', true)
  mesh.network.connect(late, honest[0])
  late.subscribe(COMMON)
  const welcomed = mesh.until(() => honest[0].core.subscribers.of(COMMON).includes(late.key), 5 * SECOND)
  const most = Math.max(...honest.map(({ core }) => core.sizes.interests))
  const isNoticed = honest.some(({ core }) => core.sizes.interests >= BOUNDS.maxSubscribersPerTopic)
  // when the liar is gone all of its peers are, too
  mesh.crash([liar])
  const gone = mesh.until(() => honest.every(({ core }) => core.subscribers.of(COMMON).every(key => !key.startsWith('sybil'))))

  const healed = mesh.until(() => mesh.wrong.length === 0, HEALING)

  return {
    lines: [`${count} Sybils behind one neighbour in a ${shape} of 8 that are honest, seed ${seed}: at most ${most} subscriptions are remembered, gone ${gone} ms after it, all right again after ${healed} more`],
    wrong: [
      ...[...wrong].map(([what, times]) => `${what} (at ${times} looks)`),
      ...isNoticed ? [] : ['no bound was reached, so this shows nothing'],
      ...welcomed == null ? ['an honest one that came late is not known to its neighbour'] : [],
      ...gone == null ? ['the Sybils stay'] : [],
      ...healed == null ? [`not right ${HEALING} ms after the liar is gone: ${mesh.wrong[0]}`] : [],
      ...mesh.violations
    ]
  }
}

/** Honest peers that a node does not know, and whether it remembers more than it may */
function wrongAt ({ key, core, links }: SimNode, honest: SimNode[], isStrict: boolean): string[] {
  const known = new Set(core.subscribers.of(COMMON))
  const missing = honest.filter(other => other.key !== key && !known.has(other.key) && (isStrict || links.has(other.key)))
  // beside the neighbours, whose own word is always taken
  const isOver = core.sizes.interests > BOUNDS.maxSubscribersPerTopic + core.sizes.neighbours
  return [...missing.map(other => `${key} does not know ${other.key}`), ...isOver ? [`${key} remembers more subscribers than it may`] : []]
}
