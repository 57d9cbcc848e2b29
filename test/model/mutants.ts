import { setups, wild } from './setups.ts'
import type { Setup } from './action.ts'
import type { PubsubCore } from '../../src/pubsub/core/pubsub.ts'
import type { Distance, Version } from '../../src/pubsub/core/routing.ts'
import type { Effect, Key } from '../../src/pubsub/core/types.ts'

/** A bug on purpose: the checker that does not find it is blind */
export interface Mutant {
  /** Where it shows, and what else is there when it does */
  setup: Setup
  /** What the checker says of it; absent: one or the other thing */
  shows?: string
  mutate? (core: PubsubCore, key: Key): void
}

/** More than any number of an announcement that a run of the model can get to */
const MANY = 1000

const ofSubscriptions: Record<string, Mutant> = {
  'what arrives while a subscription is pending is dropped': {
    setup: setups['two peers that subscribe, cancel and ask'],
    shows: 'does not know it',
    mutate: ({ topics }) => {
      topics.isOn = topic => topics.state(topic) === 'subscribed'
    }
  },
  'a pending subscription is not shown to one who asks': {
    setup: setups['two peers that wait a while before they announce'],
    shows: 'was told who is on',
    mutate: ({ topics }) => {
      topics.tellEarly = () => false
    }
  },
  'a cancelled subscription leaves its entry': {
    setup: setups['two peers that subscribe, cancel and ask'],
    shows: 'was aborted already',
    mutate: ({ topics }) => {
      topics.abort = () => false
    }
  },
  'who is on a topic is remembered when nobody here wants to know': {
    setup: setups['two peers that subscribe, cancel and ask'],
    shows: 'is left with',
    mutate: ({ subscribers }) => {
      subscribers.untrack = () => {}
    }
  },
  'cancelling a second subscription ends the first': {
    setup: setups['two peers that subscribe, cancel and ask'],
    shows: 'against what its user asked for',
    mutate: ({ topics }) => {
      const unsubscribe = topics.unsubscribe.bind(topics)
      topics.unsubscribe = topic => unsubscribe(topic, true)
    }
  },
  'the announcement that came last counts, not the newest': {
    setup: setups['a triangle of relays'],
    shows: 'ghosts',
    mutate: ({ subscribers }) => {
      const apply = subscribers.apply.bind(subscribers)
      subscribers.apply = (key, announcements, ...rest) => {
        const { epoch, seq } = subscribers.versionOf(key) ?? { epoch: 0, seq: 0 }
        const applied = apply(key, announcements, ...rest)
        const late = announcements.filter(announcement => announcement.epoch === epoch && announcement.seq <= seq && announcement.on.length > 0)
        apply(key, late.slice(-1).map(announcement => ({ ...announcement, seq: seq + 1, full: true })), ...rest)
        return applied
      }
    }
  },
  'a retraction is not announced': {
    setup: setups['two peers that subscribe, cancel and ask'],
    shows: 'ghosts',
    mutate: ({ topics }) => {
      const announce = topics.announce.bind(topics)
      topics.announce = (seq, now) => ({ ...announce(seq, now), off: [] })
    }
  },
  'a new life does not replace the old one': {
    setup: setups['two peers that come back before they were missed'],
    shows: 'ghosts',
    mutate: ({ subscribers }) => {
      const apply = subscribers.apply.bind(subscribers)
      subscribers.restart = () => {}
      subscribers.apply = (key, announcements, ...rest) => {
        const before = [...subscribers.topicsOf(key)]
        const isNew = announcements.length > 0 && announcements[0].epoch !== subscribers.versionOf(key)?.epoch
        return apply(key, isNew ? announcements.map(announcement => ({ ...announcement, on: [...announcement.on, ...before] })) : announcements, ...rest)
      }
    }
  },
  'who vanishes is not removed': {
    setup: setups['two peers whose connection is cut'],
    shows: 'ghosts',
    mutate: ({ subscribers }) => {
      const show = subscribers.show.bind(subscribers)
      subscribers.show = (key, isShown) => { isShown && show(key, true) }
      subscribers.check = () => {}
    }
  },
  'an event comes although nothing changed': {
    setup: setups['two peers that subscribe, cancel and ask'],
    shows: 'and so did the one before',
    mutate: core => {
      const receive = core.receive.bind(core)
      core.receive = (from, gossip, now) => receive(from, gossip, now).flatMap((effect): Effect[] => effect.type === 'changes' ? [effect, effect] : [effect])
    }
  },
  'a subscription counts as announced before anybody has heard of it': {
    setup: setups['two peers that subscribe, cancel and ask'],
    shows: 'does not know it',
    mutate: core => {
      const { topics, updates } = core
      const announce = topics.announce.bind(topics)
      topics.announce = (seq, now) => {
        const announced = announce(seq, now)
        return { ...announced, settled: [...announced.settled, ...updates.neighbours.flatMap(key => topics.confirmed(key, seq))] }
      }
    }
  },
  'a leaf that is new on a topic is not told who is on it': {
    setup: setups['a line with a relay in the middle'],
    shows: 'missing',
    mutate: ({ subscribers }) => {
      subscribers.known = () => []
    }
  },
  'a leaf does not ask who was on a topic before it': {
    setup: setups['two peers that subscribe while they meet'],
    shows: 'missing',
    mutate: ({ updates }) => {
      updates.request = () => {}
    }
  }
}

