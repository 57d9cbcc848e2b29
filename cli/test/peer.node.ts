import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'aegir/chai'
import { testsInPlaces, PATIENCE, start } from './terminal.ts'

const STORED = '  (1 other has stored it)'
const ALONE = '  (stored here; nobody else is there yet)'

describe('npm start, which is sheaf peer', function () {
  this.timeout(4 * PATIENCE)
  const test = testsInPlaces()

  test('shows in each terminal what is typed in the other, and says who has stored it', async place => {
    const a = await start(place.dir)
    a.terminal.type('before you came')
    await a.terminal.sees(ALONE)
    // the line that it prints is all that the second one needs
    const b = await start(place.dir, ...a.joinArgs)
    await a.terminal.sees(`* ${b.name} is here, and keeps all of it`)
    await b.terminal.sees(`${a.name}> before you came`)
    a.terminal.type('from the first')
    await Promise.all([a.terminal.sees(STORED), b.terminal.sees(`${a.name}> from the first`)])
    b.terminal.type('from the second')
    await Promise.all([b.terminal.sees(STORED), a.terminal.sees(`${b.name}> from the second`)])
    await b.terminal.stop()
    await a.terminal.sees(`* ${b.name} is gone`)
    a.terminal.type('alone again')
    await a.terminal.sees(ALONE)
    await a.terminal.stop()
  })

  test('brings to each what was appended while it was off, and shows it in order when it starts again', async place => {
    const a = await start(place.dir)
    const b = await start(place.dir, ...a.joinArgs)
    a.terminal.type('1, both are there')
    await b.terminal.sees(`${a.name}> 1, both are there`)
    await a.terminal.stop()
    await b.terminal.sees(`* ${a.name} is gone`)
    b.terminal.type('2, the first is off')
    await b.terminal.sees(ALONE)

    const again = await start(place.dir, '--join', b.address)
    expect(again.name).to.equal(a.name)
    await again.terminal.sees(`${b.name}> 2, the first is off`)
    await again.terminal.sees('you> 1, both are there')
    await b.terminal.stop()
    await again.terminal.sees(`* ${b.name} is gone`)
    again.terminal.type('3, the second is off')
    await again.terminal.sees(ALONE)

    const back = await start(place.dir, '--join', again.address, '--store', './data2')
    expect(back.name).to.equal(b.name)
    await back.terminal.sees(`${a.name}> 3, the second is off`)
    await Promise.all([again.terminal.stop(), back.terminal.stop()])

    const { terminal, length } = await start(place.dir)
    expect(length).to.equal(3)
    await terminal.sees(/3, the second is off/)
    expect(terminal.lines).to.deep.equal(['you> 1, both are there', `${b.name}> 2, the first is off`])
    await terminal.stop()
  })

  test('shows the last twenty lines, keeps its key for itself, and takes its input from a pipe', async place => {
    const a = await start(place.dir)
    const typed = Array.from({ length: 25 }, (_, i) => `line ${i + 1}`)
    typed.forEach(line => { a.terminal.type(line) })
    a.terminal.endInput()
    for (let i = 0; i < typed.length; i++) {
      await a.terminal.sees(ALONE)
    }
    await a.terminal.stop()
    expect((await stat(join(place.dir, 'data'))).mode & 0o777).to.equal(0o700)
    expect((await stat(join(place.dir, 'data/key'))).mode & 0o777).to.equal(0o600)

    const again = await start(place.dir)
    expect([again.name, again.length]).to.deep.equal([a.name, 25])
    await again.terminal.sees('you> line 25')
    expect(again.terminal.lines).to.deep.equal(typed.slice(5, 24).map(line => `you> ${line}`))
    await again.terminal.stop()
  })

  test('sends on what is typed where nothing is kept, and shows nothing that could steer a terminal', async place => {
    const a = await start(place.dir, '--log', 'another one', '--store', 'memory', '--replicate', 'auto')
    expect(a.joinArgs.join(' ')).to.equal(`--join ${a.address} --store memory --log 'another one'`)
    const b = await start(place.dir, '--join', a.address, '--log', 'another one', '--store', './b', '--replicate', 'none')
    b.terminal.type('red \u001b[31m alert')
    await Promise.all([b.terminal.sees(STORED), a.terminal.sees(`${b.name}> red \ufffd[31m alert`)])
    await Promise.all([a.terminal.stop(), b.terminal.stop()])
  })

  test('ends at once on the second Ctrl-C', async place => {
    const { terminal } = await start(place.dir)
    // both are there before it can do anything about the first; two of a kind would be one
    terminal.signal('SIGSTOP')
    terminal.signal('SIGINT')
    terminal.signal('SIGTERM')
    terminal.signal('SIGCONT')
    expect(await terminal.ended()).to.equal(130)
  })
})
