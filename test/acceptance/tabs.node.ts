import { readFile } from 'node:fs/promises'
import { expect } from 'aegir/chai'
import { crash } from './browser.ts'
import { ALICE, BOB, couple } from './person.ts'
import { PATIENCE, until } from './until.ts'
import { range, World } from './world.ts'
import type { Person } from './person.ts'
import type { Relay } from './relays.ts'

/** Milliseconds in which another tab takes over. From the spec */
const TAKE_OVER = 3000
/** Milliseconds that a tab stands still: longer than it is waited for */
const STANDS_STILL = 8000

describe('two tabs of one person at the chat', function () {
  this.timeout(PATIENCE * 3)
  const world = World.create()
  let relay: Relay
  let a: Person
  let b: Person
  let second: Person

  before(async function () {
    this.timeout(PATIENCE * 3)
    relay = await world.relay()
    ;[a, b] = await couple(world, relay)
    second = await a.tab(world)
    expect([await a.status(), await second.status()]).to.deep.equal(['leading', 'following'])
  })

  function contentOf (name: string): Buffer {
    return Buffer.alloc(2_000_000, `${name}, word by word. `)
  }

  async function offer (from: Person, to: Person, name: string): Promise<void> {
    await from.page.setInputFiles('#file', { name, mimeType: 'text/plain', buffer: contentOf(name) })
    await until(`${name} is offered`, async () => (await to.heard()).some(text => text.startsWith(`${name} (2.0 MB)Accept`)))
  }

  async function moves (name: string, tab: Person): Promise<void> {
    await until(`${name} is on its way`, async () => tab.page.evaluate(() => {
      const { value = 0, max = 0 } = document.querySelector('progress') ?? {}
      return value > 0 && value < max
    }))
  }

  async function has (tab: Person, name: string): Promise<void> {
    const link = `#messages a[download="${name}"]`
    await until(`${name} is there`, async () => tab.page.evaluate(link => document.querySelector(link) != null, link))
    const [download] = await Promise.all([tab.page.waitForEvent('download'), tab.page.click(link)])
    expect((await readFile(await download.path())).equals(contentOf(name)), 'it is what was sent').to.equal(true)
  }

  it('see who is there, in both, and show alike what is said in either', async () => {
    await second.talkTo(BOB)
    await second.say('from the tab that follows')
    await b.hears(['from the tab that follows'])
    await a.say('from the tab that leads')
    await b.hears(['from the tab that leads'])
    await b.say('to both')
    await Promise.all([a.hears(['to both']), second.hears(['to both'])])
    await Promise.all([a.all('read'), second.all('read')])
    expect(await second.shown()).to.deep.equal(await a.shown())
    expect(await b.heard()).to.deep.equal(['from the tab that follows', 'from the tab that leads'])
  })

  it('send a file from the one that follows, and receive one there: both see how it goes', async () => {
    await offer(second, b, 'sent.txt')
    a.proxy.latency = 30
    await b.page.click('#messages button:has-text("Accept")')
    await Promise.all([moves('sent.txt', second), moves('sent.txt', a)])
    a.proxy.latency = 0
    await has(b, 'sent.txt')
    await until('it is said in both', async () =>
      (await Promise.all([a.shown(), second.shown()])).every(shown => shown.at(-1)?.text.endsWith('has arrived') === true))
    await offer(b, second, 'received.txt')
    await second.page.click('#messages button:has-text("Accept")')
    await has(second, 'received.txt')
  })

  it('refuse and give up files in either', async () => {
    await offer(b, second, 'unwanted.txt')
    await second.page.click('#messages button:has-text("Refuse")')
    await until('it is said', async () => (await b.shown()).at(-1)?.text.includes('did not arrive') === true)
    await offer(second, b, 'given-up.txt')
    await a.page.click('#messages button:has-text("Cancel")')
    await until('it is said', async () => (await Promise.all([a, second].map(async tab => tab.shown())))
      .every(shown => shown.at(-1)?.text.includes('did not arrive') === true))
    await b.page.click('#messages li:last-child button:has-text("Accept")')
    await until('it is said to the other one', async () =>
      (await b.shown()).at(-1)?.text.includes('did not arrive') === true)
  })

  it('go on within 3 s when the one that leads is killed: texts and files of the other arrive once', async () => {
    await offer(second, b, 'outgoing.txt')
    await offer(b, second, 'incoming.txt')
    a.proxy.latency = 30
    await b.page.click('#messages button:has-text("Accept")')
    await second.page.click('#messages button:has-text("Accept")')
    await Promise.all([moves('outgoing.txt', b), moves('incoming.txt', second)])
    const before = (await b.heard()).filter(text => text.startsWith('said'))
    const said = range(10).map(i => `said while the leader dies ${i}`)
    const saying = (async () => {
      for (const text of said) {
        await second.say(text)
      }
    })()
    await until('some are shown', async () => (await second.shown()).filter(({ text }) => said.includes(text)).length >= 3)
    await crash(a.page)
    await second.leads(TAKE_OVER)
    await saying
    a.proxy.latency = 0
    await b.hears(said)
    expect((await b.heard()).filter(text => text.startsWith('said'))).to.deep.equal([...before, ...said])
    await has(b, 'outgoing.txt')
    await has(second, 'incoming.txt')
    await b.sees(ALICE)
    await until('all is read', async () => (await second.states()).every(state => state === 'read'))
  })

  it('go on within 3 s when the one that leads stands still, which follows when it wakes up', async () => {
    const third = await second.tab(world)
    await third.talkTo(BOB)
    await second.page.evaluate(ms => {
      setTimeout(() => {
        const end = Date.now() + ms
        while (Date.now() < end) {
          // as long as it takes
        }
      })
    }, STANDS_STILL)
    const began = performance.now()
    await third.say('said while the leader stands still')
    await third.leads(TAKE_OVER)
    await b.hears(['said while the leader stands still'], STANDS_STILL - (performance.now() - began))
    await until('it follows', async () => await second.status() === 'following')
    expect((await b.heard()).filter(text => text.includes('stands still'))).to.have.lengthOf(1)
    await third.all('read')
    await until('both show the same', async () =>
      JSON.stringify((await second.shown()).at(-1)) === JSON.stringify((await third.shown()).at(-1)))
  })
})
