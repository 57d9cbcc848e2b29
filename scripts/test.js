/**
 * All tests. Those in Node come first, as they measure: what a browser, a web worker and the command do is mostly to
 * wait, so these run beside each other afterwards. Each run is shown when it is over, so that none is mixed with another.
 */
import { spawn } from 'node:child_process'

const IN_NODE = 'aegir test --build false -t node'
const BESIDE_EACH_OTHER = [
  'aegir test --build false -t browser',
  'aegir test --build false -t webworker',
  'npm test --workspace cli'
]

/**
 * @param {string} command
 * @param {boolean} isAlone - shown as it goes
 * @returns {Promise<boolean>}
 */
async function run (command, isAlone) {
  const started = Date.now()
  const output = isAlone ? 'inherit' : 'pipe'
  const child = spawn(command, { shell: true, stdio: ['ignore', output, output] })
  /** @type {Buffer[]} */
  const said = []
  child.stdout?.on('data', chunk => { said.push(chunk) })
  child.stderr?.on('data', chunk => { said.push(chunk) })
  const code = await new Promise(resolve => { child.on('close', resolve) })
  const seconds = Math.round((Date.now() - started) / 1000)
  process.stdout.write(Buffer.concat(said))
  console.log(`${command}: ${code === 0 ? 'right' : `failed with ${code}`} after ${seconds} s`)
  return code === 0
}

const isRightInNode = await run(IN_NODE, true)
const areRight = await Promise.all(BESIDE_EACH_OTHER.map(async command => run(command, false)))

process.exitCode = isRightInNode && areRight.every(isRight => isRight) ? 0 : 1
