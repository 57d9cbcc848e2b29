import { expect } from 'aegir/chai'
import { deleteStores, WatchedDatastore } from '../fixtures/datastores.ts'
import { eventually, meet, range, settles, stopPeers } from '../fixtures/directsub.ts'
import { collect, nameOfError, text, texts } from '../fixtures/logs.ts'
import { allIn, createLogNode, expectSame, filled, find, LOG, LONG, membership, mesh, of, openAt, overEachPubSub, saidIn, SHORT } from '../fixtures/sharedlogs.ts'
import type { OpenOptions, SharedLog } from '../../src/index.ts'
import type { LogNode } from '../fixtures/sharedlogs.ts'

const PATIENT = { maturity: LONG, grace: LONG }

overEachPubSub('opening, closing and dropping a shared log', function () {
  this.timeout(60_000)
  afterEach(async () => {
    await stopPeers()
    await deleteStores()
  })

  it('each open gives a handle, closing one twice closes it once, and the log is open until all are closed', async () => {
    const node = await createLogNode()
    const [first, second, third] = await Promise.all([openAt(node), openAt(node), openAt(node)])
    await Promise.all([first.close(), first.close()])
    await first.close()
    expect([first.status, second.status, third.status]).to.deep.equal(['closed', 'open', 'open'])
    await second.append(text('a'))
    expect(await saidIn(third)).to.deep.equal(['a'])
    await second.close()
    await third.append(text('b'))
    await third.close()
    expect([second.status, third.status]).to.deep.equal(['closed', 'closed'])
    const again = await openAt(node)
    await third.close()
    await first.drop()
    expect(again.status).to.equal('open')
    expect(await saidIn(again)).to.deep.equal(['a', 'b'])
  })

  it('a handle that is closed does nothing any more, also while others have the log open, and hears nothing', async () => {
    const node = await createLogNode()
    const [log, other] = [await openAt(node), await openAt(node)]
    const seen: string[] = []
    const hear = (): void => { seen.push('heard') }
    log.addEventListener('entry:add', hear)
    log.addEventListener('entry:add', () => { seen.push('once') }, { once: true })
    log.addEventListener('entry:remove', hear)
    log.removeEventListener('entry:remove', hear)
    const entry = await log.append(text('a'))
    expect(seen).to.deep.equal(['heard', 'once'])
    await log.close()

    for (const use of [() => log.append(text('no')), () => log.get(entry.id), () => log.replicate(false), () => log.unreplicate(), () => log.waitForReplicators(), () => log.mark('me', 1)]) {
      expect(await nameOfError(use())).to.equal('LogClosedError')
    }
    for (const use of [() => log.entries(), () => log.shelf('me'), () => log.diagnostics()]) {
      expect(use).to.throw('open it again')
    }

    await other.append(text('b'))
    expect(seen).to.have.lengthOf(2)
    expect(find(other, node)?.segments).to.have.lengthOf(1)
  })

  it('who opens what is open already has to want the same of it, and is told what differs', async () => {
    const node = await createLogNode()
    const canAppend = (): boolean => true
    const log = await openAt(node, { replicate: { factor: 0.5 }, canAppend, maturity: 500 })
    const differing: Record<string, OpenOptions> = {
      replicate: { replicate: { factor: 0.25 } },
      canAppend: { canAppend: () => true },
      keep: { canAppend, keep: () => true },
      maturity: { maturity: 501 },
      grace: { grace: 1 },
      replicas: { replicas: { min: 3 } }
    }

    for (const [name, options] of Object.entries(differing)) {
      await expect(openAt(node, options)).to.be.rejectedWith(`open with another '${name}'`).and.eventually.have.property('name', 'InvalidOptionsError')
    }

    const same = [{}, { replicate: { factor: 0.5 }, canAppend, maturity: 500 }, { replicas: { min: 2, max: 64 }, grace: 15_000, keep: undefined }]
    await Promise.all((await Promise.all(same.map(async options => openAt(node, options)))).map(async other => other.close()))
    await log.replicate(false)
    expect(await nameOfError(openAt(node, { replicate: { factor: 0.5 } }))).to.equal('InvalidOptionsError')
    await (await openAt(node, { replicate: false })).close()
    expect(log.status).to.equal('open')
    await log.close()
    expect(log.status).to.equal('closed')
  })

  it('dropping closes it for all who opened it, and deletes all of it, also what others said', async () => {
    const datastore = new WatchedDatastore()
    const [a, b] = [await createLogNode({ datastore }), await createLogNode()]
    await meet(a, b)
    const before = (await openAt(a, PATIENT, 'another log'), datastore.keys.filter(isOfLogs))
    const [log, same, other] = [await openAt(a, PATIENT), await openAt(a, PATIENT), await openAt(b, PATIENT)]
    await allIn([log, other], [a, b])
    await log.appendMany(texts(100), { ack: 'leaders' })
    await log.drop()
    expect([log.status, same.status]).to.deep.equal(['closed', 'closed'])
    expect(await nameOfError(same.append(text('no')))).to.equal('LogClosedError')
    expect(datastore.keys.filter(isOfLogs)).to.deep.equal(before)

    // what others have comes back to who opens it again
    const again = await openAt(a, PATIENT)
    await expectSame([again, other], 100)
  })

  it('whatever open, close and drop follow each other without a wait: what was asked for last is what is, and nothing hangs', async () => {
    const [a, b] = await mesh(2)
    const other = await openAt(b, PATIENT)
    await other.appendMany(texts(50))

    for (const orders of ['open close', 'close open', 'drop open', 'open drop', 'close close open', 'drop drop open', 'close open close open', 'open close drop open', 'close drop']) {
      let log: SharedLog = await openAt(a, PATIENT)
      const opened: SharedLog[] = []
      const work = orders.split(' ').map(async order => {
        if (order === 'open') {
          opened.push(await openAt(a, PATIENT))
        } else {
          await log[order as 'close' | 'drop']()
        }
      })
      expect((await settles(orders, Promise.all(work))).status, orders).to.equal('fulfilled')
      log = opened.at(-1) ?? log

      // the one that was open before counts as an open
      const isOpen = orders === 'open close' || orders.endsWith('open')
      expect(log.status, orders).to.equal(isOpen ? 'open' : 'closed')
      await eventually(`not so at the other one: ${orders}`, () => (find(other, a) != null) === isOpen)
      if (isOpen) {
        await filled(log, 50)
        await log.drop()
      }
    }
  })

  it('scenario 37: closing in the middle of what others announce: nothing is written and no event comes after it, and it opens again as new', async () => {
    const datastore = new WatchedDatastore()
    const a = await createLogNode({ datastore })
    const b = await createLogNode()
    await meet(a, b)
    const other = await openAt(b, PATIENT)
    await other.appendMany(texts(200))
    let log = await openAt(a, PATIENT)

    for (const i of range(8)) {
      // two have it open, and one closes it
      await (await openAt(a, PATIENT)).close()
      const seen = membership(log)
      const announcing = range(5).map(async j => other.replicate({ segments: [{ from: 1 + i * 50 + j, width: 1000 }] }))
      await eventually('it did not begin', () => i % 4 < 2 || seen.length > 0)
      await log.close()
      const [events, writes] = [seen.length, datastore.writes.length]
      await Promise.all(announcing)
      await other.replicate(true)
      expect(await nameOfError(log.append(text('no')))).to.equal('LogClosedError')
      expect([seen.length, datastore.writes.length]).to.deep.equal([events, writes])
      const again = await openAt(a, PATIENT)
      await eventually('the other one is not in', () => find(again, b) != null)
      await filled(again, 200)
      log = again
    }
  })

  it('closing or dropping while entries come in ends, and what comes later is for the next one who opens it', async () => {
    const [a, b] = await mesh(2)
    const log = await openAt(a, PATIENT)
    await log.appendMany(texts(3_000))

    for (const end of ['close', 'drop'] as const) {
      const late = await openAt(b, PATIENT)
      await filled(late, end === 'close' ? 1 : 200)
      expect((await settles(end, late[end]())).status).to.equal('fulfilled')
      expect(late.status).to.equal('closed')
    }

    await expectSame([log, await openAt(b, PATIENT)], 3_000)
  })

  it('an open that is aborted rejects with its reason, and leaves nothing behind', async () => {
    const node = await createLogNode({ datastore: new WatchedDatastore() })

    for (const turns of range(12)) {
      const controller = new AbortController()
      const opening = settles('open', openAt(node, { ...PATIENT, signal: controller.signal }))
      for (let i = 0; i < turns; i++) {
        await new Promise<void>(resolve => { setImmediate(resolve) })
      }
      controller.abort(new Error('no patience'))
      const outcome = await opening
      if (outcome.status === 'rejected') {
        expect(outcome.reason.message).to.equal('no patience')
      } else {
        await outcome.value.close()
      }
      await eventually(`it is still on the topic after ${turns} turns`, () => node.services.pubsub.getTopics().length === 0)
    }

    const log = await openAt(node)
    await log.append(text('it works'))
    expect(node.services.pubsub.getTopics()).to.have.lengthOf(1)
  })

  it('stopping the node in the middle of anything ends all of it: calls settle, logs are closed', async () => {
    const b = await createLogNode()
    // who stops before its first words are out may not be able to say goodbye
    const other = await openAt(b, { maturity: LONG, grace: SHORT })
    await other.appendMany(texts(500))

    for (const step of range(10)) {
      const a = await createLogNode()
      await meet(a, b)
      const opened: SharedLog[] = []
      const open = async (id: string): Promise<void> => { opened.push(await openAt(a, PATIENT, id)) }
      const work: Array<Promise<unknown>> = [
        open(LOG),
        open('another log'),
        open(LOG).then(async () => opened[0].append(text(`${step}`), { ack: 'leaders' })),
        open(LOG).then(async () => opened[0].waitForReplicators({ count: 9 }))
      ]
      const outcomes = work.map(async work => settles('what was called', work))

      // each round gets a little further before it is stopped
      for (let i = 0; i < step * 4; i++) {
        await new Promise<void>(resolve => { setImmediate(resolve) })
      }
      expect((await settles('stop', Promise.resolve(a.stop()))).status).to.equal('fulfilled')
      for (const outcome of await Promise.all(outcomes)) {
        if (outcome.status === 'rejected') {
          expect(outcome.reason.name).to.be.oneOf(['NotStartedError', 'LogClosedError', 'NotReplicatedError'])
        }
      }
      expect(opened.map(({ status }) => status)).to.deep.equal(opened.map(() => 'closed'))
      expect(await nameOfError(openAt(a))).to.equal('NotStartedError')
    }

    await eventually('somebody is left', () => other.replicators().length === 1)
  })

  it('a node that is started again opens its logs again, with what was in them', async () => {
    const [a, b] = await mesh(2)
    const logs = [await openAt(a, PATIENT), await openAt(b, PATIENT)]
    await allIn(logs, [a, b])
    await logs[0].appendMany(texts(20), { ack: 'leaders' })
    const seen = membership(logs[1])
    await a.stop()
    await logs[1].append(text('while it was away'))
    await eventually('it is still in', () => find(logs[1], a) == null)
    await a.start()
    await meet(a, b)
    const again = await openAt(a, PATIENT)
    await expectSame([again, logs[1]], 21)
    expect(of(seen, a)).to.deep.equal(['leave unsubscribed', 'join'])
    expect(logs[0].status).to.equal('closed')
  })

  it('says that it closes before it does, and waits for what is written then, also where that fails', async () => {
    const node = await createLogNode({ datastore: new WatchedDatastore() })
    const log = await openAt(node)
    const shelf = log.shelf('a program')
    const gate = Promise.withResolvers<void>()
    log.addEventListener('closing', ({ detail: { waitUntil } }) => {
      waitUntil(Promise.reject(new Error('what fails is its own matter')))
      waitUntil(gate.promise.then(async () => log.shelf('a program').write([{ name: text('a'), value: text('last') }])))
    })
    const stopping = node.stop()
    await eventually('it does not close', () => log.status === 'closing')
    expect(await nameOfError(log.append(text('too late')))).to.equal('LogClosedError')
    expect(() => log.shelf('another program')).to.throw('not open')
    gate.resolve()
    await stopping
    expect(log.status).to.equal('closed')
    expect(await collect(shelf.read())).to.have.lengthOf(1)
    expect(await nameOfError(shelf.write([]))).to.equal('LogClosedError')
  })

  it('what a listener throws holds up nobody', async () => {
    const [a, b] = await mesh(2)
    const logs = await openBoth([a, b])
    const log = logs[0]
    for (const type of ['entry:add', 'replicator:join', 'replicator:leave', 'replication:change', 'sync:progress'] as const) {
      log.addEventListener(type, () => { throw new Error('a listener of a user') })
    }
    await logs[1].appendMany(texts(20), { ack: 'leaders' })
    await logs[1].replicate({ factor: 0.25, offset: 0 })
    await logs[1].close()
    await eventually('it is still in', () => find(log, b) == null)
    expect(log.length).to.equal(20)
  })
})

async function openBoth (nodes: LogNode[]): Promise<SharedLog[]> {
  const logs = await Promise.all(nodes.map(async node => openAt(node, PATIENT)))
  await allIn(logs, nodes)
  return logs
}

/** What a log stores, and neither libp2p nor the pubsub */
function isOfLogs (key: string): boolean {
  return key.startsWith('/sheaf/')
}
