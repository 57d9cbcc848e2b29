import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { expect } from 'aegir/chai'
import { MemoryDatastore } from 'datastore-core'
import { stubInterface } from 'sinon-ts'
import { Signer } from '../../src/pubsub/envelope.ts'
import { keyOf } from '../../src/pubsub/keys.ts'
import { AntiEntropy } from '../../src/replication/anti-entropy.ts'
import { hashOf } from '../../src/replication/documents.ts'
import { Roster } from '../../src/replication/roster.ts'
import { SpotChecks } from '../../src/replication/spot-checks.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { contextOf } from '../fixtures/replication-context.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'
import type { AntiEntropyInit } from '../../src/replication/anti-entropy.ts'
import type { ReplicationContext } from '../../src/replication/context.ts'
import type { RosterInit } from '../../src/replication/roster.ts'
import type { SpotChecksInit } from '../../src/replication/spot-checks.ts'

const HOUR = 3_600_000
/** Milliseconds that each log waits where a thousand rest */
const REST = 500_000
/** Before it is clear that a log rests */
const AT_FIRST = 3

/** What a log does on its own begins with `start`, and is counted by `count` */
type Start = (context: ReplicationContext, count: () => void) => Promise<{ stop (): unknown }>

const WORK: Record<string, Start> = {
  'compares with a replicator': async (context, count) => {
    const antiEntropy = new AntiEntropy(stubInterface<AntiEntropyInit>({
      context, shared: () => [], onCompared: count
    }))
    antiEntropy.mark('peer')
    return antiEntropy
  },
  'checks a replicator': async (context, count) => new SpotChecks(stubInterface<SpotChecksInit>({
    context,
    suspects: () => {
      count()
      return []
    }
  })),
  'says what it keeps': async (context, count) => {
    const privateKey = await generateKeyPair('Ed25519')
    const { logger: log } = context
    const roster = new Roster(stubInterface<RosterInit>({
      ...context,
      log,
      self: keyOf(peerIdFromPrivateKey(privateKey)),
      logHash: await hashOf('a log'),
      signer: new Signer(privateKey),
      epoch: 1,
      datastore: new MemoryDatastore(),
      replicas: 2,
      maturity: 1,
      grace: 1,
      canReplicate: undefined,
      send: async () => {},
      broadcast: count
    }))
    await roster.open([])
    roster.cameIn('peer')
    return { stop: async () => roster.close() }
  }
}

/** How often a log does it in an hour */
async function timesInAnHour (start: Start, resting: (ms: number) => number): Promise<number> {
  const clock = new VirtualClock(1_000_000)
  let times = 0
  const work = await start(contextOf(clock, { resting }), () => { times++ })

  for (let second = 0; second < HOUR / 1000; second++) {
    clock.advance(1000)
    await new Promise<void>(resolve => { systemClock.soon(resolve) })
  }

  await work.stop()
  return times
}

describe('a log in which nothing changes', () => {
  for (const [what, start] of Object.entries(WORK)) {
    it(`${what} as seldom as the logs of its node that rest allow`, async () => {
      const alone = await timesInAnHour(start, ms => ms)
      const amongMany = await timesInAnHour(start, ms => Math.max(ms, REST))
      expect(amongMany).to.be.within(2, AT_FIRST + HOUR / REST / 0.8)
      expect(alone).to.be.above(amongMany)
    })
  }
})
