import { generateKeyPair } from '@libp2p/crypto/keys'
import { expect } from 'aegir/chai'
import { toString } from 'uint8arrays/to-string'
import { KeyValue } from '../../src/database/index.ts'
import { AppendRefusedError } from '../../src/index.ts'
import { encodeString } from '../../src/runtime/codec.ts'
import { CannotCrossError } from '../../src/tabs/index.ts'
import { openProfile, TestBrowser } from './browser.ts'
import type { TestTab } from './browser.ts'
import type { SharedLog } from '../../src/index.ts'
import type { Profile } from '../../src/tabs/index.ts'
import type { PrivateKey } from '@libp2p/interface'

describe('several tabs of a profile', () => {
  let browser: TestBrowser
  let privateKey: PrivateKey

  beforeEach(async () => {
    browser = new TestBrowser()
    privateKey = await generateKeyPair('Ed25519')
  })

  afterEach(() => { browser.tabs.forEach(tab => { tab.crash() }) })

  async function open (tab: TestTab): Promise<Profile> {
    return browser.settled('a profile opens', openProfile(tab, privateKey))
  }

  async function said (log: SharedLog): Promise<string[]> {
    const read = async (): Promise<string[]> => {
      const all: string[] = []
      for await (const { data } of log.entries()) {
        all.push(toString(data))
      }
      return all
    }
    return browser.settled('a log is read', read())
  }

  it('have one leader, and the same log', async () => {
    const [first, second] = [browser.newTab(), browser.newTab()]
    const [a, b] = [await open(first), await open(second)]
    await browser.until('one leads', () => a.state.status === 'leading')
    expect(b.state.status).to.equal('following')
    const log = await browser.settled('a log opens', b.logs.open('notes'))
    const entry = await browser.settled('an append', log.append(encodeString('hello')))
    expect(toString(entry.data)).to.equal('hello')
    const other = await browser.settled('a log opens', a.logs.open('notes'))
    expect(await said(other)).to.deep.equal(['hello'])
    expect(log.length).to.equal(1)
  })

  it('export and import a log, also the tab that follows', async () => {
    const [a, b] = [await open(browser.newTab()), await open(browser.newTab())]
    await browser.until('one leads', () => a.state.status === 'leading')
    const log = await browser.settled('a log opens', b.logs.open('notes'))
    await browser.settled('an append', log.append(encodeString('hello')))
    const chunks: Uint8Array[] = []
    await browser.settled('an export', (async () => {
      for await (const chunk of log.export()) {
        chunks.push(chunk)
      }
    })())
    await browser.settled('a log is dropped', log.drop())
    const again = await browser.settled('a log opens', b.logs.open('notes'))
    expect(await browser.settled('an import', again.import(chunks)))
      .to.deep.equal({ added: 1, known: 0, waiting: 0, refused: 0 })
    expect(await said(again)).to.deep.equal(['hello'])
  })

  it('append what waited when the leader crashed, once', async () => {
    const [first, second] = [browser.newTab(), browser.newTab()]
    const [a, b] = [await open(first), await open(second)]
    await browser.until('one leads', () => a.state.status === 'leading')
    const log = await browser.settled('a log opens', b.logs.open('notes'))
    const words = Array.from({ length: 10 }, (_, i) => `word ${i}`)
    const appended = Promise.all(words.map(async word => log.append(encodeString(word))))
    // stored, and not answered yet
    await browser.pass(2)
    first.crash()
    await browser.settled('they are appended', appended, 3000)
    expect(b.state.status).to.equal('leading')
    expect(await said(log)).to.deep.equal(words)
  })

  it('take over from one that stands still, which follows when it wakes up', async () => {
    const [first, second] = [browser.newTab(), browser.newTab()]
    const [a, b] = [await open(first), await open(second)]
    await browser.until('one leads', () => a.state.status === 'leading')
    const [mine, theirs] = [
      await browser.settled('a log opens', a.logs.open('notes')), await browser.settled('a log opens', b.logs.open('notes'))
    ]
    const before = mine.append(encodeString('of the frozen one'))
    first.freeze()
    await browser.settled('an append', theirs.append(encodeString('meanwhile')), 3000)
    expect(b.state.status).to.equal('leading')
    await browser.pass(5000)
    first.thaw()
    await browser.settled('the append of the frozen one', before, 5000)
    await browser.until('it follows', () => a.state.status === 'following', 3000)
    expect(await said(theirs)).to.have.members(['of the frozen one', 'meanwhile'])
    expect(await said(mine)).to.deep.equal(await said(theirs))
  })

  it('take over one at a time, when several see that the leader stands still', async () => {
    const all = Array.from({ length: 5 }, () => browser.newTab())
    const first = await open(all[0])
    // their timers ring at the same moment
    const others = await browser.settled('profiles open', Promise.all(all.slice(1).map(async tab => openProfile(tab, privateKey))))
    const profiles = [first, ...others]
    await browser.until('one leads', () => first.state.status === 'leading')
    let leaders = 0
    profiles.forEach(profile => {
      profile.addEventListener('change', ({ detail }) => { leaders += detail.status === 'leading' ? 1 : 0 })
    })
    all[0].freeze()
    await browser.pass(10_000)
    expect(leaders).to.equal(1)
    expect(browser.stolen.filter(name => name.endsWith(':leader'))).to.have.lengthOf(1)
    all[0].thaw()
    await browser.pass(3000)
    expect(leaders).to.equal(1)
    expect(profiles.map(({ state }) => state.status).sort()).to.deep.equal([...Array(4).fill('following'), 'leading'])
  })

  it('go on when the leader leaves, which tells who waits there', async () => {
    const [first, second] = [browser.newTab(), browser.newTab()]
    const [a, b] = [await open(first), await open(second)]
    await browser.until('one leads', () => a.state.status === 'leading')
    const [mine, theirs] = await browser.settled('logs open', Promise.all([a.logs.open('notes'), b.logs.open('notes')]))
    const waiting = mine.waitForReplicators({ count: 9 }).then(() => '', (err: Error) => err.name)
    await browser.settled('a stop', a.stop())
    expect(await waiting).to.equal('ProfileStoppedError')
    expect([a.state.status, mine.status]).to.deep.equal(['stopped', 'closed'])
    await browser.settled('an append', theirs.append(encodeString('a')), 3000)
    await browser.settled('both stop', Promise.all([b.stop(), b.stop()]))
    expect(browser.held()).to.deep.equal([])
  })

  it('leave the lead to others when the node cannot be made, and say why', async () => {
    const createNode = async (): Promise<never> => { throw new Error('no network') }
    const a = await open(browser.newTab())
    await browser.until('one leads', () => a.state.status === 'leading')
    const b = await browser.settled('a profile opens', openProfile(browser.newTab(), privateKey, { createNode }))
    const c = await open(browser.newTab())
    const log = await browser.settled('a log opens', b.logs.open('notes'))
    await browser.settled('a stop', a.stop())
    await browser.until('the other one leads', () => c.state.status === 'leading')
    await browser.settled('an append', log.append(encodeString('a')))
    expect(b.state).to.have.property('problem', 'no network')
  })

  it('say so at once when there is but one, whose node cannot be made', async () => {
    const opening = openProfile(browser.newTab(), privateKey, { createNode: async () => { throw new Error('no network') } })
    await expect(browser.settled('a profile opens', opening, 5000)).to.eventually.be.rejectedWith('no network')
    expect(browser.held()).to.deep.equal([])
  })

  it('have functions of their own, as those cannot go from tab to tab', async () => {
    const [first, second, third] = [browser.newTab(), browser.newTab(), browser.newTab()]
    const a = await open(first)
    const canAppend = ({ data }: { data: Uint8Array }): boolean => data.byteLength < 3
    const [b, c] = await browser.settled('profiles open', Promise.all([
      openProfile(second, privateKey), openProfile(third, privateKey, { logs: { notes: { canAppend } } })
    ]))
    await browser.until('one leads', () => a.state.status === 'leading')
    const refused = await browser.settled('an open', b.logs.open('notes', { canAppend }).catch((err: Error) => err))
    expect(refused).to.be.instanceOf(CannotCrossError)
    await browser.settled('a stop', a.stop())
    await browser.settled('a stop', b.stop())
    // now the one that has it leads
    const log = await browser.settled('a log opens', c.logs.open('notes'))
    await browser.settled('an append', log.append(encodeString('ab')))
    const error = await browser.settled('an append', log.append(encodeString('abc')).catch((err: Error) => err))
    expect(error).to.be.instanceOf(AppendRefusedError)
    expect(await said(log)).to.deep.equal(['ab'])
    await expect((async () => log.append(encodeString('a'), { request: Uint8Array.of(1) }))()).to.eventually.be.rejected
      .with.property('name', 'CannotCrossError')
  })

  it('abort at the leader what is aborted in a tab', async () => {
    const [first, second] = [browser.newTab(), browser.newTab()]
    const a = await open(first)
    const b = await open(second)
    await browser.until('one leads', () => a.state.status === 'leading')
    const log = await browser.settled('a log opens', b.logs.open('notes'))
    const controller = new AbortController()
    const waiting = log.waitForReplicators({ count: 9, signal: controller.signal }).catch((err: Error) => err.message)
    const watchers = (): number => a.node?.services.logs == null ? NaN : log.diagnostics().sizes.watchers
    await browser.until('nobody waits', () => watchers() === 1)
    controller.abort(new Error('enough'))
    expect(await browser.settled('the call', waiting)).to.equal('enough')
    await browser.until('somebody waits', () => watchers() === 0)
  })

  it('do not fill the memory of each other while one is frozen, which is told of all when it goes on', async () => {
    const [first, second] = [browser.newTab(), browser.newTab()]
    const [a, b] = [await open(first), await open(second)]
    await browser.until('one leads', () => a.state.status === 'leading')
    const [mine, theirs] = await browser.settled('logs open', Promise.all([a.logs.open('notes'), b.logs.open('notes')]))
    const told: number[] = []
    theirs.addEventListener('entry:add', ({ detail: { arrival } }) => { told.push(arrival) })
    second.freeze()
    const large = new Uint8Array(64 * 1024)

    for (let i = 0; i < 8; i++) {
      await browser.settled('appends', mine.appendMany(Array(16).fill(large)))
    }

    const waited = second.waiting
    await browser.settled('appends', mine.appendMany(Array(64).fill(large)))
    // but for questions whether the leader is there: nothing more is sent to it
    expect(second.waiting - waited).to.be.below(8)
    second.thaw()
    await browser.until('it is not told of all', () => told.length >= 8 * 16 + 64)
    expect(told).to.deep.equal(Array.from({ length: 8 * 16 + 64 }, (_, i) => i))
  })

  it('read on in a log when another tab leads meanwhile', async () => {
    const [first, second] = [browser.newTab(), browser.newTab()]
    const [a, b] = [await open(first), await open(second)]
    await browser.until('one leads', () => a.state.status === 'leading')
    const log = await browser.settled('a log opens', b.logs.open('notes'))
    const words = Array.from({ length: 600 }, (_, i) => `${i}`)
    await browser.settled('appends', log.appendMany(words.map(word => encodeString(word))))
    const read: string[] = []
    const reading = (async () => {
      for await (const { data } of log.entries()) {
        read.push(toString(data))
        read.length === 10 && first.crash()
      }
    })()
    await browser.settled('it is read', reading)
    expect(read).to.deep.equal(words)
  })

  it('keep what one of them puts on a shelf, the first that read it: two would write over each other', async () => {
    const [a, b] = [await open(browser.newTab()), await open(browser.newTab())]
    const logs = await browser.settled('logs open', Promise.all([a.logs.open('notes'), b.logs.open('notes')]))
    const [first, second] = logs.map(log => log.shelf('a program'))
    const read = async (shelf: typeof first): Promise<string[]> => browser.settled('a shelf is read', (async () => {
      const all: string[] = []
      for await (const { name, value } of shelf.read()) {
        all.push(`${toString(name)}=${toString(value)}`)
      }
      return all
    })())
    const put = async (shelf: typeof first, name: string, value: string): Promise<void> => {
      await browser.settled('a shelf is written', shelf.write([{ name: encodeString(name), value: encodeString(value) }]))
    }
    expect([await read(first), await read(second)]).to.deep.equal([[], []])
    await put(second, 'x', 'of the second')
    await put(first, 'x', 'of the first')
    await put(second, 'x', 'of the second')
    expect(await read(second)).to.deep.equal(['x=of the first'])
    await browser.settled('a stop', a.stop())
    // it goes on from what it reads now
    expect(await read(second)).to.deep.equal(['x=of the first'])
    await put(second, 'x', 'of the second')
    expect(await read(second)).to.deep.equal(['x=of the second'])
  })

  it('have databases that read what any of them wrote', async () => {
    const [first, second] = [browser.newTab(), browser.newTab()]
    const [a, b] = [await open(first), await open(second)]
    const users = await browser.settled('a database opens', KeyValue.open<string>(b.logs, 'users'))
    const same = await browser.settled('a database opens', KeyValue.open<string>(a.logs, 'users'))
    await browser.settled('a put', users.put('ada', 'Ada'))
    expect(await browser.settled('a get', users.get('ada'))).to.equal('Ada')
    await browser.until('the other one has it', () => same.size === 1)
    first.crash()
    await browser.settled('a put', users.put('bob', 'Bob'), 3000)
    expect(await browser.settled('a get', users.get('bob'))).to.equal('Bob')
    expect(await browser.settled('a get', users.get('ada'))).to.equal('Ada')
  })
})
