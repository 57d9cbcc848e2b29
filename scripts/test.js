/**
 * All tests: `npm test`, and `npm run test:long` with --long. Some compute and some wait, so three at a time keep two
 * cores busy. Those in Node and those of the command run from the sources, so that they need not wait for the build
 */
import { globSync } from 'node:fs'
import { runAll } from './pool.js'

const AT_ONCE = 3

/**
 * Specs that compute for seconds, and ask nothing of the platform: a worker has the engine of its page, so that they
 * say nothing there that they did not say in the page. A spec that is not named here runs in both
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

const [long, ...more] = process.argv.slice(2)
const quoted = (/** @type {string[]} */ ...args) => args.map(arg => `'${arg}'`).join(' ')
const aegir = (/** @type {string} */ target, /** @type {string[]} */ ...files) =>
  `aegir test --build false -t ${target} ${files.length === 0 ? '' : `-f ${quoted(...files)}`}`
const mocha = (/** @type {string} */ file) =>
  `mocha --require ./test/fixtures/long.ts --timeout 60000 ${quoted(file, ...more)}`

/** What others wait for, then the longest first */
const ALL = [
  { name: 'the build', command: 'npm run build' },
  { name: 'Node, cores', command: aegir('node', 'test/node.worlds.ts', 'test/**/*.spec.ts') },
  { name: 'Node, with sockets', command: aegir('node', 'test/node.ts') },
  { name: 'Chromium', command: aegir('browser'), after: 'the build' },
  { name: 'the command', command: 'npm test --workspace cli' },
  { name: 'a web worker', command: aegir('webworker', 'dist/test/browser.js', ...inWorker), after: 'the build' }
]

const LONG = [
  { name: 'what waits', command: mocha('test/long.node.ts') },
  { name: 'what computes', command: mocha('test/long.worlds.ts') }
]

process.exitCode = await runAll(long === '--long' ? LONG : ALL, AT_ONCE) ? 0 : 1
