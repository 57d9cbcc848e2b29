import { expect } from 'aegir/chai'
import { encodeFrame, frameOf, Kind } from '../../src/link/core/frames.ts'
import { Lane } from '../../src/link/index.ts'
import { EnvelopeType, Signer } from '../../src/pubsub/envelope.ts'
import { keyOf } from '../../src/pubsub/keys.ts'
import * as wire from '../../src/pubsub/wire.ts'
import { SILENCE } from '../fixtures/core.ts'
import { eventually, inbox, isKnown, known, linkOf, meet, numbered, numbersOf, range, stopPeers } from '../fixtures/directsub.ts'
import { IS_LONG } from '../fixtures/effort.ts'
import { createPeer } from '../fixtures/peers.ts'
import { Attacker, keysInOrder } from './attacker.ts'
import { bytesOf, DEADLY, makeCorpus, SOURCES } from './corpus.ts'
import { Mutator } from './mutate.ts'
import type { Session } from './attacker.ts'
import type { Message } from '../../src/index.ts'
import type { Sheaf } from '../fixtures/directsub.ts'
import type { PrivateKey } from '@libp2p/interface'

const TOPIC = 'topic'
const SEED = Number(process.env.FUZZ_SEED ?? 1)
/** Broken frames: each costs as much as fifty at a decoder */
const FRAMES = Math.max(2000, Math.ceil(Number(process.env.FUZZ_RUNS ?? (IS_LONG ? 1_000_000 : 200_000)) / 50))
/** Attackers, one after the other: each is let be after so many faults */
const MAX_ATTACKERS = 10 + FRAMES / 100
const MAX_FAULTS = 100
/** Topics that one peer may announce */
const MAX_TOPICS = 100

