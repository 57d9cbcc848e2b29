import { PassThrough } from 'node:stream'
import { expect } from 'aegir/chai'
import { Terminal } from '../src/terminal.ts'
import type { Event } from '../src/events.ts'

const CLEAR = '!\r\u001b[K'

interface Screen {
  terminal: Terminal
  /** Milliseconds */
  now: number
  /** What was written, in order */
  written: string
}

function screen ({ isTTY, isPiped = !isTTY, json = false }: { isTTY: boolean, isPiped?: boolean, json?: boolean }): Screen {
  const stream = (name: string, isTTY: boolean): NodeJS.WriteStream => {
    const stream = Object.assign(new PassThrough(), { isTTY })
    stream.on('data', chunk => { shown.written += `${name}${String(chunk)}` })
    return stream as unknown as NodeJS.WriteStream
  }
  const words = (event: Event): string | undefined => event.type === 'stored' ? 'stored' : undefined
  const terminal = new Terminal({ json, words, stdout: stream('>', !isPiped), stderr: stream('!', isTTY), now: () => shown.now, onGone: () => {} })
  const shown: Screen = { terminal, now: 0, written: '' }
  return shown
}

/** Work that takes longer than one waits without a bar */
async function work (shown: Screen): Promise<void> {
  const { terminal } = shown
  await terminal.print({ type: 'progress', what: 'appended', done: 0, total: 10 })

  for (let waited = 0; waited < 700; waited += 50) {
    shown.now += 50
    await terminal.print({ type: 'progress', what: 'appended', done: 5, total: 10 })
  }

  await terminal.print({ type: 'stored', id: 'x', others: 0 })
  await terminal.print({ type: 'progress', what: 'appended', done: 10, total: 10 })
  await terminal.end()
}

describe('how far a command is', () => {
  it('is drawn as a bar on a terminal, which makes room for what is printed and is gone at the end', async () => {
    const shown = screen({ isTTY: true })
    await work(shown)
    const half = `appended [${'#'.repeat(12)}${'-'.repeat(12)}] 5 of 10`
    // at 500, 600 and 700 ms, and below what was printed
    expect(shown.written).to.equal(`!${half}${CLEAR}!${half}${CLEAR}!${half}${CLEAR}>stored\n!${half}${CLEAR}`)
  })

  it('stands still while what is printed goes elsewhere', async () => {
    const shown = screen({ isTTY: true, isPiped: true })
    await work(shown)
    expect(shown.written).to.match(/5 of 10>stored\n/)
  })

  it('is not shown where there is no terminal', async () => {
    const shown = screen({ isTTY: false })
    await work(shown)
    expect(shown.written).to.equal('>stored\n')
  })

  it('is a line of JSON now and then, for a program', async () => {
    const shown = screen({ isTTY: false, json: true })
    await work(shown)
    const lines = shown.written.trim().split('\n')
    // at 0, 250 and 500 ms
    expect(lines.map(line => [line[0], JSON.parse(line.slice(1)).done])).to.deep.equal([['!', 0], ['!', 5], ['!', 5], ['>', undefined], ['!', 10]])
  })

  it('is not shown for what is over soon', async () => {
    const shown = screen({ isTTY: true })
    await shown.terminal.print({ type: 'progress', what: 'appended', done: 3, total: 3 })
    await shown.terminal.end()
    expect(shown.written).to.equal('')
  })
})
