import { generateKeyPair } from '@libp2p/crypto/keys'
import { expect } from 'aegir/chai'
import { OfferOverError } from '../../src/index.ts'
import { MAX_WAITING_BYTES } from '../../src/tabs/constants.ts'
import { openProfile, TestBrowser } from './browser.ts'
import type { TestTab } from './browser.ts'
import type { Profile } from '../../src/tabs/index.ts'
import type { Libp2p, PeerId, PrivateKey } from '@libp2p/interface'

interface Options {
  signal: AbortSignal
}

type Methods = {
  whoAmI (arg: undefined): Promise<PeerId>
  sizeOf (arg: { file: Blob }): Promise<number>
  fail (arg: undefined): Promise<void>
  never (name: string, options: Options): Promise<void>
  huge (arg: undefined): Promise<Uint8Array>
  count (arg: { to: number }): AsyncGenerator<{ i: number }>
  changes (arg: undefined, options: Options): AsyncGenerator<string>
}

/** What the leading tab does in these tests, and a note of what was asked of it */
class Leader {
  readonly asked: string[] = []
  readonly aborted: string[] = []
  readonly #node: Libp2p
  readonly #leading: AbortSignal

  constructor (node: Libp2p, leading: AbortSignal) {
    this.#node = node
    this.#leading = leading
  }

  get methods (): Methods {
    return {
      whoAmI: async () => this.#node.peerId,
      sizeOf: async ({ file }) => (await file.text()).length,
      fail: async () => { throw new OfferOverError('it is over') },
      never: async (name, { signal }) => {
        this.asked.push(name)
        await this.#aborted(name, signal)
      },
      huge: async () => new Uint8Array(MAX_WAITING_BYTES + 1),
      count: async function * ({ to }) {
        for (let i = 0; i < to; i++) {
          yield { i }
        }
      },
      // as a state that changes once, and not again
      changes: this.#changes.bind(this)
    }
  }

  async * #changes (_: undefined, { signal }: Options): AsyncGenerator<string> {
    yield 'first'
    yield 'second'
    await this.#aborted('changes', signal)
  }

  async #aborted (name: string, signal: AbortSignal): Promise<void> {
    await new Promise<void>(resolve => {
      signal.addEventListener('abort', () => {
        this.aborted.push(this.#leading.aborted ? `${name}, as another tab leads` : name)
        resolve()
      })
    })
  }
}

