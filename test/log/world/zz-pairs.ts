import { seededRandom, randomInt } from '../../../src/runtime/random.ts'
import { makeStore, damageAndMend } from './rot.ts'
import { Truth } from './truth.ts'
import { Mirror } from './mirror.ts'
import { foreignEntries } from './foreign.ts'
import { inflict, spreadDamages, described } from './damage.ts'
const truth = new Truth((await foreignEntries()).known), mirror = new Mirror()
const random = seededRandom(Number(process.argv[2] ?? 1))
for (const end of ['closed', 'killed'] as const) {
  const store = await makeStore(end)
  const all = spreadDamages(store.disk, 300, random)
  const pages = all.filter(d => d.key.endsWith('p')), records = all.filter(d => d.key.endsWith('r'))
  let bad = 0
  for (let i = 0; i < 60; i++) {
    const a = pages[randomInt(random, pages.length)], b = records[randomInt(random, records.length)]
    const disk = new Map([...store.disk].map(([k, v]) => [k, v.slice()] as [string, Uint8Array])); inflict(disk, a)
    const o = await damageAndMend({ ...store, disk }, b, truth, mirror)
    if (o.wrong.length > 0) { bad++; console.log(end, described(a), '+', o.damage, '\n ', o.wrong.slice(0, 4).join('\n  ').slice(0, 500)) }
  }
  console.log(end, bad, 'of 60')
}
