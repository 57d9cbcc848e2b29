import { randomFillSync } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'aegir/chai'
import { PATIENCE, run, start, Terminal, testsInPlaces } from './terminal.ts'

const ID = /^baf[a-z2-7]+$/
/** What keeps stdout for a file, byte for byte */
const INTO_FILE = 'exec "$0" "$@" > out'
const NO_TEXT = /^1 entry is stored; the next one is not: line 2 is no text in UTF-8\. 'sheaf append --raw' keeps all of its stdin as one entry, byte for byte$/

describe('what is piped into sheaf append', function () {
  this.timeout(4 * PATIENCE)
  const test = testsInPlaces()

  test('is refused where it is no text, and kept byte for byte with --raw', async place => {
    const bytes = randomFillSync(Buffer.alloc(100_000))
    const refused = await run(place.dir, ['append'], { input: Buffer.concat([Buffer.from('text\n'), bytes]) })
    expect([refused.code, refused.lines.length, refused.errors.length]).to.deep.equal([1, 1, 1])
    expect(refused.errors[0]).to.match(NO_TEXT)
    expect((await run(place.dir, ['cat'])).lines).to.deep.equal(['text'])

    const raw = await run(place.dir, ['append', '--raw'], { input: bytes })
    expect([raw.code, raw.lines.length]).to.deep.equal([0, 1])
    await run(place.dir, ['cat', '--raw', '--last', '1'], { shell: INTO_FILE })
    expect(Buffer.compare(await readBytes(place.dir), bytes)).to.equal(0)

    // a mark at the beginning of a text belongs to it
    await run(place.dir, ['append'], { input: '\ufeffmarked' })
    expect((await run(place.dir, ['cat', '--last', '1'])).shown).to.equal('\ufeffmarked\n')
  })

  test('is refused and kept alike by a node that runs with the store', async place => {
    const { terminal } = await start(place.dir)
    const refused = await run(place.dir, ['append'], { input: Buffer.from('text\n\xff\nmore\n', 'latin1') })
    expect([refused.code, refused.lines.length]).to.deep.equal([1, 1])
    expect(refused.errors[0]).to.match(NO_TEXT)

    const bytes = Buffer.from('\xff\x00\n\xfe', 'latin1')
    expect((await run(place.dir, ['append', '--raw'], { input: bytes })).code).to.equal(0)
    await run(place.dir, ['cat', '--raw', '--last', '1'], { shell: INTO_FILE })
    expect(Buffer.compare(await readBytes(place.dir), bytes)).to.equal(0)
    await terminal.stop()
  })

  test('is stored up to a line that is too long, and nothing behind that', async place => {
    const input = `one\ntwo\n${'x'.repeat(20_000_000)}\nthree\nfour\n`

    for (const before of [0, 2]) {
      const { code, lines, errors } = await run(place.dir, ['append'], { input })
      expect([code, lines.length, errors.length], `with ${before} entries before`).to.deep.equal([1, 2, 1])
      expect(errors[0]).to.match(/^2 entries are stored; the next one is not: 20000000 bytes where at most/)
    }

    expect((await run(place.dir, ['cat'])).lines).to.deep.equal(['one', 'two', 'one', 'two'])
  })

  test('goes to a node that runs with the store without a word of Node about listeners', async place => {
    const { terminal } = await start(place.dir)
    const input = Array.from({ length: 3_000 }, (_, i) => `${i} ${'x'.repeat(2_000)}\n`).join('')
    const { code, lines, errors } = await run(place.dir, ['append'], { input, env: { NODE_NO_WARNINGS: '0' } })
    expect([code, lines.length, errors]).to.deep.equal([0, 3_000, []])
    await terminal.stop()
  })

  test('is said to be stored as far as it is on Ctrl-C, here and at a node that runs', async place => {
    for (const isRunning of [false, true]) {
      const node = isRunning ? await start(place.dir) : undefined
      const appending = new Terminal(place.dir, ['append'])
      appending.press('one\ntwo\nthree')
      await appending.sees(ID)
      await appending.sees(ID)
      appending.signal('SIGINT')
      expect(await appending.ended()).to.equal(130)
      expect(appending.errors).to.deep.equal(['Interrupted: 2 entries are known to be stored'])
      await node?.terminal.stop()
    }

    expect((await run(place.dir, ['cat'])).lines).to.deep.equal(['one', 'two', 'one', 'two'])
  })

  test('and into sheaf peer ends with a word where it is no text', async place => {
    await writeFile(join(place.dir, 'in'), Buffer.from('text\n\xff\nmore\n', 'latin1'))
    const peer = new Terminal(place.dir, ['peer'], {}, 'exec "$0" "$@" < in')
    await peer.sees(/stored here/)
    await peer.says(/^Nothing more of stdin is appended: line 2 is no text in UTF-8/)
    peer.signal('SIGINT')
    expect(await peer.ended()).to.equal(0)
    expect((await run(place.dir, ['cat'])).lines).to.deep.equal(['text'])
  })
})

async function readBytes (dir: string): Promise<Buffer> {
  return readFile(join(dir, 'out'))
}
