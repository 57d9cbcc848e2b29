import { Judge } from './judge.ts'
import type { Held } from './judge.ts'
import type { Id, Subject } from './subject.ts'

/** What tasks share between two steps: the tickets of resends that are out */
type Desk = Map<Id, Held | undefined>
/** Runs in one tick: between two steps there is an await, where any other task may have its turn */
type Step = (judge: Judge, desk: Desk) => void

export interface Scenario {
  tasks: Step[][]
  /** What ends all that may be left. Without it all ends by itself: a last dropStream would hide a leak */
  end?: Step
}

const register = (id: Id, owner = 's', link = 'L'): Step => judge => { judge.register(id, owner, link) }
const ack = (id: Id): Step => judge => { judge.ack(id) }
const abandon = (id: Id): Step => judge => { judge.abandon(id) }
const unsend = (id: Id): Step => judge => { judge.unsend(id) }
const drop = (owner = 's'): Step => judge => { judge.dropStream(owner) }
const cut = (link = 'L'): Step => judge => { judge.dropLink(link) }
const begin = (id: Id): Step => (judge, desk) => { desk.set(id, judge.beginResend(id)) }
const commit = (id: Id, link = 'L'): Step => (judge, desk) => { judge.commitResend(desk.get(id), link) }
const both = (...steps: Step[]): Step => (judge, desk) => { steps.forEach(step => { step(judge, desk) }) }

export const scenarios: Record<string, Scenario> = {
  'sent again, dropped, and acked late': {
    tasks: [[register(1), begin(1), commit(1), begin(1), commit(1)], [drop()], [ack(1)]],
    end: drop()
  },
  'two streams on one link': {
    tasks: [[register(1), begin(1), commit(1)], [register(2, 'u'), begin(2), commit(2), ack(2)], [drop()], [ack(1), ack(1)]],
    end: both(drop(), drop('u'))
  },
  'given up, dropped, acked twice': {
    tasks: [[register(1), begin(1), commit(1), abandon(1)], [ack(1)], [drop()], [ack(1)]],
    end: drop()
  },
  'a send that fails while its stream ends': {
    tasks: [[both(register(1), register(2)), unsend(2), drop()], [ack(1)], [drop()]],
    end: drop()
  },
  'a send that fails in a transfer that ends by itself': {
    tasks: [[register(1), register(2), unsend(2)], [ack(1), ack(1)], [begin(1), commit(1)]],
    end: ack(1)
  },
  'a link that dies while something is sent again by another': {
    tasks: [[register(1), begin(1), commit(1, 'M')], [cut()], [cut('M'), ack(1)], [drop()]],
    end: drop()
  },
  'a link that dies, and what it carried goes by another': {
    tasks: [[both(register(1), register(2)), both(cut(), register(1, 's', 'M')), ack(1)], [begin(1), commit(1, 'M')], [ack(2), drop()]],
    end: drop()
  },
  'an id that is used again while the first is sent again': {
    tasks: [[register(1), begin(1), commit(1, 'M')], [ack(1), register(1, 'u')], [drop(), drop('u')]],
    end: both(drop(), drop('u'))
  },
  'a producer that goes on after the end': {
    tasks: [[register(1), register(2), register(3)], [drop()], [ack(1), ack(3)]],
    end: drop()
  },
  'control beside a stream that ends': {
    tasks: [[register(4, 'c'), begin(4), commit(4)], [register(1), register(2), ack(2)], [drop(), drop()]],
    end: both(ack(4))
  }
}

export interface Verdict {
  schedules: number
  wrong: number
  /** What the first was, and in which order the tasks had their turns */
  first?: string
}

/** Every order in which the tasks can have their turns */
export function runAll (create: () => Subject): Verdict {
  const verdict: Verdict = { schedules: 0, wrong: 0 }

  for (const [name, { tasks, end }] of Object.entries(scenarios)) {
    for (const order of orders(tasks.map(({ length }) => length))) {
      const judge = new Judge(create())
      const desk: Desk = new Map()
      const at = tasks.map(() => 0)
      order.forEach(task => { tasks[task][at[task]++](judge, desk) })
      end?.(judge, desk)
      judge.rest()
      verdict.schedules++

      if (judge.wrong != null) {
        verdict.wrong++
        verdict.first ??= `${name}, in the order ${order.join('')}: ${judge.wrong}`
      }
    }
  }

  return verdict
}

const ALPHABET: Step[] = [
  register(1), register(1, 'u', 'M'), register(2, 'u'), ack(1), abandon(2), begin(1), commit(1, 'M'), begin(2), commit(2), drop(), drop('u'), cut(), cut('M')
]

/** Every sequence of so many events, whether it makes sense or not */
export function runSequences (create: () => Subject, length: number): Verdict {
  const verdict: Verdict = { schedules: 0, wrong: 0 }
  const total = ALPHABET.length ** length

  for (let number = 0; number < total; number++) {
    const judge = new Judge(create())
    const desk: Desk = new Map()

    for (let i = 0, rest = number; i < length; i++, rest = Math.floor(rest / ALPHABET.length)) {
      ALPHABET[rest % ALPHABET.length](judge, desk)
    }

    verdict.schedules++

    if (judge.wrong != null) {
      verdict.wrong++
      verdict.first ??= `sequence ${number}: ${judge.wrong}`
    }
  }

  return verdict
}

function * orders (left: number[], order: number[] = []): Generator<number[]> {
  if (left.every(count => count === 0)) {
    yield [...order]
  }

  for (const [task, count] of left.entries()) {
    if (count > 0) {
      left[task]--
      order.push(task)
      yield * orders(left, order)
      order.pop()
      left[task]++
    }
  }
}
