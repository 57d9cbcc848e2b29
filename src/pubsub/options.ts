import { systemClock } from '../runtime/clock.ts'
import { InvalidOptionsError } from '../runtime/errors.ts'
import { systemRandom } from '../runtime/random.ts'
import * as limits from './constants.ts'
import type { DirectSubInit, PublishOptions } from './index.ts'

/** What an option has to be, for a check and for a sentence */
type Rule = [isRight: (value: any) => boolean, what: string]

const BOOLEAN: Rule = [value => typeof value === 'boolean', 'true or false']
const COUNT: Rule = [value => Number.isSafeInteger(value) && value > 0, 'a whole number from 1 on']
const TOPICS: Rule = [value => [...value].every(topic => typeof topic === 'string'), 'topics']
const ANYTHING: Rule = [() => true, 'anything']
const MILLISECONDS: Rule = [
  value => typeof value === 'number' && value >= 0 && value < 2 ** 31, 'a number of milliseconds'
]
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
  signal: [[value => typeof value?.addEventListener === 'function', 'an AbortSignal']]
}

/** Throws an InvalidOptionsError */
export function optionsOf (init: DirectSubInit): Options {
  check('directSub()', init, INIT)
  return Object.fromEntries(
    Object.entries(INIT).map(([name, [, byDefault]]) => [name, init[name as keyof DirectSubInit] ?? byDefault])
  ) as unknown as Options
}

/** Throws an InvalidOptionsError */
export function checkPublishOptions (options: PublishOptions): void {
  check('publish()', options, PUBLISH)
}

/** What has no value is not looked at: so options may be handed on that somebody left out */
function check (where: string, options: object, rules: Record<string, [Rule, ...unknown[]]>): void {
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(rules, name)) {
      throw new InvalidOptionsError(`${where} has no option '${name}': there are ${Object.keys(rules).join(', ')}`)
    }

    const [[isRight, what]] = rules[name]

    if (value !== undefined && !holds(isRight, value)) {
      throw new InvalidOptionsError(`${name} of ${where} has to be ${what}, not ${String(value)}`)
    }
  }
}

function holds (isRight: Rule[0], value: unknown): boolean {
  try {
    return isRight(value)
  } catch {
    // it is not even of a type that can be looked at
    return false
  }
}
