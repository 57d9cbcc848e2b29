import { COMMON, lineOf, Mesh, meshOf, ringOf } from './mesh.ts'
import type { SimNode } from './node.ts'
import type { Effect } from '../../src/pubsub/core/types.ts'

/** What a world came to: lines for a reader, and what is wrong */
export interface Report {
  lines: string[]
  wrong: string[]
}

const SECOND = 1000
const MINUTE = 60 * SECOND
/** From the spec: how long a ghost may be believed in, how long a line of 8 may take, updates for each neighbour and new peer */
const GHOST_BOUND = 5 * SECOND
const LINE_BOUND = SECOND
const UPDATES_BOUND = 2
/** Measured before routing went by feasible distances, 500 nodes of degree 6 */
const BEFORE = 'before feasible distances 9,497 announcements a node in the burst, and 11.6 KiB/s when idle'

function within (what: string, ms: number | undefined, bound: number): string[] {
  return ms == null || ms > bound ? [`${what}: ${ms == null ? 'never' : `${ms} ms`}, at most ${bound} are allowed`] : []
}

/** All come, then all subscribe at once, then nothing happens for a minute */
export function burst (count: number, degree: number, seed: number): Report {
  const mesh = new Mesh({ seed, observe: false }, count, random => meshOf(count, degree, random))
  mesh.network.advance(5 * SECOND)
  const came = mesh.updates(count - 1)
  const known = mesh.subscribe()
  const said = mesh.updates(count - 1)
  mesh.network.advance(SECOND)
  mesh.updates(1)
  mesh.network.advance(MINUTE)
  const idle = mesh.updates(1)

  return {
    lines: [
      `${count} relays of degree ${degree}, seed ${seed}; received a node, for each neighbour and peer:`,
      `  all come: ${came.mean.toFixed(2)} updates (at most ${came.max.toFixed(2)}), ${came.total.toFixed(0)} in all in ${came.messages.toFixed(0)} messages`,
      `  all subscribe at once: ${said.mean.toFixed(2)} (at most ${said.max.toFixed(2)}), ${said.total.toFixed(0)} in all in ${said.messages.toFixed(0)} messages; known to all after ${known} ms`,
      `  a quiet minute: ${idle.messages.toFixed(2)} messages a node`,
      `  ${BEFORE}`
    ],
    wrong: [
      ...within('all know all', known, 30 * SECOND),
      ...Math.max(came.max, said.max) > UPDATES_BOUND ? [`${Math.max(came.max, said.max)} updates for each neighbour and peer, at most ${UPDATES_BOUND} are allowed`] : [],
      ...idle.messages > 0 ? ['there is traffic when nothing happens'] : [],
      ...mesh.violations
    ]
  }
}

/** Some of 100 relays crash within one instant */
export function crashes (count: number, seed: number, observe: boolean): Report {
  const mesh = new Mesh({ seed, observe }, 100, random => meshOf(100, 5, random))
  mesh.network.advance(3 * SECOND)
  mesh.subscribe()
  const dead = mesh.pick(count)
  mesh.crash(dead)
  const ghosts = mesh.until(() => mesh.ghosts(new Set(dead.map(({ key }) => key))) === 0)
  const right = mesh.until(() => mesh.wrong.length === 0)

  return {
    lines: [`${count} of 100 relays of degree 5 crash, seed ${seed}: no ghost after ${ghosts} ms, all ways found ${right} ms later`],
    wrong: [...within('ghosts', ghosts, GHOST_BOUND), ...within('ways', right, GHOST_BOUND), ...mesh.violations]
  }
}

/** Two halves part and meet, again and again */
export function halves (times: number, seed: number, observe: boolean): Report {
  const mesh = new Mesh({ seed, observe }, 60, random => [...meshOf(30, 4, random), ...meshOf(30, 4, random, 30), [0, 30], [7, 41], [19, 52]])
  mesh.network.advance(3 * SECOND)
  mesh.subscribe()
  let longest = 0
  const wrong: string[] = []

  for (let i = 0; i < times && wrong.length === 0; i++) {
    mesh.network.partition(new Set(mesh.nodes.slice(0, 30)))
    const parted = mesh.until(() => mesh.wrong.length === 0)
    mesh.network.heal()
    const met = mesh.until(() => mesh.wrong.length === 0)
    longest = Math.max(longest, parted ?? Infinity, met ?? Infinity)
    wrong.push(...within('halves part', parted, GHOST_BOUND), ...within('halves meet', met, GHOST_BOUND))
  }

  return { lines: [`halves of 60 relays part and meet ${times} times, seed ${seed}: right again after ${longest} ms at most`], wrong: [...wrong, ...mesh.violations] }
}

export function shapes (seed: number): Report {
  const ring = new Mesh({ seed }, 20, () => ringOf(20))
  ring.network.advance(SECOND)
  const round = ring.subscribe()
  const line = new Mesh({ seed }, 8, () => lineOf(8))
  line.network.advance(SECOND)
  const along = line.subscribe()

  return {
    lines: [`a ring of 20 knows all after ${round} ms, a line of 8 after ${along} ms, seed ${seed}`],
    wrong: [...within('a ring of 20', round, GHOST_BOUND), ...within('a line of 8', along, LINE_BOUND), ...ring.violations, ...line.violations]
  }
}

/** One claims to be beside everybody, and passes nothing on: whoever hands something to it sees no ack */
export function blackHole (seed: number): Report {
  const mesh = new Mesh({ seed, observe: false }, 60, random => meshOf(60, 5, random))
  const liar = mesh.nodes[30]
  lie(liar)
  mesh.network.advance(3 * SECOND)
  mesh.subscribe()
  const rounds: number[] = []

  for (let i = 0; i < 12 && (i === 0 || rounds[i - 1] > 0); i++) {
    rounds.push(blame(mesh, liar))
    mesh.network.advance(SECOND)
  }

  return {
    lines: [`a black hole among 60 relays, seed ${seed}: pairs whose messages end in it, after each round of acks that are missing: ${rounds.join(' ')}`],
    wrong: [...rounds[rounds.length - 1] > 0 ? ['messages end in the black hole for ever'] : [], ...mesh.network.violations]
  }
}

function lie ({ core }: SimNode): void {
  const wake = core.wake.bind(core)
  core.wake = now => wake(now).map((effect): Effect => effect.type === 'gossip'
    ? { ...effect, gossip: { ...effect.gossip, updates: effect.gossip.updates.map(update => ({ ...update, hops: 0 })) } }
    : effect)
}

/** Pairs whose messages the liar swallows; whoever handed one to it is told that it was not acked */
function blame (mesh: Mesh, liar: SimNode): number {
  const blamed = new Map<string, [SimNode, string]>()
  let swallowed = 0

  for (const from of mesh.nodes) {
    for (const to of mesh.nodes) {
      const last = from === liar || to === liar || from === to ? undefined : lastBefore(from, to, liar)

      if (last != null) {
        swallowed++
        blamed.set(`${last.key} ${to.key}`, [last, to.key])
      }
    }
  }

  blamed.forEach(([node, to]) => {
    node.core.acked(to, liar.key, false, mesh.network.clock.now())
    node.wake()
  })
  return swallowed
}

function lastBefore (from: SimNode, to: SimNode, liar: SimNode): SimNode | undefined {
  for (let at = from, steps = 0; at !== to && steps < 100; steps++) {
    const next = at.core.routing.next(to.key)
    const link = next == null ? undefined : at.links.get(next)

    if (link == null || next === liar.key) {
      return next === liar.key ? at : undefined
    }

    at = link.other(at)
  }
}

export { COMMON }
