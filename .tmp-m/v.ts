import { derive } from '../src/session/core/key-schedule.ts'
const h = (b: Uint8Array) => Buffer.from(b).toString('hex')
const [s, t, r] = [1, 2, 3].map(b => new Uint8Array(32).fill(b))
for (const k of [derive(undefined, s, t), derive(r, s, t)]) console.log(`  [\n    '${Buffer.from(k.id, 'latin1').toString('hex')}',\n    '${h(k.lowToHigh)}',\n    '${h(k.confirm)}'\n  ]`)
