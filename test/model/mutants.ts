import { setups } from './setups.ts'
import type { Setup } from './action.ts'
import type { PubsubCore } from '../../src/pubsub/core/pubsub.ts'
import type { Announcement } from '../../src/pubsub/core/types.ts'

/** A bug on purpose: the checker that does not find it is blind */
export interface Mutant {
  /** Where it shows */
  setup: Setup
  /** What the checker says of it */
  shows: string
  mutate (core: PubsubCore): void
}

function isPending (core: PubsubCore, topic: string): boolean {
  return core.topics.state(topic) === 'pending'
}

export const mutants: Record<string, Mutant> = {
  'what arrives while a subscription is pending is dropped': {
    setup: setups['two peers that subscribe, cancel and ask'],
    shows: 'does not know it',
    mutate: core => {
      core.topics.isOn = topic => core.topics.state(topic) === 'subscribed'
    }
  },
  'a pending subscription is not shown to one who asks': {
    setup: setups['two peers that wait a while before they announce'],
    shows: 'was told who is on',
    mutate: core => {
      const asked = core.topics.asked.bind(core.topics)
      core.topics.asked = (topic, by) => !isPending(core, topic) && asked(topic, by)
    }
  },
  'a cancelled subscription leaves its entry': {
    setup: setups['two peers that subscribe, cancel and ask'],
    shows: 'was aborted already',
    mutate: core => {
      core.topics.abort = () => false
    }
  },
  'who is on a topic is remembered when nobody here wants to know': {
    setup: setups['two peers that subscribe, cancel and ask'],
    shows: 'is left with',
    mutate: core => {
      core.subscribers.untrack = () => {}
    }
  },
  'cancelling a second subscription ends the first': {
    setup: setups['two peers that subscribe, cancel and ask'],
    shows: 'against what its user asked for',
    mutate: core => {
      const unsubscribe = core.topics.unsubscribe.bind(core.topics)
      core.topics.unsubscribe = topic => unsubscribe(topic, true)
    }
  },
  'the announcement that came last counts, not the newest': {
    setup: setups['a triangle of relays'],
    shows: 'ghosts',
    mutate: core => {
      const apply = core.subscribers.apply.bind(core.subscribers)
      let seq = 0
      core.subscribers.isPast = () => false
      core.subscribers.apply = (announcement, now) => apply({ ...announcement, seq: ++seq }, now)
    }
  },
  'who was told of a pending subscription is not untold': {
    setup: setups['two peers that subscribe, cancel and ask'],
    shows: 'ghosts',
    mutate: core => {
      const unsubscribe = core.topics.unsubscribe.bind(core.topics)
      core.topics.unsubscribe = (topic, all) => {
        if (isPending(core, topic)) {
          core.topics.told(topic).forEach(key => { core.topics.gone(key) })
        }
        return unsubscribe(topic, all)
      }
    }
  },
  'a new life does not replace the old one': {
    setup: setups['two peers that come back before they were missed'],
    shows: 'ghosts',
    mutate: core => {
      core.subscribers.raise = () => []
    }
  },
  'who vanishes is not removed': {
    setup: setups['two peers whose connection is cut'],
    shows: 'ghosts',
    mutate: core => {
      core.subscribers.gone = () => []
    }
  },
  'a retraction is forgotten at once, so that what it retracts is believed when it comes late': {
    setup: setups['a triangle of relays'],
    shows: 'ghosts',
    mutate: forgetRetractions
  },
  'an event comes although nothing changed': {
    setup: setups['two peers that subscribe, cancel and ask'],
    shows: 'and so did the one before',
    mutate: core => {
      const reveal = core.subscribers.reveal.bind(core.subscribers)
      const apply = core.subscribers.apply.bind(core.subscribers)
      core.subscribers.apply = (announcement, now) => {
        const applied = apply(announcement, now)
        const again = announcement.on.flatMap(topic => core.isTracked(topic) ? reveal(topic) : [])
        return { ...applied, changes: [...applied.changes, ...again] }
      }
    }
  },
  'a subscription counts as announced before anybody has heard of it': {
    setup: setups['two peers that subscribe, cancel and ask'],
    shows: 'does not know it',
    mutate: core => {
      const announced = core.topics.announced.bind(core.topics)
      core.topics.announced = (on, _, deadline) => announced(on, new Map(), deadline)
    }
  },
  'who comes again is not told what it may have missed': {
    setup: setups['a line whose sessions break'],
    shows: 'missing',
    mutate: core => {
      core.gossip.introduces = () => false
    }
  }
}

/** They are kept as if they had come long ago, and expire at once */
function forgetRetractions ({ subscribers }: PubsubCore): void {
  const LONG = 1e9
  const apply = subscribers.apply.bind(subscribers)

  subscribers.apply = (announcement: Announcement, now) => {
    const applied = apply(announcement, announcement.off.length > 0 && announcement.on.length === 0 ? now - LONG : now)
    subscribers.expire(now - LONG / 2, () => false)
    return applied
  }
}
