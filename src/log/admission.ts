import { within } from '../runtime/within.ts'
import { CAN_APPEND_DEADLINE } from './constants.ts'
import { AppendRefusedError } from './errors.ts'
import { LogEntry } from './log-entry.ts'
import type { TrueEntry } from './core/types.ts'
import type { LogInit } from './index.ts'
import type { Clock } from '../runtime/clock.ts'

/** Why the program does not want an entry; undefined: it does. Throws what `canAppend` throws */
export function admission (
  canAppend: NonNullable<LogInit['canAppend']>, entry: TrueEntry, clock: Clock
): Error | undefined | Promise<Error | undefined> {
  const asked = canAppend(new LogEntry(entry))
  const refused = (why: string): Error => new AppendRefusedError(`canAppend of this log ${why}`)
  const judge = (isWanted: boolean): Error | undefined => isWanted ? undefined : refused('refused the entry')
  const late = (): Error => refused(`did not say anything for ${CAN_APPEND_DEADLINE} ms: it must not wait for the log`)
  return asked instanceof Promise ? within(clock, CAN_APPEND_DEADLINE, asked.then(judge), late) : judge(asked)
}
