/**
 * What runs in Node only, too: whole worlds of cores, without a socket, in which every engine sees the same. It
 * computes
 */
import './fixtures/guard.ts'
import './log/convergence.node.ts'
import './log/world.node.ts'
import './model/model.node.ts'
import './replication/hostile-hellos.node.ts'
import './replication/model/model.node.ts'
import './replication/model/property.node.ts'
import './session/model/model.node.ts'
import './session/races.node.ts'
import './session/table.node.ts'
import './sim/churn.node.ts'
import './sim/database-run.node.ts'
import './sim/hostile.node.ts'
import './sim/mesh.node.ts'
import './sim/random-run.node.ts'
import './sim/replication-run.node.ts'
import './sim/shells.node.ts'
import './tabs/simulation.node.ts'
