import { within } from '../runtime/within.ts'
import { CAN_APPEND_DEADLINE } from './constants.ts'
import { AppendRefusedError } from './errors.ts'
import { LogEntry } from './log-entry.ts'
import type { TrueEntry } from './core/types.ts'
import type { LogInit } from './index.ts'
import type { Clock } from '../runtime/clock.ts'

type CanAppend = NonNullable<LogInit['canAppend']>

/** Why the program does not want an entry; undefined: it does. It has `ms` to say so. Throws what `canAppend` throws */
export function admission (
  canAppend: CanAppend, entry: TrueEntry, clock: Clock, ms = CAN_APPEND_DEADLINE
): Error | undefined | Promise<Error | undefined> {
  const asked = canAppend(new LogEntry(entry))
  const judge = (isWanted: boolean): Error | undefined => isWanted ? undefined : refused('refused the entry')
  const late = (): Error => refused(`did not say anything for ${Math.ceil(ms)} ms: it must not wait for the log`)
  return isLater(asked) ? within(clock, ms, Promise.resolve(asked).then(judge), late) : judge(asked)
}

/**
 * Why an entry of somebody else is not wanted. A `canAppend` that throws at an entry refuses it: otherwise one entry
 * that nobody can parse would keep out all that come with it
 */
export function admissionOfOthers (
  canAppend: CanAppend, entry: TrueEntry, clock: Clock, ms = CAN_APPEND_DEADLINE
): Error | undefined | Promise<Error | undefined> {
  const failed = (err: any): Error => refused(`failed at an entry (${err?.message ?? err}): catch that in it`, err)

  try {
    const refusal = admission(canAppend, entry, clock, ms)
    return refusal instanceof Promise ? refusal.catch(failed) : refusal
  } catch (err) {
    return failed(err)
  }
}

/** Not only promises of this realm: an object that is not looked at would count as a yes */
function isLater (asked: boolean | PromiseLike<boolean>): asked is PromiseLike<boolean> {
  return typeof (asked as Partial<PromiseLike<boolean>> | undefined)?.then === 'function'
}

function refused (why: string, cause?: unknown): Error {
  return new AppendRefusedError(`canAppend of this log ${why}`, { cause })
}
