import { generateKeyPair } from '@libp2p/crypto/keys'
import { defaultLogger } from '@libp2p/logger'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { expect } from 'aegir/chai'
import { stubInterface } from 'sinon-ts'
import { FrameParser } from '../../src/link/core/frames.ts'
import { ITEM_COST, MAX_UPDATES, SIGNATURE_COST, TOPIC_COST } from '../../src/pubsub/constants.ts'
import { Context } from '../../src/pubsub/context.ts'
import { EnvelopeType, Signer } from '../../src/pubsub/envelope.ts'
import { keyOf } from '../../src/pubsub/keys.ts'
import { optionsOf } from '../../src/pubsub/options.ts'
import { Subscriptions } from '../../src/pubsub/subscriptions.ts'
import { Traffic } from '../../src/pubsub/traffic.ts'
import * as wire from '../../src/pubsub/wire.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { SILENCE } from '../fixtures/core.ts'
import type { Neighbour } from '../../src/link/index.ts'
import type { Peer } from '../../src/pubsub/context.ts'
import type { DirectSubComponents } from '../../src/pubsub/index.ts'
import type { PeerId } from '@libp2p/interface'

/** Announcements of one origin: a full one, and as many as may follow it */
const HISTORY = 250
const ORIGINS = 8
/** Signatures that nobody checks in the 4 ms of a slice */
const TOO_MANY = 400

async function update (count = HISTORY): Promise<wire.WireUpdate> {
  const privateKey = await generateKeyPair('Ed25519')
  const origin = keyOf(peerIdFromPrivateKey(privateKey))
  const signer = new Signer(privateKey)
  const announcements = await Promise.all(Array.from({ length: count }, async (_, i) => {
    const announcement = { origin, epoch: 1, seq: i, full: i === 0, on: [`topic ${i}`], off: [] }
    return signer.sign(1, EnvelopeType.ANNOUNCEMENT, wire.encodeAnnouncement(announcement))
  }))
  return { origin, epoch: 1, seq: count - 1, hops: 1, announcements }
}

/** The body of a gossip frame, as the link hands it on */
function bodyOf (gossip: Partial<wire.WireGossip>): Uint8Array {
  const { head, body } = wire.encodeGossip({ ...SILENCE, updates: [], ...gossip })
  const frames: Uint8Array[] = []
  new FrameParser(Infinity, (_, body) => { frames.push(body) }).push(Uint8Array.from([...head, ...body ?? []]))
  return frames[0]
}

/** What a relay hears from its one neighbour, and what that comes to */
class Bench {
  readonly context: Context
  readonly subscriptions: Subscriptions
  readonly from: Peer
  readonly seen: string[] = []
  readonly checks = { all: 0, inTurn: 0, most: 0 }
  kept = 0
  spent = 0

  private constructor (context: Context, peerId: PeerId, isSettled: () => string) {
    const { checks } = this
    const neighbour = stubInterface<Neighbour>({
      spend: ms => {
        this.spent += ms

        if (ms === SIGNATURE_COST) {
          checks.all++
          checks.most = Math.max(checks.most, ++checks.inTurn)
        }
      },
      keep: bytes => {
        this.kept += bytes
        return () => { this.kept -= bytes }
      }
    })
    this.context = context
    this.from = context.up(Object.assign(neighbour, { peerId }), { epoch: 1, isRelay: true })
    this.subscriptions = new Subscriptions({
      context, onChanges: () => {}, onAnnounced: () => { this.seen.push(`${isSettled()}, ${this.kept} kept`) }, onOutlive: () => {}
    })
    this.subscriptions.up(this.from)
  }

  static async create (isSettled: (context: Context) => string): Promise<Bench> {
    const privateKey = await generateKeyPair('Ed25519')
    const components = stubInterface<DirectSubComponents>({ privateKey, peerId: peerIdFromPrivateKey(privateKey) })
    const log = defaultLogger().forComponent('test:slices')
    const context = new Context({ components, options: optionsOf({}), epoch: 1, log, traffic: new Traffic() })
    const peerId = peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
    return new Bench(context, peerId, () => isSettled(context))
  }

  hear (bytes: number, gossip: Partial<wire.WireGossip>): void {
    this.subscriptions.onGossip({ from: this.from, kind: wire.Kind.GOSSIP, bytes }, bodyOf(gossip))
  }

  /** How often the loop ran until all was dealt with */
  async settled (): Promise<number> {
    let turns = 0

    for (; this.context.inbound.size > 0; turns++) {
      await new Promise<void>(resolve => { systemClock.soon(resolve) })
      this.checks.inTurn = 0
    }
    return turns
  }
}

