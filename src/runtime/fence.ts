import type { Datastore } from 'interface-datastore'

/**
 * Who writes to a datastore now, of several that take turns: the tabs of a profile. Each has a datastore object of its
 * own for the same place, and a fence on it. A leader that stood still and was replaced is fenced off.
 */
export interface Fence {
  /** Which place it is: who has the fence of this name takes over from whoever had it before */
  readonly name: string
  /** Throws a StoreInUseError once somebody else has taken over */
  check (): void
}

const fences = new WeakMap<Datastore, Fence>()

export function setFence (datastore: Datastore, fence: Fence): void {
  fences.set(datastore, fence)
}

export function fenceOf (datastore: Datastore): Fence | undefined {
  return fences.get(datastore)
}
