/**
 * All tests. Some compute and some wait, so three at a time keep two cores busy; those in Node and those of the command
 * run from the sources, so that they need not wait for the build
 */
import { globSync } from 'node:fs'
import { runAll } from './pool.js'

const AT_ONCE = 3

/**
 * Specs that compute for seconds, and ask nothing of the platform: a worker has the engine of its page, so that they say
 * nothing there that they did not say in the page. A spec that is not named here runs in both
 */
const PURE = [
  'link/channels', 'link/outbox', 'log/core/*', 'log/merkle', 'log/store', 'pubsub/routing', 'replication/placement',
  'replication/reconcile', 'replication/ring', 'replication/sketch', 'replication/spans', 'storage/core/*',
  'transfer/cores', 'transfer/flight'
]

// by their names in the sources, as what is in `dist` may not be built yet
const specsIn = (/** @type {string} */ pattern) => globSync(`test/${pattern}.spec.ts`)
const pure = new Set(PURE.flatMap(specsIn))
const inWorker = specsIn('**/*').filter(spec => !pure.has(spec)).map(spec => `dist/${spec.replace(/ts$/, 'js')}`)
const aegir = (/** @type {string} */ target, /** @type {string[]} */ ...files) =>
  ['aegir test --build false -t', target, ...files.map(file => `-f '${file}'`)].join(' ')

process.exitCode = await runAll([
  { name: 'the build', command: 'npm run build' },
  { name: 'Node, sockets', command: aegir('node', 'test/node-sockets.ts') },
  { name: 'Node, cores', command: aegir('node', 'test/node-worlds.ts', 'test/**/*.spec.ts') },
  { name: 'Chromium', command: aegir('browser'), after: 'the build' },
  { name: 'a web worker', command: aegir('webworker', 'dist/test/browser.js', ...inWorker), after: 'the build' },
  { name: 'the command', command: 'npm test --workspace cli' }
], AT_ONCE)
  ? 0
  : 1
