import { expect } from 'aegir/chai'
import { MemoryDatastore } from 'datastore-core'
import { Shelf } from '../../src/replication/shelf.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { heldStore } from '../fixtures/datastores.ts'
import { settles } from '../fixtures/directsub.ts'
import { collect, nameOfError, newLog, text, WindClock } from '../fixtures/logs.ts'
import type { Datastore } from 'interface-datastore'

const ID = 'the log of a shelf'

describe('the shelf of a program', () => {
  it('holds what was written, and not what was deleted', async () => {
    const datastore = new MemoryDatastore()
    const shelf = new Shelf(datastore, ID, 'a program', systemClock)
    await shelf.write([{ name: Uint8Array.of(0, 255), value: text('zero') }, { name: text('b'), value: text('two') }])
    await shelf.write([{ name: text('b') }, { name: text('c'), value: new Uint8Array(0) }])
    expect((await on(datastore)).sort()).to.deep.equal([[[0, 255], 'zero'], [[99], '']])
  })

  it('is another one for another program, also if its name is a beginning', async () => {
    const datastore = new MemoryDatastore()
    await new Shelf(datastore, ID, 'a program', systemClock).write([{ name: text('a'), value: text('one') }])
    expect(await on(datastore, 'a')).to.deep.equal([])
    expect(await on(datastore, 'a program more')).to.deep.equal([])
  })

  it('is gone when the log is dropped', async () => {
    const datastore = new MemoryDatastore()
    const log = await newLog({ id: ID, datastore })
    await new Shelf(datastore, ID, 'a program', systemClock).write([{ name: text('a'), value: text('one') }])
    await log.drop()
    expect(await on(datastore)).to.deep.equal([])
  })

  it('closes when what is being written is written, and takes nothing more', async () => {
    const { datastore, reached, release } = heldStore()
    const shelf = new Shelf(datastore, ID, 'a program', systemClock)
    const writing = shelf.write([{ name: text('a'), value: text('one') }])
    await reached
    const closing = shelf.close()
    expect(await nameOfError(shelf.write([{ name: text('b') }]))).to.equal('LogClosedError')
    expect(await on(datastore)).to.deep.equal([])
    release()
    expect((await settles('closing', closing)).status).to.equal('fulfilled')
    await writing
    expect(await on(datastore)).to.have.lengthOf(1)
  })

  it('closes in the end where the disk hangs, and says so to who writes', async () => {
    const { datastore, reached } = heldStore()
    const clock = new WindClock()
    const shelf = new Shelf(datastore, ID, 'a program', clock)
    const writing = nameOfError(shelf.write([{ name: text('a'), value: text('one') }]))
    await reached
    const closing = shelf.close()
    clock.wind(120_000)

    expect(await writing).to.equal('StoreFailedError')
    expect((await settles('closing', closing)).status).to.equal('fulfilled')
  })

  it('is read until a signal says enough, where the disk hangs', async () => {
    const datastore = new MemoryDatastore()
    datastore.query = () => ({ [Symbol.asyncIterator]: () => ({ next: async () => new Promise(() => {}) }) }) as unknown as ReturnType<Datastore['query']>
    const controller = new AbortController()
    const reading = nameOfError(collect(new Shelf(datastore, ID, 'a program', systemClock).read(controller)))
    controller.abort(new RangeError('enough'))

    expect(await reading).to.equal('RangeError')
  })
})

async function on (datastore: Datastore, program = 'a program'): Promise<Array<[name: number[], value: string]>> {
  return (await collect(new Shelf(datastore, ID, program, systemClock).read())).map(({ name, value }) => [[...name], new TextDecoder().decode(value)])
}