const ofWays: Record<string, Mutant> = {
  'every way may be taken, be it longer than what others were told': {
    setup: setups['a tail with a ring, cut, with messages on their way'],
    shows: 'lead in a circle',
    mutate: core => { inflate(core, () => true) }
  },
  'how far an origin was is forgotten as soon as it is lost': {
    setup: setups['a tail with a ring, cut, with messages on their way'],
    shows: 'lead in a circle',
    mutate: core => {
      const wasReachable = new Set<Key>()
      inflate(core, origin => {
        const isReachable = core.routing.isReachable(origin)
        const isForgotten = !isReachable && wasReachable.has(origin)
        isReachable ? wasReachable.add(origin) : wasReachable.delete(origin)
        return isForgotten
      })
    }
  },
  'with a neighbour only the neighbour itself is lost': {
    setup: setups['a line of four whose end crashes and comes back'],
    shows: 'ghost',
    mutate: ({ routing }) => {
      const [hear, down] = [routing.hear.bind(routing), routing.down.bind(routing)]
      const claims = new Map<string, { neighbour: Key, origin: Key, distance: Distance, now: number }>()
      routing.check = () => {}
      routing.hear = (neighbour, origin, distance, now) => {
        claims.set(`${neighbour} ${origin}`, { neighbour, origin, distance, now })
        hear(neighbour, origin, distance, now)
      }
      routing.down = (gone, ...rest) => {
        down(gone, ...rest)

        for (const { neighbour, origin, distance, now } of claims.values()) {
          neighbour === gone && origin !== gone && hear(neighbour, origin, distance, now)
        }
      }
    }
  },
  'who is asked for something newer answers with what it has': {
    setup: setups['a ring of four that is cut, with messages on their way'],
    shows: 'never becomes quiet',
    mutate: core => {
      const { routing, updates } = core
      const request = routing.request.bind(routing)
      routing.request = (neighbour, origin, wanted) => {
        if (routing.distance(origin) == null || routing.next(origin) === neighbour) {
          request(neighbour, origin, wanted)
        } else {
          routing.sayAgain(neighbour, origin)
          updates.mark(neighbour, origin, true)
        }
      }
    }
  },
  'nobody is asked for anything newer': {
    setup: setups['a ring of four that is cut, with messages on their way'],
    shows: 'has no way',
    mutate: ({ updates }) => {
      updates.want = () => {}
    }
  },
  'an origin does not say itself again when it is asked to': {
    setup: setups['a ring of four that is cut, with messages on their way'],
    shows: 'has no way',
    mutate: (core, key) => {
      const receive = core.receive.bind(core)
      core.receive = (from, gossip, now) => receive(from, { ...gossip, wanted: gossip.wanted.filter(({ origin }) => origin !== key) }, now)
    }
  },
  'a message may come back to its origin': {
    setup: setups['four of which the ways turn while a message is on its way'],
    shows: 'which made it',
    mutate: ({ routing }) => {
      const next = routing.next.bind(routing)
      routing.next = origin => next(origin)
    }
  },
  'a loss is told to nobody': {
    setup: setups['a line of four whose end crashes and comes back'],
    shows: 'ghost',
    mutate: ({ routing, updates }) => {
      const mark = updates.mark.bind(updates)
      updates.mark = (to, origin, isUrgent) => {
        if (!isUrgent || routing.distance(origin) != null || routing.known(to, origin) == null) {
          mark(to, origin, isUrgent)
        }
      }
    }
  },
  'a leaf tells others of whom it has heard': {
    setup: setups['a leaf between relays'],
    shows: 'ghost',
    mutate: ({ routing, updates, subscribers, greeting }) => {
      const [tell, hear] = [routing.tell.bind(routing), routing.hear.bind(routing)]
      const said = new Set<string>()
      routing.hear = (neighbour, origin, distance, now) => {
        hear(neighbour, origin, distance, now)
        updates.neighbours.filter(key => key !== origin && key !== neighbour).forEach(key => { updates.mark(key, origin, false) })
      }
      routing.tell = (neighbour, origin, hasNews) => {
        const version = subscribers.versionOf(origin)

        if (greeting.isRelay || version == null || said.has(`${neighbour} ${origin} ${version.seq}`)) {
          return tell(neighbour, origin, hasNews)
        }

        said.add(`${neighbour} ${origin} ${version.seq}`)
        return { epoch: version.epoch, seq: version.seq, hops: 2 }
      }
    }
  },
  'a peer does not outlive what others believe of it': {
    setup: wild['a line whose clocks go backwards'],
    mutate: core => {
      const receive = core.receive.bind(core)
      core.receive = (from, gossip, now) => receive(from, gossip, now).filter(({ type }) => type !== 'outlive')
    }
  },
  'a neighbour is told that we lead to whom it leads us to': {
    setup: wild['five relays, everything'],
    mutate: ({ routing, updates }) => {
      const [tell, hear] = [routing.tell.bind(routing), routing.hear.bind(routing)]
      routing.hear = (neighbour, origin, distance, now) => {
        hear(neighbour, origin, distance, now)
        updates.mark(neighbour, origin, false)
      }
      routing.tell = (neighbour, origin, hasNews) => {
        const told = tell(neighbour, origin, hasNews)
        return told == null && neighbour === routing.next(origin) && neighbour !== origin ? routing.distance(origin) : told
      }
    }
  }
}

