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

  if (!(asked instanceof Promise)) {
    return refusalOf(asked)
  }

  return new Promise((resolve, reject) => {
    const timer = clock.after(CAN_APPEND_DEADLINE, () => {
      const what = `did not say anything for ${CAN_APPEND_DEADLINE} ms: it must not wait for the log`
      resolve(new AppendRefusedError(`canAppend of this log ${what}`))
    })
    asked.then(is => { resolve(refusalOf(is)) }, reject).finally(() => { timer.cancel() })
  })
}

function refusalOf (isWanted: boolean): Error | undefined {
  return isWanted ? undefined : new AppendRefusedError('canAppend of this log refused the entry')
}
