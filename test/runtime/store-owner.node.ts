import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { hostname, uptime } from 'node:os'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect } from 'aegir/chai'
import { MemoryDatastore } from 'datastore-core'
import { Key } from 'interface-datastore'
import { systemClock } from '../../src/runtime/clock.ts'
import { decodeLease, encodeLease, leaseFor } from '../../src/runtime/store-lease.ts'
import { StoreOwner } from '../../src/runtime/store-owner.ts'
import { deleteStores, temporaryDirectory, turns, WatchedDatastore } from '../fixtures/datastores.ts'
import { nameOfError } from '../fixtures/logs.ts'
import { until } from '../fixtures/nodes.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'
import { FileDatastore } from './store-owner-files.ts'
import type { Lease } from '../../src/runtime/store-lease.ts'
import type { OwnerInit } from '../../src/runtime/store-owner.ts'
import type { Datastore } from 'interface-datastore'
import type { ChildProcess } from 'node:child_process'

const KEY = new Key('/sheaf/log/test/owner')
const EXTENSION = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
const HOLDER = fileURLToPath(new URL(`./store-owner-process.${EXTENSION}`, import.meta.url))
/** Milliseconds that a busy machine may take to start a process */
const PATIENCE = 30_000
const HOUR = 3_600_000

const open = new Set<StoreOwner>()
const running = new Set<Holder>()

async function own (datastore: Datastore, init: Partial<OwnerInit> = {}): Promise<StoreOwner> {
  const owner = await StoreOwner.open({ datastore, key: KEY, name: 'The log \'a\'', clock: systemClock, ...init })
  open.add(owner)
  return owner
}

async function messageOf (promise: Promise<unknown>): Promise<string> {
  return promise.then(() => '', (err: Error) => err.message)
}

function standing (owner: StoreOwner): string {
  try {
    owner.check()
    return 'owns it'
  } catch (err: any) {
    return err.message
  }
}

/** The clock of somebody who cannot wait: no time passes for it, and this is what time it is */
function still (now = systemClock.now()): VirtualClock {
  return new VirtualClock(now)
}

/** A process that owns a store when it is told to */
class Holder {
  readonly lines: string[] = []
  readonly #child: ChildProcess
  readonly #closed: Promise<unknown>
  /** Of the process that owns, which may be a child of the child */
  pid = 0

  constructor (dir: string, [command, ...args]: string[] = [process.execPath]) {
    // what Node thinks of the way in which the tests were started is no news
    const env = { ...process.env, NODE_NO_WARNINGS: '1' }
    this.#child = spawn(command, [...args, ...process.execArgv, HOLDER, dir, KEY.toString()], { stdio: ['pipe', 'pipe', 'inherit'], env })
    this.#closed = once(this.#child, 'close')
    this.pid = this.#child.pid ?? 0
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream })
      .on('line', line => { this.lines.push(line) })
    running.add(this)
  }

  tell (order: string): void {
    this.#child.stdin?.write(`${order}\n`)
  }

  async says (what: string): Promise<string> {
    const find = (): string | undefined => this.lines.find(line => line.startsWith(what))
    await until(() => find() != null, { timeout: PATIENCE, what: () => `${what} among ${this.lines.join()}` })
    return find() ?? ''
  }

  async owns (): Promise<this> {
    await this.says('ready')
    this.tell('own')
    await this.says('owns')
    return this
  }

  signal (signal: NodeJS.Signals): void {
    process.kill(this.pid, signal)
  }

  async end (): Promise<void> {
    running.delete(this)
    this.#child.stdin?.end()
    this.#child.kill('SIGKILL')
    await this.#closed
  }
}

async function leaseIn (datastore: Datastore): Promise<Lease | undefined> {
  return decodeLease(await datastore.get(KEY))
}

/** A store in which somebody left a lease: like one of this process, but for that */
async function leftBy (lease: Partial<Lease>, now = systemClock.now()): Promise<Datastore> {
  const datastore = new MemoryDatastore()
  await datastore.put(KEY, encodeLease({ ...leaseFor('of somebody', 1, new VirtualClock(now)), ...lease }))
  return datastore
}

