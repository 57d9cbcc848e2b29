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
  const keys = [...store.disk.keys()].filter(k => k.endsWith('r')).sort()
  const all = spreadDamages(store.disk, 300, random)
  for (const manifest of ['0', '1']) {
    const m = [...store.disk.keys()].find(k => k.endsWith('manifest/' + manifest))
    let bad = 0, n = 0
    for (const key of keys) {
      if (m == null) continue
      for (const lost of [true, false]) {
        n++
        const disk = new Map([...store.disk].map(([k, v]) => [k, v.slice()] as [string, Uint8Array])); inflict(disk, { key: m, at: 30, bit: 2 })
        const o = await damageAndMend({ ...store, disk }, lost ? { key } : { key, at: 40, bit: 1 }, truth, mirror)
        if (o.wrong.length > 0) { bad++; console.log(end, m, '+', o.damage, '\n ', o.wrong.slice(0, 2).join('\n  ').slice(0, 300)) }
      }
    }
    console.log(end, manifest, bad, 'of', n)
  }
}
