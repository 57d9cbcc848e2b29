import { expect } from 'aegir/chai'
import { systemClock } from '../../src/runtime/clock.ts'
import { MailboxFullError, TurnTimeoutError } from '../../src/runtime/errors.ts'
import { mailboxes, Mailboxes } from '../../src/runtime/mailbox.ts'
import { VirtualClock } from '../fixtures/virtual-clock.ts'
import type { Turn } from '../../src/runtime/mailbox.ts'

/** Until all that can happen without time passing has happened */
async function settled (): Promise<void> {
  await new Promise<void>(resolve => { systemClock.soon(resolve) })
}

/** Other tests may leave turns that never end: those of processes that were killed in a world */
function ours (): ReturnType<typeof mailboxes> {
  return mailboxes().filter(({ name }) => name === 'test')
}

async function errorOf (promise: Promise<unknown>): Promise<any> {
  return promise.then(() => { throw new Error('It was expected to fail') }, err => err)
}

function setting (capacity = 10): { clock: VirtualClock, boxes: Mailboxes, done: string[], work: Work } {
  const clock = new VirtualClock(0)
  const done: string[] = []
  return { clock, done, boxes: new Mailboxes({ name: 'test', clock, deadline: 100, capacity }), work: new Work(done) }
}

/** Turns that end when the test says so */
class Work {
  readonly #done: string[]
  readonly #open = new Map<string, PromiseWithResolvers<string>>()

  constructor (done: string[]) {
    this.#done = done
  }

