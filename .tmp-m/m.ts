import { explore } from '../test/session/model/explore.ts'
import { setups } from '../test/session/model/setups.ts'
const only = process.argv[2]
for (const [name, setup] of Object.entries(setups)) {
  if (only && !name.includes(only)) continue
  const t = Date.now()
  const r = explore(setup, { maxStates: Number(process.argv[3] ?? 2000), drainEvery: Number(process.argv[4] ?? 4) })
  console.log(name.padEnd(50), r.states, r.steps, r.isCut ? 'cut' : 'all', Date.now() - t, 'ms', r.found ? r.found.what + '\n   ' + r.found.trail.join('\n   ') : '')
}
