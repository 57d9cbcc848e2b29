/** A source of numbers in [0, 1): `Math.random`, or a seeded one that a failing test can replay */
export type Random = () => number

export const systemRandom: Random = Math.random

/** mulberry32: 32 bits of state, good enough to shuffle and to jitter, not for secrets */
export function seededRandom (seed: number): Random {
  let state = seed >>> 0

  return () => {
    state = (state + 0x6D2B79F5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** A whole number in [0, below) */
export function randomInt (random: Random, below: number): number {
  return Math.floor(random() * below)
}

/** `value` give or take `share` of it, so that many who wait for the same thing do not all wake at once */
export function jitter (random: Random, value: number, share = 0.2): number {
  return value * (1 - share + 2 * share * random())
}
