import { createReadStream } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'aegir/chai'
import { TransferNet } from '../fixtures/transfer-net.ts'
import { bytesOf } from '../fixtures/transfers.ts'
import { LEAF } from './hostile-world.ts'
import type { TransferSource } from '../../src/transfer/index.ts'
import type { NetNode } from '../fixtures/transfer-net.ts'
import type { ReadStream } from 'node:fs'

interface Pair {
  net: TransferNet
  sender: NetNode
  receiver: NetNode
}

async function pair (): Promise<Pair> {
  const net = new TransferNet()
  return { net, sender: await net.node(), receiver: await net.node() }
}

/** Real time: the disk has its own */
async function closed (stream: ReadStream): Promise<void> {
  if (!stream.closed) {
    await new Promise<void>(resolve => { stream.once('close', resolve) })
  }
}

describe('what a transfer reads from', function () {
  this.timeout(30_000)

  describe('is closed, also when nothing was read of it', () => {
    let dir: string
    let path: string

    before(async () => {
      dir = await mkdtemp(join(tmpdir(), 'sheaf-sources-'))
      path = join(dir, 'file')
      await writeFile(path, bytesOf(1000))
    })

    after(async () => { await rm(dir, { recursive: true }) })

    it('where the offer is rejected', async () => {
      const { net, sender, receiver } = await pair()
      const source = createReadStream(path)
      const sent = sender.transfers.send(receiver.peerId, source)
      const offer = await receiver.offer()
      offer.reject()
      expect((await net.outcome(sent.done)).status).to.equal('rejected')
      await closed(source)
    })

    it('where the payload is too short for a list of hashes to compare with', async () => {
      const { net, sender, receiver } = await pair()
      const sent = sender.transfers.send(receiver.peerId, bytesOf(1000))
      const have = createReadStream(path)
      const offer = await receiver.offer()
      const got = offer.accept({ have }).bytes(1e9)
      expect((await net.outcome(sent.done)).status).to.equal('fulfilled')
      await got
      await closed(have)
    })

    it('where the transfer is over before there is anything to compare with', async () => {
      const { sender, receiver } = await pair()
      sender.transfers.send(receiver.peerId, bytesOf(3 * LEAF))
      const have = createReadStream(path)
      const offer = await receiver.offer()
      offer.accept({ have }).abort()
      await closed(have)
    })

    it('where it yields something else than bytes', async () => {
      const { net, sender, receiver } = await pair()
      const sent = sender.transfers.send(receiver.peerId, bytesOf(3 * LEAF))
      const have = createReadStream(path, { encoding: 'utf8' })
      const offer = await receiver.offer()
      offer.accept({ have: have as any as AsyncIterable<Uint8Array> })
      await new Promise<void>(resolve => { have.once('readable', resolve) })
      expect((await net.outcome(sent.done)).status).to.equal('rejected')
      await closed(have)
    })
  })

  it('may take longer than ten minutes for its hashes, as long as it yields something', async () => {
    const { net, sender, receiver } = await pair()
    const sent = sender.transfers.send(receiver.peerId, async function * (from: number) {
      for (let at = from; at < 30 * LEAF; at += LEAF) {
        await new Promise<void>(resolve => { net.clock.after(30_000, resolve) })
        yield new Uint8Array(LEAF)
      }
    })
    const offer = await receiver.offer()
    const got = offer.accept().bytes(1e9)
    expect(await net.outcome(sent.done)).to.deep.equal({ status: 'fulfilled', value: undefined })
    expect(await got).to.have.lengthOf(30 * LEAF)
  })

  const hung: Record<string, TransferSource> = {
    'while its hashes are made': () => ({ [Symbol.asyncIterator]: () => ({ next: async () => new Promise(() => {}) }) }),
    'while it is sent': { [Symbol.asyncIterator]: () => ({ next: async () => new Promise(() => {}) }) }
  }

  for (const [when, source] of Object.entries(hung)) {
    it(`is named when it yields nothing for ten minutes, ${when}: the other side is not to blame`, async () => {
      const { net, sender, receiver } = await pair()
      receiver.transfers.addEventListener('offer', ({ detail }) => { detail.accept().bytes(1e9).catch(() => {}) })
      const { done } = sender.transfers.send(receiver.peerId, source)
      const outcome = await net.outcome(done)
      expect((outcome as PromiseRejectedResult).reason).to.include({ name: 'SourceFailedError' })
      expect(sender.sizes).to.include({ outbound: 0, inFlight: 0 })
      expect(receiver.sizes).to.include({ inbound: 0, budgetBytes: 0 })
    })
  }

  it('may not yield empty chunks without end: nothing else would have its turn', async () => {
    const { net, sender, receiver } = await pair()
    let isEndless = true
    const sent = sender.transfers.send(receiver.peerId, function * () {
      // else the test would never end, instead of failing
      for (let i = 0; i < 1_000_000; i++) {
        yield new Uint8Array(0)
      }
      isEndless = false
    })
    const outcome = await net.outcome(sent.done)
    expect((outcome as PromiseRejectedResult).reason).to.include({ name: 'SourceFailedError' })
    expect(isEndless).to.equal(true)
  })

  const strange: Record<string, any> = {
    undefined: () => undefined,
    numbers: () => [1],
    text: () => 'text',
    'a view that is none of bytes': [new Uint16Array(4)],
    'an error at once': () => { throw new Error('no file') },
    'a next() and a return() that throw': {
      [Symbol.asyncIterator]: () => ({
        next: () => { throw new Error('next') },
        return: () => { throw new Error('return') }
      })
    }
  }

  for (const [what, source] of Object.entries(strange)) {
    it(`fails when it yields ${what}, and the error says that it is the source`, async () => {
      const { net, sender, receiver } = await pair()
      receiver.transfers.addEventListener('offer', ({ detail }) => { detail.accept().bytes(1e9).catch(() => {}) })
      const { done } = sender.transfers.send(receiver.peerId, source)
      const outcome = await net.outcome(done)
      expect((outcome as PromiseRejectedResult).reason).to.include({ name: 'SourceFailedError' })
      expect((outcome as PromiseRejectedResult).reason.message).to.match(/source/)
      expect((outcome as PromiseRejectedResult).reason.message).to.not.match(/operator|undefined \(/)
      await net.run(100)
      expect(sender.sizes).to.include({ outbound: 0, inFlight: 0 })
      expect(receiver.sizes).to.include({ inbound: 0, budgetBytes: 0 })
    })
  }

  it('may be memory that others share, and chunks of any size', async () => {
    const { net, sender, receiver } = await pair()
    const shared = new Uint8Array(new SharedArrayBuffer(5 * LEAF + 10)).fill(3)

    for (const source of [shared, [shared], [new Uint8Array(0), shared, new Uint8Array(0)]]) {
      const sent = sender.transfers.send(receiver.peerId, source)
      const offer = await receiver.offer()
      const got = offer.accept().bytes(1e9)
      expect((await net.outcome(sent.done)).status).to.equal('fulfilled')
      expect(Buffer.compare(await got, shared)).to.equal(0)
    }
  })
})
