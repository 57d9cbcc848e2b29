import { expect } from 'aegir/chai'
import { WatchedDatastore } from '../fixtures/datastores.ts'
import { closeLogs, collect, nameOfError, newLog, said, SetClock, text, texts, watched } from '../fixtures/logs.ts'
import type { Entry } from '../../src/log/index.ts'

describe('events of a log', () => {
  afterEach(closeLogs)

  it('tell of each entry once, in the order of arrival, whoever made it', async () => {
    const [log, other] = await Promise.all([newLog(), newLog({ clock: new SetClock(999_000) })])
    const seen = watched(log)
    const foreign = await other.appendMany(texts(3, 'f'))
    await Promise.all([log.append(text('a')), log.append(text('b'))])
    await log.join([foreign[2], foreign[0]])
    await log.appendMany(texts(2, 'c'))
    await log.join(foreign)
    await log.join(foreign)

    const arrivals = await collect(log.arrivals())
    expect(seen.added).to.deep.equal(arrivals.map(({ arrival, entry }) => [arrival, said(entry)]))
    expect(seen.added.map(([arrival]) => arrival)).to.deep.equal([0, 1, 2, 3, 4, 5, 6])
    expect(seen.removed).to.deep.equal([])
  })

  it('come when the entry can be read, and before the append resolves', async () => {
    const log = await newLog()
    const seen: Array<string | undefined> = []
    const told = Promise.withResolvers<void>()
    log.addEventListener('entry:add', ({ detail: { entry } }) => {
      seen.push('event')
      log.get(entry.id).then(found => { seen.push(found == null ? 'missing' : 'found') }).then(told.resolve, told.reject)
    })
    await log.append(text('a')).then(() => { seen.push('resolved') })
    await told.promise

    expect(seen[0]).to.equal('event')
    expect(seen).to.include('found')
  })

  it('may append, and a listener that throws harms nobody', async () => {
    const log = await newLog()
    const seen = watched(log)
    const echoes: Array<Promise<Entry>> = []
    log.addEventListener('entry:add', ({ detail: { entry } }) => {
      if (said(entry).length < 4) {
        echoes.push(log.append(text(`${said(entry)}!`)))
      }
      throw new RangeError('a listener failed')
    })
    await log.append(text('a'))
    for (let i = 0; i < echoes.length; i++) {
      await echoes[i]
    }

    expect(seen.added).to.deep.equal([[0, 'a'], [1, 'a!'], [2, 'a!!'], [3, 'a!!!']])
  })

  it('tell of no append that was refused or not written', async () => {
    const datastore = new WatchedDatastore()
    const log = await newLog({ datastore, canAppend: entry => said(entry) !== 'refused' })
    const seen = watched(log)
    await nameOfError(log.append(text('refused')))
    datastore.tear = () => []
    await nameOfError(log.append(text('not written')))
    datastore.tear = undefined
    await log.append(text('fine'))

    expect(seen.added).to.deep.equal([[0, 'fine']])
  })
})
