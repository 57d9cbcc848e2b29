import { isPeerId } from '@libp2p/interface'
import { systemClock } from '../runtime/clock.ts'
import { ANYTHING, BOOLEAN, checkOptions, COUNT, MILLISECONDS, SIGNAL } from '../runtime/options.ts'
import { systemRandom } from '../runtime/random.ts'
import * as limits from './constants.ts'
import type { DirectSubInit, PublishOptions, RequestOptions, UnsubscribeOptions, WaitOptions } from './index.ts'
import type { Rule } from '../runtime/options.ts'
import type { AbortOptions } from '@libp2p/interface'

const TOPICS: Rule = [value => [...value].every(topic => typeof topic === 'string'), 'topics']
const ACKS = "'none', 'all' or how many"
const PEERS: Rule = [value => Array.isArray(value) && value.every(isPeerId), 'an array of peer ids']
const RECIPIENTS: Rule = [
  value => PEERS[0](value) && value.length <= limits.MAX_DESTINATIONS,
  `an array of at most ${limits.MAX_DESTINATIONS} peer ids`
]
const WHOLE: Rule = [value => Number.isSafeInteger(value) && value >= 0, 'a whole number from 0 on']
const PAYLOAD: Rule = [
  value => COUNT[0](value) && value <= limits.MAX_MAX_MESSAGE_SIZE,
  `a whole number from 1 to ${limits.MAX_MAX_MESSAGE_SIZE}`
]
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
  maxMessageSize: [PAYLOAD, limits.MAX_MESSAGE_SIZE],
  outboxSize: [COUNT, limits.OUTBOX_SIZE],
  slowPeerTimeout: [MILLISECONDS, limits.SLOW_PEER_TIMEOUT],
  maxTopicsPerPeer: [ANNOUNCED, limits.MAX_TOPICS_PER_PEER],
  maxSubscribersPerTopic: [COUNT, limits.MAX_SUBSCRIBERS_PER_TOPIC],
  maxDirectoryBytes: [COUNT, limits.MAX_DIRECTORY_BYTES],
  clock: [ANYTHING, systemClock],
  random: [ANYTHING, systemRandom]
}

const PUBLISH: Record<keyof PublishOptions, [Rule]> = {
  to: [RECIPIENTS],
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

const SUBSCRIBE: Record<keyof AbortOptions, [Rule]> = { signal: [SIGNAL] }
const UNSUBSCRIBE: Record<keyof UnsubscribeOptions, [Rule]> = { all: [BOOLEAN], signal: [SIGNAL] }
const REQUEST: Record<keyof RequestOptions, [Rule]> = { from: [[isPeerId, 'a peer id']], signal: [SIGNAL] }
const WAIT: Record<keyof WaitOptions, [Rule]> = { count: [WHOLE], peers: [PEERS], signal: [SIGNAL] }

/** Each of these throws an InvalidOptionsError */
export function checkSubscribeOptions (options: AbortOptions): void {
  checkOptions('subscribe()', options, SUBSCRIBE)
}

export function checkUnsubscribeOptions (options: UnsubscribeOptions): void {
  checkOptions('unsubscribe()', options, UNSUBSCRIBE)
}

export function checkRequestOptions (options: RequestOptions): void {
  checkOptions('requestSubscribers()', options, REQUEST)
}

export function checkWaitOptions (options: WaitOptions): void {
  checkOptions('waitForSubscribers()', options, WAIT)
}

export function checkPublishOptions (options: PublishOptions): void {
  checkOptions('publish()', options, PUBLISH)
}
