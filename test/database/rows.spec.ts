import { expect } from 'aegir/chai'
import { MemoryDatastore } from 'datastore-core'
import { ROWS_IN_RECORD } from '../../src/database/constants.ts'
import { Table } from '../../src/database/core/table.ts'
import { Rows } from '../../src/database/rows.ts'
import { Shelf } from '../../src/replication/shelf.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { WatchedDatastore } from '../fixtures/datastores.ts'
import { range } from '../fixtures/directsub.ts'
import type { Row } from '../../src/database/core/table.ts'
import type { Datastore } from 'interface-datastore'

const FORM = ['json', 'id', 'author']

describe('the checkpoints of a database', () => {
  it('are read as the table was when the last one was written, with what was forgotten, in ever as many records', async () => {
    const datastore = new MemoryDatastore()
    const table = new Table()
    const rows = await opened(datastore)

    for (const round of range(6)) {
      range(5_000).forEach(i => { table.apply(`${i}`, rowOf(round * 5_000 + i)) })
      table.forget('7', rowOf(round * 5_000 + 7).id)
      await rows.write({ next: (round + 1) * 5_000, entries: round }, table.changes(), table)
      const { next, entries, stored } = await rowsAt(datastore).read({})
      expect([next, entries]).to.deep.equal([(round + 1) * 5_000, round])
      expect([...stored].sort()).to.deep.equal([...table.rows()].sort())
      expect(recordsIn(datastore)).to.be.at.most(5)
    }
  })

  it('a crash at any write leaves one that all which came after it completes', async () => {
    const datastore = new WatchedDatastore()
    const table = new Table()
    const rows = await opened(datastore)
    const keys = ROWS_IN_RECORD + 10
    const came: Array<[key: string, row: Row]> = range(keys * 12).map(i => [`${i % keys}`, rowOf(i)])

    for (let at = 0; at < came.length; at += keys) {
      came.slice(at, at + keys).forEach(([key, row]) => { table.apply(key, row) })
      await rows.write({ next: at + keys }, table.changes(), table)
    }

    expect(datastore.writes.filter(({ length }) => length > 2), 'it was never written anew').to.not.be.empty()

    for (const count of range(datastore.writes.length + 1)) {
      const { next, stored } = await rowsAt(WatchedDatastore.from(datastore.writes.slice(0, count))).read({})
      const after = new Table()
      stored.forEach((row, key) => { after.restore(key, row) })
      came.slice(next).forEach(([key, row]) => { after.apply(key, row) })
      expect(next > 0 || count < 2, `${count} writes are good for nothing`).to.equal(true)
      expect([...after.rows()].sort()).to.deep.equal([...table.rows()].sort())
    }
  })

  it('one that failed is made up for by the next, also where the whole table was being written', async () => {
    const datastore = new WatchedDatastore()
    const table = new Table()
    const rows = await opened(datastore)
    let failures = 0
    // a record and how far it goes; the last write of a whole table, and the first one of the next attempt
    const failing = [(length: number) => length === 2, (length: number) => length > 2, (length: number) => length === 1]
    datastore.tear = ({ length }) => failing[failures]?.(length) ? [] : undefined

    for (const round of range(20)) {
      range(2_000).forEach(i => { table.apply(`${i}`, rowOf(round * 2_000 + i)) })
      const changes = table.changes()

      try {
        await rows.write({ next: (round + 1) * 2_000 }, changes, table)
      } catch {
        failures++
        table.keepChanges(changes)
      }
    }

    expect(failures).to.equal(failing.length)
    expect([...(await rowsAt(datastore).read({})).stored].sort()).to.deep.equal([...table.rows()].sort())
  })

  it('are nothing where a record is missing or cannot be read, or they were made with something else', async () => {
    for (const spoil of [{ name: Uint8Array.of(1, 0) }, { name: Uint8Array.of(1, 0), value: Uint8Array.of(1, 2, 3) }, { name: Uint8Array.of(0), value: Uint8Array.of(1, 2) }]) {
      const datastore = new MemoryDatastore()
      const table = new Table()
      table.apply('a', rowOf(0))
      await (await opened(datastore)).write({ next: 1 }, table.changes(), table)
      expect((await rowsAt(datastore).read({})).next).to.equal(1)
      await shelfAt(datastore).write([spoil])
      expect(await rowsAt(datastore).read({})).to.deep.equal({ next: 0, stored: new Map() })
      expect(recordsIn(datastore)).to.equal(0)
    }

    const datastore = new MemoryDatastore()
    await (await opened(datastore)).write({ next: 1 }, [], new Table())

    // the last one looks the same as the first one when it is joined
    for (const form of [[], ['json', 'id'], ['json', 'key', 'author'], ['cbor', 'id', 'author'], ['json', 'id,author']]) {
      expect((await rowsAt(datastore).read({})).next).to.equal(1)
      expect((await new Rows(shelfAt(datastore), form).read({})).next).to.equal(0)
      await (await opened(datastore)).write({ next: 1 }, [], new Table())
    }
  })
})

function rowOf (i: number): Row {
  const id = new Uint8Array(32)
  new DataView(id.buffer).setUint32(0, i)
  return { time: i, counter: 0, id, arrival: i, isDeleted: i % 5 === 0, fields: [`a${i % 3}`] }
}

function shelfAt (datastore: Datastore): Shelf {
  return new Shelf(datastore, 'a log', 'database', systemClock)
}

function rowsAt (datastore: Datastore): Rows {
  return new Rows(shelfAt(datastore), FORM)
}

async function opened (datastore: Datastore): Promise<Rows> {
  const rows = rowsAt(datastore)
  await rows.read({})
  return rows
}

/** And what says which of them count */
function recordsIn (datastore: Datastore): number {
  return [...datastore.queryKeys({}) as Iterable<unknown>].length
}
