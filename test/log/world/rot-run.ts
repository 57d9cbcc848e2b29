/**
 * Damages a store at places that are spread over all of it, one at a time, and opens it:
 * `npx node test/log/world/rot-run.ts [--count 200] [--seed 1]`
 */
import { rot } from './rot.ts'

function setting (name: string, otherwise: number): number {
  const at = process.argv.indexOf(name)
  return at < 0 ? otherwise : Number(process.argv[at + 1])
}

function print (line: string): void {
  process.stdout.write(`${line}\n`)
}

let right = 0
let all = 0
let lossy = 0

for await (const { end, damage, wrong, lost } of rot(setting('--count', 200), setting('--seed', 1))) {
  all++
  right += wrong.length === 0 ? 1 : 0
  lossy += lost > 0 ? 1 : 0

  if (wrong.length > 0) {
    print(`of a store that was ${end}, ${damage}:\n${wrong.slice(0, 5).map(what => `- ${what.slice(0, 400)}`).join('\n')}`)
  }
}

print(`${right} of ${all} right; entries were lost, and handed in again, in ${lossy}`)
process.exitCode = right === all ? 0 : 1
