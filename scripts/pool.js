/**
 * Commands beside each other. What each says is shown as a whole when it has ended, so that nothing is mixed
 */
import { spawn } from 'node:child_process'

/** Milliseconds for a command to end by itself when this is told to: Chromium has a directory to remove */
const GRACE = 5_000

/** Which mocha begins its list of failures with */
const FAILING = /^ *\d+ failing/

/**
 * @typedef {{ name: string, command: string, after?: string }} Task `after`: what has to have ended well before
 * @typedef {{ name: string, code: number | string, seconds: number, said: string }} Ended
 */

/** @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set()

/**
 * Runs them in their order, so the longest is to be the first; one that has to wait for another lets the next one pass
 *
 * @param {Task[]} tasks
 * @param {number} atOnce
 * @returns {Promise<boolean>} whether all ended well
 */
export async function runAll (tasks, atOnce) {
  const began = Date.now()
  const waiting = new Set(tasks)
  /** @type {Map<string, Ended>} by name */
  const ended = new Map()
  endWithThis(() => { waiting.clear() })

  const isReady = (/** @type {Task} */ { after }) => after == null || ended.get(after)?.code === 0

  /** Starts what there is room for, and what there is room for when that has ended */
  const fill = async () => {
    const begun = []

    for (const task of [...waiting].filter(isReady).slice(0, atOnce - running.size)) {
      waiting.delete(task)
      console.log(`--- begun: ${task.name}`)
      begun.push(run(task).then(async outcome => {
        ended.set(task.name, outcome)
        process.stdout.write(outcome.said)
        console.log(`--- ${sentence(outcome)}`)
        await fill()
      }))
    }

    await Promise.all(begun)
  }
  await fill()

  // what failed, where the end of a long output shows it
  const failed = [...ended.values()].filter(({ code }) => code !== 0)

  for (const { name, said } of failed) {
    console.log(`\n--- what failed of ${name}\n${failuresIn(said)}`)
  }

  const outcomes = tasks.map(({ name }) => {
    const outcome = ended.get(name)
    return outcome == null ? `${name}: was not run` : sentence(outcome)
  })
  console.log(`\n${outcomes.join('\n')}\nin all: ${secondsSince(began)} s`)
  return failed.length === 0
}

/**
 * @param {Task} task
 * @returns {Promise<Ended>}
 */
async function run ({ name, command }) {
  const began = Date.now()
  // a group of its own can be ended as a whole
  const child = spawn(command, { shell: true, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  /** @type {Buffer[]} */
  const said = []
  running.add(child)
  child.stdout.on('data', chunk => { said.push(chunk) })
  child.stderr.on('data', chunk => { said.push(chunk) })
  // what it left running would hold the pipes, so that nothing ended
  child.once('exit', () => { end('SIGKILL', [child]) })
  const [code, signal] = await new Promise(resolve => { child.on('close', (...how) => { resolve(how) }) })
  running.delete(child)
  return { name, code: signal ?? code, seconds: secondsSince(began), said: Buffer.concat(said).toString() }
}

/**
 * Whatever ends this ends what it started
 *
 * @param {() => void} onEnd
 */
function endWithThis (onEnd) {
  let isEnding = false
  const onSignal = (/** @type {NodeJS.Signals} */ signal) => {
    if (isEnding) {
      process.exit(1)
    }
    isEnding = true
    onEnd()
    end(signal)
    setTimeout(() => { process.exit(1) }, GRACE).unref()
  }

  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  process.on('SIGHUP', onSignal)
  process.once('exit', () => { end('SIGKILL') })
}

/**
 * @param {NodeJS.Signals} signal
 * @param {Iterable<import('node:child_process').ChildProcess>} children
 */
function end (signal, children = running) {
  for (const { pid } of children) {
    try {
      process.kill(-Number(pid), signal)
    } catch {
      // it has ended meanwhile
    }
  }
}

/** @param {Ended} outcome */
function sentence ({ name, code, seconds }) {
  return `${name}: ${code === 0 ? 'right' : `ended with ${code}`} after ${seconds} s`
}

/**
 * Without the line that counts them, which is counted where it stands
 *
 * @param {string} said
 */
function failuresIn (said) {
  const lines = said.split('\n')
  // eslint-disable-next-line no-control-regex
  const at = lines.findIndex(line => FAILING.test(line.replace(/\x1b\[[0-9;]*m/g, '')))
  return lines.slice(at < 0 ? -20 : at + 1).join('\n')
}

/** @param {number} began */
function secondsSince (began) {
  return Math.round((Date.now() - began) / 1000)
}
