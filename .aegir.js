import { join } from 'node:path'
import { ensureChromium, installedChromium } from './scripts/chromium.js'

/**
 * Browsers cannot listen: each browser run gets a relay in a Node process to
 * dial, a node behind it that keeps a log, one with GossipSub that does, and
 * relays that a test may start and kill.
 * The npm scripts have built the project by the time this is called.
 *
 * @param {{ runner: string }} options
 */
async function before ({ runner }) {
  if (runner === 'node') {
    return
  }

  ensureChromium()

  const { startRelay } = await import('./dist/test/fixtures/relay.js')
  const { startGossipSubKeeper, startLogKeeper } = await import('./dist/test/fixtures/log-keeper.js')
  const { startRelayControl } = await import('./dist/test/fixtures/relay-control.js')
  const relay = await startRelay()
  const keeper = await startLogKeeper(relay.address)
  const gossipSubKeeper = await startGossipSubKeeper()
  const relayControl = await startRelayControl()

  return {
    relay,
    keeper,
    gossipSubKeeper,
    relayControl,
    env: {
      RELAY_MULTIADDR: relay.address,
      LOG_KEEPER: keeper.peerId,
      GOSSIPSUB_LOG_KEEPER: gossipSubKeeper.address,
      RELAY_CONTROL: relayControl.url
    }
  }
}

/**
 * @param {unknown} options
 * @param {Awaited<ReturnType<typeof before>>} [started]
 */
async function after (options, started) {
  await started?.keeper.stop()
  await started?.gossipSubKeeper.stop()
  await started?.relay.stop()
  await started?.relayControl.stop()
}

/** @type {import('aegir').PartialOptions} */
export default {
  build: {
    // a library: whoever uses it bundles it
    bundle: false
  },
  test: {
    target: ['node', 'browser', 'webworker'],
    before,
    after,
    browser: {
      config: {
        browserContextOptions: installedChromium(join(import.meta.dirname, 'node_modules/.cache/ms-playwright'))
      }
    }
  },
  dependencyCheck: {
    // seen by neither check: `node` is what the scripts run on, playwright comes with aegir, and the link to this package
    // itself is by what cli/ finds it
    ignore: ['@xterm/xterm', 'libp2p-sheaf', 'node', 'playwright-core', 'playwright-test'],
    // what these need is a devDependency: it is not for those who use the package
    productionIgnorePatterns: [
      '/bench',
      '/cli',
      '/dist',
      '/examples',
      '/inspector',
      '/scripts',
      '/test',
      '.aegir.js',
      'eslint.config.js'
    ],
    developmentIgnorePatterns: [
      '/cli',
      '/dist',
      '/src'
    ]
  },
  documentCheck: {
    inputFiles: ['README.md', 'docs/**/*.md']
  }
}
