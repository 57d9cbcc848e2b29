import { expect } from 'aegir/chai'
import { toString } from 'uint8arrays/to-string'
import { Documents, KeyValue } from '../../src/database/index.ts'
import { deleteStores, diskStore } from '../fixtures/datastores.ts'
import { eventually, range, stopPeers } from '../fixtures/directsub.ts'
import { collect, nameOfError, newKey, text } from '../fixtures/logs.ts'
import { allMature, crash, createLogNode, eventuallyTrue, filled, LONG, mesh, openAt, part, SHORT } from '../fixtures/sharedlogs.ts'
import type { Codec, DocumentsOptions } from '../../src/database/index.ts'
import type { LogNode } from '../fixtures/sharedlogs.ts'

const NAME = 'posts'
const QUICK = { maturity: SHORT, grace: LONG }
/** Of the ring wound up for two copies, each covers a little more than two thirds, and each place is covered by two of these three */
const THIRDS = [0, 1 / 6, 1 / 3].map(offset => ({ factor: 0.334, offset }))

interface Post {
  id: string
  author: string
  year?: number
}

describe('a database of documents on nodes, over TCP', function () {
  this.timeout(60_000)
  afterEach(async () => {
    await stopPeers()
    await deleteStores()
  })

  it('finds documents by an index, by what has none, and by both, as they are now', async () => {
    const posts = await openAtNode(await createLogNode(), { indexes: ['author'] })
    await Promise.all(range(40).map(async i => posts.put({ id: `${i}`, author: `a${i % 4}`, year: i % 10 })))
    await posts.put({ id: '1', author: 'a0', year: 1 })
    await posts.delete('4')
    expect(await idsOf(posts, { author: 'a0' })).to.deep.equal(['0', '1', '12', '16', '20', '24', '28', '32', '36', '8'])
    expect(await idsOf(posts, { year: 1 })).to.deep.equal(['1', '11', '21', '31'])
    expect(await idsOf(posts, { author: 'a1', year: 1 })).to.deep.equal(['21'])
    expect(await idsOf(posts, { author: 'nobody' })).to.deep.equal([])
    expect(await idsOf(posts)).to.have.lengthOf(39)
    expect(await posts.get('1')).to.deep.equal({ id: '1', author: 'a0', year: 1 })
  })

  it('reads only what an index names', async () => {
    const posts = await openAtNode(await createLogNode(), { indexes: ['author'] })
    await Promise.all(range(40).map(async i => posts.put({ id: `${i}`, author: `a${i % 4}` })))
    const { log } = posts
    const { get } = log
    let count = 0
    log.get = async id => {
      count++
      return get.call(log, id)
    }
    expect(await idsOf(posts, { author: 'a3' })).to.have.lengthOf(10)
    expect(count).to.equal(10)
  })

  it('has its indexes from the checkpoint when it is opened again, and makes them again when they are others', async () => {
    const store = await diskStore()
    const privateKey = await newKey()
    const first = await createLogNode({ privateKey, datastore: store.datastore })
    const posts = await openAtNode(first, { indexes: ['author'] })
    await Promise.all(range(20).map(async i => posts.put({ id: `${i}`, author: `a${i % 2}`, year: i })))
    await posts.close()
    const log = await openAt(first, {}, NAME)
    const from: number[] = []
    const { arrivals } = log
    log.arrivals = (at, options) => {
      from.push(at as number)
      return arrivals.call(log, at, options)
    }
    const again = await openAtNode(first, { indexes: ['author'] })
    expect(await idsOf(again, { author: 'a1' })).to.have.lengthOf(10)
    await again.close()
    const other = await openAtNode(first, { indexes: ['year', 'author'] })
    expect(await idsOf(other, { year: 7 })).to.deep.equal(['7'])
    expect(from).to.deep.equal([20, 0])
    await first.stop()
    const node = await createLogNode({ privateKey, datastore: await store.reopen() })
    expect(await idsOf(await openAtNode(node, { indexes: ['year', 'author'] }), { year: 7, author: 'a1' })).to.deep.equal(['7'])
  })

  it('passes over what is no document, or has another id than its key', async () => {
    const node = await createLogNode()
    const posts = await openAtNode(node)
    await posts.put({ id: 'a', author: 'ada' })
    const log = await openAt(node, {}, NAME)

    for (const value of ['null', '7', '{"id":"b"}', '{}', 'x']) {
      await log.append(Uint8Array.of(1, 1, ...text(`a${value}`)), { group: text('a') })
    }

    expect(await posts.get('a')).to.deep.equal({ id: 'a', author: 'ada' })
    expect(posts.diagnostics().skipped).to.deep.equal({ 'no operation on a key': 4, 'refused by the codec': 1 })
    expect(await nameOfError(posts.put({ author: 'nobody' } as unknown as Post))).to.equal('InvalidDocumentError')
  })

  it('a query ends though its loop puts back what it is told, by an index and without one', async () => {
    for (const where of [{ author: 'ada' }, {}]) {
      const posts = await openAtNode(await createLogNode(), { indexes: ['author'] })
      await Promise.all(range(200).map(async i => posts.put({ id: `${i}`, author: 'ada', year: 0 })))
      let told = 0

      for await (const post of posts.query({ where })) {
        expect(++told).to.be.at.most(200)
        await posts.put({ ...post, year: 1 })
        // others are there only after it began
        await posts.put({ ...post, id: `new ${post.id}` })
      }

      expect(told).to.equal(200)
    }
  })

  it('has indexes on fields whose names all objects know', async () => {
    const cars = await Documents.open<Record<string, string>>((await createLogNode()).services.logs, 'cars', { indexes: ['constructor', 'toString', 'driver'] })
    await cars.put({ id: '1', constructor: 'McLaren', driver: 'Lando' })
    await cars.put(JSON.parse('{"id":"2","__proto__":"Ferrari"}'))
    const idsWhere = async (where: object): Promise<string[]> => (await collect(cars.query({ where }))).map(({ id }) => id).sort()
    expect(await idsWhere({})).to.deep.equal(['1', '2'])
    expect(await idsWhere({ driver: 'Lando' })).to.deep.equal(['1'])
    expect(await idsWhere({ constructor: 'McLaren' })).to.deep.equal(['1'])
    expect(await idsWhere(JSON.parse('{"__proto__":"Ferrari"}'))).to.deep.equal(['2'])
    expect(await idsWhere({ toString: 'what' })).to.deep.equal([])
    await expect(cars.put(Object.create({ id: 'of another object' }))).to.be.rejected()
  })

  it('makes its table again when the codec or the field of the id is another one than before', async () => {
    const { services: { logs } } = await createLogNode()
    const codec = (name: string, year: number): DocumentsOptions<any>['codec'] => ({
      name,
      encode: value => text(JSON.stringify(value)),
      decode: bytes => ({ ...JSON.parse(new TextDecoder().decode(bytes)), year })
    })
    const open = async (options: DocumentsOptions<any>): Promise<Documents<any>> => Documents.open<any>(logs, NAME, { indexes: ['year'], ...options })
    const found = async (posts: Documents<any>, year: number): Promise<number> => {
      const { length } = await collect(posts.query({ where: { year } }))
      await posts.close()
      return length
    }
    const posts = await open({ codec: codec('first', 1) })
    await posts.put({ id: 'a', isbn: 'b' })
    expect(await found(posts, 1)).to.equal(1)
    expect(await found(await open({ codec: codec('second', 2) }), 2)).to.equal(1)
    const other = await open({ codec: codec('second', 2), id: 'isbn' })
    expect([other.size, other.diagnostics().skipped]).to.deep.equal([0, { 'no operation on a key': 1 }])
  })

  it('keeps nothing of long values in memory, and finds them all the same', async () => {
    const node = await createLogNode()
    const posts = await openAtNode(node, { indexes: ['author'] })
    const [long, other] = ['x', 'y'].map(end => `${'x'.repeat(100_000)}${end}`)
    await posts.put({ id: '1', author: long })
    await posts.put({ id: '2', author: other })
    expect(await idsOf(posts, { author: long })).to.deep.equal(['1'])
    await posts.close()
    let bytes = 0

    for await (const { value } of (await openAt(node, {}, NAME)).shelf('database').read()) {
      bytes += value.byteLength
    }

    expect(bytes).to.be.at.most(1_000)
  })

  it('tells NaN and the infinite numbers from null, where a codec can say them', async () => {
    const codec: Codec<any> = {
      name: 'text',
      encode: ({ id, year }) => text(`${id} ${year}`),
      decode: bytes => {
        const [id, year] = toString(bytes).split(' ')
        return { id, year: year === 'null' ? null : Number(year) }
      }
    }
    const logs = (await createLogNode()).services.logs
    const posts = await Documents.open<any>(logs, 'years', { codec, indexes: ['year'] })
    await Promise.all([NaN, Infinity, -Infinity, null, 0, -0].map(async (year, i) => posts.put({ id: `${i}`, year })))

    const found = await Promise.all([NaN, Infinity, -Infinity, null, 0].map(async year => collect(posts.query({ where: { year } }))))
    expect(found.map(some => some.map(({ id }) => id).sort())).to.deep.equal([['0'], ['1'], ['2'], ['3'], ['4', '5']])
  })

  it('refuses what a codec returns later, or that is no bytes, and stores nothing', async () => {
    const { logs } = (await createLogNode()).services

    for (const [i, encode] of [async () => text('later'), () => 'text', () => undefined].entries()) {
      const posts = await Documents.open<any>(logs, `posts ${i}`, { codec: { encode: encode as any, decode: () => ({}) } })
      expect(await nameOfError(posts.put({ id: '1' }))).to.equal('InvalidValueError')
      expect(posts.log.length).to.equal(0)
    }
  })

  it('a query is what it was when it was asked, whatever the caller does with its object', async () => {
    const posts = await openAtNode(await createLogNode(), { indexes: ['author'] })
    await Promise.all(range(10).map(async i => posts.put({ id: `${i}`, author: `a${i % 2}` })))
    const where = { author: 'a0' }
    const query = posts.query({ where })
    where.author = 'a1'

    expect((await collect(query)).map(({ author }) => author)).to.deep.equal(new Array(5).fill('a0'))
  })

  it('calls the id as it is told to, and writes with the codec it is given', async () => {
    const node = await createLogNode()
    const codec = { encode: ({ isbn }: { isbn: string }) => text(isbn), decode: (bytes: Uint8Array) => ({ isbn: new TextDecoder().decode(bytes) }) }
    const books = await Documents.open(node.services.logs, 'books', { codec, id: 'isbn' })
    await books.put({ isbn: '978' })
    expect(await books.get('978')).to.deep.equal({ isbn: '978' })
    expect((await collect(books.query()))).to.deep.equal([{ isbn: '978' }])
  })

  it('answers for what it does not keep by asking those who do, also when any one of three is lost', async () => {
    for (const lost of range(3)) {
      const nodes = await mesh(4)
      const all = await openThirds(nodes)
      await write(all)
      await Promise.all([...all.map(async posts => expectAll(posts)), expectGone(all[3])])
      expect(all.slice(0, 3).every(({ log }) => log.length < 112), 'somebody keeps everything').to.equal(true)
      await crash(nodes[lost])
      await all[3].put({ id: '7', author: 'late' }, { ack: 1 })

      for (const posts of all.filter((_, i) => i !== lost)) {
        await eventuallyTrue('the last one does not count', async () => (await posts.get('7'))?.author === 'late')
        expect(await idsOf(posts)).to.have.lengthOf(99)
        expect(await idsOf(posts, { author: 'late' })).to.deep.equal(['7'])
      }
      await stopPeers()
    }
  })

  it('says so when nobody answers who keeps the rest, and tells of what is here if that is enough', async () => {
    const nodes = await mesh(2)
    const [posts, observer] = await Promise.all([openAtNode(nodes[0], QUICK), openAtNode(nodes[1], { ...QUICK, replicate: false })])
    await allMature([posts.log, observer.log], nodes.slice(0, 1))
    await observer.put({ id: '1', author: 'ada' })
    await filled(posts.log, 1)
    expect(await observer.get('1')).to.deep.equal({ id: '1', author: 'ada' })
    await part(nodes[1], nodes[0])
    expect(await nameOfError(observer.get('1'))).to.equal('NoReplicatorError')
    expect(await nameOfError(collect(observer.query()))).to.equal('NoReplicatorError')
    // one copy is not enough: it is here still
    expect(await observer.get('1', { local: true })).to.deep.equal({ id: '1', author: 'ada' })
    expect(await collect(observer.query({ local: true }))).to.have.lengthOf(1)
  })

  it('of an observer, what those refuse who keep it counts as little as there', async () => {
    const nodes = await mesh(3)
    const [keeper, reader] = await Promise.all(nodes.slice(0, 2).map(async (node, i) => openAtNode(node, { ...QUICK, indexes: ['author'], replicate: i === 0 })))
    const hostile = await KeyValue.open<any>(nodes[2].services.logs, NAME, { ...QUICK, replicate: false })
    await allMature([keeper.log, reader.log, hostile.log], nodes.slice(0, 1))
    await keeper.put({ id: '1', author: 'ada' })

    for (const value of [null, 7, { id: 'other', author: 'ada' }, { author: 'ada' }]) {
      await hostile.put('1', value, { ack: 1 })
      await hostile.put('x', value, { ack: 1 })
    }

    for (const posts of [keeper, reader]) {
      expect([await posts.get('1'), await posts.get('x')]).to.deep.equal([{ id: '1', author: 'ada' }, undefined])
      expect([await idsOf(posts), await idsOf(posts, { author: 'ada' })]).to.deep.equal([['1'], ['1']])
    }
  })

  it('tells of all that it told of as an observer while it gets what it is to keep from now on', async () => {
    const nodes = await mesh(2)
    const [keeper, reader] = await Promise.all(nodes.map(async ({ services }, i) => KeyValue.open<number>(services.logs, 'numbers', { ...QUICK, replicate: i === 0 })))
    await allMature([reader.log], nodes.slice(0, 1))
    await Promise.all(range(3_000).map(async i => keeper.put(`${i}`, i)))
    expect(await reader.get('77')).to.equal(77)
    await reader.log.replicate({ factor: 0.2 })
    await reader.log.replicate(true)
    let rounds = 0

    do {
      expect(await Promise.all([reader.get('77'), reader.get('2999'), reader.get('none')])).to.deep.equal([77, 2999, undefined])
      rounds++
    } while (reader.log.length < 3_000)

    expect(rounds).to.be.greaterThan(1)
    await eventuallyTrue('it asks for ever', async () => reader.log.keeps(text('77')))
    await part(nodes[0], nodes[1])
    expect(await reader.get('77')).to.equal(77)
  })

  it('of an observer, a key-value database has all entries, each once, and newer ones of its own count', async () => {
    const nodes = await mesh(3)
    const [one, , observer] = await Promise.all(nodes.map(async ({ services }, i) => KeyValue.open<number>(services.logs, 'numbers', { ...QUICK, replicate: i < 2 })))
    await allMature([one.log, observer.log], nodes.slice(0, 2))
    await Promise.all(range(60).map(async i => one.put(`${i % 30}`, i)))
    await observer.put('5', 500)
    await observer.delete('6')
    await eventually('they have not all', () => one.size === 29)
    const entries = await collect(observer.entries())
    expect(entries.map(({ key, value }) => [Number(key), value]).sort(([a], [b]) => a - b)).to.deep.equal(range(30).filter(i => i !== 6).map(i => [i, i === 5 ? 500 : i + 30]))
    expect([await observer.get('5'), await observer.get('6'), await observer.get('7')]).to.deep.equal([500, undefined, 37])
  })
})

