import { generateKeyPair } from '@libp2p/crypto/keys'
import { expect } from 'aegir/chai'
import { MemoryDatastore } from 'datastore-core'
import { fromString } from 'uint8arrays/from-string'
import { toString } from 'uint8arrays/to-string'
import {
  InvalidOptionsError, mailboxes, PayloadTooLargeError, ProtocolHandledError, QueueFullError, SessionClosedError,
  StoreInUseError, TooManySessionsError
} from '../../src/index.ts'
import { eventually, meet, range, settles } from '../fixtures/directsub.ts'
import { recordedMetrics } from '../fixtures/metrics.ts'
import {
  agreed, createSessionNode, dropped, heard, line, named, part, resyncs, say, stateOf, stopSessions
} from '../fixtures/sessions.ts'
import { clockOfPace } from '../fixtures/sharedlogs.ts'
import type { SessionNode } from '../fixtures/sessions.ts'

const KIB = 1024

async function pair (): Promise<[SessionNode, SessionNode]> {
  const [a, b] = await Promise.all([createSessionNode(), createSessionNode()])
  await meet(a, b)
  return [a, b]
}

describe('the sessions service, over TCP', function () {
  this.timeout(60_000)
  afterEach(stopSessions)

  it('send() resolves when a neighbour has the message, both ways', async () => {
    const [a, b] = await pair()
    const [atA, atB] = [heard(a), heard(b)]
    await say(a, b, 'hello')
    expect(atB).to.deep.equal(['hello'])
    await say(b, a, 'hello to you')
    expect(atA).to.deep.equal(['hello to you'])
    await agreed(a, b)
    expect(stateOf(a, b)).to.include({ epoch: 1, role: 'idle', isConnected: true, canSeal: true })
  })

  it('send() reaches a peer behind a relay, which has no session itself', async () => {
    const [a, relay, b] = await line(3)
    const atB = heard(b)
    await Promise.all(range(100).map(async i => say(a, b, `${i}`)))
    expect(atB).to.deep.equal(range(100).map(String))
    expect(relay.services.sessions.diagnostics().peers).to.deep.equal([])
  })

  it('peers whose ids do not tell their keys (RSA) have sessions, as neighbours and over a relay', async () => {
    const [key, relay, b] = [await generateKeyPair('RSA', 2048), await createSessionNode(), await createSessionNode()]
    const a = await createSessionNode({ privateKey: key })
    const [atA, atB, atRelay] = [heard(a), heard(b), heard(relay)]
    await meet(a, relay)
    await meet(b, relay)
    await Promise.all([say(a, b, 'far'), say(b, a, 'far'), say(a, relay, 'near')])
    expect([atA, atB, atRelay]).to.deep.equal([['far'], ['far'], ['near']])
  })

  it('a caller may change its bytes as soon as send() has returned a promise', async () => {
    const [a, b] = await pair()
    const atB = heard(b)
    const data = fromString('as it was')
    const sent = a.services.sessions.send(b.peerId, data)
    data.fill(0)
    await sent
    expect(atB).to.deep.equal(['as it was'])
  })

  it('messages of a protocol go to its handler, and a handler that throws harms nobody', async () => {
    const [a, b] = await pair()
    const atB = heard(b)
    const handled: string[] = []
    b.services.sessions.handle('chat/1', ({ from, data }) => {
      handled.push(`${from} ${data.byteLength}`)
      throw new Error('a bug of the program')
    })
    b.services.sessions.handle('later/1', async () => { throw new Error('a bug that comes later') })
    expect(named(() => { b.services.sessions.handle('chat/1', () => {}) })).to.equal(ProtocolHandledError.name)
    await say(a, b, 'abc', { protocol: 'chat/1' })
    await say(a, b, 'abc', { protocol: 'later/1' })
    b.services.sessions.unhandle('chat/1')
    expect(handled).to.deep.equal([`${a.peerId} 3`])
    expect(atB).to.deep.equal([])
  })

  it('a message that is faster than the handler of its protocol waits for it after the start, and is counted where none comes', async () => {
    const [a, b] = await pair()
    await Promise.all(range(20).map(async i => say(a, b, `${i}`, { protocol: 'chat/1' })))
    await say(a, b, 'abc', { protocol: 'nobody/1' })
    const handled: string[] = []
    b.services.sessions.handle('chat/1', ({ from, data }) => { handled.push(`${from.equals(a.peerId)} ${toString(data)}`) })
    expect(handled).to.deep.equal(range(20).map(i => `true ${i}`))
    await say(a, b, 'more', { protocol: 'chat/1' })
    expect(handled.slice(20)).to.deep.equal(['true more'])
    expect(dropped(b)).not.to.have.property('unhandled-protocol')
    const sent = ['to', 'all'].map(async text => say(a, b, text))
    await Promise.all(sent)
    expect(heard(b)).to.deep.equal(['to', 'all'])
    await b.stop()
    expect(dropped(b)).to.include({ 'unhandled-protocol': 1 })
  })

  it('100 simultaneous rekeys end with the same key on both sides, each within its call', async () => {
    const [a, b] = await pair()
    const epochs: number[] = []
    a.services.sessions.addEventListener('session:epoch', ({ detail: { epoch } }) => { epochs.push(epoch) })

    for (const i of range(100)) {
      const before = stateOf(a, b)?.epoch ?? 0
      const told = await Promise.all([a.services.sessions.rekey(b.peerId), b.services.sessions.rekey(a.peerId)])
      await agreed(a, b)
      expect(Math.min(...told), `round ${i}`).to.be.greaterThan(before)
      expect(stateOf(a, b)?.key).to.equal(stateOf(b, a)?.key)
      // the key is of use in both directions: names alone would not show that
      await Promise.all([say(a, b, `${i}`), say(b, a, `${i}`)])
    }

    expect(epochs.length).to.be.within(100, 200)
    expect(dropped(a)).to.not.have.any.keys('forged', 'wrong-proof', 'unknown-key')
    expect(dropped(b)).to.not.have.any.keys('forged', 'wrong-proof', 'unknown-key')
  })

  it('rekey({ wait: false }) returns at once, and a new key comes', async () => {
    const [a, b] = await pair()
    await say(a, b, 'hello')
    expect(await a.services.sessions.rekey(b.peerId, { wait: false })).to.equal(1)
    await eventually('no new key', () => stateOf(a, b)?.epoch === 2 && stateOf(b, a)?.epoch === 2)
  })

  it("a message in mode 'perfect' has its key to itself, among others that do not", async () => {
    const [a, b] = await pair()
    const atB = heard(b)
    await say(a, b, '0')
    const sent = range(6).map(async i => say(a, b, `${i + 1}`, { mode: i % 2 === 0 ? 'perfect' : 'best-effort' }))
    await Promise.all(sent)
    expect(atB).to.deep.equal(range(7).map(String))
    // before each change of mode there was a round, at least
    expect(stateOf(a, b)?.epoch).to.be.greaterThan(3)
  })

  it('messages wait for a peer that is away, and leave when it comes, in order', async () => {
    const [a, b] = await Promise.all([createSessionNode(), createSessionNode()])
    const atB = heard(b)
    const sent = Promise.all(range(20).map(async i => say(a, b, `${i}`)))
    await eventually('nothing waits', () => stateOf(a, b)?.queued.messages === 20)
    await meet(a, b)
    await sent
    expect(atB).to.deep.equal(range(20).map(String))
  })

  it('messages arrive once and in order though the way breaks again and again', async () => {
    const [a, b] = await pair()
    const atB = heard(b)
    const lost = resyncs(a)
    const sent: Array<Promise<void>> = []

    for (const round of range(6)) {
      sent.push(...range(40).map(async i => say(a, b, `${round * 40 + i}`)))
      await part(a, b)
      await meet(a, b)
    }

    await Promise.all(sent)
    expect(atB).to.deep.equal(range(240).map(String))
    expect(lost).to.deep.equal([])
  })

  it('a signal ends the wait of send() and rekey(), and a message that had not left never does', async () => {
    const [a, b] = await Promise.all([createSessionNode(), createSessionNode()])
    const atB = heard(b)
    const controller = new AbortController()
    const waits = [
      say(a, b, 'not this one', { signal: controller.signal }),
      a.services.sessions.rekey(b.peerId, { signal: controller.signal })
    ]
    const kept = say(a, b, 'this one')
    controller.abort(new Error('enough'))
    const outcomes = await Promise.allSettled(waits)
    expect(outcomes.map(outcome => outcome.status === 'rejected' && outcome.reason.message))
      .to.deep.equal(['enough', 'enough'])
    await meet(a, b)
    await kept
    expect(atB).to.deep.equal(['this one'])
  })

  it('queues are bounded in messages, and in bytes of a peer and of the node', async () => {
    const init = { queueMessages: 4, queueBytes: 10 * KIB, nodeQueueBytes: 12 * KIB }
    const a = await createSessionNode({ sessions: init })
    const [b, c] = await Promise.all([createSessionNode(), createSessionNode()])
    const controller = new AbortController()
    const send = async (to: SessionNode, bytes: number): Promise<string> => {
      try {
        await a.services.sessions.send(to.peerId, new Uint8Array(bytes), controller)
        return 'delivered'
      } catch (err: any) {
        return err.name
      }
    }
    const first = range(4).map(async () => send(b, KIB))
    expect(await send(b, KIB)).to.equal(QueueFullError.name)
    const second = send(c, 7 * KIB)
    await eventually('it does not wait', () => stateOf(a, c)?.queued.messages === 1)
    expect(await send(c, 7 * KIB)).to.equal(QueueFullError.name)
    expect(await send(c, 2 * KIB)).to.equal(QueueFullError.name)
    expect(await send(c, 2 ** 20)).to.equal(PayloadTooLargeError.name)
    controller.abort(new Error('enough'))
    expect(await Promise.all([...first, second])).to.deep.equal(range(5).map(() => 'Error'))
    expect(a.services.sessions.diagnostics().sizes).to.include({ queuedBytes: 0 })
  })

  it('what is of a wrong type, or unknown, is refused at the call', async () => {
    const [a, b] = await Promise.all([createSessionNode(), createSessionNode()])
    const { sessions } = a.services
    const wrong: any[] = [
      async () => sessions.send(b.peerId, 'text' as any),
      async () => sessions.send('12D3' as any, new Uint8Array()),
      async () => sessions.send(a.peerId, new Uint8Array()),
      async () => sessions.send(b.peerId, new Uint8Array(), { mood: 'good' } as any),
      async () => sessions.send(b.peerId, new Uint8Array(), { mode: 'good' } as any),
      async () => sessions.send(b.peerId, new Uint8Array(), { protocol: '' }),
      async () => sessions.rekey(b.peerId, { wait: 1 } as any),
      async () => { sessions.handle('x', 'y' as any) }
    ]

    for (const call of wrong) {
      expect(named(await Promise.allSettled([call()]).then(([outcome]) => outcome)))
        .to.be.oneOf([InvalidOptionsError.name, 'InvalidParametersError'])
    }
  })

  it('one session more than maxSessions takes the place of an idle one, which comes back by itself', async () => {
    const hub = await createSessionNode({ sessions: { maxSessions: 2 } })
    const others = await Promise.all(range(3).map(async () => createSessionNode()))
    const atHub = heard(hub)

    for (const other of others) {
      await meet(other, hub)
      await say(other, hub, 'hello')
      await eventually('the hub still has something to store', () => (stateOf(other, hub)?.queued.messages ?? 1) === 0)
    }

    expect(hub.services.sessions.diagnostics().peers).to.have.lengthOf(2)
    expect(hub.services.sessions.diagnostics().mode).to.equal('best-effort')
    await say(others[0], hub, 'me again')
    await say(hub, others[0], 'welcome')
    expect(atHub).to.deep.equal(['hello', 'hello', 'hello', 'me again'])
    const stuck = range(3).map(async () => hub.services.sessions.send((await createSessionNode()).peerId, new Uint8Array(1)))
    const outcomes = await Promise.all(stuck.map(async (work, i) => i < 2 ? undefined : settles('the third', work)))
    expect(named(outcomes[2])).to.equal(TooManySessionsError.name)
    const closed = Promise.allSettled(stuck)
    await hub.stop()
    await closed
  })

  it('a second node on the same datastore has no sessions until the first one is gone', async () => {
    const datastore = new MemoryDatastore()
    const first = await createSessionNode({ datastore })
    // it looks again every five seconds
    const second = await createSessionNode({ datastore, privateKey: undefined, sessions: { clock: clockOfPace(10) } })
    const [outcome] = await Promise.allSettled([second.services.sessions.rekey(first.peerId)])
    expect(named(outcome)).to.equal(StoreInUseError.name)
    expect(second.services.sessions.diagnostics().problem).to.include('use that one')
    await first.stop()
    await eventually('the second node never gets the store', () =>
      second.services.sessions.diagnostics().problem == null)
  })

  it('close() in any order, twice, with a round and messages under way: no error, and calls are told', async () => {
    for (const order of range(4)) {
      const [a, b] = await pair()
      const [first, second] = order % 2 === 0 ? [a, b] : [b, a]
      const waits = [
        ...range(10).map(async i => say(a, b, `${i}`)),
        a.services.sessions.rekey(b.peerId), b.services.sessions.rekey(a.peerId)
      ]
      order < 2 && await eventually('no session yet', () => stateOf(a, b) != null && stateOf(b, a) != null)
      const outcomes = Promise.allSettled(waits)
      await Promise.all([first.services.sessions.close(second.peerId), first.services.sessions.close(second.peerId)])
      await second.services.sessions.close(first.peerId)
      const names = (await outcomes).map(outcome => outcome.status === 'rejected' ? outcome.reason.name : 'fulfilled')
      expect(new Set([...names, 'fulfilled', SessionClosedError.name])).to.have.property('size', 2)
      // and the next message begins it anew
      await say(second, first, 'again')
      await Promise.all([second.stop(), first.stop()])
    }
  })

  it('stop() in any order, twice, with a round under way and the transport gone: nothing hangs, nothing is thrown', async () => {
    for (const order of range(3)) {
      const [a, b] = await pair()
      const waits = [say(a, b, 'x'), a.services.sessions.rekey(b.peerId), b.services.sessions.rekey(a.peerId)]
      const outcomes = Promise.allSettled(waits)
      order === 1 && await part(a, b)
      const stops = Promise.all((order === 2 ? [a, b, a] : [b, a, b]).map(async node => node.stop()))
      expect((await settles('stop', stops)).status).to.equal('fulfilled')
      await settles('the calls', outcomes)
      expect(mailboxes().filter(({ name }) => name.startsWith('session'))).to.deep.equal([])
    }
  })

  it('the peer hears that a session was closed, and its next message is delivered all the same', async () => {
    const [a, b] = await pair()
    const atB = heard(b)
    let closed = 0
    a.services.sessions.addEventListener('session:closed', () => { closed++ })
    await say(a, b, '1')
    await b.services.sessions.close(a.peerId)
    await eventually('nobody said so', () => closed === 1)
    expect(stateOf(a, b)?.isConnected).to.equal(false)
    await say(a, b, '2')
    expect(atB).to.deep.equal(['1', '2'])
  })

  it('metrics count what went through, and every name says what it is of', async () => {
    const recorded = recordedMetrics()
    const [a, b] = await Promise.all([createSessionNode({ metrics: recorded.metrics }), createSessionNode()])
    await meet(a, b)
    await Promise.all([say(a, b, 'hello'), say(b, a, 'hello')])
    const of = (name: string): unknown => recorded.of(`libp2p_sheaf_session_${name}`)
    expect(['sent_messages_total', 'acked_messages_total', 'delivered_messages_total', 'delivered_bytes_total'].map(of))
      .to.deep.equal([1, 1, 1, 5])
    expect(of('rounds_total')).to.equal(1)
    expect(of('resync_total')).to.deep.equal({})
    expect(of('size')).to.include({ sessions: 1, records: 1, queuedBytes: 0 })
  })

  it('two that have nothing to say send nothing', async () => {
    const [a, b] = await pair()
    await say(a, b, 'hello')
    await agreed(a, b)
    await eventually('something is still on its way', () =>
      [stateOf(a, b), stateOf(b, a)].every(state => state?.queued.messages === 0))
    let frames = 0
    ;[a, b].forEach(node => { node.services.pubsub.addEventListener('message', () => { frames++ }) })
    // what is under way has come when a message of DirectSub has made its way behind it
    await Promise.all([a, b].map(async node => node.services.pubsub.subscribe('fence')))
    await a.services.pubsub.publish('fence', new Uint8Array(1), { ack: 'all' })
    await b.services.pubsub.publish('fence', new Uint8Array(1), { ack: 'all' })
    const before = frames
    const started = performance.now()
    // longer than every first wait of a session: an ack, a Propose, a resend
    await eventually('time passes', () => performance.now() - started > 1500)
    expect(frames).to.equal(before)
  })
})
