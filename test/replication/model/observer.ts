import { isNewer } from '../../../src/replication/core/info.ts'
import { documentOf, lettersOf, textOf } from './documents.ts'
import type { Document } from '../../../src/replication/core/info.ts'
import type { Membership, Transition } from '../../../src/replication/core/membership.ts'
import type { Key } from '../../../src/replication/core/types.ts'

export interface Seen {
  letters: string
  isMature: boolean
}

/** What a user knows who has heard every event and asked nothing */
export type View = Map<Key, Seen>

/** Takes an event into the view: what is wrong with it, if anything is */
export function observe (view: View, event: Transition): string | undefined {
  const letters = lettersOf(event.segments)
  const seen = view.get(event.peer)

  switch (event.type) {
    case 'join':
      view.set(event.peer, { letters, isMature: false })
      return seen == null ? undefined : `${event.peer} joins twice`
    case 'leave':
      view.delete(event.peer)
      return seen == null ? `${event.peer} leaves and was not in` : undefined
    case 'mature':
      view.set(event.peer, { letters, isMature: true })
      return seen?.isMature === false && seen.letters === letters ? undefined : `${event.peer} matures out of turn`
    case 'change':
      view.set(event.peer, { letters, isMature: seen?.isMature === true })
      return seen != null && seen.letters !== letters ? undefined : `${event.peer} changes to what it was`
  }
}

/** Who is in is who the events said is in, no more and no less */
export function compare (view: View, core: Membership): string | undefined {
  const told = [...view].map(([peer, { letters, isMature }]) => `${peer} ${letters} ${isMature}`).sort()
  const found = [...core.replicators()].map(({ peer, segments, isMature }) => `${peer} ${lettersOf(segments)} ${isMature}`).sort()
  return told.join() === found.join() ? undefined : `the events said [${told.join()}], but in are [${found.join()}]`
}

/** What is known is what its document says, and was never newer before */
export function trace (before: Document | undefined, after: Document | undefined): string | undefined {
  if (after == null) {
    return
  }

  const signed = documentOf(after.bytes)
  const name = textOf(after.bytes)

  if (before != null && isNewer(documentOf(before.bytes), signed)) {
    return `the older ${name} took the place of ${textOf(before.bytes)}`
  }
  if (signed.epoch !== after.epoch || signed.sequence !== after.sequence) {
    return `${name} passes for ${after.epoch}.${after.sequence}`
  }

  const letters = lettersOf(signed.segments)
  return letters === lettersOf(after.segments) ? undefined : `${lettersOf(after.segments)} is taken for ${letters}`
}
