import * as cores from './mutant-cores.ts'
import * as wirings from './mutant-wirings.ts'
import { setups } from './setups.ts'
import type { Setup } from './setup.ts'
import type { Wiring } from './wiring.ts'
import type { Membership, MembershipInit } from '../../../src/replication/core/membership.ts'

/** A bug on purpose: the checker that does not find it is blind */
export interface Mutant {
  /** Where it shows */
  setup: Setup
  /** The invariant that it breaks, in the checker's words */
  shows: string
}

function shell (wiring: Wiring, setup: keyof typeof setups, shows: string): Mutant {
  return { setup: { ...setups[setup], wiring }, shows }
}

function core (kind: new (init: MembershipInit) => Membership, setup: keyof typeof setups, shows: string): Mutant {
  return shell(new cores.Around(kind), setup, shows)
}

const STORY = 'one that says something, changes it and stops, while we open'
const CLOSED = 'a log that is closed in the middle of a turn, and opened again'
const LEAVES = 'one that leaves the topic, or is lost, and comes back'
const STOPS = 'one that stops and leaves while its documents wait'

export const mutants: Record<string, Mutant> = {
  'whether it is news is asked before the turn, not in it':
    shell(new wirings.AskedBeforeTheTurn(), STORY, 'came and is lost'),
  'of what comes while we open only the last is kept':
    shell(new wirings.LastOnly(), STORY, 'came and is lost'),
  'what comes while we open is dropped':
    shell(new wirings.DroppedInBetween(), STORY, 'came and is lost'),
  'what waited while we opened is applied beside the turns, news or not':
    shell(new wirings.DrainedBeside(), STORY, 'came and is lost'),
  'a stop leaves what waits of the same peer':
    shell(new wirings.StopLeavesPending(), STORY, 'came and is lost'),
  'what was stored takes the place of what came while it was read':
    shell(new wirings.StoredWins(), 'a restart whose disk has less than what is under way', 'passes for'),
  'the watermark moves before the turn has succeeded':
    shell(new wirings.WatermarkFirst(), 'one whose turns fail', 'came and is lost'),
  'a turn that fails takes those behind it along':
    shell(new wirings.FailsTogether(), 'one whose turns fail', 'came and is lost'),
  'of those that wait for their turn the last stays, and not the newest':
    shell(new wirings.LastSupersedes(), 'one whom canReplicate refuses, now and then', 'came and is lost'),
  'a turn of a closed life reaches the next one':
    shell(new wirings.LateTurns(), CLOSED, 'came in a life that is over'),
  'what waited while we opened outlives a close':
    shell(new wirings.PendingOutlivesClose(), 'two, of whom one is remembered, and a log that is closed', 'came in a life that is over'),
  'all share one mailbox':
    shell(new wirings.OneForAll(), 'two that speak at once while we open', 'waits for'),
  'who leaves is out when its turn is over, not at once':
    shell(new wirings.LeavesInItsTurn(), STOPS, 'has said that it leaves, and is in'),
  'who says that it leaves is waited for':
    shell(new wirings.AnyLeaveIsALoss(), STOPS, 'has said that it leaves, and is in'),
  'who was here before we opened is not seen':
    shell(new wirings.NoSnapshot(), STORY, 'is out, but keeps'),
  'nobody heeds canReplicate':
    shell(new wirings.AcceptsAll(), 'one whom canReplicate refuses, now and then', 'is in, but does not keep'),
  'nobody asks for what is missing':
    shell(new wirings.Loses(({ type }) => type === 'ask'), 'two with room for the documents of one', 'and there is room for it'),
  'who leaves stays on the disk':
    shell(new wirings.Loses(effect => effect.type === 'store' && effect.document == null), LEAVES, 'is stored'),
  'a leave is not told':
    shell(new wirings.Loses(({ type }) => type === 'leave'), LEAVES, 'the events said'),
  'those that are in when we open join once more':
    core(cores.JoinsAtOpen, STORY, 'joins twice'),
  'a core that is closed goes on':
    core(cores.NeverCloses, CLOSED, 'after close'),
  'the time of one that is lost runs out although it came back':
    core(cores.KeepsDeadlines, LEAVES, 'is out, but keeps'),
  'who is mature becomes it again':
    core(cores.MaturesAgain, LEAVES, 'matures out of turn'),
  'an equal document is a change':
    core(cores.ChangesToTheSame, 'one whose documents come twice, late or never', 'changes to what it was'),
  'who speaks is taken to be here':
    core(cores.HearsIsHere, STOPS, 'has said that it leaves, and is in'),
  'who is remembered is taken to be here':
    core(cores.RememberedIsHere, 'a restart that remembers one that never comes back, or late', 'in the end these are in'),
  'who left while we opened is taken to be here':
    core(cores.MissesNobodyWhileOpening, 'one that comes while we open, and says that it goes again', 'are remembered'),
  'a new life of a peer counts as its old one':
    core(cores.LivesAreOne, 'one that begins a new life', 'and what is known is'),
  'no alarm is set':
    core(cores.NeverWakes, LEAVES, 'in the end these are in'),
  'nobody counts peers':
    core(cores.NoBounds, 'two with room for one', 'are too many'),
  'nobody counts bytes':
    core(cores.NoBounds, 'two with room for the documents of one', 'are too many')
}
