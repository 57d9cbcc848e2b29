const OFFSET = Number(process.hrtime.bigint()) / 1e6 - performance.now()

/**
 * Milliseconds on a clock that all processes of one machine share
 */
export function sharedNow (): number {
  return performance.now() + OFFSET
}

export async function sleep (ms: number): Promise<void> {
  await new Promise<void>(resolve => setTimeout(resolve, ms))
}

/**
 * Looks at a condition until it is met, tells whether it was met in time
 */
export async function met (condition: () => boolean | Promise<boolean>, timeout: number): Promise<boolean> {
  const deadline = performance.now() + timeout

  while (!(await condition())) {
    if (performance.now() > deadline) {
      return false
    }

    await sleep(2)
  }

  return true
}

/**
 * As `met`, where going on without it would measure something else
 */
export async function need (what: string, condition: () => boolean | Promise<boolean>, timeout: number = 10_000): Promise<void> {
  if (!await met(condition, timeout)) {
    throw new Error(`${what}: not in ${timeout} ms`)
  }
}
