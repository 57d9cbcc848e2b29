/**
 * What takes its time, at full length: `npm run test:long`. `npm test` runs a part of each
 */
import './log/convergence.node.ts'
import './log/kill.node.ts'
import './log/store.spec.ts'
import './model/model.node.ts'
import './pubsub/networks.node.ts'
import './pubsub/worlds.node.ts'
import './replication/crash.node.ts'
import './replication/reconcile.spec.ts'
import './sim/churn.node.ts'
import './sim/hostile.node.ts'
import './sim/mesh.node.ts'
import './sim/random-run.node.ts'
import './sim/replication-run.node.ts'
import './transfer/links.node.ts'
import './transfer/service.node.ts'
