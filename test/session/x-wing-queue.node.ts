import { defaultLogger } from '@libp2p/logger'
import { expect } from 'aegir/chai'
import { systemClock } from '../../src/runtime/clock.ts'
import { mailboxes } from '../../src/runtime/mailbox.ts'
import { cryptoProvider } from '../../src/session/crypto/platform.ts'
import { XWingQueue } from '../../src/session/crypto/x-wing-queue.ts'
import { eventually, meet, range } from '../fixtures/directsub.ts'
import { createSessionNode, say, stopSessions } from '../fixtures/sessions.ts'

const always = (): boolean => true

describe('the queue of heavy crypto', function () {
  this.timeout(60_000)
  const queues: XWingQueue[] = []
  afterEach(stopSessions)
  afterEach(() => { queues.splice(0).forEach(queue => { queue.stop() }) })

  function started (where: 'auto' | 'inline' | 'worker'): XWingQueue {
    const queue = new XWingQueue({
      provider: cryptoProvider(), where, clock: systemClock, log: defaultLogger().forComponent('test')
    })
    queues.push(queue)
    queue.start()
    return queue
  }

  for (const [here, there] of [['worker', 'inline'], ['inline', 'worker']] as const) {
    it(`agrees with itself: a key pair of ${here}, a secret of ${there}`, async () => {
      const [one, other] = [started(here), started(there)]
      const { seed, publicKey } = await one.generate(always)
      const { secret, ciphertext } = await other.encapsulate(publicKey, always)
      const kept = Uint8Array.from(seed)
      expect(await one.decapsulate(seed, ciphertext, always)).to.deep.equal(secret)
      expect(seed).to.deep.equal(new Uint8Array(32))
      expect(await other.decapsulate(kept, ciphertext, always)).to.deep.equal(secret)
      expect([one.by, other.by].map(by => by.split(', ')[1])).to.deep.equal([here, there])
    })
  }

  it('a worker seals and opens what is large, and zeroes the key', async () => {
    const [worker, inline] = [started('worker'), started('inline')]
    const [head, body] = [new Uint8Array(10), new Uint8Array(100_000).fill(7)]
    const key = new Uint8Array(32).fill(1)
    const sealed = await worker.seal(key, head, body)
    expect(key).to.deep.equal(new Uint8Array(32))
    expect(await inline.open(new Uint8Array(32).fill(1), head, sealed)).to.deep.equal({ body })
    expect(await worker.open(new Uint8Array(32).fill(1), head, sealed)).to.deep.equal({ body })
    expect(await worker.open(new Uint8Array(32).fill(2), head, sealed)).to.deep.equal({ body: undefined })
  })

  it('refuses what is no key, and what nobody wants any more', async () => {
    for (const queue of [started('worker'), started('inline')]) {
      await expect(queue.encapsulate(new Uint8Array(1216).fill(255), always)).to.eventually.be.rejected()
      await expect(queue.generate(() => false)).to.eventually.be.rejectedWith('nobody wants')
    }
  })

  it('is seen in mailboxes(), and stop() ends what waits', async () => {
    const queue = started('worker')
    const waiting = Promise.allSettled(range(5).map(async () => queue.generate(always)))
    const [{ name, depth }] = mailboxes().filter(({ name }) => name === 'session crypto')
    expect([name, depth]).to.deep.equal(['session crypto', 5])
    expect(queue.waiting).to.equal(6)
    queue.stop()
    const reasons = (await waiting).map(({ status }) => status)
    expect(new Set(reasons)).to.deep.equal(new Set(['rejected']))
  })

  it('nodes whose crypto is in a worker agree', async () => {
    const nodes = await Promise.all(range(2).map(async () => createSessionNode({ sessions: { crypto: 'worker' } })))
    await meet(nodes[0], nodes[1])
    await Promise.all([say(nodes[0], nodes[1], 'hello'), nodes[1].services.sessions.rekey(nodes[0].peerId)])
    expect(nodes[0].services.sessions.diagnostics().crypto.by).to.include('worker')
    await eventually('something waits', () => nodes[0].services.sessions.diagnostics().crypto.waiting === 0)
  })
})
