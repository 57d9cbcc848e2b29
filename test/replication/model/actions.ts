import { nameOf } from './world.ts'
import type { Action, Answer, Budget } from './setup.ts'
import type { Turn, World } from './world.ts'

/** All that may happen next */
export function actionsOf (world: World): Action[] {
  return [...progress(world), ...surroundings(world), ...faults(world)]
}

/** What happens by itself, sooner or later. Time is none of it */
export function progress (world: World, isHeld: (turn: Turn) => boolean = () => false): Action[] {
  const messages = distinct(world).map((message): Action => ({ type: 'deliver', message }))
  return [...turnsOf(world, isHeld), ...opening(world), ...writing(world), ...messages]
}

/** Turns go on; of what canReplicate may say, the first */
export function turnsOf (world: World, isHeld: (turn: Turn) => boolean = () => false): Action[] {
  const steps = [...world.turns]
    .filter(([, [running]]) => !isHeld(running))
    .map(([owner, [running]]): Action => ({ type: 'step', owner, answer: answersTo(world, running)[0] }))
  const late = world.late.map((turn, i): Action => ({ type: 'late', turn: i, answer: answersTo(world, turn)[0] }))
  return [...steps, ...late]
}

export function opening ({ status, unread, owners }: World): Action[] {
  if (status === 'none') {
    return [{ type: 'start' }]
  }

  const reads = owners.filter(owner => unread.some(document => document.owner === owner)).map((owner): Action => ({ type: 'read', owner }))
  return status === 'opening' && reads.length === 0 ? [{ type: 'opened' }] : reads
}

function writing ({ owners, writes }: World): Action[] {
  return owners.filter(owner => (writes[owner] ?? []).length > 0).map((owner): Action => ({ type: 'write', owner }))
}

function surroundings (world: World): Action[] {
  const { owners, setup, said, on, status, life } = world
  const says = owners.filter(owner => said[owner] < setup.says[owner].length).map((owner): Action => ({ type: 'say', owner }))
  const comes = owners.filter(owner => !on[owner]).map((owner): Action => ({ type: 'on', owner }))
  const wakes: Action[] = status === 'open' && life.core.nextWake() < Infinity ? [{ type: 'wake' }] : []
  return [...says, ...comes, ...wakes]
}

function faults (world: World): Action[] {
  const { owners, on, writes, status, turns, late } = world
  const actions: Action[] = []

  for (const message of distinct(world)) {
    mayAgain(world, 'again') && actions.push({ type: 'again', message })
    mayAgain(world, 'drop') && actions.push({ type: 'drop', message })
  }
  for (const owner of owners) {
    on[owner] && mayAgain(world, 'off') && actions.push({ type: 'off', owner })
    on[owner] && mayAgain(world, 'gone') && actions.push({ type: 'gone', owner })
    ;(writes[owner] ?? []).length > 0 && mayAgain(world, 'unwritten') && actions.push({ type: 'unwritten', owner })
  }
  for (const [owner, [running]] of turns) {
    answersTo(world, running).slice(1).forEach(answer => { actions.push({ type: 'step', owner, answer }) })
  }
  late.forEach((turn, i) => {
    answersTo(world, turn).slice(1).forEach(answer => { actions.push({ type: 'late', turn: i, answer }) })
  })
  if (status !== 'none') {
    mayAgain(world, 'close') && actions.push({ type: 'close' })
    mayAgain(world, 'crash') && actions.push({ type: 'crash' })
  }

  return actions
}

/** What may come of what a turn waits for. To the same canReplicate says the same again */
function answersTo (world: World, { document, life }: Turn): Answer[] {
  // of one that is no news any more nobody is asked
  const verdict = life.core.isNews(document) ? world.verdict(document.owner, document) : true
  const answers: Answer[] = []

  verdict !== false && answers.push('yes')
  ;(verdict === false || (verdict == null && mayAgain(world, 'refuse'))) && answers.push('no')
  mayAgain(world, 'fail') && answers.push('fail')
  return answers
}

function mayAgain ({ setup, spent }: World, budget: Budget): boolean {
  return (spent[budget] ?? 0) < (setup.budget[budget] ?? 0)
}

/** Which of them it is of those that are the same is all one */
function distinct ({ messages }: World): number[] {
  const names = messages.map(nameOf)
  return names.flatMap((name, i) => names.indexOf(name) === i ? [i] : [])
}
