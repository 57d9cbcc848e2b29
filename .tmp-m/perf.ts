import { Pair } from '../test/session/pair.ts'
import { cryptoProvider } from '../src/session/crypto/platform.ts'
import { encodeHead, decode, decodeBody } from '../src/session/core/wire.ts'
import { concat } from 'uint8arrays/concat'
const provider = cryptoProvider()
const pair = new Pair()
pair.peers[0].rekey()
await pair.run(60000, () => pair.isAtRest)
const [a, b] = pair.peers.map(p => p.session)
const at = { now: pair.now, random: () => 0.5 }
const N = 50000, payload = new Uint8Array(1024)
let call = 1000, delivered = 0, acked = 0
let tA = 0, tB = 0, tS = 0, tO = 0
const t0 = performance.now()
const work: Array<[typeof a, any]> = []
const run = (s: typeof a, effects: any[]) => {
  const other = s === a ? b : a
  for (const e of effects) {
    if (e.type === 'deliver') delivered++
    if (e.type === 'send-settled') acked++
    if (e.type === 'send' && 'head' in e.frame) {
      const x = performance.now()
      const head = encodeHead(e.frame.head)
      const bytes = concat([head, provider.seal(e.frame.key, head, e.frame.body)])
      const y = performance.now(); tS += y - x
      const d = decode(bytes) as any
      const o = other.openingOf(d.frame) as any
      const z = performance.now()
      const body = decodeBody(d.frame.kind, provider.open(o.key, d.head, d.ciphertext) as Uint8Array)
      const w = performance.now(); tO += w - z
      work.push([other, { type: 'opened', head: d.frame, body }])
    }
  }
}
for (let i = 0; i < N; i++) {
  run(a, a.step({ type: 'send', call: call++, payload }, at))
  while (work.length) { const [s, e] = work.shift()!; run(s, s.step(e, at)) }
  if (i % 5000 === 4999) { at.now += 10000; for (const s of [a, b]) run(s, s.step({ type: 'wake' }, at)) ; while (work.length) { const [s, e] = work.shift()!; run(s, s.step(e, at)) }}
}
const t = performance.now() - t0
console.log(N, 'messages', Math.round(t), 'ms', (t * 1000 / N).toFixed(1), 'us each; seal', (tS*1000/N).toFixed(1), 'open', (tO*1000/N).toFixed(1), 'delivered', delivered, 'acked', acked, 'epoch', a.state.keys.at(-1)?.epoch, b.state.mode.type)
// rounds
{
  const p = new Pair(); p.latency = 0; p.cryptoTime = 0
  const t = performance.now()
  for (let i = 0; i < 300; i++) { p.peers[i % 2].rekey(); await p.run(60000, () => p.isAtRest) }
  console.log('round', ((performance.now() - t) / 300).toFixed(2), 'ms, both sides, signatures and ML-KEM')
}
