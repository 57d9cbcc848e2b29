import { heap } from './pubsub/heap.ts'
import { membership } from './pubsub/membership.ts'
import { throughput } from './pubsub/throughput.ts'
import { waits } from './pubsub/waits.ts'
import type { Kind } from './pubsub/contenders.ts'
import type { Suite } from './suite.ts'

const KINDS: Kind[] = ['ours', 'limit', 'gossipsub', 'floodsub']

/**
 * How fast messages get through, how soon a subscription is known, what a neighbour costs
 */
export const pubsub: Suite = {
  peers: ['gossipsub', 'floodsub', 'one write each'],

  async * run (run) {
    const { only } = run.options
    const kinds = KINDS.filter(kind => only.length === 0 || only.includes(kind))

    yield * throughput(run, kinds)
    yield * waits(run, kinds)
    yield * membership(run, kinds)
    yield * heap(run, kinds)
  }
}