describe('gossip with more signatures than a slice checks', () => {
  it('lets the loop run meanwhile, is paid for, is granted when it is dealt with, and keeps its place', async () => {
    const updates = await Promise.all(Array.from({ length: ORIGINS }, async () => update()))
    const { origin } = updates[ORIGINS - 1]
    const bench = await Bench.create(({ core }) => `reachable: ${core.routing.isReachable(origin)}`)
    const { checks, seen } = bench
    bench.hear(1000, { updates })
    expect(bench.kept).to.be.within(900, 1000)
    bench.hear(10, { lost: [origin] })
    await bench.settled()

    expect(checks.most).to.be.below(TOO_MANY)
    expect(checks.all).to.equal(ORIGINS * HISTORY)
    // where signatures are checked at once, what follows is kept, too, until its turn has come
    expect(seen).to.have.lengthOf(2)
    expect(seen[0]).to.match(/^reachable: true, (0|10) kept$/)
    expect(seen[1]).to.equal('reachable: false, 0 kept')
    bench.subscriptions.stop()
  })
})

describe('gossip that the core takes long to deal with', () => {
  it('is dealt with in parts, in order, with the loop run between, though nothing in it has to be checked', async () => {
    const known = await Promise.all(Array.from({ length: ORIGINS }, async () => update(7)))
    const bench = await Bench.create(() => 'end')
    const { core } = bench.context
    const heard: number[] = []
    const receive = core.receive.bind(core)
    core.receive = (from, gossip, now) => {
      heard.push(gossip.updates.length)
      return receive(from, gossip, now)
    }
    bench.hear(1000, { updates: known })
    await bench.settled()
    const [{ origin }] = known
    const many = known.flatMap(update => Array.from({ length: MAX_UPDATES / ORIGINS }, () => update))
    heard.length = 0
    bench.seen.length = 0
    bench.hear(1000, { updates: many, lost: [origin] })

    expect(await bench.settled()).to.be.above(5)
    expect(heard.reduce((sum, count) => sum + count, 0)).to.equal(MAX_UPDATES)
    expect(Math.max(...heard)).to.be.below(MAX_UPDATES / 10)
    expect(core.routing.isReachable(origin)).to.equal(false)
    expect(bench.seen).to.deep.equal(['end, 0 kept'])
    bench.subscriptions.stop()
  })

  it('lets the loop run between frames that wait for their place', async () => {
    const updates = await Promise.all(Array.from({ length: ORIGINS }, async () => update()))
    const bench = await Bench.create(() => 'end')
    const { core } = bench.context
    const receive = core.receive.bind(core)
    let [inTurn, most, frames] = [0, 0, 0]
    core.receive = (from, gossip, now) => {
      if (gossip.lost.length > 0) {
        most = Math.max(most, ++inTurn)
        frames++
        // each takes a millisecond
        for (const began = performance.now(); performance.now() - began < 1;) {
          // busy
        }
      }
      return receive(from, gossip, now)
    }
    bench.hear(1000, { updates })
    for (let i = 0; i < 40; i++) {
      bench.hear(10, { lost: [updates[0].origin] })
    }
    while (bench.context.inbound.size > 0) {
      await new Promise<void>(resolve => { systemClock.soon(resolve) })
      inTurn = 0
    }

    expect(frames).to.equal(40)
    expect(most).to.be.below(10)
    bench.subscriptions.stop()
  })

  it('is paid for by what it asks, answers and says to be lost', async () => {
    const bench = await Bench.create(() => 'end')
    const origin = bench.from.key
    const asked = [{ origin, epoch: 1, seq: 1, hops: 1 }, { origin, epoch: 1, seq: 2, hops: 1 }]
    bench.hear(10, { lost: [origin], wanted: asked, requests: [{ id: 1, topic: 'a' }], answers: [1, 2, 3] })
    await bench.settled()
    expect(bench.spent).to.be.closeTo(7 * ITEM_COST, 1e-9)
    bench.subscriptions.stop()
  })

  it('is paid for by the topics in it, also those that are known', async () => {
    const known = await update()
    const bench = await Bench.create(() => 'end')
    bench.hear(1000, { updates: [known] })
    await bench.settled()
    bench.spent = 0
    bench.hear(1000, { updates: [known] })
    await bench.settled()
    expect(bench.spent).to.be.above(HISTORY * TOPIC_COST)
    bench.subscriptions.stop()
  })
})
