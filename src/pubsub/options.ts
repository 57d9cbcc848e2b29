import { systemClock } from '../runtime/clock.ts'
import { ANYTHING, BOOLEAN, checkOptions, COUNT, MILLISECONDS, SIGNAL } from '../runtime/options.ts'
import { systemRandom } from '../runtime/random.ts'
import * as limits from './constants.ts'
import type { DirectSubInit, PublishOptions } from './index.ts'
import type { Rule } from '../runtime/options.ts'

const TOPICS: Rule = [value => [...value].every(topic => typeof topic === 'string'), 'topics']
const ACKS = "'none', 'all' or how many"
const ANNOUNCED: Rule = [
  value => COUNT[0](value) && value <= limits.MAX_ANNOUNCED_TOPICS,
  `a whole number from 1 to ${limits.MAX_ANNOUNCED_TOPICS}`
]

/** All options of a DirectSub */
export type Options = Required<Omit<DirectSubInit, 'allowedTopics'>> & Pick<DirectSubInit, 'allowedTopics'>

/** What each option has to be, and what it is where nobody says so */
const INIT: { [Name in keyof Options]-?: [Rule, Options[Name]] } = {
  allowedTopics: [TOPICS, undefined],
  canRelay: [BOOLEAN, true],
  subscriptionDebounce: [MILLISECONDS, 0],
  runOnLimitedConnection: [BOOLEAN, false],
  maxMessageSize: [COUNT, limits.MAX_MESSAGE_SIZE],
  outboxSize: [COUNT, limits.OUTBOX_SIZE],
  slowPeerTimeout: [MILLISECONDS, limits.SLOW_PEER_TIMEOUT],
  maxTopicsPerPeer: [ANNOUNCED, limits.MAX_TOPICS_PER_PEER],
  maxSubscribersPerTopic: [COUNT, limits.MAX_SUBSCRIBERS_PER_TOPIC],
  maxDirectoryBytes: [COUNT, limits.MAX_DIRECTORY_BYTES],
  clock: [ANYTHING, systemClock],
  random: [ANYTHING, systemRandom]
}

const PUBLISH: Record<keyof PublishOptions, [Rule]> = {
  to: [[Array.isArray, 'an array of peer ids']],
  ack: [[value => value === 'none' || value === 'all' || (Number.isSafeInteger(value) && value >= 0), ACKS]],
  priority: [[value => ['control', 'data', 'bulk'].includes(value), "'control', 'data' or 'bulk'"]],
  signal: [SIGNAL]
}

/** Throws an InvalidOptionsError */
export function optionsOf (init: DirectSubInit): Options {
  checkOptions('directSub()', init, INIT)
  return Object.fromEntries(
    Object.entries(INIT).map(([name, [, byDefault]]) => [name, init[name as keyof DirectSubInit] ?? byDefault])
  ) as unknown as Options
}

/** Throws an InvalidOptionsError */
export function checkPublishOptions (options: PublishOptions): void {
  checkOptions('publish()', options, PUBLISH)
}
