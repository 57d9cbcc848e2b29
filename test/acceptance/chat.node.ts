import { readFile } from 'node:fs/promises'
import { expect } from 'aegir/chai'
import { ALICE, BOB, couple, Person } from './person.ts'
import { loseStorage } from './storage.ts'
import { after, PATIENCE, until } from './until.ts'
import { range, World } from './world.ts'
import type { Relay } from './relays.ts'

/** Milliseconds without a network. From the spec */
const OFFLINE = 40_000
/** Milliseconds after which the logs of both have what the session brought: measured, 0.1 to 1.4 s on a busy machine */
const LOG_LAG = 8000

describe('two people at the chat', function () {
  this.timeout(PATIENCE * 3)
  const world = World.create()
  let relay: Relay
  let a: Person
  let b: Person

  before(async () => { relay = await world.relay() })

  it('register, find each other, and say hello both ways: each is told that it was read', async () => {
    [a, b] = await couple(world, relay)
    await a.say('hello from Alice, the first word')
    await b.hears(['hello from Alice, the first word'])
    await b.say('hello from Bob, the second word')
    await a.hears(['hello from Bob, the second word'])
    await Promise.all([a.all('read'), b.all('read')])
  })

  it('send a file, which the other one accepts and has whole', async () => {
    const buffer = Buffer.alloc(3_000_000, 'every word of this file is secret. ')
    await a.page.setInputFiles('#file', { name: 'the-plans.txt', mimeType: 'text/plain', buffer })
    await until('it is offered', async () =>
      (await b.heard()).some(text => text.startsWith('the-plans.txt (3.0 MB)Accept')))
    expect((await a.shown()).at(-1)?.text).to.contain('waits to be accepted')
    // slow enough to be watched
    a.proxy.latency = 30
    await b.page.click('#messages button:has-text("Accept")')
    await until('its progress is shown', async () => b.page.evaluate(() => {
      const { value = 0, max = 0 } = document.querySelector('progress') ?? {}
      return value > 0 && value < max
    }))
    a.proxy.latency = 0
    await until('it is there', async () => b.page.evaluate(() => document.querySelector('#messages a') != null))
    const [download] = await Promise.all([b.page.waitForEvent('download'), b.page.click('#messages a')])
    expect(download.suggestedFilename()).to.equal('the-plans.txt')
    expect((await readFile(await download.path())).equals(buffer), 'it is what was sent').to.equal(true)
    await until('it is said', async () => (await a.shown()).at(-1)?.text.endsWith('has arrived') === true)
  })

  it('leave nothing at the relay that it could read: no message, no name, no file', async () => {
    const secrets = ['the first word', 'the second word', ALICE, BOB, 'every word of this file', 'the-plans']
    const found = await Promise.all(secrets.map(async secret => relay.find(secret)))
    expect(found.map(({ count }) => count)).to.deep.equal(secrets.map(() => 0))
    // it looked at what it carried: that has names of topics, which are no secret
    const topic = await relay.find('libp2p-sheaf/session/1')
    expect([topic.count, topic.bytes > 3_000_000]).to.deep.equal([1, true])
  })

  it('see what the other one wrote as text, whatever it is', async () => {
    const evil = '<img src=x onerror="console.error(1)"><b>bold</b>'
    await a.say(evil)
    await b.hears([evil])
    expect(await b.page.evaluate(() => document.querySelectorAll('#messages img, #messages b').length)).to.equal(0)
  })

  it('are told that messages are queued while 20 wait 40 s without a network; then each arrives once, in order', async () => {
    await a.all('read')
    const before = (await b.heard()).length
    const said = range(20).map(i => `said offline ${i}`)
    await a.context.setOffline(true)
    // Chromium leaves sockets that are there alone
    a.proxy.cut()
    await until('the page says so', async () => !await a.isConnected())
    await b.sees(ALICE, 'away')

    for (const text of said) {
      await a.say(text)
    }

    await until('they are shown', async () => (await a.states()).length >= 20)
    await after(OFFLINE)
    expect((await a.states()).slice(-20)).to.deep.equal(said.map(() => 'queued'))
    expect((await b.heard()).length).to.equal(before)
    a.proxy.lead(relay.port)
    await a.context.setOffline(false)
    await b.hears(said)
    await a.all('read')
    expect((await b.heard()).slice(before)).to.deep.equal(said)
  })

  it('have all of it again when one loads the page anew in the middle of it', async () => {
    const [before, heard] = [await a.shown(), await b.heard()]
    const said = range(10).map(i => `said before the reload ${i}`)
    a.proxy.cut()

    for (const text of said) {
      await a.say(text)
    }

    await until('they are stored', async () => (await a.shown()).length === before.length + 10)
    a.proxy.lead(relay.port)
    await a.page.reload()
    await a.enter()
    await a.talkTo(BOB)
    await b.hears(said)
    expect(await b.heard()).to.deep.equal([...heard, ...said])
    await a.shows(before.length + 10)
    expect((await a.shown()).map(({ text }) => text.slice(0, 20)))
      .to.deep.equal([...before.map(({ text }) => text), ...said].map(text => text.slice(0, 20)))
    await a.all('read')
  })

  it('have what had arrived also when they load the page anew at once, and no relay is there', async () => {
    const said = range(5).map(i => `said just before ${i}`)
    // what was received of a file was in memory
    const isText = (text: string): boolean => !text.startsWith('the-plans.txt')
    const heard = [...await b.heard(), ...said].filter(isText)
    // after a break the session is quicker than the log, by a second or so
    a.proxy.cut()
    await until('the page says so', async () => !await a.isConnected())

    for (const text of said) {
      await a.say(text)
    }

    a.proxy.lead(relay.port)
    await b.hears(said)
    b.proxy.cut()
    await b.page.close()
    await b.again(world)
    await b.lookAt(ALICE)
    await b.hears(said)
    expect((await b.heard()).filter(isText)).to.deep.equal(heard)
    expect(await b.isConnected()).to.equal(false)
    b.proxy.lead(relay.port)
    await a.all('read')
  })

  it('are shown as away when they close the page, and hear what was said meanwhile when they are back', async () => {
    await b.page.close()
    await a.sees(BOB, 'away')
    await a.say('said while Bob is away')
    await until('it is shown', async () => (await a.states()).at(-1) === 'queued')
    await b.again(world)
    await b.talkTo(ALICE)
    await b.hears(['said while Bob is away'])
    await a.all('read')
  })

  it('have all again that had arrived when the storage of one is deleted, but for its key', async () => {
    // the log follows the session by a moment, and no page shows that
    await after(LOG_LAG)
    const [before, heard] = [await a.shown(), await b.heard()]
    await a.page.close()
    await loseStorage(world, a)
    await a.again(world)
    await a.talkTo(BOB)
    await a.say('said by one who has lost everything')
    await b.hears(['said by one who has lost everything'])
    expect(await b.heard()).to.deep.equal([...heard, 'said by one who has lost everything'])
    await a.shows(before.length + 1)
    const texts = (shown: typeof before): string[] => shown.map(({ text }) => text.slice(0, 20))
    expect(texts(await a.shown()).slice(0, -1)).to.deep.equal(texts(before))
    await until('all is known to have arrived', async () => (await a.states()).every(state => state !== 'queued'))
  })

  it('need no mouse, and no more than 360 pixels', async () => {
    const { page } = await Person.open(world, 'Carol', relay)
    await page.setViewportSize({ width: 360, height: 640 })
    await until('Carol sees both', async () =>
      page.evaluate(() => document.querySelectorAll('#people button').length === 2))
    await page.evaluate(() => { document.querySelector<HTMLElement>('#people button')?.focus() })
    await page.keyboard.press('Enter')
    await until('the message has the focus', async () => page.evaluate(() => document.activeElement?.id === 'text'))
    await page.keyboard.type('no mouse')
    await page.keyboard.press('Enter')
    await until('it is said', async () => page.evaluate(() => document.querySelectorAll('#messages li').length === 1))
    const unnamed = await page.evaluate(() => Array.from(document.querySelectorAll('input, textarea, button'))
      .filter(control => control.textContent === '' && (control as HTMLInputElement).labels?.length !== 1).length)
    const isWide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)
    expect([unnamed, isWide]).to.deep.equal([0, false])
    await page.close()
  })
})
