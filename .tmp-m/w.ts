import { wander } from '../test/session/model/explore.ts'
import { wild } from '../test/session/model/setups.ts'
import { seededRandom } from '../src/runtime/random.ts'
for (const [name, setup] of Object.entries(wild)) {
  const t = Date.now()
  const r = wander(setup, seededRandom(Number(process.argv[3] ?? 1)), Number(process.argv[2] ?? 300))
  console.log(name.padEnd(50), r.states, r.steps, Date.now() - t, 'ms', r.found ? r.found.what + '\n   ' + r.found.trail.join('\n   ') : '')
}
