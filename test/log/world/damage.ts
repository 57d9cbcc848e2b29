import { randomInt } from '../../../src/runtime/random.ts'
import { said } from '../../fixtures/logs.ts'
import { read } from './checks.ts'
import { copyOf, copyOfId, nameOf } from './copies.ts'
import { shuffled } from './disk.ts'
import { turn } from './time.ts'
import type { Content, Reading } from './checks.ts'
import type { Disk } from './disk.ts'
import type { Entry } from '../../../src/log/index.ts'
import type { Random } from '../../../src/runtime/random.ts'

/** Times that a log is read until all that is damaged is out of its lists */
const MOST_READS = 20
/** Times that something that is lost may be found out after the rest was handed in again */
const MOST_ROUNDS = 5

/** A bit of a value that is another one now; or the whole value is gone */
export interface Damage {
  key: string
  at?: number
  bit?: number
}

export function inflict (disk: Disk, { key, at, bit = 0 }: Damage): void {
  if (at == null) {
    disk.delete(key)
    return
  }

  const value = Uint8Array.from(disk.get(key) ?? [])
  value[at] ^= 1 << bit
  disk.set(key, value)
}

/** Any damage to one of these keys */
export function anyDamage (disk: Disk, keys: string[], random: Random): Damage {
  const key = keys[randomInt(random, keys.length)]
  const { byteLength = 0 } = disk.get(key) ?? {}
  return byteLength === 0 || randomInt(random, 4) === 0 ? { key } : { key, at: randomInt(random, byteLength), bit: randomInt(random, 8) }
}

/** So many damages, spread over all of a disk: each key is lost in one of them, and in the others some of its bytes change */
export function spreadDamages (disk: Disk, count: number, random: Random): Damage[] {
  const keys = shuffled([...disk.keys()], random)
  const lost = shuffled(keys, random).slice(0, Math.ceil(count / 4)).map(key => ({ key }))
  const flips: Damage[] = []

  for (let i = 0; lost.length + flips.length < count; i++) {
    const key = keys[i % keys.length]
    const { byteLength = 0 } = disk.get(key) ?? {}
    // the beginnings of values are where all that matters stands
    const near = i % 2 === 0 ? byteLength : Math.min(byteLength, 16)
    flips.push(near === 0 ? { key } : { key, at: randomInt(random, near), bit: randomInt(random, 8) })
  }

  return [...lost, ...flips]
}

export function described ({ key, at, bit }: Damage): string {
  return at == null ? `${key} is lost` : `bit ${bit} of byte ${at} of ${key} is another one`
}

/**
 * What a log on a damaged disk owes: no byte that is not true; whatever it lost is listed nowhere, and a problem says so; and
 * what it lost can be joined again, and then all is as it was. `wanted` is what was in it, in the order in which it came, `gone`
 * what was removed: a disk that forgot that hands it out again, and it can be removed again. Returns what it has in the end
 */
export async function mend (reading: Reading, wanted: Entry[], gone: Entry[], found: (content: Content) => void = () => {}): Promise<Content> {
  const { log, fail } = reading

  for (let rounds = 1; ; rounds++) {
    const content = await readWhenUnlisted(reading)
    found(content)
    const lost = withoutThose(wanted, content.entries)
    const extra = withoutThose(content.entries, wanted)
    fail(...withoutThose(extra, gone).map(entry => `${nameOf(entry)} ('${said(entry)}') comes from nowhere`))

    if (lost.length + extra.length === 0) {
      return content
    }
    // what is damaged below a cache is found out later
    if (rounds === MOST_ROUNDS) {
      fail(...lost.map(entry => `${nameOf(entry)} ('${said(entry)}') was handed in again, and is not there`))
      fail(...extra.map(entry => `${nameOf(entry)} ('${said(entry)}') was removed again, and is there`))
      return content
    }

    await checkLost(reading, wanted, lost)
    await log.remove(extra.map(({ id }) => copyOfId(id)))
    const outcomes = await log.join(lost.map(copyOf))
    fail(...outcomes.filter(({ status }) => status !== 'added').map(({ status }, i) => `${nameOf(lost[i])} was lost, is handed in again, and is ${status}`))
  }
}

/** A problem says that something is lost, and nothing finds it */
async function checkLost ({ log, fail }: Reading, wanted: Entry[], lost: Entry[]): Promise<void> {
  if (lost.length > 0 && log.diagnostics().problems.length === 0 && !isEnd(wanted, lost)) {
    fail(`${lost.length} of ${wanted.length} are lost, and no problem says so`)
  }

  for (const entry of lost) {
    if (await log.has(copyOfId(entry.id)) || await log.get(copyOfId(entry.id)) != null) {
      fail(`${nameOf(entry)} is in no list, and is there when asked for`)
    }
  }
}

/** What is damaged is noticed when it is read. Then it is taken out of all lists, beside what else there is to do */
async function readWhenUnlisted (reading: Reading): Promise<Content> {
  for (let reads = 1; ; reads++) {
    const wrong: string[] = []
    const content = await read({ ...reading, fail: (...what) => { wrong.push(...what) } })

    // what is not true is that each time
    if (wrong.length === 0 || reads === MOST_READS) {
      reading.fail(...wrong)
      return content
    }

    await turn()
  }
}

function withoutThose (entries: Entry[], those: Entry[]): Entry[] {
  const ids = new Set(those.map(nameOf))
  return entries.filter(entry => !ids.has(nameOf(entry)))
}

/** Whether what is lost came last: of records that nothing names yet nobody can know that they were there */
function isEnd (wanted: Entry[], lost: Entry[]): boolean {
  return withoutThose(wanted.slice(wanted.length - lost.length), lost).length === 0
}
