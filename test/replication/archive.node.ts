import { createReadStream, createWriteStream } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createGunzip, createGzip } from 'node:zlib'
import { expect } from 'aegir/chai'
import { pipe } from 'it-pipe'
import { NUDGE_DELAY } from '../../src/replication/constants.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { eventually, meet, stopPeers } from '../fixtures/directsub.ts'
import { nameOfError, said, saidIn, text, texts } from '../fixtures/logs.ts'
import { createLogNode, openAt, RING, tell } from '../fixtures/sharedlogs.ts'
import type { Clock } from '../../src/runtime/clock.ts'

describe('shared logs as streams of bytes, over TCP', function () {
  this.timeout(60_000)
  let dir: string

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'sheaf-archive-'))
  })
  after(async () => {
    await rm(dir, { recursive: true })
  })
  afterEach(stopPeers)

  it('a log that was exported to a file is imported elsewhere, and comes to others from there', async () => {
    const [author, restored, reader] = await Promise.all([createLogNode(), createLogNode(), createLogNode()])
    const log = await openAt(author)
    await log.appendMany(texts(2000))
    const file = join(dir, 'log.gz')
    await pipe(
      log.export(),
      source => pipeThrough(source, createGzip()),
      async source => writeTo(source, file)
    )
    await author.stop()

    await meet(restored, reader)
    const [logRestored, logReader] = await Promise.all([openAt(restored), openAt(reader)])
    await logRestored.waitForReplicators({ count: 2 })
    await logRestored.waitForSync()
    const imported = await pipe(
      createReadStream(file).pipe(createGunzip()),
      async source => logRestored.import(source as AsyncIterable<Uint8Array>)
    )
    expect(imported).to.deep.equal({ added: 2000, known: 0, waiting: 0, refused: 0 })
    await eventually(() => `the reader has ${logReader.length}`, () => logReader.length === 2000)
    expect(await saidIn(logReader as any)).to.deep.equal(await saidIn(logRestored as any))
  })

  it('what is imported and is for others to keep goes to them', async () => {
    const [a, b, source] = await Promise.all([createLogNode(), createLogNode(), createLogNode()])
    await meet(a, b)
    const options = { maturity: 50, replicas: { min: 1 } }
    const [logA, logB] = await Promise.all([openAt(a, options), openAt(b, options)])
    await tell(a, logA, [logB], [{ from: 0, width: RING / 2 }])
    await tell(b, logB, [logA], [{ from: RING / 2, width: RING / 2 }])
    const log = await openAt(source)
    await log.appendMany(texts(400))

    await logA.import(log.export())
    await eventually(() => `they have ${logA.length} and ${logB.length}`, () => logB.length > 100 && logA.length + logB.length === 400)
  })

  it('an import that ends as its log closes sets no timer on the closed log', async () => {
    const pending = new Map<object, number>()
    const clock: Clock = {
      ...systemClock,
      after: (ms, fn) => {
        const timer = systemClock.after(ms, () => {
          pending.delete(timer)
          fn()
        })
        pending.set(timer, ms)
        return {
          cancel: () => {
            pending.delete(timer)
            timer.cancel()
          },
          unref: () => { timer.unref?.() }
        }
      }
    }
    const log = await openAt(await createLogNode({ logs: { clock } }))
    const isAsked = Promise.withResolvers<void>()
    const next = async (): Promise<never> => {
      isAsked.resolve()
      return new Promise(() => {})
    }
    const importing = nameOfError(log.import({ [Symbol.asyncIterator]: () => ({ next }) }))
    await isAsked.promise
    await log.close()

    expect(await importing).to.equal('LogClosedError')
    expect([...pending.values()].filter(ms => ms <= NUDGE_DELAY)).to.deep.equal([])
  })

  it('lines of a file are appended by a pipe, and entries read by one', async () => {
    const log = await openAt(await createLogNode())
    const file = join(dir, 'lines')
    await writeFile(file, 'one\ntwo\nthree\n')

    await pipe(createReadStream(file), linesOf, async source => log.appendMany(source))
    expect(await pipe(log.entries(), async source => {
      const all: string[] = []
      for await (const entry of source) {
        all.push(said(entry))
      }
      return all
    })).to.deep.equal(['one', 'two', 'three'])
  })

  it('a handle that is closed exports and imports nothing, and unknown options are refused by name', async () => {
    const node = await createLogNode()
    const [log, other] = [await openAt(node), await openAt(node)]
    await log.append(text('kept'))
    await log.close()

    expect(() => log.export()).to.throw().with.property('name', 'LogClosedError')
    expect(await nameOfError(log.import([]))).to.equal('LogClosedError')
    expect(() => other.export({ reverse: true } as any)).to.throw().with.property('name', 'InvalidOptionsError')
    expect(await nameOfError(other.import([], { form: 1 } as any))).to.equal('InvalidOptionsError')
  })
})

async function * pipeThrough (source: AsyncIterable<Uint8Array>, through: NodeJS.ReadWriteStream): AsyncGenerator<Uint8Array> {
  void (async () => {
    for await (const chunk of source) {
      through.write(chunk)
    }
    through.end()
  })()
  yield * through as unknown as AsyncIterable<Uint8Array>
}

async function writeTo (source: AsyncIterable<Uint8Array>, file: string): Promise<void> {
  const sink = createWriteStream(file)
  for await (const chunk of source) {
    sink.write(chunk)
  }
  await new Promise<void>(resolve => { sink.end(resolve) })
}

async function * linesOf (source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let rest = ''
  for await (const chunk of source) {
    const lines = (rest + new TextDecoder().decode(chunk)).split('\n')
    rest = lines.pop() ?? ''
    yield * lines.map(line => text(line))
  }
}