  turn (name: string): Turn<string> {
    return async ({ signal }) => {
      this.#done.push(`${name} begins`)
      const gate = Promise.withResolvers<string>()
      this.#open.set(name, gate)
      signal.addEventListener('abort', () => { this.#done.push(`${name} is told to end`) })
      const result = await gate.promise
      this.#done.push(`${name} ends`)
      return result
    }
  }

  end (name: string): void {
    this.#open.get(name)?.resolve(name)
  }

  fail (name: string): void {
    this.#open.get(name)?.reject(new Error(name))
  }
}

describe('mailboxes', () => {
  it('run the turns of one owner in order, one at a time', async () => {
    const { boxes, done, work } = setting()
    const results = Promise.all(['a', 'b', 'c'].map(async name => boxes.turn('owner', work.turn(name))))

    for (const name of ['a', 'b', 'c']) {
      await settled()
      work.end(name)
    }

    await results
    expect(done).to.deep.equal(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends'])
  })

  it('begin a turn at once if nobody is before it', () => {
    const { boxes, done, work } = setting()
    void boxes.turn('owner', work.turn('a'))

    expect(done).to.deep.equal(['a begins'])
    work.end('a')
  })

  it('let owners work side by side', async () => {
    const { boxes, work } = setting()
    const first = boxes.turn('first', work.turn('a'))
    const second = boxes.turn('second', work.turn('b'))
    work.end('b')

    expect(await second).to.equal('b')
    expect(boxes.isBusy('first')).to.equal(true)
    work.end('a')
    expect(await first).to.equal('a')
  })

  it('take results that are no promises', async () => {
    expect(await setting().boxes.turn('owner', () => 7)).to.equal(7)
  })

  it('let a turn that fails fail alone, whether it throws or rejects', async () => {
    const { boxes, work } = setting()
    const thrown = errorOf(boxes.turn('owner', () => { throw new Error('thrown') }))
    const rejected = errorOf(boxes.turn('owner', work.turn('rejected')))
    const third = boxes.turn('owner', () => 'third')
    await settled()
    work.fail('rejected')

    expect((await thrown).message).to.equal('thrown')
    expect((await rejected).message).to.equal('rejected')
    expect(await third).to.equal('third')
  })

  it('leave a turn behind that takes longer than its deadline, tell it so, and go on', async () => {
    const { clock, boxes, done, work } = setting()
    const first = errorOf(boxes.turn('owner', work.turn('a')))
    const second = boxes.turn('owner', work.turn('b'))
    clock.advance(99)
    await settled()
    expect(done).to.deep.equal(['a begins'])
    clock.advance(1)

    expect(await first).to.be.instanceOf(TurnTimeoutError)
    await settled()
    expect(done).to.deep.equal(['a begins', 'a is told to end', 'b begins'])

    // what ends late ends for nobody: the turn that runs now is not taken for it
    work.end('a')
    const third = boxes.turn('owner', work.turn('c'))
    await settled()
    expect(done).to.not.include('c begins')
    work.end('b')
    expect(await second).to.equal('b')
    await settled()
    work.end('c')
    expect(await third).to.equal('c')
  })

  it('give every turn a deadline of its own', async () => {
    const { clock, boxes, work } = setting()
    const first = boxes.turn('owner', work.turn('a'))
    const second = boxes.turn('owner', work.turn('b'))
    clock.advance(80)
    work.end('a')
    await first
    await settled()
    clock.advance(80)
    work.end('b')

    expect(await second).to.equal('b')
  })

  it('let a turn that waits be taken back, without a trace', async () => {
    const { boxes, done, work } = setting()
    const controller = new AbortController()
    const first = boxes.turn('owner', work.turn('a'))
    const second = errorOf(boxes.turn('owner', work.turn('b'), { signal: controller.signal }))
    const third = boxes.turn('owner', () => 'third')
    const reason = new Error('not any more')
    controller.abort(reason)
    expect(await second).to.equal(reason)
    work.end('a')

    expect(await first).to.equal('a')
    expect(await third).to.equal('third')
    expect(done).to.deep.equal(['a begins', 'a ends'])
  })

  it('do not tear out a turn that runs', async () => {
    const { boxes, work } = setting()
    const controller = new AbortController()
    const first = boxes.turn('owner', work.turn('a'), { signal: controller.signal })
    controller.abort()
    work.end('a')

    expect(await first).to.equal('a')
  })

  it('refuse what was aborted before it was asked for', async () => {
    const { boxes } = setting()

    expect(await errorOf(boxes.turn('owner', () => 1, { signal: AbortSignal.abort() }))).to.have.property('name', 'AbortError')
    expect(boxes.size).to.equal(0)
  })

  it('refuse more than their capacity, and only that', async () => {
    const { boxes, work } = setting(2)
    const first = boxes.turn('owner', work.turn('a'))
    const waiting = [boxes.turn('owner', () => 'b'), boxes.turn('owner', () => 'c')]

    expect(await errorOf(boxes.turn('owner', () => 'd'))).to.be.instanceOf(MailboxFullError)
    expect(await boxes.turn('other', () => 'e')).to.equal('e')
    work.end('a')
    expect(await Promise.all([first, ...waiting])).to.deep.equal(['a', 'b', 'c'])
  })

  it('are not kept when they are idle', async () => {
    const { clock, boxes, work } = setting()
    const turns = Array.from({ length: 100 }, async (_, i) => boxes.turn(`owner ${i}`, work.turn(`${i}`)))
    expect(boxes.size).to.equal(100)
    turns.forEach((_, i) => { work.end(`${i}`) })
    await Promise.all(turns)
    await settled()

    expect(boxes.size).to.equal(0)
    expect(boxes.isBusy('owner 1')).to.equal(false)
    expect(ours()).to.deep.equal([])
    expect(clock.step()).to.equal(false)
  })

  it('are listed while they have work: name, owner, depth, age, longest turn', async () => {
    const { clock, boxes, work } = setting()
    const turns = ['a', 'b', 'c'].map(async name => boxes.turn('owner', work.turn(name)))
    clock.advance(30)
    expect(ours()).to.deep.equal([{ name: 'test', owner: 'owner', depth: 2, age: 30, longest: 30 }])
    work.end('a')
    await settled()
    clock.advance(5)
    expect(ours()).to.deep.equal([{ name: 'test', owner: 'owner', depth: 1, age: 5, longest: 30 }])
    work.end('b')
    await settled()
    work.end('c')
    await Promise.all(turns)
    await settled()

    expect(ours()).to.deep.equal([])
  })

  it('refuse what waits and tell what runs to end when they are stopped', async () => {
    const { boxes, done, work } = setting()
    const first = boxes.turn('owner', work.turn('a'))
    const second = errorOf(boxes.turn('owner', work.turn('b')))
    boxes.stop()

    expect(await second).to.have.property('name', 'AbortError')
    expect(done).to.deep.equal(['a begins', 'a is told to end'])
    work.end('a')
    expect(await first).to.equal('a')
    await settled()
    expect(boxes.size).to.equal(0)
  })
})
