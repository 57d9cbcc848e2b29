import { generateKeyPair } from '@libp2p/crypto/keys'
import { defaultLogger } from '@libp2p/logger'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { expect } from 'aegir/chai'
import { stubInterface } from 'sinon-ts'
import { FrameParser } from '../../src/link/core/frames.ts'
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
import type { DirectSubComponents } from '../../src/pubsub/index.ts'

/** Announcements of one origin: a full one, and as many as may follow it */
const HISTORY = 250
const ORIGINS = 8
/** Signatures that nobody checks in the 4 ms of a slice */
const TOO_MANY = 400

async function update (): Promise<wire.WireUpdate> {
  const privateKey = await generateKeyPair('Ed25519')
  const origin = keyOf(peerIdFromPrivateKey(privateKey))
  const signer = new Signer(privateKey)
  const announcements = await Promise.all(Array.from({ length: HISTORY }, async (_, i) => {
    const announcement = { origin, epoch: 1, seq: i, full: i === 0, on: [`topic ${i}`], off: [] }
    return signer.sign(1, EnvelopeType.ANNOUNCEMENT, wire.encodeAnnouncement(announcement))
  }))
  return { origin, epoch: 1, seq: HISTORY - 1, hops: 1, announcements }
}

/** The body of a gossip frame, as the link hands it on */
function bodyOf (gossip: Partial<wire.WireGossip>): Uint8Array {
  const { head, body } = wire.encodeGossip({ ...SILENCE, updates: [], ...gossip })
  const frames: Uint8Array[] = []
  new FrameParser(Infinity, (_, body) => { frames.push(body) }).push(Uint8Array.from([...head, ...body ?? []]))
  return frames[0]
}

describe('gossip with more signatures than a slice checks', () => {
  it('lets the loop run meanwhile, is paid for, is granted when it is dealt with, and keeps its place', async () => {
    const privateKey = await generateKeyPair('Ed25519')
    const components = stubInterface<DirectSubComponents>({ privateKey, peerId: peerIdFromPrivateKey(privateKey) })
    const log = defaultLogger().forComponent('test:slices')
    const context = new Context({ components, options: optionsOf({}), epoch: 1, log, traffic: new Traffic() })
    const updates = await Promise.all(Array.from({ length: ORIGINS }, update))
    const { origin } = updates[ORIGINS - 1]
    const seen: string[] = []
    const subscriptions = new Subscriptions({
      context,
      onChanges: () => {},
      onAnnounced: () => { seen.push(`reachable: ${context.core.routing.isReachable(origin)}`) },
      onOutlive: () => {}
    })

    const checks = { all: 0, inTurn: 0, most: 0 }
    const neighbour = stubInterface<Neighbour>({
      spend: () => {
        checks.all++
        checks.most = Math.max(checks.most, ++checks.inTurn)
      },
      keep: bytes => {
        seen.push(`keeps ${bytes}`)
        return () => { seen.push(`grants ${bytes}`) }
      }
    })
    const peerId = peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
    const from = context.up(Object.assign(neighbour, { peerId }), { epoch: 1, isRelay: true })
    subscriptions.up(from)
    subscriptions.onGossip({ from, kind: wire.Kind.GOSSIP, bytes: 1000 }, bodyOf({ updates }))
    subscriptions.onGossip({ from, kind: wire.Kind.GOSSIP, bytes: 10 }, bodyOf({ lost: [origin] }))

    while (context.inbound.size > 0) {
      await new Promise<void>(resolve => { systemClock.soon(resolve) })
      checks.inTurn = 0
    }

    expect(checks.most).to.be.below(TOO_MANY)
    expect(checks.all).to.equal(ORIGINS * HISTORY)
    expect(seen).to.deep.equal(['keeps 1000', 'grants 1000', 'reachable: true', 'reachable: false'])
    subscriptions.stop()
  })
})
