import { spawnSync } from 'node:child_process'
import { expect } from 'aegir/chai'
import { eventually, newPlace, PATIENCE, run, start, Terminal } from './terminal.ts'

/** Gives it a terminal of its own, as a person has one */
const AT_TERMINAL = 'exec script -qfec "$(printf "%q " "$0" "$@")" /dev/null'
const HAS_SCRIPT = spawnSync('script', ['--version']).status === 0

/** What stands on the screen in the end, a line each: of the codes only those that move up, to the left, and clear */
function screenOf (shown: string): string[] {
  const lines = ['']
  let row = 0
  let column = 0

  // eslint-disable-next-line no-control-regex
  for (const [token, up, to] of shown.matchAll(/\u001b\[(\d*)A|\u001b\[(\d*)G|\u001b\[0?J|\u001b\[\d*K|\u001b\[[\d;?]*[a-zA-Z]|[^]/g)) {
    if (token === '\r') {
      column = 0
    } else if (token === '\n') {
      row++
      lines[row] ??= ''
    } else if (up != null) {
      row -= Number(up || 1)
    } else if (to != null) {
      column = Number(to || 1) - 1
    } else if (token.endsWith('J') && token !== 'J') {
      lines.length = row + 1
      lines[row] = lines[row].slice(0, column)
    } else if (!token.startsWith('\u001b')) {
      lines[row] = lines[row].slice(0, column).padEnd(column) + token + lines[row].slice(column + 1)
      column++
    }
  }
  return lines
}

describe('sheaf peer at a terminal', function () {
  this.timeout(4 * PATIENCE)
  const place = newPlace()

  it('keeps what is typed below what arrives, and appends it whole', async function () {
    HAS_SCRIPT || this.skip()
    const peer = new Terminal(place.dir, ['peer'], { TERM: 'xterm', COLUMNS: '80', LINES: '24' }, AT_TERMINAL)
    await peer.sees(/In another terminal:/)
    await eventually('it reads no keys', () => peer.shown.includes('\u001b['))
    peer.press('half a li')
    await eventually('it shows no keys', () => screenOf(peer.shown).at(-1) === 'half a li')
    await run(place.dir, ['append', 'from beside'])
    await eventually('what arrives is not shown above', () => screenOf(peer.shown).slice(-2).join('|') === 'you> from beside|half a li')
    peer.press('ne\r')
    await eventually('it is not appended', () => screenOf(peer.shown).some(line => line.includes('stored here; nobody else')))
    expect((await run(place.dir, ['cat'])).lines).to.deep.equal(['from beside', 'half a line'])
    // Ctrl-C is a key there
    peer.press('\u0003')
    expect(await peer.ended()).to.equal(0)
    expect(peer.shown).to.include('* closing')
  })

  it('shows the last lines of before, as many as are wanted, also of those that arrive late', async () => {
    const lines = Array.from({ length: 50 }, (_, i) => `${i}`)
    const a = await start(place.dir)
    await run(place.dir, ['append'], { input: lines.join('\n') })
    const b = await start(place.dir, ...a.joinArgs, '--last', '3')
    await b.terminal.sees(`${a.name}> 49`)
    // those that came before the others were shown, or after
    expect([...b.terminal.lines].filter(line => line.includes('> '))).to.deep.equal([47, 48].map(i => `${a.name}> ${i}`))
    a.terminal.type('live')
    await b.terminal.sees(`${a.name}> live`)
    b.terminal.signal('SIGINT')
    expect(await b.terminal.ended()).to.equal(0)
    await a.terminal.stop()
    expect((await run(place.dir, ['cat', '--last', '2'])).lines).to.deep.equal(['49', 'live'])
    expect((await run(place.dir, ['cat', '--last', '0'])).lines).to.deep.equal([])
  })
})
