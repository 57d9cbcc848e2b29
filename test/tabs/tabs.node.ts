import { generateKeyPair } from '@libp2p/crypto/keys'
import { expect } from 'aegir/chai'
import { toString } from 'uint8arrays/to-string'
import { KeyValue } from '../../src/database/index.ts'
import { encodeString } from '../../src/runtime/codec.ts'
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
    expect(a.state.status).to.equal('following')
    expect(await said(theirs)).to.have.members(['of the frozen one', 'meanwhile'])
    expect(await said(mine)).to.deep.equal(await said(theirs))
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
