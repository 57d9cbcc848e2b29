import type { SimNode } from './node.ts'
import type { Wire } from './surroundings.ts'
import type { Key } from '../../src/pubsub/core/types.ts'

/** The nodes that a message for `origin` passes again and again, if the ways that begin at a node lead in a circle */
export function circleOf (start: SimNode, origin: Key): Key[] | undefined {
  const passed = new Set<Key>()

  for (let at: SimNode | undefined = start; at?.isRunning === true && at.key !== origin;) {
    if (passed.has(at.key)) {
      return [...passed, at.key]
    }

    passed.add(at.key)
    const next: Key | undefined = at.core.routing.next(origin)
    const wire: Wire | undefined = next == null ? undefined : at.links.get(next)
    // a way over a connection that is gone leads nowhere, also where the node has not heard that it is
    at = wire?.isUp(at) === true ? wire.other(at) : undefined
  }
}
