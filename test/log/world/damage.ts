import { toString } from 'uint8arrays/to-string'
import { randomInt } from '../../../src/runtime/random.ts'
import { collect, said } from '../../fixtures/logs.ts'
import { copyOf, copyOfId, nameOf } from './copies.ts'
import { read } from './checks.ts'
import { shuffled } from './disk.ts'
import type { Content, Reading } from './checks.ts'
import type { Disk } from './disk.ts'
import type { Random } from '../../../src/runtime/random.ts'
import type { Entry } from '../../../src/log/index.ts'

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
  const keys = [...disk.keys()].sort()
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
  // what is damaged is noticed when it is read
  await collect(log.entries())
  const content = await read(reading)
  found(content)

  const here = new Set(content.entries.map(nameOf))
  const wantedIds = new Set(wanted.map(nameOf))
  const goneIds = new Set(gone.map(nameOf))
  const lost = wanted.filter(entry => !here.has(nameOf(entry)))
  const extra = content.entries.filter(entry => !wantedIds.has(nameOf(entry)))
  fail(...extra.filter(entry => !goneIds.has(nameOf(entry))).map(entry => `${nameOf(entry)} ('${said(entry)}') comes from nowhere`))

  const { problems } = log.diagnostics()

  if (lost.length > 0 && problems.length === 0 && !isEnd(wanted, here)) {
    fail(`${lost.length} of ${wanted.length} are lost, and no problem says so`)
  }

  for (const entry of lost) {
    if (await log.has(copyOfId(entry.id)) || await log.get(copyOfId(entry.id)) != null) {
      fail(`${nameOf(entry)} is in no list, and is there when asked for`)
    }
  }

  await log.remove(extra.map(({ id }) => copyOfId(id)))
  const outcomes = await log.join(lost.map(copyOf))
  fail(...outcomes.filter(({ status }) => status !== 'added').map((outcome, i) => `what was lost is handed in again, and is ${outcome.status}: ${outcome.status === 'refused' ? outcome.reason.message : nameOf(lost[i])}`))

  const mended = await read(reading)
  const missing = wanted.filter(({ id }) => !mended.entries.some(entry => nameOf(entry) === toString(id.bytes, 'base16')))
  fail(...missing.map(entry => `${nameOf(entry)} was handed in again, and is not there`))

  if (missing.length === 0 && mended.entries.length > wanted.length) {
    fail(`${mended.entries.length - wanted.length} that were removed are there`)
  }

  return mended
}

/** Whether what is missing came last: of records that nothing names yet nobody can know that they were there */
function isEnd (wanted: Entry[], here: Set<string>): boolean {
  const isHere = wanted.map(entry => here.has(nameOf(entry)))
  return isHere.lastIndexOf(true) < isHere.indexOf(false)
}
