import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { randomInt, seededRandom } from '../../../src/runtime/random.ts'
import { allOf, newLog, SetClock, text } from '../../fixtures/logs.ts'
import { copyOf, nameOf } from './copies.ts'
import { shuffled } from './disk.ts'
import type { RawEntry } from '../../../src/log/core/types.ts'
import type { Entry, Log } from '../../../src/log/index.ts'
import type { Random } from '../../../src/runtime/random.ts'
import type { PrivateKey } from '@libp2p/interface'

/** Milliseconds since 1970 when every world begins */
export const BEGINNING = 1_700_000_000_000
const MINUTE = 60_000
const YEAR = 365 * 24 * 60 * MINUTE

const AUTHORS = 5
/** Rounds in which each of the authors says something, and how many times it may say something in one */
const ROUNDS = 12
const MOST_AT_ONCE = 12

/** What others made before the worlds began, and what this node's key made on another disk: a restored backup */
export interface Foreign {
  entries: Entry[]
  /** All of these by their ids */
  known: Map<string, Entry>
  /** Their clocks are ahead of the beginning of a world by minutes and by years */
  ahead: Entry[]
}

let made: Promise<Foreign> | undefined

/** The same for every world: it is made only once */
export async function foreignEntries (): Promise<Foreign> {
  made ??= make()
  return made
}

export async function ownKey (): Promise<PrivateKey> {
  return keyOf(0)
}

async function keyOf (number: number): Promise<PrivateKey> {
  return generateKeyPairFromSeed('Ed25519', new Uint8Array(32).fill(number + 1))
}

async function make (): Promise<Foreign> {
  const random = seededRandom(1)
  const clock = new SetClock(BEGINNING - MINUTE)
  const logs = await Promise.all(Array.from({ length: AUTHORS }, async (_, i) => newLog({ privateKey: await keyOf(i), clock })))

  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, log] of logs.entries()) {
      clock.time += randomInt(random, 1000)
      // this node itself was away for most of it
      if (i > 0 || round < 3) {
        await say(log, `${i} in ${round}`, random)
      }
      await log.join((await allOf(logs[randomInt(random, AUTHORS)])).filter(() => randomInt(random, 3) > 0))
    }
  }

  const entries = await everything(logs)
  const known = new Set(entries.map(nameOf))

  for (const ahead of [3 * MINUTE, 20 * MINUTE, 2 * YEAR]) {
    clock.time = BEGINNING + ahead
    await Promise.all(logs.slice(1).map(async log => log.append(text(`in ${ahead} ms`))))
  }

  const ahead = (await everything(logs)).filter(entry => !known.has(nameOf(entry)))
  await Promise.all(logs.map(async log => log.close()))
  return { entries, ahead, known: new Map([...entries, ...ahead].map(entry => [nameOf(entry), entry])) }
}

async function say (log: Log, what: string, random: Random): Promise<void> {
  const options = randomInt(random, 3) === 0 ? { group: text(`group ${randomInt(random, 5)}`) } : {}

  if (randomInt(random, 2) === 0) {
    await log.append(text(what), options)
  } else {
    await log.appendMany(Array.from({ length: 1 + randomInt(random, MOST_AT_ONCE) }, (_, i) => text(`${what}, ${i}`)), options)
  }
}

async function everything (logs: Log[]): Promise<Entry[]> {
  const all = (await Promise.all(logs.map(allOf))).flat()
  return [...new Map(all.map(copyOf).map(entry => [nameOf(entry), entry])).values()]
}

/** Something that is no entry, or whose proof is not one for it. The bytes of a true entry may be in it */
export function junk (entries: Entry[], random: Random): RawEntry {
  const pick = (): Entry => entries[randomInt(random, entries.length)]
  const { bytes, proof } = pick()

  switch (randomInt(random, 6)) {
    case 0:
      return { bytes: copyWithFlip(bytes, random), proof: Uint8Array.from(proof) }
    case 1:
      return { bytes: Uint8Array.from(bytes), proof: otherProof(pick().proof, proof) }
    case 2:
      return { bytes: Uint8Array.from(bytes), proof: new Uint8Array(0) }
    case 3:
      return { bytes: Uint8Array.from(bytes).subarray(0, randomInt(random, bytes.byteLength)), proof: Uint8Array.from(proof) }
    case 4:
      return { bytes: new Uint8Array(randomInt(random, 200)), proof: new Uint8Array(randomInt(random, 200)) }
    default:
      return { bytes: Uint8Array.from(bytes), proof: copyWithFlip(proof, random) }
  }
}

/** As they may come from others: some of them, in any order, some twice */
export function delivery (entries: Entry[], random: Random): Entry[] {
  const some = entries.filter(() => randomInt(random, 4) > 0)
  const twice = some.filter(() => randomInt(random, 6) === 0)
  return randomInt(random, 2) === 0 ? [...some, ...twice] : shuffled([...some, ...twice], random)
}

function otherProof (other: Uint8Array, proof: Uint8Array): Uint8Array {
  return other.toString() === proof.toString() ? new Uint8Array(3) : Uint8Array.from(other)
}

function copyWithFlip (bytes: Uint8Array, random: Random): Uint8Array {
  const copy = Uint8Array.from(bytes)
  copy[randomInt(random, copy.byteLength)] ^= 1 << randomInt(random, 8)
  return copy
}
