/**
 * What runs in browsers only: everything that needs the relay, and who keeps logs behind it, which are started for them.
 * `sideEffects` in package.json names the tests: else the bundler would leave these out
 */
import './database/relayed.browser.ts'
import './pubsub/relay-dies.browser.ts'
import './pubsub/relayed.browser.ts'
import './replication/relayed.browser.ts'
import './session/relayed.browser.ts'
import './transfer/relayed.browser.ts'
