import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { expect } from 'aegir/chai'

const { engines, exports } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
const [major, minor] = engines.node.slice('>='.length).split('.').map(Number)

/** Runs a program in a Node that says that it is of this version */
async function runIn (version: string, program: string): Promise<string> {
  const pretend = `Object.defineProperty(process.versions, 'node', { value: '${version}' })`
  const { stdout } = await promisify(execFile)(process.execPath, [
    ...process.execArgv, '--import', `data:text/javascript,${encodeURIComponent(pretend)}`, '--input-type=module', '--eval', program
  ], { env: { ...process.env, NODE_NO_WARNINGS: '1' } })
  return stdout.trim()
}

const outcomeOf = (entry: string): string => `import('${entry}').then(() => console.log('loaded'), ({ name, message }) => console.log(name + ': ' + message))`

describe('what a program imports', function () {
  this.timeout(180_000)

  for (const path of ['.', './database']) {
    const entry = path.replace('.', 'libp2p-sheaf')

    it(`names the Node that it needs before anything else, where that is older: ${entry}`, async () => {
      expect(exports).to.have.property(path)

      for (const version of ['20.20.2', `${major}.${minor - 1}.9`]) {
        expect(await runIn(version, outcomeOf(entry))).to.equal(`UnsupportedNodeError: libp2p-sheaf needs Node ${major}.${minor} or later, and this is Node ${version}: install a later one, see https://nodejs.org`)
      }
      for (const version of [`${major}.${minor}.0`, `${major + 1}.0.0`]) {
        expect(await runIn(version, outcomeOf(entry))).to.equal('loaded')
      }
    })
  }

  it('can be required, too', async () => {
    expect(await runIn('24.0.0', "import { createRequire } from 'node:module'; console.log(typeof createRequire(import.meta.url)('libp2p-sheaf').directSub)")).to.equal('function')
  })
})
