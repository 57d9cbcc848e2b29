import { readdir } from 'node:fs/promises'
import { expect } from 'aegir/chai'
import { testsInPlaces, PATIENCE, run, start, Terminal } from './terminal.ts'
import type { Ended } from './terminal.ts'

const ID = /^baf[a-z2-7]+$/

const json = ({ lines }: Ended): any[] => lines.map(line => JSON.parse(line))

describe('sheaf append, cat, status and bench', function () {
  this.timeout(6 * PATIENCE)
  const test = testsInPlaces()

  test('append what is said or piped in, and print it in order, with nobody else there', async place => {
    const said = await run(place.dir, ['append', 'one', '', '--', '--three'])
    expect([said.code, said.errors, said.lines.length]).to.deep.equal([0, [], 3])
    said.lines.forEach(line => { expect(line).to.match(ID) })

    const piped = await run(place.dir, ['append', '--json'], { input: 'four\r\nfi\u2028ve\nsix' })
    expect(json(piped).map(({ type, others }) => [type, others])).to.deep.equal(Array(3).fill(['stored', 0]))
    expect(piped.errors.map(line => JSON.parse(line)).at(-1)).to.deep.include({ type: 'progress', done: 1 })

    const printed = await run(place.dir, ['cat', '--json'])
    expect(json(printed).map(({ text }) => text)).to.deep.equal(['one', '', '--three', 'four\r', 'fi\u2028ve', 'six'])
    expect(json(printed).map(({ id }) => id)).to.deep.equal([...said.lines, ...json(piped).map(({ id }) => id)])
    expect((await run(place.dir, ['cat'])).lines).to.deep.equal(['one', '', '--three', 'four\r', 'fi\u2028ve', 'six'].flatMap(line => line.replace(/\r$/, '').split('\u2028')))
  })

  test('ask the node that runs with the store, and show there what they appended', async place => {
    const { terminal, name } = await start(place.dir)
    const [append, status] = await Promise.all([run(place.dir, ['append'], { input: 'beside it\nand again\n' }), run(place.dir, ['status', '--json'])])
    expect([append.code, append.errors, append.lines.length]).to.deep.equal([0, [], 2])
    await terminal.sees('you> beside it')
    expect(json(status)[0]).to.deep.include({ type: 'status', log: 'lobby', running: true, store: './data' })

    const following = new Terminal(place.dir, ['cat', '-f'])
    await following.sees('and again')
    terminal.type('typed')
    await following.sees('typed')
    following.signal('SIGINT')
    expect(await following.ended()).to.equal(0)

    expect((await run(place.dir, ['status'])).lines[0]).to.equal(`'lobby' in ./data, at ${name}, which runs`)
    // another log of the same store
    await run(place.dir, ['append', '--log', 'other', 'hello'])
    expect((await run(place.dir, ['cat', '--log', 'other'])).lines).to.deep.equal(['hello'])
    const mistyped = await run(place.dir, ['cat', '--log', 'othr'])
    expect([mistyped.code, mistyped.lines, mistyped.errors]).to.deep.equal([0, [], ["Nothing is in 'othr' yet: is it the --log that was meant?"]])
    await terminal.stop()

    // by whom it was appended does not depend on whether the node runs
    const authors = json(await run(place.dir, ['cat', '--json'])).map(({ author, own }) => [author.slice(-6), own])
    expect(authors).to.deep.equal(Array(3).fill([name, true]))
    expect((await run(place.dir, ['status'])).lines[0]).to.equal("'lobby' in ./data; no node runs with it")
  })

  test('join a node for as long as they take, and leave nothing behind', async place => {
    const { address } = await start(place.dir)
    const env = { SHEAF_JOIN: address, SHEAF_STORE: 'memory' }
    const append = await run(place.dir, ['append', '--json', 'from outside'], { env })
    expect(json(append)[0]).to.deep.include({ type: 'stored', others: 1 })
    expect((await run(place.dir, ['cat'], { env })).lines).to.deep.equal(['from outside'])
    // what is typed goes before the environment; what only looks makes no store
    expect((await run(place.dir, ['cat', '--store', './none'], { env })).lines).to.deep.equal(['from outside'])
    const [status] = json(await run(place.dir, ['status', '--json'], { env }))
    expect(status.replicators.map(({ self, entries }: any) => [self, entries])).to.deep.equal([[false, 1]])
    expect(await readdir(place.dir)).to.deep.equal(['data'])

    const failed = await run(place.dir, ['append', '--log', 'nobody has this', 'x'], { env })
    expect([failed.code, failed.lines]).to.deep.equal([1, []])
    expect(failed.errors[0]).to.match(/^Nobody who was joined keeps 'nobody has this', so nothing is appended/)
  })

  test('catch up before they print, into a store that keeps what it kept the last time', async place => {
    const a = await start(place.dir)
    const b = await start(place.dir, '--join', a.address, '--store', './b', '--replicate', 'none')
    await b.terminal.stop()
    await run(place.dir, ['append'], { input: Array.from({ length: 2_000 }, (_, i) => `${i}\n`).join('') })

    // it keeps none of it, and reads it from the other
    const [kept] = json(await run(place.dir, ['status', '--json', '--store', './b']))
    expect(kept.replicators).to.deep.equal([])
    const read = await run(place.dir, ['cat', '--store', './b', '--join', a.address])
    expect(read.lines).to.deep.equal(Array.from({ length: 2_000 }, (_, i) => `${i}`))
    // alone it says that it does not have all
    const alone = await run(place.dir, ['cat', '--store', './b'])
    expect([alone.code, alone.lines]).to.deep.equal([1, []])
    expect(alone.errors[0]).to.match(/^That is not all: 100 % of the entries are for others to keep/)

    const c = await run(place.dir, ['append', '--store', './c', '--join', a.address, 'last'])
    expect([c.code, c.errors]).to.deep.equal([0, []])
    const full = await run(place.dir, ['cat', '--store', './c', '--join', a.address])
    expect(full.lines).to.deep.equal([...Array.from({ length: 2_000 }, (_, i) => `${i}`), 'last'])
    expect(json(await run(place.dir, ['status', '--json', '--store', './c']))[0].length).to.equal(2_001)
  })

  test('end quietly when nobody reads them any more', async place => {
    await run(place.dir, ['append'], { input: Array.from({ length: 6_000 }, (_, i) => `a line that is long enough for a pipe to be full soon ${i}\n`).join('') })
    const reading = new Terminal(place.dir, ['cat'])
    await reading.sees(/soon 0$/)
    reading.stopReading()
    expect(await reading.ended()).to.equal(0)
    expect(reading.errors).to.deep.equal([])
    // it has let go of the store
    expect((await run(place.dir, ['status'])).code).to.equal(0)
  })

  test('end as a shell wants it on Ctrl-C, with what was read until then stored', async place => {
    const appending = new Terminal(place.dir, ['append'])
    appending.type('one')
    await appending.sees(ID)
    appending.signal('SIGINT')
    expect(await appending.ended()).to.equal(130)
    expect(appending.errors).to.deep.equal(['Interrupted: 1 entry is known to be stored'])
    expect((await run(place.dir, ['cat'])).lines).to.deep.equal(['one'])
  })

  test('serve metrics on the port of the inspector', async place => {
    const peer = new Terminal(place.dir, ['peer', '--json', '--inspect', '0'])
    const { metrics } = JSON.parse(await peer.sees(/"type":"listening"/))
    peer.type('a line')
    await peer.sees(/"type":"stored"/)
    const text = await (await fetch(metrics)).text()
    expect(text).to.include('libp2p_sheaf_log_entries{log="lobby"} 1')
    expect(text).to.include('libp2p_sheaf_log_replicators{log="lobby"} 1')
    expect(text).to.include('libp2p_sheaf_log_copies{log="lobby"} 1')
    expect((await fetch(metrics.replace('/metrics', '/metrics/'))).status).to.equal(404)
    await peer.stop()
  })

  test('measure this machine', async place => {
    const { code, lines, errors } = await run(place.dir, ['bench', '--json'])
    // on a machine that does other things, too, it may say that nothing has arrived for a while
    expect([code, errors.filter(line => line.includes('"error"'))]).to.deep.equal([0, []])
    expect(lines.map(line => JSON.parse(line)).map(({ type, unit, value }) => [type, unit, value > 0])).to.deep.equal([
      ['measured', 'entries/s', true], ['measured', 'entries/s', true], ['measured', 'ms', true], ['measured', 'entries/s', true], ['measured', 'ms', true]
    ])
  })

  test('say what they take, with examples', async place => {
    const all = (await run(place.dir, ['--help'])).lines.join('\n')

    for (const command of ['peer', 'append', 'cat', 'status', 'bench']) {
      const { code, lines } = await run(place.dir, [command, '--help'])
      expect(code).to.equal(0)
      expect(all).to.include(`sheaf ${command}`)
      expect(lines.join('\n')).to.include(`\n  sheaf ${command}`).and.include('--json').and.include('SHEAF_')
    }
  })
})
