import { generateKeyPair } from '@libp2p/crypto/keys'
import { expect } from 'aegir/chai'
import { MemoryDatastore } from 'datastore-core'
import { eventually, meet, range } from '../fixtures/directsub.ts'
import {
  agreed, crash, createSessionNode, dropped, heard, line, part, resyncs, say, stateOf, stopSessions
} from '../fixtures/sessions.ts'
import type { SessionNode } from '../fixtures/sessions.ts'
import type { PrivateKey } from '@libp2p/interface'
import type { Key, Pair } from 'interface-datastore'

const RECORDS = '/libp2p-sheaf/sessions/records'

/** A disk that can be copied, and that writes nothing any more after so many records */
class Disk extends MemoryDatastore {
  records = 0
  /** Told after each record. Nothing is written once it says so */
  onRecord = (): boolean => false
  #isFrozen = false

  put (key: Key, value: Uint8Array): Key {
    if (this.#isFrozen) {
      return key
    }

    const put = super.put(key, value) as Key

    if (key.toString().startsWith(RECORDS)) {
      this.records++
      this.#isFrozen = this.onRecord()
    }

    return put
  }

  all (): Pair[] {
    return [...this._all({}) as Generator<Pair>]
  }

  copy (): Disk {
    const copy = new Disk()
    this.all().forEach(({ key, value }) => { copy.put(key, Uint8Array.from(value)) })

    copy.records = 0
    return copy
  }
}

/** A peer that lives more than once: the same key, and a disk of its own */
class Lives {
  readonly privateKey: PrivateKey
  readonly heard: string[] = []
  disk = new Disk()
  node!: SessionNode

  constructor (privateKey: PrivateKey) {
    this.privateKey = privateKey
  }

  static async begin (): Promise<Lives> {
    const lives = new Lives(await generateKeyPair('Ed25519'))
    await lives.live()
    return lives
  }

  async live (disk = this.disk): Promise<void> {
    this.disk = disk
    this.node = await createSessionNode({ privateKey: this.privateKey, datastore: disk })
    const texts = heard(this.node)
    const { push } = texts
    texts.push = (...items) => {
      this.heard.push(...items)
      return push.apply(texts, items)
    }
  }

  /** The process is killed, and begins again */
  async again (other: SessionNode, disk = this.disk.copy()): Promise<void> {
    await crash(this.node)
    await this.live(disk)
    await meet(this.node, other)
  }
}

/** Once and in order, but for what a life that died had been handed and had not stored */
function inOrder (texts: string[]): string[] {
  return texts.filter((text, i) => texts.indexOf(text) === i)
}

