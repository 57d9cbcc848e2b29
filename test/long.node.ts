/**
 * What takes its time, at full length: `npm run test:long`. `npm test` runs a part of each. Here is what mostly waits,
 * in `long.worlds.ts` what computes
 */
import './fuzz/live.node.ts'
import './log/kill.node.ts'
import './log/two-pages.node.ts'
import './pubsub/networks.node.ts'
import './pubsub/worlds.node.ts'
import './replication/crash.node.ts'
import './replication/hostile.node.ts'
import './soak/hostile.node.ts'
import './tabs/pages.node.ts'
import './transfer/links.node.ts'
import './transfer/service.node.ts'
