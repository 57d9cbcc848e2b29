import { explore } from './explore.ts'
import { setups } from './setups.ts'

/**
 * Looks at more worlds than a test has time for, and says how many there were:
 *
 * ```sh
 * node --max-old-space-size=8000 test/session/model/run.ts --states 1000000 [--setup 'a crash'] [--drain-every 10]
 * ```
 */
const states = Number(option('states', '100000'))
const drainEvery = Number(option('drain-every', '10'))
const chosen = Object.entries(setups).filter(([name]) => name.includes(option('setup', '')))
let left = states
let isWrong = false

for (const [i, [name, setup]] of chosen.entries()) {
  const begin = Date.now()
  // what a setup does not need is for those after it
  const { states, steps, isCut, found } = explore(setup, {
    maxStates: Math.ceil(left / (chosen.length - i)), drainEvery
  })
  left -= states
  isWrong ||= found != null
  const verdict = found == null ? 'nothing is wrong' : `${found.what}\n  ${found.trail.join('\n  ')}`
  say(`${name}: ${states} worlds${isCut ? ' of more' : ''}, ${steps} steps, ${Date.now() - begin} ms, ${verdict}`)
}

say(`${states - left} worlds`)
process.exitCode = isWrong ? 1 : 0

function option (name: string, otherwise: string): string {
  const at = process.argv.indexOf(`--${name}`)
  return at === -1 ? otherwise : process.argv[at + 1] ?? otherwise
}

function say (line: string): void {
  process.stdout.write(`${line}\n`)
}
