import { expect } from 'aegir/chai'
import { MemoryDatastore } from 'datastore-core'
import { Key } from 'interface-datastore'
import { MAX_RECORDS, MAX_WAITERS } from '../../src/session/constants.ts'
import { eventually, range } from '../fixtures/directsub.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'
import { Air } from './air.ts'

const RECORDS = '/libp2p-sheaf/sessions/records'

/** A disk that does not answer any more, when it is told so */
class Hanging extends MemoryDatastore {
  hangs = false
  reads = false
  /** Calls that it does not answer */
  calls = 0

  async put (key: Key, value: Uint8Array): Promise<Key> {
    await this.#answer(key, this.hangs)
    return super.put(key, value)
  }

  async get (key: Key): Promise<Uint8Array> {
    await this.#answer(key, this.reads)
    return super.get(key)
  }

  async #answer (key: Key, isHanging: boolean): Promise<void> {
    if (isHanging && key.toString().startsWith(RECORDS)) {
      this.calls++
      await new Promise(() => {})
    }
  }
}

describe('sessions on disks', function () {
  this.timeout(30_000)
  let air: Air

  beforeEach(() => { air = new Air() })
  afterEach(async () => { await air.stop() })

  it('that do not answer say so, end with a signal, and do not hold up the end of the node', async () => {
    const disk = new Hanging()
    const clock = new VirtualClock()
    const a = await air.station({ clock }, disk)
    const b = await air.station()
    disk.hangs = true
    const sent = a.say(b, 'hello')
    sent.catch(() => {})
    await eventually('nothing is written', () => {
      clock.advance(1)
      return disk.calls === 1
    })
    expect(a.service.state(b.peerId)?.problem).to.equal(undefined)
    clock.advance(5_001)
    expect(a.service.state(b.peerId)?.problem).to.include('has not answered')
    await expect(a.service.close(b.peerId, { signal: AbortSignal.timeout(50) }))
      .to.eventually.be.rejected.with.property('name', 'TimeoutError')
    await expect(sent).to.eventually.be.rejected.with.property('name', 'SessionClosedError')
    let isStopped = false
    void (async () => a.service.stop())().then(() => { isStopped = true })
    await eventually('it does not stop', () => {
      clock.advance(100)
      return isStopped
    })
  })

  it('that do not answer when a session is read keep no more calls than the queue of a session', async () => {
    const disk = new Hanging()
    const a = await air.station({ queueMessages: 8 }, disk)
    const b = await air.station()
    await a.say(b, 'hello')
    await a.service.close(b.peerId)
    disk.reads = true
    const names: string[] = []
    const note = (err: any): void => { names.push(err.name) }

    for (let i = 0; i < 100; i++) {
      a.say(b, `${i}`).catch(note)
      a.service.rekey(b.peerId, { signal: AbortSignal.abort() }).catch(() => {})
      a.service.rekey(b.peerId).catch(note)
    }

    await eventually('nobody is refused', () => names.length > 0)
    expect(names.filter(name => name === 'QueueFullError')).to.have.lengthOf(92)
    expect(names.filter(name => name === 'TooManyRekeysError')).to.have.lengthOf(100 - MAX_WAITERS)
  })

  it('do not fill with the records of those who came and went', async () => {
    const disk = new MemoryDatastore()

    for (let i = 0; i < MAX_RECORDS; i++) {
      disk.put(new Key(`${RECORDS}/${i.toString(16).padStart(8, '0')}`), new Uint8Array(1))
    }

    const a = await air.station({}, disk)
    const others = await Promise.all(range(3).map(async () => air.station()))

    for (const other of others) {
      await a.say(other, 'hello')
      await a.service.close(other.peerId)
    }

    await eventually('there are more', () => a.service.diagnostics().sizes.records === MAX_RECORDS)
    expect([...disk._all({}) as Iterable<{ key: Key }>].filter(({ key }) => key.toString().startsWith(RECORDS)))
      .to.have.lengthOf(MAX_RECORDS)
  })

  it('have a session that its own handler closed stored, and its peer told', async () => {
    const [a, b] = [await air.station(), await air.station()]
    let closed = 0
    let ended: Promise<void> | undefined
    a.service.addEventListener('session:closed', () => { closed++ })
    b.service.addEventListener('message', () => { ended = b.service.close(a.peerId) })
    a.say(b, 'the last one').catch(() => {})
    await eventually('nobody says so', () => closed === 1)
    await ended
    await b.say(a, 'anew')
    expect(a.heard).to.deep.equal(['anew'])
    await a.service.close(b.peerId)
  })
})
