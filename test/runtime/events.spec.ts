import { expect } from 'aegir/chai'
import { systemClock } from '../../src/runtime/clock.ts'
import { SafeEventEmitter } from '../../src/runtime/events.ts'

interface Events {
  news: CustomEvent<number>
}

function setting (): { target: SafeEventEmitter<Events>, heard: string[], reported: string[], dispatch(): void } {
  const heard: string[] = []
  const reported: string[] = []
  const target = new SafeEventEmitter<Events>(err => { reported.push((err as Error).message) })
  return { target, heard, reported, dispatch: () => { target.dispatchEvent(new CustomEvent('news', { detail: 1 })) } }
}

describe('events whose listeners cannot harm', () => {
  it('report a listener that throws, and run the others', () => {
    const { target, heard, reported, dispatch } = setting()
    target.addEventListener('news', () => { heard.push('before') })
    target.addEventListener('news', () => { throw new Error('thrown') })
    target.addEventListener('news', ({ detail }) => { heard.push(`after ${detail}`) })
    dispatch()

    expect(heard).to.deep.equal(['before', 'after 1'])
    expect(reported).to.deep.equal(['thrown'])
  })

  it('report a listener that rejects', async () => {
    const { target, reported, dispatch } = setting()
    target.addEventListener('news', async () => { throw new Error('rejected') })
    dispatch()
    await new Promise<void>(resolve => { systemClock.soon(resolve) })

    expect(reported).to.deep.equal(['rejected'])
  })

  it('take objects that handle events, and report those that throw', () => {
    const { target, heard, reported, dispatch } = setting()
    const listener = {
      name: 'an object',
      handleEvent () {
        heard.push(this.name)
        throw new Error('thrown')
      }
    }
    target.addEventListener('news', listener)
    dispatch()
    target.removeEventListener('news', listener)
    dispatch()

    expect(heard).to.deep.equal(['an object'])
    expect(reported).to.deep.equal(['thrown'])
  })

  it('stop when the listener is removed, which is known by the function that was added', () => {
    const { target, heard, dispatch } = setting()
    const listener = (): void => { heard.push('news') }
    target.addEventListener('news', listener)
    target.addEventListener('news', listener)
    expect(target.listenerCount('news')).to.equal(1)
    dispatch()
    target.removeEventListener('news', listener)
    dispatch()

    expect(heard).to.deep.equal(['news'])
    expect(target.listenerCount('news')).to.equal(0)
  })

  it('are heard once by those who ask for that', () => {
    const { target, heard, dispatch } = setting()
    target.addEventListener('news', () => { heard.push('once') }, { once: true })
    dispatch()
    dispatch()

    expect(heard).to.deep.equal(['once'])
  })

  it('take no listener for one', () => {
    const { target, dispatch } = setting()
    target.addEventListener('news', null)
    target.removeEventListener('news', null)

    expect(dispatch).to.not.throw()
  })
})