async function openAtNode ({ services: { logs } }: LogNode, options: DocumentsOptions<Post> = {}): Promise<Documents<Post>> {
  return Documents.open<Post>(logs, NAME, options)
}

async function idsOf (posts: Documents<Post>, where: Partial<Post> = {}): Promise<string[]> {
  return (await collect(posts.query({ where }))).map(({ id }) => id).sort()
}

/** Three that keep two thirds each, and one that keeps nothing */
async function openThirds (nodes: LogNode[]): Promise<Array<Documents<Post>>> {
  const all = await Promise.all(nodes.map(async (node, i) => openAtNode(node, { ...QUICK, replicate: THIRDS[i] ?? false, indexes: ['author'] })))
  await allMature(all.map(({ log }) => log), nodes.slice(0, 3))
  return all
}

/** From everywhere: 100 documents, some of them twice, one of them deleted */
async function write (all: Array<Documents<Post>>): Promise<void> {
  await Promise.all(range(100).map(async i => all[i % 4].put({ id: `${i}`, author: `a${i % 5}` }, { ack: 'leaders' })))
  await Promise.all(range(10).map(async i => all[(i + 1) % 4].put({ id: `${i}`, author: 'again' }, { ack: 'leaders' })))
  await all[0].delete('99', { ack: 'leaders' })
}

async function expectAll (posts: Documents<Post>): Promise<void> {
  expect(await idsOf(posts)).to.deep.equal(range(99).map(i => `${i}`).sort())
  expect(await idsOf(posts, { author: 'again' })).to.deep.equal(range(10).map(i => `${i}`))
  const read = await Promise.all(range(100).map(async i => posts.get(`${i}`)))
  expect(read.map(post => post?.author)).to.deep.equal(range(100).map(authorOf))
}

function authorOf (i: number): string | undefined {
  if (i === 99) {
    return undefined
  }
  return i < 10 ? 'again' : `a${i % 5}`
}

/** What it wrote itself is not here for ever */
async function expectGone ({ log }: Documents<Post>): Promise<void> {
  await eventually(() => `${log.length} are still here`, () => log.length === 0)
}
