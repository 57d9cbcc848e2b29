import { expect } from 'aegir/chai'
import { MemoryDatastore } from 'datastore-core'
import { systemClock } from '../../src/runtime/clock.ts'
import { Disk, SHELF } from '../../src/storage/disk.ts'
import type { Key, Pair, Query } from 'interface-datastore'

/** What Node's Buffer is: its `slice` is a view */
class ViewBytes extends Uint8Array {
  override slice (from?: number, to?: number): Uint8Array<ArrayBuffer> {
    return this.subarray(from, to) as Uint8Array<ArrayBuffer>
  }
}

/** Counts reads, and hands out bytes of another class, as datastore-level does */
class CountingStore extends MemoryDatastore {
  gets = 0

  override get (key: Key): Uint8Array {
    this.gets++
    return new ViewBytes(super.get(key) as Uint8Array)
  }

  override async * _all (query: Query): AsyncGenerator<Pair> {
    for await (const { key, value } of super._all(query)) {
      yield { key, value: new ViewBytes(value) }
    }
  }
}

async function readAll (disk: Disk, from: number): Promise<Array<{ seq: number, bytes: Uint8Array }>> {
  const { record, values } = await disk.seqs(from)
  const read: Array<{ seq: number, bytes: Uint8Array }> = []

  for await (const one of disk.records(record, values)) {
    read.push(one)
  }

  return read
}

describe('a disk of numbered values', () => {
  it('reads a shelf of small records in one go, and of a large one each record by itself', async () => {
    for (const [size, gets] of [[10, 0], [100_000, 100]]) {
      const datastore = new CountingStore()
      const disk = new Disk({ datastore, base: '/a', clock: systemClock })
      const seqs = Array.from({ length: 100 }, (_, i) => SHELF + i * 3)
      await Promise.all(seqs.map(async seq => disk.putRecord(seq, new Uint8Array(size).fill(seq % 251))))
      await disk.putPage(SHELF + 1, new Uint8Array(10))
      await disk.putRecord(1, new Uint8Array(1))
      await disk.putNamed('manifest/0', new Uint8Array(1))
      const read = await readAll(disk, SHELF)

      expect(read.map(({ seq }) => seq)).to.deep.equal(seqs)
      expect(read.every(({ seq, bytes }) => bytes.byteLength === size && bytes[0] === seq % 251)).to.equal(true)
      // those that were read before the shelf turned out to be large are read again
      expect(datastore.gets, `records of ${size} B`).to.equal(gets)
      expect(await disk.seqs(SHELF)).to.deep.include({ record: seqs, page: [SHELF + 1] })
      expect(await disk.seqs()).to.deep.equal({ record: [1, ...seqs], page: [SHELF + 1] })
    }
  })

  it('leaves out records that are gone since they were listed', async () => {
    const disk = new Disk({ datastore: new MemoryDatastore(), base: '/a', clock: systemClock })
    await Promise.all([0, 1, 2].map(async seq => disk.putRecord(seq, Uint8Array.of(seq))))
    const { record } = await disk.seqs()
    await disk.delete([1], 'record')
    const left: number[] = []

    for await (const { seq } of disk.records(record)) {
      left.push(seq)
    }

    expect(left).to.deep.equal([0, 2])
  })

  it('hands out plain arrays, of which a slice is a copy', async () => {
    const disk = new Disk({ datastore: new CountingStore(), base: '/a', clock: systemClock })
    await disk.putRecord(0, Uint8Array.of(1, 2, 3))
    const values = [await disk.getRecord(0), ...(await readAll(disk, 0)).map(({ bytes }) => bytes)]

    expect(values).to.have.lengthOf(2)
    values.forEach(bytes => { bytes?.slice().fill(9) })
    expect(values.map(bytes => [...bytes ?? []])).to.deep.equal([[1, 2, 3], [1, 2, 3]])
  })
})
