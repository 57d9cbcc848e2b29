import { spawnSync } from 'node:child_process'
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'aegir/chai'
import { newPlace, PATIENCE, run } from './terminal.ts'

/** A shell that may mount something, which only what it runs sees */
const inMounts = (mount: string, run = 'exec "$0" "$@"'): string => `exec unshare --mount --map-root-user sh -c '${mount} && ${run}' "$0" "$@"`
/** There it is run once, and then another command of it: `$0 $1 $2` is what starts it */
const SMALL = inMounts('mkdir -p data && mount -t tmpfs -o size=3m tmpfs data', '{ "$0" "$@"; echo "ended with $?"; exec "$0" "$1" "$2" cat; }')
const READ_ONLY = inMounts('mount --bind data data && mount -o remount,ro,bind data')
const CAN_MOUNT = spawnSync('unshare', ['--mount', '--map-root-user', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status === 0

describe('sheaf on a disk', function () {
  this.timeout(4 * PATIENCE)
  const place = newPlace()

  before(function () {
    CAN_MOUNT || this.skip()
  })

  it('that is full says in one line how much is stored, and what is necessary', async () => {
    const input = Array.from({ length: 60_000 }, (_, i) => `line ${i} of a text that fills a small disk in the end\n`).join('')
    const { code, lines, errors } = await run(place.dir, ['append'], { input, shell: SMALL })
    const [, stored] = /^([\d,]+) entries are stored; the next one is not: .*No space left on device/.exec(errors[0]) ?? []
    const at = lines.indexOf('ended with 1')
    expect(at).to.be.above(0)
    expect(stored?.replaceAll(',', '')).to.equal(`${at}`)
    // there is no room to open it, either
    expect([code, lines.length, errors.slice(1)]).to.deep.equal([1, at + 1, [
      'There is no space left for the store in ./data, which needs some to be opened: make room, and run it again'
    ]])
  })

  it('that is read-only reads what is there, and keeps nothing', async () => {
    await run(place.dir, ['append', 'x', 'y'])
    const temporary = join(place.dir, 'tmp')
    await mkdir(temporary)

    for (const [command, shown] of [['cat', /^x,y$/], ['status', /2 entries/]] as const) {
      const { code, lines, errors } = await run(place.dir, [command], { shell: READ_ONLY, env: { TMPDIR: temporary } })
      expect([code, errors]).to.deep.equal([0, ['The store in ./data is read-only: this reads it, and keeps nothing']])
      expect(lines.join()).to.match(shown)
    }

    expect((await readdir(temporary)).filter(name => name.startsWith('sheaf'))).to.deep.equal([])

    for (const command of ['peer', 'append']) {
      const { code, lines, errors } = await run(place.dir, [command], { shell: READ_ONLY })
      expect([code, lines, errors]).to.deep.equal([1, [], [
        'The store in ./data is read-only, and a node writes to its store: copy it, and name the copy with --store'
      ]])
    }
  })
})