export const mutants: Record<string, Mutant> = { ...ofSubscriptions, ...ofWays }

/**
 * Whatever a neighbour claims is taken for something newer than all before when `isInflated` says so: its number is made
 * larger when it is heard, and as it was when it is told.
 */
function inflate ({ routing }: PubsubCore, isInflated: (origin: Key) => boolean): void {
  const [hear, hearLost, tell, known, down] = [routing.hear, routing.hearLost, routing.tell, routing.known, routing.down].map(method => method.bind(routing)) as [
    typeof routing.hear, typeof routing.hearLost, typeof routing.tell, typeof routing.known, typeof routing.down
  ]
  const rounds = new Map<Key, number>()
  const claims = new Map<Key, Map<Key, Distance>>()
  const plain = <T extends Version>(version: T): T => ({ ...version, seq: version.seq % MANY })
  const say = (neighbour: Key, origin: Key, distance: Distance, now: number): void => {
    hear(neighbour, origin, { ...distance, seq: distance.seq + MANY * (rounds.get(origin) ?? 0) }, now)
  }
  const look = (now: number): void => {
    for (const [origin, ways] of claims) {
      if (isInflated(origin)) {
        rounds.set(origin, (rounds.get(origin) ?? 0) + 1)
        ways.forEach((distance, neighbour) => { say(neighbour, origin, distance, now) })
      }
    }
  }

  routing.hear = (neighbour, origin, distance, now) => {
    claims.set(origin, (claims.get(origin) ?? new Map()).set(neighbour, distance))
    say(neighbour, origin, distance, now)
    look(now)
  }
  routing.hearLost = (neighbour, origin, now) => {
    claims.get(origin)?.delete(neighbour)
    hearLost(neighbour, origin, now)
    look(now)
  }
  routing.down = (neighbour, ...rest) => {
    claims.forEach(ways => { ways.delete(neighbour) })
    down(neighbour, ...rest)
    look(0)
  }
  routing.tell = (neighbour, origin, hasNews) => {
    const told = tell(neighbour, origin, since => hasNews(since == null ? since : plain(since)))
    return told == null || told === 'lost' ? told : plain(told)
  }
  routing.known = (neighbour, origin) => {
    const version = known(neighbour, origin)
    return version == null ? version : plain(version)
  }
}
