/**
 * Shows for each rule of the house a file that keeps it and a file that breaks it
 */
import { resolve } from 'node:path'
import aegir from 'aegir/eslint.config.js'
import { RuleTester } from 'eslint'
import house from './eslint-house.js'

const tester = new RuleTester({
  languageOptions: {
    parser: aegir.find(({ name }) => name === 'neostandard/ts')?.languageOptions?.parser
  }
})

let cases = 0

/**
 * @param {string} rule
 * @param {Array<[path: string, code: string]>} valid
 * @param {Array<[path: string, code: string, messageId: string]>} invalid
 */
function check (rule, valid, invalid) {
  tester.run(rule, /** @type {any} */ (house.rules)[rule], {
    valid: valid.map(([path, code]) => ({ filename: resolve(path), code })),
    invalid: invalid.map(([path, code, messageId]) => ({ filename: resolve(path), code, errors: [{ messageId }] }))
  })

  cases += valid.length + invalid.length
}

check('floors', [
  ['src/pubsub/peer.ts', 'import { Lane } from \'../link/lane.ts\''],
  ['src/pubsub/core/peer.ts', 'import { Lane } from \'../../link/core/lane.ts\''],
  ['src/pubsub/core/peer.ts', 'import { Topic } from \'../topic.ts\''],
  ['src/link/lane.ts', 'import { Clock } from \'../runtime/clock.ts\''],
  ['src/session/index.ts', 'import type { Send } from \'../pubsub/index.ts\''],
  ['src/index.ts', 'export { documents } from \'./database/index.ts\''],
  ['src/tabs/profile.ts', 'import { open } from \'../database/index.ts\''],
  ['src/log/index.ts', 'import { sha256 } from \'multiformats/hashes/sha2\''],
  ['src/log/core/manifest.ts', 'import { writeRun } from \'../../storage/core/run.ts\''],
  ['test/pubsub.spec.ts', 'import \'../src/index.ts\'']
], [
  ['src/link/lane.ts', 'import { Entry } from \'../log/entry.ts\'', 'higher'],
  ['src/storage/core/table.ts', 'import type { Lane } from \'../../link/core/lane.ts\'', 'higher'],
  ['src/storage/pages.ts', 'import { MAX_NAMED } from \'../log/constants.ts\'', 'higher'],
  ['src/log/entry.ts', 'import type { Topic } from \'../pubsub/topic.ts\'', 'higher'],
  ['src/session/index.ts', 'export * from \'../transfer/index.ts\'', 'higher'],
  ['src/transfer/index.ts', 'export type { Session } from \'../session/index.ts\'', 'higher'],
  ['src/runtime/clock.ts', 'import \'../link/lane.ts\'', 'higher'],
  ['src/pubsub/core/peer.ts', 'const log = await import(\'../../replication/core/leaders.ts\')', 'higher'],
  ['src/pubsub/peer.ts', 'let session: import(\'../session/index.ts\').Session', 'higher'],
  ['src/database/index.ts', 'import { all } from \'../index.ts\'', 'higher'],
  ['src/database/index.ts', 'import { tabs } from \'../tabs/index.ts\'', 'higher'],
  ['src/tabs/profile.ts', 'import { all } from \'../index.ts\'', 'higher'],
  ['src/log/index.ts', 'import \'../../test/fixtures/relay.ts\'', 'outside'],
  ['src/helpers/index.ts', 'export {}', 'unknown']
])

check('clock', [
  ['src/pubsub/index.ts', 'const at = clock.now(); clock.setTimeout(() => {}, 1)'],
  ['src/pubsub/index.ts', 'const at = new Date(0)'],
  ['src/pubsub/index.ts', 'const most = Math.max(1, 2)'],
  ['src/pubsub/index.ts', 'function wait (setTimeout: () => void): void { setTimeout() }'],
  ['src/pubsub/index.ts', 'const either = AbortSignal.any([])'],
  ['src/pubsub/index.ts', 'interface Options { setTimeout: number }']
], [
  ['src/pubsub/index.ts', 'const at = Date.now()', 'global'],
  ['src/pubsub/index.ts', 'const at = new Date()', 'global'],
  ['src/pubsub/index.ts', 'const at = Date()', 'global'],
  ['src/pubsub/index.ts', 'const now = Date.now', 'global'],
  ['src/pubsub/index.ts', 'const { now } = Date', 'global'],
  ['src/pubsub/index.ts', 'const at = globalThis.Date.now()', 'global'],
  ['src/pubsub/index.ts', 'const n = Math[\'random\']()', 'global'],
  ['src/pubsub/index.ts', 'setTimeout(() => {}, 1)', 'global'],
  ['src/pubsub/index.ts', 'globalThis.setInterval(() => {}, 1)', 'global'],
  ['src/pubsub/index.ts', 'clearTimeout(1)', 'global'],
  ['src/pubsub/index.ts', 'const at = performance.now()', 'global'],
  ['src/pubsub/index.ts', 'const signal = AbortSignal.timeout(1)', 'global'],
  ['src/pubsub/index.ts', 'import { setTimeout } from \'node:timers/promises\'', 'import']
])

