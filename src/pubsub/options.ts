import { InvalidOptionsError } from '../runtime/errors.ts'
import { MAX_ANNOUNCED_TOPICS } from './constants.ts'
import type { DirectSubInit, PublishOptions } from './index.ts'

/** What an option has to be, for a check and for a sentence */
type Rule = [isRight: (value: any) => boolean, what: string]

const BOOLEAN: Rule = [value => typeof value === 'boolean', 'true or false']
const COUNT: Rule = [value => Number.isSafeInteger(value) && value > 0, 'a whole number from 1 on']
const MILLISECONDS: Rule = [value => typeof value === 'number' && value >= 0 && value < 2 ** 31, 'a number of milliseconds']
const ANYTHING: Rule = [() => true, 'anything']

const INIT: Record<keyof DirectSubInit, Rule> = {
  allowedTopics: [value => [...value].every(topic => typeof topic === 'string'), 'topics'],
  canRelay: BOOLEAN,
  subscriptionDebounce: MILLISECONDS,
  runOnLimitedConnection: BOOLEAN,
  maxMessageSize: COUNT,
  outboxSize: COUNT,
  slowPeerTimeout: MILLISECONDS,
  maxTopicsPerPeer: [value => COUNT[0](value) && value <= MAX_ANNOUNCED_TOPICS, `a whole number from 1 to ${MAX_ANNOUNCED_TOPICS}`],
  maxSubscribersPerTopic: COUNT,
  maxDirectoryBytes: COUNT,
  clock: ANYTHING,
  random: ANYTHING
}

const PUBLISH: Record<keyof PublishOptions, Rule> = {
  to: [Array.isArray, 'an array of peer ids'],
  ack: [value => value === 'none' || value === 'all' || (Number.isSafeInteger(value) && value >= 0), "'none', 'all' or how many"],
  priority: [value => value === 'control' || value === 'data' || value === 'bulk', "'control', 'data' or 'bulk'"],
  signal: [value => typeof value?.addEventListener === 'function', 'an AbortSignal']
}

/** Throws an InvalidOptionsError */
export function checkInit (init: DirectSubInit): void {
  check('directSub()', init, INIT)
}

/** Throws an InvalidOptionsError */
export function checkPublishOptions (options: PublishOptions): void {
  check('publish()', options, PUBLISH)
}

/** What has no value is not looked at: so options may be handed on that somebody left out */
function check (where: string, options: object, rules: Record<string, Rule>): void {
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(rules, name)) {
      throw new InvalidOptionsError(`${where} has no option '${name}': there are ${Object.keys(rules).join(', ')}`)
    }
    if (value !== undefined && !isRight(rules[name], value)) {
      throw new InvalidOptionsError(`${name} of ${where} has to be ${rules[name][1]}, not ${String(value)}`)
    }
  }
}

function isRight ([isRight]: Rule, value: unknown): boolean {
  try {
    return isRight(value)
  } catch {
    // it is not even of a type that can be looked at
    return false
  }
}