describe('the owner of a store, and other processes', () => {
  let dir: string

  beforeEach(() => { dir = temporaryDirectory() })

  afterEach(async () => {
    await Promise.all([...running].map(async holder => holder.end()))
    await Promise.all([...open].map(async owner => owner.release()))
    open.clear()
    await deleteStores()
  })

  it('keeps others out while its process lives, even if that is stopped', async () => {
    const holder = await new Holder(dir).owns()
    const message = await messageOf(own(new FileDatastore(dir)))
    expect(message).to.equal(`The log 'a' is open in process ${holder.pid} on host '${hostname()}': close it there`)
    holder.signal('SIGSTOP')

    // however long ago it renewed
    expect(await messageOf(own(new FileDatastore(dir), { clock: still(systemClock.now() + HOUR) }))).to.equal(message)
    holder.signal('SIGCONT')
    holder.tell('release')
    await holder.says('released')
    expect(await nameOfError(own(new FileDatastore(dir)))).to.equal('none')
  }).timeout(PATIENCE * 2)

  it('keeps nobody out once it was killed, not for a moment', async () => {
    const holder = await new Holder(dir).owns()
    await holder.end()
    const next = await own(new FileDatastore(dir), { clock: still() })
    expect([standing(next), (await leaseIn(new FileDatastore(dir)))?.pid]).to.deep.equal(['owns it', process.pid])
  }).timeout(PATIENCE)

  it('keeps nobody out once it was killed, though its parent never asked what became of it', async function () {
    if (process.platform === 'win32') {
      this.skip()
    }

    // the shell becomes another program, which knows of no child
    const script = 'exec 3<&0; "$@" <&3 & exec sleep 1000'
    const holder = await new Holder(dir, ['/bin/sh', '-c', script, 'sh', process.execPath]).owns()
    holder.pid = (await leaseIn(new FileDatastore(dir)))?.pid ?? 0
    holder.signal('SIGKILL')

    // it takes a moment to die: this ends by the timeout of the test, or not at all
    while (await nameOfError(own(new FileDatastore(dir), { clock: still() })) !== 'none') {
      await turns(10)
    }
  }).timeout(PATIENCE * 2)

  it('is one of all processes that come at the same moment, soon after it', async () => {
    const holders = Array.from({ length: 3 }, () => new Holder(dir))
    await Promise.all(holders.map(async holder => holder.says('ready')))
    holders.forEach(holder => { holder.tell('own') })
    const saying = (what: string): Holder[] => holders.filter(({ lines }) => lines.some(line => line.startsWith(what)))
    await until(() => saying('owns').length + saying('refused').length === 3, { timeout: PATIENCE })
    await until(() => saying('owns').length - saying('lost').length === 1, { timeout: PATIENCE })

    const { pid } = await leaseIn(new FileDatastore(dir)) ?? {}
    const without = [...saying('lost'), ...saying('refused')]
    const [owner, ...others] = holders.filter(holder => !without.includes(holder))
    expect([owner.pid, others]).to.deep.equal([pid, []])
  }).timeout(PATIENCE * 2)

  it('is not taken for another process that got its number', async () => {
    // it begins later than this one: a parent may have begun in the same tick
    const { pid } = await new Holder(dir).owns()
    expect(await nameOfError(own(await leftBy({ pid }), { clock: still() }))).to.equal('none')
  })

  it('is known by its number alone where nobody says when a process began, if the machine ran then', async () => {
    const alive = { pid: process.ppid, started: undefined }
    const booted = systemClock.now() - uptime() * 1000
    const store = await leftBy({ ...alive, renewed: booted + 60_000 })
    expect(await messageOf(own(store, { clock: still() }))).to.match(new RegExp(`in process ${process.ppid} on host`))
    const older = await leftBy({ ...alive, renewed: booted - 60_000 })
    expect(await nameOfError(own(older, { clock: still() }))).to.equal('none')
  })

  for (const [where, lease, says] of [
    ['on another host', { host: 'elsewhere', pid: 7 },
      /in process 7 on host 'elsewhere': close it there, or wait 20 s if that is gone for good/],
    ['in a container with the same host name', { place: 'another' }, /in process \d+ on host/],
    ['in another thread of this process', {},
      /in another thread of this process, or by another copy of this library: close it there, or wait 20 s/]
  ] as Array<[string, Partial<Lease>, RegExp]>) {
    it(`counts for 30 s after each renewal if it is ${where}`, async () => {
      const now = systemClock.now()
      const store = await leftBy(lease, now)
      expect(await messageOf(own(store, { clock: still(now + 10_000) }))).to.match(says)
      expect(await nameOfError(own(store, { clock: still(now + 30_001) }))).to.equal('none')
    })
  }

  it('does not count for ever if the clock was wrong', async () => {
    const now = systemClock.now()
    const store = await leftBy({ host: 'elsewhere' }, now + HOUR)
    expect(await nameOfError(own(store, { clock: still(now) }))).to.equal('none')
  })

  it('renews its lease, and learns when somebody else has taken the store over', async () => {
    // a second copy of the module knows nothing of the first one's owners, as another process
    const url = new URL(`../../src/runtime/store-owner.${EXTENSION}?copy`, import.meta.url)
    const copy: typeof import('../../src/runtime/store-owner.ts') = await import(url.href)
    const clock = still()
    const store = new MemoryDatastore()
    const theirs = { datastore: new MemoryDatastore(), key: KEY, name: 'The log \'a\'' }
    Object.assign(theirs.datastore, { data: store['data'] })
    const owner = await own(store, { clock })
    const wait = async (ms: number): Promise<void> => {
      for (let waited = 0; waited < ms; waited += 500) {
        clock.advance(500)
        await turns(2)
      }
    }

    await wait(60_000)
    expect(await nameOfError(copy.StoreOwner.open({ ...theirs, clock: still(clock.now()) }))).to.equal('StoreInUseError')
    expect(standing(owner)).to.equal('owns it')

    // it stands still for longer than its lease lasts
    clock.advance(1)
    const next = await copy.StoreOwner.open({ ...theirs, clock: still(clock.now() + 40_000) })
    await wait(11_000)
    expect(standing(next)).to.equal('owns it')
    expect(standing(owner)).to.equal(
      `The log 'a' was opened in process ${process.pid} on host '${hostname()}' meanwhile: ` +
      'nothing of it is written here any more. Close it, and open it again when the other one is closed'
    )
    await owner.release()
    expect((await leaseIn(store))?.token).to.be.a('string')
    await next.release()
    expect(await nameOfError(leaseIn(store))).to.equal('NotFoundError')
  })

  it('owns nothing once it is garbage, though nobody released it', async () => {
    setFlagsFromString('--expose-gc')
    const collect: () => void = runInNewContext('gc')
    const datastore = new MemoryDatastore()
    await (async () => { await StoreOwner.open({ datastore, key: KEY, name: 'a', clock: systemClock }) })()

    // this ends by the timeout of the test, or not at all
    while (await nameOfError(own(datastore, { clock: still() })) !== 'none') {
      await turns(10)
      collect()
    }
  })

  it('has lost its store when its lease is gone', async () => {
    const clock = still()
    const store = new MemoryDatastore()
    const owner = await own(store, { clock })
    store.delete(KEY)
    clock.advance(10_000)
    await turns(2)
    expect(standing(owner)).to.match(/was opened elsewhere meanwhile/)
  })

  it('keeps its store when the disk fails for a while', async () => {
    const clock = still()
    const store = new WatchedDatastore()
    const owner = await own(store, { clock })
    const { renewed = 0 } = await leaseIn(store) ?? {}
    store.tear = () => []
    clock.advance(500)
    await turns(2)
    clock.advance(10_000)
    await turns(2)
    store.tear = undefined
    clock.advance(10_000)
    await turns(2)

    expect([standing(owner), (await leaseIn(store))?.renewed]).to.deep.equal(['owns it', Math.floor(renewed + 20_500)])
  })

  it('puts its lease back when a late write of a dead owner replaced it', async () => {
    const clock = still()
    const store = new WatchedDatastore()
    const before = await own(store, { clock })
    const late = await store.get(KEY)
    await before.release()
    const owner = await own(store, { clock })
    const { token } = await leaseIn(store) ?? {}
    await store.put(KEY, late)
    clock.advance(500)
    await turns(2)

    expect([standing(owner), (await leaseIn(store))?.token]).to.deep.equal(['owns it', token])
  })
})