describe('lives of sessions, over TCP', function () {
  this.timeout(120_000)
  afterEach(stopSessions)

  it('a peer that stops and starts again goes on: no resync, once and in order', async () => {
    const a = await createSessionNode()
    const b = await Lives.begin()
    const lost = resyncs(a)
    await meet(a, b.node)

    for (const i of range(5)) {
      await say(a, b.node, `${i}`)
      const later = say(a, b.node, `${i} again`)
      await b.node.stop()
      await b.live()
      await meet(b.node, a)
      await later
      await say(b.node, a, 'still here')
    }

    expect(inOrder(b.heard)).to.deep.equal(range(5).flatMap(i => [`${i}`, `${i} again`]))
    expect(lost).to.deep.equal([])
    await agreed(a, b.node)
  })

  it('a receiver that is killed after each record in turn gets every message, in order', async () => {
    const records = 12

    for (const count of range(records)) {
      const a = await createSessionNode()
      const b = await Lives.begin()
      const died = Promise.withResolvers<void>()
      b.disk.onRecord = () => {
        const isLast = b.disk.records > count
        isLast && died.resolve()
        return isLast
      }
      await meet(a, b.node)
      const sent = range(30).map(async i => say(a, b.node, `${i}`))
      const more = (async () => {
        for (const i of range(6)) {
          await a.services.sessions.rekey(b.node.peerId).catch(() => {})
          sent.push(say(a, b.node, `${30 + i}`))
        }
      })()
      await died.promise
      await b.again(a)
      await more
      await Promise.all(sent)
      await say(b.node, a, 'I live')
      expect(inOrder(b.heard), `killed after record ${count}`).to.deep.equal(range(36).map(String))
      // it stops saying what it had said before it was stored
      expect(b.heard.length - 36, 'handed over again').to.be.lessThan(36)
      await agreed(a, b.node)
      await Promise.all([a.stop(), b.node.stop()])
    }
  })

  it('a sender that is killed after each record in turn: nothing twice, and its next life is heard', async () => {
    for (const count of range(8)) {
      const b = await createSessionNode()
      const atB = heard(b)
      const a = await Lives.begin()
      const died = Promise.withResolvers<void>()
      a.disk.onRecord = () => {
        const isLast = a.disk.records > count
        isLast && died.resolve()
        return isLast
      }
      await meet(a.node, b)
      const sent = Promise.allSettled(range(20).map(async i => say(a.node, b, `${i}`)))
      const rekeys = Promise.allSettled(range(8).map(async () => a.node.services.sessions.rekey(b.peerId)))
      const more = (async () => {
        for (let i = 0; i < 8 && a.disk.records <= count; i++) {
          await Promise.allSettled([b.services.sessions.rekey(a.node.peerId)])
        }
      })()
      await died.promise
      await a.again(b)
      await Promise.all([sent, rekeys, more])
      await say(a.node, b, 'the next life')
      const before = atB.slice(0, atB.indexOf('the next life'))
      expect(before, `killed after record ${count}`).to.deep.equal(range(before.length).map(String))
      await agreed(a.node, b)
      await Promise.all([a.node.stop(), b.stop()])
    }
  })

  it("'v9 asked for, only v0 here': a disk that went back to its first record is one resync at most", async () => {
    const a = await createSessionNode()
    const b = await Lives.begin()
    await meet(a, b.node)
    await say(a, b.node, 'v1')
    await agreed(a, b.node)
    const old = b.disk.copy()

    for (const i of range(8)) {
      await a.services.sessions.rekey(b.node.peerId)
      await say(a, b.node, `v${i + 2}`)
    }

    const lost = resyncs(a)
    await b.again(a, old)
    await say(a, b.node, 'after that')
    await say(b.node, a, 'all well')
    await agreed(a, b.node)
    expect(inOrder(b.heard)).to.deep.equal([...range(9).map(i => `v${i + 1}`), 'after that'])
    expect(lost.length).to.be.lessThan(2)
    expect(a.getConnections(b.node.peerId)).to.have.lengthOf(1)
  })

  it('a disk that is gone, and one that has rotted, are one resync at most, and lose nothing that was acked', async () => {
    const a = await createSessionNode()
    const b = await Lives.begin()
    await meet(a, b.node)
    await say(a, b.node, '1')
    const gone = resyncs(a)
    await b.again(a, new Disk())
    await say(a, b.node, '2')
    await say(b.node, a, 'here')
    expect(gone.length).to.be.lessThan(2)

    const rotten = b.disk.copy()
    rotten.all().filter(({ key }) => key.toString().startsWith(RECORDS)).forEach(({ key, value }) => {
      rotten.put(key, value.map((byte, i) => i === 40 ? byte ^ 1 : byte))
    })
    await b.again(a, rotten)
    await Promise.all([say(a, b.node, '3'), say(b.node, a, 'still here')])
    expect(dropped(b.node)).to.include({ 'unreadable-record': 1 })
    expect(inOrder(b.heard)).to.deep.equal(['1', '2', '3'])
  })

  it('what lies on the disk shows no secret and no message', async () => {
    const a = await Lives.begin()
    const b = await createSessionNode()
    await meet(a.node, b)
    await say(b, a.node, 'nobody may read this')
    const texts = a.disk.all().map(({ value }) => Buffer.from(value).toString('latin1'))
    const { privateKey } = a
    const seed = Buffer.from(privateKey.raw.subarray(0, 32)).toString('latin1')
    expect(texts.some(text => text.includes('nobody may read this') || text.includes(seed))).to.equal(false)
    expect(a.disk.records).to.be.greaterThan(0)
  })

  it('a disk that fails holds frames back, and lets them go when it works again', async () => {
    class Failing extends MemoryDatastore {
      fails = false

      put (key: Key, value: Uint8Array): Key {
        if (this.fails && key.toString().startsWith(RECORDS)) {
          throw new Error('the disk is full')
        }

        return super.put(key, value) as Key
      }
    }

    const datastore = new Failing()
    const a = await createSessionNode({ datastore })
    const b = await createSessionNode()
    await meet(a, b)
    datastore.fails = true
    const sent = say(a, b, 'hello')
    await eventually('nobody says why nothing leaves', () => stateOf(a, b)?.problem === 'the disk is full')
    expect(stateOf(b, a)).to.equal(undefined)
    datastore.fails = false
    await sent
    expect(stateOf(a, b)?.problem).to.equal(undefined)
  })

  it('a relay in the middle is killed and replaced in every phase of a rekey', async () => {
    for (const phase of range(8)) {
      const [a, relay, b] = await line(3)
      const atB = heard(b)
      await say(a, b, 'before')
      let frames = 0
      const passed = Promise.withResolvers<void>()
      const see = (): void => { ++frames > phase && passed.resolve() }
      ;[a, b].forEach(node => { node.services.pubsub.addEventListener('message', see) })
      const rekeyed = a.services.sessions.rekey(b.peerId)
      // one after the other: messages of one tick share a frame
      const sent = (async () => {
        for (const i of range(10)) {
          await say(a, b, `${i}`)
        }
      })()
      await passed.promise
      await crash(relay)
      const other = await createSessionNode()
      await Promise.all([meet(a, other), meet(b, other)])
      await Promise.all([rekeyed, sent])
      await say(b, a, 'after')
      expect(atB, `killed after frame ${phase}`).to.deep.equal(['before', ...range(10).map(String)])
      await agreed(a, b)
      await Promise.all([a, b, other].map(async node => node.stop()))
    }
  })

  it('a peer moves from a relay to a link of its own while messages are under way', async () => {
    const [a, relay, b] = await line(3)
    const atB = heard(b)
    await say(a, b, '0')
    const sent = range(200).map(async i => say(a, b, `${i + 1}`))
    await meet(a, b)
    await part(a, relay)
    await Promise.all(sent)
    expect(atB).to.deep.equal(range(201).map(String))
  })
})
