import { platformCipher } from '../src/session/crypto/platform.ts'
import { nobleCipher } from '../src/session/crypto/noble.ts'
const key = new Uint8Array(32).fill(1), nonce = new Uint8Array(12), head = new Uint8Array(14)
for (const size of [64, 1024, 4096, 16384, 65536]) for (const [n, c] of Object.entries({ node: platformCipher, noble: nobleCipher })) {
  const m = new Uint8Array(size), N = size > 10000 ? 1500 : 6000
  for (let i = 0; i < 500; i++) c.open(key, nonce, head, c.seal(key, nonce, head, m))
  let t = performance.now(); let s = m; for (let i = 0; i < N; i++) s = c.seal(key, nonce, head, m)
  const a = (performance.now() - t) * 1000 / N; t = performance.now(); for (let i = 0; i < N; i++) c.open(key, nonce, head, s)
  console.log(size, n, 'seal', a.toFixed(1), 'open', ((performance.now() - t) * 1000 / N).toFixed(1))
}
