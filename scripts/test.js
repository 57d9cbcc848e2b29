/**
 * All tests. Those of the two kinds of browser run beside each other, as they mostly wait, and are shown when they are
 * over, so that they are not mixed.
 */
import { spawn } from 'node:child_process'

const IN_NODE = 'aegir test --build false -t node'
const IN_BROWSERS = ['aegir test --build false -t browser', 'aegir test --build false -t webworker']
const OF_THE_COMMAND = 'npm test --workspace cli'

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

const areRight = [
  await run(IN_NODE, true),
  ...await Promise.all(IN_BROWSERS.map(async command => run(command, false))),
  await run(OF_THE_COMMAND, true)
]

process.exitCode = areRight.every(isRight => isRight) ? 0 : 1
