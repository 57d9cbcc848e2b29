import { expect } from 'aegir/chai'
import { toString } from 'uint8arrays/to-string'
import { Documents, json, KeyValue } from '../../src/database/index.ts'
import { deleteStores, diskStore, WatchedDatastore } from '../fixtures/datastores.ts'
import { eventually, meet, range, stopPeers } from '../fixtures/directsub.ts'
import { collect, nameOfError, newKey, text } from '../fixtures/logs.ts'
import { createLogNode, eventuallyTrue, filled, mesh, openAt, part } from '../fixtures/sharedlogs.ts'
import type { Change } from '../../src/database/index.ts'
import type { TypedEventEmitter } from 'main-event'

const NAME = 'users'
/** The first byte of an entry that sets a key */
const PUT = 1

interface User {
  name: string
}

describe('a key-value database on nodes, over TCP', function () {
  this.timeout(60_000)
  afterEach(async () => {
    await stopPeers()
    await deleteStores()
  })

  it('tells at once what was put and deleted here', async () => {
    const node = await createLogNode()
    const users = await KeyValue.open<User>(node.services.logs, NAME)
    const entry = await users.put('ada', { name: 'Ada' })
    expect(await users.get('ada')).to.deep.equal({ name: 'Ada' })
    expect((await collect(users.entries())).map(({ key, value, entry: { id } }) => [key, value.name, `${id}`])).to.deep.equal([['ada', 'Ada', `${entry.id}`]])
    await users.delete('ada')
    expect(await users.get('ada')).to.equal(undefined)
    expect(await collect(users.entries())).to.deep.equal([])
    expect(users.size).to.equal(0)
  })

  it('is the same on three nodes that all write the same keys', async () => {
    const nodes = await mesh(3)
    const all = await Promise.all(nodes.map(async ({ services }) => KeyValue.open<User>(services.logs, NAME)))
    await Promise.all(all.map(async ({ log }) => log.waitForReplicators({ count: 3 })))
    await Promise.all(all.flatMap((users, who) => range(200).map(async i => i % 7 === who ? users.delete(`${i % 50}`) : users.put(`${i % 50}`, { name: `${who}/${i}` }))))
    await Promise.all(all.map(async ({ log }) => filled(log, 600)))
    // in their order, so the last one of a key stays
    const last = new Map((await collect(all[0].log.entries())).map(({ data, group }) => [toString(group), data]))
    const expected = [...last].filter(([, data]) => data[0] === PUT).map(([key]) => key).sort()
    const [first, ...others] = await Promise.all(all.map(tableOf))
    expect(first.map(([key]) => key)).to.deep.equal(expected)
    others.forEach(other => { expect(other).to.deep.equal(first) })
  })

  it('passes over what is no operation, or a value that the codec refuses, and what lies where its key does not say', async () => {
    const node = await createLogNode()
    const users = await KeyValue.open<User>(node.services.logs, NAME)
    await users.put('ada', { name: 'Ada' })
    const log = await openAt(node, {}, NAME)
    await log.append(text('hello'))
    await log.append(Uint8Array.of(1, 3, ...text('ada'), ...text('{no json')), { group: text('ada') })
    await log.append(Uint8Array.of(2, 3, ...text('ada')), { group: text('bob') })
    expect(await users.get('ada')).to.deep.equal({ name: 'Ada' })
    expect(users.diagnostics().skipped).to.deep.equal({ 'no operation on a key': 2, 'refused by the codec': 1 })
  })

  it('refuses keys that no database can have, and opens once', async () => {
    const { services: { logs } } = await createLogNode()
    const users = await KeyValue.open<User>(logs, NAME)

    for (const key of ['', 'k'.repeat(1025), '\ud800']) {
      expect(await nameOfError(users.put(key, { name: 'nobody' }))).to.equal('InvalidKeyError')
    }

    expect(await nameOfError(users.put('a', undefined as unknown as User))).to.equal('InvalidValueError')
    expect(await nameOfError(KeyValue.open(logs, NAME))).to.equal('DatabaseOpenError')
    await users.close()
    await (await KeyValue.open(logs, NAME)).close()
  })

  it('is ended by close, and by the node that stops', async () => {
    const node = await createLogNode()
    const users = await KeyValue.open<User>(node.services.logs, NAME)
    const watched = collect(users.watch())
    await users.close()
    await users.close()
    expect(await watched).to.deep.equal([])
    expect(await Promise.all([users.get('a'), users.put('a', { name: 'A' }), collect(users.entries())].map(nameOfError))).to.deep.equal(new Array(3).fill('DatabaseClosedError'))
    expect(() => users.watch()).to.throw('not open')
    const again = await KeyValue.open<User>(node.services.logs, NAME)
    const ended = collect(again.watch())
    await node.stop()
    expect(await ended).to.deep.equal([])
    await again.close()
  })

  it('reads from its checkpoint on when it is opened again from disk, and what it was told last counts', async () => {
    const store = await diskStore()
    const privateKey = await newKey()
    const first = await createLogNode({ privateKey, datastore: store.datastore })
    const users = await KeyValue.open<User>(first.services.logs, NAME)
    await Promise.all(range(300).map(async i => users.put(`${i % 100}`, { name: `${i}` })))
    await users.delete('7')
    await users.close()
    // what comes while nobody has the database open is applied when it is
    await (await openAt(first, {}, NAME)).append(Uint8Array.of(1, 1, ...text('8'), ...text('{"name":"late"}')), { group: text('8') })
    await first.stop()
    const node = await createLogNode({ privateKey, datastore: await store.reopen() })
    const log = await openAt(node, {}, NAME)
    const { arrivals } = log
    const from: number[] = []
    log.arrivals = (at, options) => {
      from.push(at as number)
      return arrivals.call(log, at, options)
    }
    const again = await KeyValue.open<User>(node.services.logs, NAME)
    expect(from).to.deep.equal([301])
    expect(again.diagnostics()).to.deep.equal({ keys: 99, next: 302, skipped: {} })
    expect(await again.get('8')).to.deep.equal({ name: 'late' })
    expect(await again.get('9')).to.deep.equal({ name: '209' })
    expect(await again.get('7')).to.equal(undefined)
  })

  it('writes its last checkpoint also when the node stops and nobody has closed it', async () => {
    const store = await diskStore()
    const privateKey = await newKey()
    const first = await createLogNode({ privateKey, datastore: store.datastore })
    const users = await KeyValue.open<User>(first.services.logs, NAME)
    await Promise.all(range(30).map(async i => users.put(`${i}`, { name: `${i}` })))
    await first.stop()
    await users.close()
    expect(users.diagnostics().skipped).to.deep.equal({})
    const node = await createLogNode({ privateKey, datastore: await store.reopen() })
    const log = await openAt(node, {}, NAME)
    const { arrivals } = log
    const from: number[] = []
    log.arrivals = (at, options) => {
      from.push(at as number)
      return arrivals.call(log, at, options)
    }
    const again = await KeyValue.open<User>(node.services.logs, NAME)
    expect(from).to.deep.equal([30])
    expect(again.size).to.equal(30)
  })

  it('tells of each key once, as it was or as it is, also where entries come and go meanwhile', async () => {
    const node = await createLogNode()
    const users = await KeyValue.open<User>(node.services.logs, NAME)
    await Promise.all(range(600).map(async i => users.put(`${i}`, { name: 'before' })))
    const seen = new Map<string, string>()
    let count = 0

    for await (const { key, value } of users.entries()) {
      seen.set(key, value.name)

      if (++count === 10) {
        await Promise.all(range(300).map(async i => users.put(`${i * 2}`, { name: 'after' })))
        await users.delete('599')
        await users.compact({ age: -1_000 })
      }
    }

    seen.delete('599')
    expect(seen.size).to.equal(599)
    expect(count).to.be.within(599, 600)
    expect(new Set(seen.values())).to.deep.equal(new Set(['before', 'after']))
  })

  it('is read again from the log where the checkpoint is no good', async () => {
    const node = await createLogNode()
    const users = await KeyValue.open<User>(node.services.logs, NAME)
    await users.put('ada', { name: 'Ada' })
    const log = await openAt(node, {}, NAME)
    await users.close()
    await log.shelf('database').write([{ name: Uint8Array.of(1, 0), value: Uint8Array.of(1, 2, 3) }])
    const again = await KeyValue.open<User>(node.services.logs, NAME)
    expect(await again.get('ada')).to.deep.equal({ name: 'Ada' })
  })

  it('a watch tells of each change once, in the order in which they came, and of what there is first if it is asked to', async () => {
    const [one, other] = await mesh(2)
    const users = await KeyValue.open<User>(one.services.logs, NAME)
    const theirs = await KeyValue.open<User>(other.services.logs, NAME)
    await users.put('first', { name: '0' })
    const seen: string[] = []
    const fromStart: string[] = []
    void follow(users.watch(), seen)
    void follow(users.watch({ from: 'start' }), fromStart)
    await Promise.all(range(100).map(async i => (i % 2 === 0 ? users : theirs).put(`${i}`, { name: `${i}` })))
    await users.delete('first')
    await eventually(() => `${seen.length} seen`, () => seen.length === 101 && fromStart.length >= 101)
    expect([...seen].sort()).to.deep.equal([...range(100).map(i => `${i} ${i}`), 'first gone'].sort())
    expect(fromStart.filter(word => word !== 'first 0')).to.deep.equal(seen)
  })

  it('a watch with a name goes on after a restart with what was not acknowledged, and with nothing else', async () => {
    const store = await diskStore()
    const privateKey = await newKey()
    const other = await createLogNode()
    const theirs = await KeyValue.open<User>(other.services.logs, NAME)
    const seen: string[] = []
    let datastore = store.datastore

    for (const round of range(4)) {
      const node = await createLogNode({ privateKey, datastore })
      await meet(node, other)
      const users = await KeyValue.open<User>(node.services.logs, NAME)
      const watch = users.watch({ name: 'a mirror' })
      const left = range(20).map(i => `${round}/${i}`)
      // begun, and not asked for the next one: that is told again
      let asked = watch.next()
      await Promise.all(left.map(async (key, i) => (i % 2 === 0 ? users : theirs).put(key, { name: key })))

      for (let i = 0; i < 15; i++) {
        seen.push(wordOf((await asked).value as Change<User>))
        asked = watch.next()
      }

      expect(await nameOfError(users.watch({ name: 'a mirror' }).next())).to.equal('WatchOpenError')
      await asked
      // while it is away, and while the database is closed, others go on
      await (round % 2 === 0 ? users.close() : node.stop())
      await theirs.put(`meanwhile ${round}`, { name: `meanwhile ${round}` })
      await node.stop()
      datastore = await store.reopen()
    }

    const node = await createLogNode({ privateKey, datastore })
    await meet(node, other)
    const users = await KeyValue.open<User>(node.services.logs, NAME)
    void follow(users.watch({ name: 'a mirror' }), seen)
    await eventually(() => `${seen.length} seen`, () => seen.length >= 84)
    await eventuallyTrue('they are not the same', async () => (await tableOf(users)).length === (await tableOf(theirs)).length)
    expect(seen.sort()).to.deep.equal(Object.entries(await tableOf(theirs)).map(([, [key, name]]) => `${key} ${name}`).sort())
  })

  it('has no rows of what went before a crash, and a watch tells of what comes back', async () => {
    const other = await createLogNode()
    const theirs = await KeyValue.open<User>(other.services.logs, NAME)
    const datastore = new WatchedDatastore()
    const privateKey = await newKey()
    const node = await createLogNode({ privateKey, datastore })
    await meet(node, other)
    const first = await KeyValue.open<User>(node.services.logs, NAME)
    await first.put('ada', { name: 'Ada' }, { ack: 1 })
    await first.close()
    const users = await KeyValue.open<User>(node.services.logs, NAME)
    await users.put('bob', { name: 'Bob' }, { ack: 1 })
    await part(node, other)
    expect(await users.log.trim({ length: 0 })).to.equal(2)
    const crashed = WatchedDatastore.from(datastore.writes)
    await node.stop()

    const again = await createLogNode({ privateKey, datastore: crashed })
    const reopened = await KeyValue.open<User>(again.services.logs, NAME)
    expect([reopened.log.length, reopened.size, await collect(reopened.entries())]).to.deep.equal([0, 0, []])
    const seen: string[] = []
    void follow(reopened.watch(), seen)
    await meet(again, other)
    await eventually(() => `told of ${seen.join()}`, () => seen.length === 2)
    expect(seen.sort()).to.deep.equal(['ada Ada', 'bob Bob'])
    expect(await tableOf(reopened)).to.deep.equal(await tableOf(theirs))
  })

  it('an open that is aborted leaves nothing on the log that others have open', async () => {
    const node = await createLogNode()
    const log = await openAt(node, {}, NAME)
    await (await KeyValue.open<User>(node.services.logs, NAME)).close()
    const { arrivals } = log
    const controller = new AbortController()
    const listening = (): number[] => ['entry:add', 'entry:remove', 'closing', 'close'].map(type => (log as unknown as TypedEventEmitter<any>).listenerCount(type))
    const before = listening()
    log.arrivals = (from, options) => {
      controller.abort(new Error('too slow'))
      return arrivals.call(log, from, options)
    }
    await log.append(text('what makes it read'))
    await expect(KeyValue.open(node.services.logs, NAME, { signal: controller.signal })).to.be.rejectedWith('too slow')
    expect(listening()).to.deep.equal(before)
    log.arrivals = arrivals
    const users = await KeyValue.open<User>(node.services.logs, NAME)
    await users.put('ada', { name: 'Ada' })
    expect(await users.get('ada')).to.deep.equal({ name: 'Ada' })
  })

  it('is ended by who closes its handle of the log, and opens again', async () => {
    const node = await createLogNode()
    const log = await openAt(node, {}, NAME)
    const users = await KeyValue.open<User>(node.services.logs, NAME)
    const watched = collect(users.watch())
    await users.log.close()
    expect(await watched).to.deep.equal([])
    expect(await nameOfError(users.get('a'))).to.equal('DatabaseClosedError')
    await users.close()
    const again = await KeyValue.open<User>(node.services.logs, NAME)
    await again.put('a', { name: 'A' })
    expect([log.status, await again.get('a')]).to.deep.equal(['open', { name: 'A' }])
  })

  it('refuses options that it does not know, or that make no sense, by name', async () => {
    const { services: { logs } } = await createLogNode()
    const users: any = await KeyValue.open<User>(logs, NAME, { codec: undefined })
    const open = async (options: any): Promise<unknown> => KeyValue.open(logs, NAME, options)
    const wrong = [{ indexes: ['a'] }, { codecs: 1 }, { codec: {} }, { codec: { ...json, name: 7 } }, { replicate: 'all' }]
    const documents = [{ indexes: 'author' }, { indexes: [7] }, { id: 7 }, { codec: 'json' }].map(async (options: any) => Documents.open(logs, NAME, options))
    const calls = [
      users.put('a', {}, { ack: 'most' }), users.put('a', {}, { acks: 1 }), users.put('a', {}, { group: text('b') }), users.delete('a', { ack: {} }), users.get('a', { locally: true }),
      users.get('a', { local: 'yes' }), users.compact({}), users.compact({ age: 'old' }), ...wrong.map(open), ...documents
    ]
    expect(await Promise.all(calls.map(nameOfError))).to.deep.equal(new Array(calls.length).fill('InvalidOptionsError'))
    expect([() => users.watch({ since: 1 }), () => users.watch({ from: 'start', name: 5 }), () => users.entries({ where: {} })].map(nameOf)).to.deep.equal(new Array(3).fill('InvalidOptionsError'))
    const posts: any = await Documents.open(logs, 'posts')
    expect([() => posts.query({ were: {} }), () => posts.query({ where: [] }), () => posts.query({ where: null }), () => posts.query('x')].map(nameOf)).to.deep.equal(new Array(4).fill('InvalidOptionsError'))
    // no document would ever be found by these
    expect([new Date(), {}, [], () => {}, Symbol('s')].map(value => nameOf(() => posts.query({ where: { value } })))).to.deep.equal(new Array(5).fill('InvalidOptionsError'))
    expect(users.log.length).to.equal(0)
  })

  it('a watch and a wait end with their signal', async () => {
    const node = await createLogNode()
    const users = await KeyValue.open<User>(node.services.logs, NAME)
    const controller = new AbortController()
    const watched = users.watch({ signal: controller.signal }).next()
    controller.abort(new Error('enough'))
    await expect(watched).to.be.rejectedWith('enough')
    await expect(users.put('a', { name: 'A' }, { signal: controller.signal })).to.be.rejectedWith('enough')
  })

  it('lets go of versions whose place others have taken', async () => {
    const node = await createLogNode()
    const users = await KeyValue.open<User>(node.services.logs, NAME)

    for (const i of range(30)) {
      await users.put(`${i % 3}`, { name: `${i}` })
    }

    await users.delete('2')
    expect(await users.compact({ age: 3_600_000 })).to.equal(0)
    expect(await users.compact({ age: -1_000 })).to.equal(28)
    expect(users.log.length).to.equal(3)
    expect(await tableOf(users)).to.deep.equal([['0', '27'], ['1', '28']])
  })
})

function nameOf (call: () => unknown): string {
  try {
    call()
    return 'none'
  } catch (err: any) {
    return err.name
  }
}

async function tableOf (users: KeyValue<User>): Promise<Array<[key: string, name: string]>> {
  return (await collect(users.entries())).map(({ key, value }): [string, string] => [key, value.name]).sort(([a], [b]) => a < b ? -1 : 1)
}

function wordOf ({ key, value }: Change<User>): string {
  return `${key} ${value?.name ?? 'gone'}`
}

async function follow (watch: AsyncIterable<Change<User>>, seen: string[]): Promise<void> {
  for await (const change of watch) {
    seen.push(wordOf(change))
  }
}
