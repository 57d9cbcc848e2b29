import { randomInt } from '../../../src/runtime/random.ts'
import { name, naiveHeads, said, text } from '../../fixtures/logs.ts'
import { checkFingerprint, checkHeads, read, readFromSomewhere } from './checks.ts'
import { nameOf } from './copies.ts'
import { anyDamage, described, inflict, mend } from './damage.ts'
import type { Content } from './checks.ts'
import type { Life } from './life.ts'
import type { World } from './world.ts'

/** Times that a log is read until nothing comes or goes meanwhile */
const MOST_READS = 10

/** A log that was just opened: all that was promised is kept, and what nobody could be sure of is settled */
export async function lookAtOpened (life: Life): Promise<void> {
  const { world: { ledger, chain, options, fail } } = life

  if (options.isRot) {
    await lookAtDamaged(life)
    await checkMarks(life)
    return
  }

  const { entries, arrivals } = await lookAtAll(life)
  ledger.settle(entries, arrivals).forEach(entry => { fail(...chain.add(entry, false)) })
  await checkMarks(life)
  chain.rest()

  if (!life.datastore.hasFailed) {
    // a key that was used in two places is none of the disk's
    const problems = life.log.diagnostics().problems.filter(({ kind }) => kind !== 'fork')
    fail(...problems.map(({ kind, message }) => `a process that dies damages nothing, and the log of the next one says ${kind}: ${message}`))
  }
}

/** A log that is open and has nothing under way */
export async function lookAtRest (life: Life): Promise<void> {
  // pages and records that were in memory may have hidden damage so far
  const content = await (life.world.options.isRot ? lookAtDamaged(life) : lookAtAll(life))
  await checkMarks(life)
  life.world.chain.rest()
  await appendOnHeads(life, content)
}

/**
 * Everything that can be read. An entry may come meanwhile: when its time has come, or when its append was aborted too late.
 * Then all is read once more
 */
async function lookAtAll (life: Life): Promise<Content> {
  const { ledger, mirror, fail } = life.world

  for (let reads = 1; ; reads++) {
    const { events } = ledger
    const wrong: string[] = []
    const reading = { ...life.reading, fail: (...what: string[]) => { wrong.push(...what) } }
    const content = await read(reading)
    reading.fail(...ledger.compare(content.entries, content.arrivals))
    await readFromSomewhere(reading, content)
    await checkFingerprint(reading, content, mirror)
    await checkHeads(reading, content, ledger.seen)

    if (ledger.events === events || reads === MOST_READS) {
      fail(...wrong)
      return content
    }
  }
}

/** Programs are marked with what was asked for */
async function checkMarks ({ world: { ledger, options, fail }, log }: Life): Promise<void> {
  for (const program of ledger.programs) {
    const marked = await log.marked(program)

    if (!ledger.marked(program).has(marked) && !options.isRot) {
      fail(`${program} is marked with ${marked}, and not with ${[...ledger.marked(program)].join(' or ')}`)
    }

    ledger.setMarked(program, marked)
  }
}

/** Something happens to the disk between two lives, or while the log is open */
export async function damageDisk (world: World, isOpen: boolean): Promise<void> {
  const { random, disk, neighbour } = world
  // an owner whose lock somebody else writes on has lost it
  const keys = [...disk.keys()].filter(key => !neighbour.has(key) && !(isOpen && key.endsWith('/owner')))

  for (let left = keys.length === 0 ? 0 : randomInt(random, 4); left > 0; left--) {
    const damage = anyDamage(disk, keys, random)
    inflict(disk, damage)
    world.damages.push(`${world.where}: ${described(damage)}`)
  }
}

/**
 * A log on a disk that may be damaged: what it lost is handed in again, and what it forgot to be removed is removed again. Of
 * heads nothing is said: it forgets what was there once
 */
export async function lookAtDamaged (life: Life): Promise<Content> {
  const { world: { ledger } } = life
  const arrivalOf = (id: string): number => ledger.arrival(id) ?? 0
  const wanted = ledger.here.sort((a, b) => arrivalOf(nameOf(a)) - arrivalOf(nameOf(b)))
  const gone = ledger.seen.filter(entry => ledger.state(nameOf(entry)) === 'gone')
  // of these nobody knows, so that they are wanted if they are there
  const unsure = (id: string): boolean => ledger.state(id) === 'unsure' || ledger.state(id) == null

  const content = await mend(life.reading, wanted, gone, ({ entries, arrivals }) => {
    wanted.push(...entries.filter(entry => unsure(nameOf(entry)) && (ledger.state(nameOf(entry)) != null || ledger.isAsked(said(entry)))))
    ledger.settle(entries, arrivals)
    ledger.highest = Math.max(-1, ...arrivals.values())
  })
  await checkFingerprint(life.reading, content, life.world.mirror)
  return content
}

/** An append names the heads as its parents */
async function appendOnHeads (life: Life, { entries }: Content): Promise<void> {
  const { world: { ledger, newName, options, fail } } = life
  const here = new Set(entries.map(nameOf))
  const heads = naiveHeads(entries, ledger.seen.filter(entry => !here.has(nameOf(entry))))
  const what = newName()
  ledger.ask([what])

  await life.attempt(async () => life.log.append(text(what)), {
    done: entry => {
      const parents = life.take(entry).parents.map(id => name({ id })).sort()

      if (!options.isRot && parents.join() !== heads.join()) {
        fail(`an append has the parents ${parents.join()} where the heads are ${heads.join()}`)
      }
    }
  })
}
