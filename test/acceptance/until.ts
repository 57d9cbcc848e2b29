/** Milliseconds until a condition has to hold: on a machine that does many other things, too */
export const PATIENCE = 60_000
/** Milliseconds between two looks */
const LOOK_AGAIN = 25

/** Waits until it is so; resolves to the milliseconds that it took */
export async function until (
  what: string | (() => string), isSo: () => boolean | Promise<boolean>, patience = PATIENCE
): Promise<number> {
  const began = performance.now()

  while (!await isSo()) {
    if (performance.now() - began > patience) {
      throw new Error(`Waited ${patience} ms in vain until ${typeof what === 'string' ? what : what()}`)
    }
    await new Promise<void>(resolve => { setTimeout(resolve, LOOK_AGAIN) })
  }

  return performance.now() - began
}

/** Lets time pass: only where that is what a test is about */
export async function after (ms: number): Promise<void> {
  await new Promise<void>(resolve => { setTimeout(resolve, ms) })
}