describe(`a node among attackers (FUZZ_SEED=${SEED}, FUZZ_RUNS=${FRAMES * 50})`, function () {
  this.timeout(120_000)
  let victim: Sheaf
  let honest: Sheaf
  let keys: PrivateKey[]
  let heard: Message[]
  let over: AbortController
  let talk: Promise<number>
  let attackers: number
  const uncaught: unknown[] = []
  const note = (err: unknown): void => { uncaught.push(err) }

  before(() => {
    process.on('unhandledRejection', note)
    process.on('uncaughtExceptionMonitor', note)
  })

  after(() => {
    process.off('unhandledRejection', note)
    process.off('uncaughtExceptionMonitor', note)
  })

  beforeEach(async () => {
    keys = await keysInOrder(Math.ceil(MAX_ATTACKERS) + 4)
    victim = await createPeer({ privateKey: keys.pop(), maxTopicsPerPeer: MAX_TOPICS })
    honest = await createPeer()
    await meet(honest, victim)
    await Promise.all([victim.services.pubsub.subscribe(TOPIC), honest.services.pubsub.subscribe(TOPIC)])
    await known(TOPIC, [victim, honest], [victim, honest])
    heard = inbox(victim, TOPIC)
    over = new AbortController()
    attackers = 0
    talk = talkUntilOver()
  })

  /** Whatever else was done to it: nothing was thrown, and those who are honest got all of each other's messages */
  afterEach(async () => {
    over.abort()
    const sent = await talk
    const fromHonest = heard.filter(({ from }) => from.equals(honest.peerId))
    expect(sent).to.be.above(0)
    expect(numbersOf(fromHonest)).to.deep.equal(range(sent))
    expect(isKnown(TOPIC, victim, honest) && isKnown(TOPIC, honest, victim)).to.equal(true)
    await stopPeers()
    expect(uncaught).to.deep.equal([])
  })

  async function talkUntilOver (): Promise<number> {
    let i = 0
    for (; !over.signal.aborted; i++) {
      const { acked } = await honest.services.pubsub.publish(TOPIC, numbered(i), { ack: 'all' })
      expect(acked).to.have.lengthOf(1)
      // one after the other, and the attackers in between
      await new Promise<void>(resolve => { setImmediate(resolve) })
    }
    return i
  }

  const sizes = (): Record<string, number> => victim.services.pubsub.diagnostics().sizes
  const dropped = (reason: string): number => victim.services.pubsub.diagnostics().dropped[reason] ?? 0
  const faultsOf = (attacker: Attacker): number => Number(victim.services.pubsub.diagnostics().peers.find(({ peerId }) => peerId.equals(attacker.peerId))?.faults ?? 0)
  const attack = async (): Promise<Attacker> => {
    attackers++
    return Attacker.create(keys.shift() as PrivateKey)
  }
  const gone = async (attacker: Attacker): Promise<void> => {
    await attacker.stop()
    await eventually('the attacker is still a neighbour', () => !victim.services.pubsub.getPeers().some(peerId => peerId.equals(attacker.peerId)))
  }

  /** All is as if they had never been there */
  async function expectNoTrace (): Promise<void> {
    await eventually(() => `left over: ${JSON.stringify(sizes())}`, () => {
      const { neighbours, channels, requests, busyMailboxes, waitingCalls, updates, flows, flowBytes, lines } = sizes()
      return neighbours === 1 && channels === 1 && requests + busyMailboxes + waitingCalls + updates + flows + flowBytes + lines === 0
    })
    // those who are gone are remembered for some minutes, by what they said of themselves
    expect(sizes().origins).to.be.at.most(attackers + 1)
    expect(sizes().interestTopics).to.be.at.most(attackers * MAX_TOPICS + 1)
    expect(sizes().interests).to.be.at.most(attackers * MAX_TOPICS + 1)
  }

  it(`takes ${FRAMES} broken frames for what they are`, async () => {
    const corpus = await makeCorpus(TOPIC)
    const mutator = new Mutator(SEED)
    let run = 0
    let faults = 0

    for (let isRelay = true; run < FRAMES; isRelay = !isRelay) {
      const attacker = await attack()
      let session = await attacker.open(victim, isRelay)
      let most = 0

      while (most < MAX_FAULTS && run < FRAMES) {
        mutator.begin(++run)
        const [kind, source] = mutator.pick(mutator.int(200) === 0 ? DEADLY : SOURCES)
        attacker.send(session, frameOf(kind, mutator.mutate(corpus[source])))

        if (run % 20 === 0) {
          await attacker.fence(session)
          most = faultsOf(attacker)
          expect(sizes().neighbours).to.be.at.most(2)
          expect(sizes().interestTopics).to.be.at.most(attackers * MAX_TOPICS + 1)
          session = session.isOpen() || most >= MAX_FAULTS ? session : await attacker.open(victim, isRelay)
        }
      }

      faults += most
      await gone(attacker)
    }

    expect(faults).to.be.above(FRAMES / 10)
    expect(dropped(`malformed frame of kind ${wire.Kind.GOSSIP}`)).to.be.above(10)
    expect(dropped(`malformed frame of kind ${wire.Kind.PARCEL}`)).to.be.above(10)
    expect(dropped('frame of an unknown kind')).to.be.above(10)
    await expectNoTrace()
  })

  it('believes nobody who speaks for somebody else', async () => {
    const attacker = await attack()
    const session = await attacker.open(victim)
    const [origin, epoch] = [keyOf(honest.peerId), victim.services.pubsub.diagnostics().epoch + 1e6]
    const off = wire.encodeAnnouncement({ origin, epoch, seq: 1e6, full: true, on: [], off: [] })
    const bundle = wire.encodeBundle({ topic: TOPIC, to: [], wantsAck: true, messages: [{ seq: 0, data: numbered(666) }] })
    const asHonest = async (type: EnvelopeType, content: Uint8Array, signature: Uint8Array, epoch: number): Promise<Uint8Array> => {
      const signed = await new Signer(keys[0]).sign(epoch, type, content)
      // the same but for the signature, and for who says it, which has the same length
      const forged = Uint8Array.from([...signed.subarray(0, -65), signature.byteLength, ...signature])
      forged.set(Uint8Array.from(origin, char => char.charCodeAt(0)), 1)
      return forged
    }
    const signatures = [new Uint8Array(0), new Uint8Array(64), new Uint8Array(64).fill(7)]

    for (const signature of signatures) {
      attacker.tell(session, [{ origin, epoch, seq: 1e6, hops: 1, announcements: [await asHonest(EnvelopeType.ANNOUNCEMENT, off, signature, epoch)] }])
      attacker.send(session, wire.encodeParcel({
        trace: [], lane: Lane.CONTROL, destinations: [keyOf(victim.peerId)], envelope: await asHonest(EnvelopeType.BUNDLE, bundle, signature, honest.services.pubsub.diagnostics().epoch)
      }))
    }
    // what is signed, and says something of somebody else
    const own = await attacker.signer.sign(epoch, EnvelopeType.ANNOUNCEMENT, off)
    attacker.tell(session, [{ origin, epoch, seq: 1e6, hops: 1, announcements: [own] }])
    await attacker.fence(session)
    await eventually('not all were counted', () => faultsOf(attacker) >= 2 * signatures.length + 1)

    expect(isKnown(TOPIC, victim, honest)).to.equal(true)
    expect(numbersOf(heard)).to.not.include(666)
    expect(sizes().routes).to.be.at.most(1)
    await gone(attacker)
    await expectNoTrace()
  })

  it('delivers once what is said again and again', async () => {
    const attacker = await attack()
    const session = await attacker.open(victim)
    const envelope = await new Signer(keys[1]).sign(1, EnvelopeType.BUNDLE, wire.encodeBundle({
      topic: TOPIC, to: [], wantsAck: false, messages: [{ seq: 0, data: numbered(7000) }, { seq: 1, data: numbered(7001) }]
    }))

    for (let i = 0; i < 50; i++) {
      attacker.send(session, wire.encodeParcel({ trace: [], lane: Lane.CONTROL, destinations: [keyOf(victim.peerId)], envelope }))
      attacker.send(session, wire.encodeMessage(TOPIC, 5, numbered(8000), false))
    }
    await attacker.fence(session)

    expect(numbersOf(heard.filter(({ from }) => !from.equals(honest.peerId)))).to.have.members([7000, 7001, 8000])
    expect(dropped('message that was accepted before')).to.equal(3 * 49)
    await gone(attacker)
    await expectNoTrace()
  })

  it('hangs up on frames that are too long and on credit that nobody has, and talks again after that', async () => {
    const attacker = await attack()
    const endings: Array<(session: Session) => void> = [
      session => { attacker.send(session, Uint8Array.of(0xff, 0xff, 0xff, 0x7f)) },
      session => { attacker.send(session, new Uint8Array(3000).fill(0x80)) },
      session => { attacker.send(session, Uint8Array.of(0)) },
      session => { attacker.send(session, frameOf(Kind.CREDIT, Uint8Array.of(0xff, 0xff, 0xff, 0x7f))) },
      session => { attacker.send(session, encodeFrame(Kind.PIECE, 2, (target, at) => { target[at] = 4 })) }
    ]

    for (const [i, end] of endings.entries()) {
      const session = await attacker.open(victim)
      await attacker.fence(session)
      expect(session.isOpen()).to.equal(true)
      end(session)
      await eventually(`ending ${i} was not one`, () => !session.isOpen())
      expect(faultsOf(attacker)).to.equal(i + 1)
    }

    expect(attacker.node.getConnections()).to.have.lengthOf(1)
    await gone(attacker)
    await expectNoTrace()
  })

  it('keeps no more than it said it would of crumbs, empty pieces', async () => {
    const attacker = await attack()
    const session = await attacker.open(victim)
    const crumb = bytesOf(encodeFrame(Kind.PIECE, 1, (target, at) => { target[at] = 1 }, Uint8Array.of(0x80)))
    const start = bytesOf(encodeFrame(Kind.PIECE, 1, (target, at) => { target[at] = 1 }, Uint8Array.of(0xff, 0xff, 0x30)))
    const crumbs = new Uint8Array(crumb.byteLength * 10_000)
    for (let i = 0; i < 10_000; i++) {
      crumbs.set(crumb, i * crumb.byteLength)
    }
    attacker.send(session, start)
    for (let i = 0; i < 10; i++) {
      attacker.send(session, crumbs)
    }
    await eventually('the crumbs did not come', () => Number(linkOf(victim, attacker.node as unknown as Sheaf)?.held) === 100_003)

    expect(faultsOf(attacker)).to.equal(0)
    await gone(attacker)
    await expectNoTrace()
  })

  it('remembers a bounded number of what strangers announce and ask, and believes nobody that others are lost', async () => {
    const strangers = await Promise.all([attack(), attack(), attack()])

    for (const [n, attacker] of strangers.entries()) {
      const session = await attacker.open(victim)

      for (let i = 0; i < 20; i++) {
        const on = Array.from({ length: 50 }, (_, topic) => `${n} ${i} ${topic}`)
        await attacker.announce(session, { seq: i, full: i === 0, on })
        attacker.send(session, wire.encodeGossip({
          ...SILENCE,
          updates: [],
          lost: [keyOf(honest.peerId)],
          wanted: [{ origin: keyOf(honest.peerId), epoch: 2 ** 50, seq: 2 ** 50, hops: 255 }, { origin: keyOf(victim.peerId), epoch: 2 ** 50, seq: 2 ** 50, hops: 255 }],
          requests: on.map((topic, id) => ({ id: 1000 + id, topic }))
        }))
      }

      await attacker.fence(session)
      expect(sizes().interestTopics).to.be.at.most((n + 1) * MAX_TOPICS + 1)
      expect(faultsOf(attacker)).to.equal(0)
    }

    expect(dropped('refused: topics of one peer')).to.be.above(0)
    expect(isKnown(TOPIC, victim, honest)).to.equal(true)
    await Promise.all(strangers.map(gone))
    await expectNoTrace()
  })

  it('takes no step of its own number for each that is asked for', async () => {
    const attacker = await attack()
    const session = await attacker.open(victim)
    const { epoch } = victim.services.pubsub.diagnostics()

    for (let i = 0; i < 500; i++) {
      attacker.send(session, wire.encodeGossip({ ...SILENCE, updates: [], wanted: [{ origin: keyOf(victim.peerId), epoch, seq: 2 ** 40, hops: 1 }] }))
    }
    await attacker.fence(session)
    expect(isKnown(TOPIC, honest, victim)).to.equal(true)
    await gone(attacker)
    await expectNoTrace()
  })
})
