/**
 * What runs in Node only: everything with sockets
 */
import { guardProcess } from './fixtures/guard.ts'
import './bin.node.ts'
import './contract/contract.node.ts'
import './database/documents.node.ts'
import './database/key-value.node.ts'
import './fuzz/live.node.ts'
import './log/crash.node.ts'
import './pubsub/connections.node.ts'
import './pubsub/delivery.node.ts'
import './pubsub/lifecycle.node.ts'
import './pubsub/limited.node.ts'
import './pubsub/membership.node.ts'
import './pubsub/pressure.node.ts'
import './replication/access.node.ts'
import './replication/acks.node.ts'
import './replication/catching-up.node.ts'
import './replication/crash.node.ts'
import './replication/lifecycle.node.ts'
import './replication/membership.node.ts'
import './replication/pruning.node.ts'
import './replication/restart.node.ts'
import './sim/database-run.node.ts'
import './sim/replication-run.node.ts'

guardProcess()
