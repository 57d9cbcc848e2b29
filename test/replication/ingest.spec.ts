import { expect } from 'aegir/chai'
import { Ingest } from '../../src/replication/ingest.ts'
import { contextOf } from '../fixtures/replication-context.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'
import type { IngestInit } from '../../src/replication/ingest.ts'
import type { Message } from '../../src/replication/wire.ts'

const MIB = 2 ** 20

describe('storing what others push', () => {
  /** On a disk that does not come to an end */
  function create (): { ingest: Ingest, refused (): number } {
    const context = contextOf(new VirtualClock(0))
    const ingest = new Ingest({
      context,
      log: { join: async () => new Promise(() => {}) } as unknown as IngestInit['log'],
      kept: () => [{ from: 0, width: 2 ** 32 }],
      take: () => true,
      settle: () => {},
      onMoved: () => {},
      send: async () => {},
      onAdded: () => {}
    })
    return { ingest, refused: () => context.counters.toJSON()['entries: too many bytes wait'] ?? 0 }
  }

  it('holds so many bytes of all peers, however many they are, while the disk takes its time', () => {
    const { ingest, refused } = create()
    const entries = [{ bytes: new Uint8Array(MIB), proof: new Uint8Array(0) }]

    // one peer: four mebibytes and no more
    for (let number = 0; number < 10; number++) {
      ingest.receive('first', { type: 'entries', number, reach: 1, entries })
    }
    expect(refused()).to.be.within(6, 7)

    // and each of a hundred: those that have nothing waiting get in for longest
    const before = refused()
    for (let peer = 0; peer < 100; peer++) {
      ingest.receive(`peer ${peer}`, { type: 'entries', number: 1, reach: 1, entries })
    }
    expect(100 - (refused() - before)).to.be.within(58, 61)
    ingest.stop()
  })

  it('takes a large entry that comes while a smaller one waits for the disk, and not a second one', () => {
    const { ingest, refused } = create()
    const entryOf = (bytes: number): Message & { type: 'entries' } => ({
      type: 'entries', number: 1, reach: 1, entries: [{ bytes: new Uint8Array(bytes), proof: new Uint8Array(0) }]
    })
    ingest.receive('peer', entryOf(MIB))
    ingest.receive('peer', entryOf(16 * MIB))
    expect(refused()).to.equal(0)
    ingest.receive('peer', entryOf(16 * MIB))
    expect(refused()).to.equal(1)
    ingest.stop()
  })
})