check('pure-core', [
  ['src/pubsub/core/peer.ts', 'import type { PeerId, Message } from \'@libp2p/interface\''],
  ['src/pubsub/core/peer.ts', 'import { peerIdFromString } from \'@libp2p/peer-id\''],
  ['src/pubsub/core/peer.ts', 'import { equals } from \'uint8arrays\''],
  ['src/pubsub/core/peer.ts', 'import { Topic } from \'./topic.ts\''],
  ['src/pubsub/core/peer.ts', 'import { Bounded } from \'../../runtime/bounded.ts\''],
  ['src/pubsub/core/peer.ts', 'import { Frame } from \'../../link/core/frame.ts\''],
  ['src/pubsub/core/peer.ts', 'import { MAX_TOPICS } from \'../constants.ts\''],
  ['src/pubsub/core/peer.ts', 'export function handle (event: Event, now: number): Effect[] { return [] }']
], [
  ['src/pubsub/core/peer.ts', 'import { PeerId } from \'@libp2p/interface\'', 'package'],
  ['src/pubsub/core/peer.ts', 'import { generateKeyPair } from \'@libp2p/crypto/keys\'', 'package'],
  ['src/pubsub/core/peer.ts', 'import type { Libp2p } from \'libp2p\'', 'package'],
  ['src/pubsub/core/peer.ts', 'import { noise } from \'@chainsafe/libp2p-noise\'', 'package'],
  ['src/pubsub/core/peer.ts', 'import { createHash } from \'node:crypto\'', 'package'],
  ['src/pubsub/core/peer.ts', 'import { setTimeout } from \'timers/promises\'', 'package'],
  ['src/pubsub/core/peer.ts', 'import { DirectSub } from \'../direct-sub.ts\'', 'shell'],
  ['src/pubsub/core/peer.ts', 'import type { DirectSub } from \'../index.ts\'', 'shell'],
  ['src/pubsub/core/peer.ts', 'import { Link } from \'../../link/index.ts\'', 'shell'],
  ['src/pubsub/core/peer.ts', 'import { LinkError } from \'../../link/errors.ts\'', 'shell'],
  ['src/pubsub/core/peer.ts', 'import { Message } from \'../wire.ts\'', 'shell'],
  ['src/pubsub/core/peer.ts', 'import { MAX_FRAME } from \'../../link/constants.ts\'', 'shell'],
  ['src/pubsub/constants.ts', 'import { DirectSub } from \'./direct-sub.ts\'', 'shell'],
  ['src/pubsub/core/peer.ts', 'const at = Date.now()', 'global'],
  ['src/pubsub/core/peer.ts', 'const n = Math.random()', 'global'],
  ['src/pubsub/core/peer.ts', 'setTimeout(() => {}, 1)', 'global'],
  ['src/pubsub/core/peer.ts', 'setInterval(() => {}, 1)', 'global'],
  ['src/pubsub/core/peer.ts', 'setImmediate(() => {})', 'global'],
  ['src/pubsub/core/peer.ts', 'queueMicrotask(() => {})', 'global'],
  ['src/pubsub/core/peer.ts', 'const at = performance.now()', 'global'],
  ['src/pubsub/core/peer.ts', 'const done = new Promise(() => {})', 'global'],
  ['src/pubsub/core/peer.ts', 'const done = Promise.resolve()', 'global'],
  ['src/pubsub/core/peer.ts', 'let done: Promise<void>', 'global'],
  ['src/pubsub/core/peer.ts', 'crypto.getRandomValues(bytes)', 'global'],
  ['src/pubsub/core/peer.ts', 'globalThis.crypto.subtle.sign()', 'global'],
  ['src/pubsub/core/peer.ts', 'async function handle () {}', 'async'],
  ['src/pubsub/core/peer.ts', 'const handle = async () => {}', 'async'],
  ['src/pubsub/core/peer.ts', 'class Peer { async handle () {} }', 'async'],
  ['src/pubsub/core/peer.ts', 'await something', 'async']
])

console.info(`house rules: ${cases} cases hold`)