describe('what the leading tab does for all tabs', () => {
  let browser: TestBrowser
  let privateKey: PrivateKey
  let leaders: Leader[]

  beforeEach(async () => {
    browser = new TestBrowser()
    privateKey = await generateKeyPair('Ed25519')
    leaders = []
  })

  afterEach(() => { browser.tabs.forEach(tab => { tab.crash() }) })

  async function open (tab: TestTab): Promise<Profile<Methods>> {
    return browser.settled('a profile opens', openProfile(tab, privateKey, {
      methods: (node, { signal }) => {
        const leader = new Leader(node, signal)
        leaders.push(leader)
        return leader.methods
      }
    }))
  }

  async function two (): Promise<[TestTab, Profile<Methods>, Profile<Methods>]> {
    const first = browser.newTab()
    const [a, b] = [await open(first), await open(browser.newTab())]
    await browser.until('one leads', () => a.state.status === 'leading')
    expect(b.state.status).to.equal('following')
    return [first, a, b]
  }

  async function nameOf (work: Promise<unknown>): Promise<string> {
    return browser.settled('a call', work.then(() => 'done', (err: Error) => err.name))
  }

  it('is asked for in each tab, with what can be copied, and comes back so', async () => {
    const [, a, b] = await two()

    for (const profile of [a, b]) {
      const peerId = await browser.settled('a call', profile.call('whoAmI', undefined))
      expect(peerId.equals(a.node?.peerId)).to.equal(true)
      expect(await browser.settled('a call', profile.call('sizeOf', { file: new Blob(['a file']) }))).to.equal(6)
    }
    expect(leaders).to.have.lengthOf(1)
  })

  it('throws by name: what the method throws, what cannot cross, what is too large, and a method that is not there', async () => {
    const [, , b] = await two()
    const err = await browser.settled('a call', b.call('fail', undefined).catch((err: Error) => err))
    expect(err).to.be.instanceOf(OfferOverError)
    expect(err).to.have.property('message', 'it is over')
    expect(await nameOf(b.call('sizeOf', { file: (() => {}) as unknown as Blob }))).to.equal('CannotCrossError')
    expect(await nameOf(b.call('huge', undefined))).to.equal('CannotCrossError')
    expect(await nameOf(b.call('toString' as 'whoAmI', undefined))).to.equal('NoMethodError')
    expect(await nameOf(b.stream('other' as 'count', { to: 1 }).next())).to.equal('NoMethodError')
  })

  it('is asked for once: when the leader crashes meanwhile, nobody knows what became of it', async () => {
    const [first, , b] = await two()
    const [once, repeated] = [b.call('never', 'once'), b.call('never', 'repeated', { repeats: true })]
    const outcome = nameOf(once)
    repeated.catch(() => {})
    await browser.until('both are asked for', () => leaders[0].asked.length === 2)
    first.crash()
    expect(await outcome).to.equal('FateUnknownError')
    // what no leader has heard of waits for the next one
    await browser.settled('a call', b.call('whoAmI', undefined), 3000)
    expect(leaders[1].asked).to.deep.equal(['repeated'])
  })

  it('ends when who asked does not wait for it any more, or leaves', async () => {
    const [, , b] = await two()
    const [{ aborted, asked }] = leaders
    const controller = new AbortController()
    const outcome = nameOf(b.call('never', 'aborted', controller))
    nameOf(b.call('never', 'left behind')).catch(() => {})
    await browser.until('both are asked for', () => asked.length === 2)
    controller.abort(new Error('enough'))
    expect(await outcome).to.equal('Error')
    await browser.until('it ends', () => aborted.length === 1)
    const streams = [b.stream('changes', undefined), b.stream('changes', undefined)]

    for (const stream of streams) {
      await browser.settled('a change', stream.next())
      await browser.settled('a change', stream.next())
    }

    // it waits in the method, which only the signal ends
    streams[1].next().catch(() => {})
    await browser.pass(10)
    expect(aborted).to.deep.equal(['aborted'])
    await browser.settled('a stop', b.stop())
    await browser.until('all end', () => aborted.length === 3)
    expect(aborted).to.have.members(['aborted', 'left behind', 'changes'])
  })

  it('is told first that another tab leads, and then that nobody waits for it: the next one is asked', async () => {
    const [, a, b] = await two()
    const outcome = nameOf(b.call('never', 'a call', { repeats: true }))
    await browser.until('it is asked for', () => leaders[0].asked.length === 1)
    await browser.settled('a stop', a.stop())
    expect(leaders[0].aborted).to.deep.equal(['a call, as another tab leads'])
    await browser.until('the next one is asked', () => leaders[1]?.asked.length === 1, 3000)
    await browser.settled('a stop', b.stop())
    expect(await outcome).to.equal('ProfileStoppedError')
  })

  it('comes one by one as it is asked for, and each at once', async () => {
    const [, , b] = await two()
    const read = async (): Promise<number> => {
      let count = 0
      for await (const { i } of b.stream('count', { to: 300 })) {
        expect(i).to.equal(count++)
      }
      return count
    }
    expect(await browser.settled('a stream', read())).to.equal(300)
    const controller = new AbortController()
    const changes = b.stream('changes', undefined, controller)
    expect(await browser.settled('a change', changes.next())).to.deep.include({ value: 'first' })
    expect(await browser.settled('a change', changes.next())).to.deep.include({ value: 'second' })
    const last = nameOf(changes.next())
    await browser.pass(10)
    controller.abort(new Error('enough'))
    expect(await last).to.equal('Error')
    await browser.until('it ends at the leader', () => leaders[0].aborted.length === 1)
  })

  it('begins anew with the next leader where it repeats, and says so where it does not', async () => {
    const [first, , b] = await two()
    const [once, repeated] = [b.stream('changes', undefined), b.stream('changes', undefined, { repeats: true })]

    for (const stream of [once, repeated]) {
      await browser.settled('a change', stream.next())
      await browser.settled('a change', stream.next())
    }

    const [outcome, again] = [nameOf(once.next()), repeated.next()]
    first.crash()
    expect(await browser.settled('a change', again, 3000)).to.deep.include({ value: 'first' })
    expect(await outcome).to.equal('LeaderChangedError')
  })
})
