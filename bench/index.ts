import { database } from './database.ts'
import { log } from './log.ts'
import { parseOptions } from './options.ts'
import { pubsub } from './pubsub.ts'
import { replication } from './replication.ts'
import { tableHead, tableRow } from './report.ts'
import { session } from './session.ts'
import { transfer } from './transfer.ts'
import { killWorkers } from './workers.ts'
import type { Suite, SuiteRun } from './suite.ts'

const suites: Record<string, Suite> = { pubsub, log, replication, database, session, transfer }

/** Milliseconds after which no other case begins: on a busy machine a run gets shorter, not longer */
const LAST_BEGIN = { long: 14 * 60_000, full: 5.5 * 60_000, quick: 37_000 }

/** Milliseconds after which a run is over, whatever it is doing: an error, not a way to end */
const DEADLINE = { long: 16 * 60_000, full: 6.5 * 60_000, quick: 60_000 }

const options = parseOptions(process.argv.slice(2))
const length = options.quick ? 'quick' : 'full'
const time = options.long ? 'long' : length
const suite: Suite | undefined = suites[options.suite]

if (suite == null) {
  console.error(`There is no suite '${options.suite}', there is: ${Object.keys(suites).join(', ')}\nusage: npm run bench -- <suite> [--quick | --long] [--json] [--case <part of a title>] [--only <contender,...>]`)
  process.exit(2)
}

const deadline = setTimeout(() => {
  console.error('the run did not end in time')
  killWorkers()
  process.exit(1)
}, DEADLINE[time])

// whoever stops a run wants its processes gone too
process.once('SIGINT', () => {
  killWorkers()
  process.exit(130)
})

const run: SuiteRun = {
  options,
  length,
  timeFor: title => {
    if (performance.now() < LAST_BEGIN[time]) {
      return true
    }

    console.error(`left out, there was no time: ${title}`)
    return false
  },
  problem: text => {
    console.error(`PROBLEM ${text}`)
    process.exitCode = 1
  },
  note: text => {
    console.error(text)
  }
}

if (!options.json) {
  console.log(tableHead(suite))
}

try {
  for await (const result of suite.run(run)) {
    console.log(options.json ? JSON.stringify(result) : tableRow(result, suite))
  }
} finally {
  clearTimeout(deadline)
  killWorkers()
}
