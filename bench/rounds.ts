import type { Contender, Samples } from './report.ts'

export interface Entrant {
  readonly name: Contender

  /**
   * Runs once, the result does not count
   */
  warmUp? (): Promise<unknown>

  /**
   * One measurement, nothing if there was nothing to measure
   */
  round (): Promise<number | undefined>
}

export interface Race {
  samples: Samples
  /** What went wrong with whom */
  failures: Array<{ contender: Contender, error: Error }>
}

/**
 * Each entrant once in turn, and again: what else the machine does meanwhile
 * then weighs on all of them alike. Who fails is out of the race.
 */
export async function interleave (entrants: Entrant[], rounds: number): Promise<Race> {
  const race: Race = {
    samples: new Map(entrants.map(({ name }) => [name, []])),
    failures: []
  }
  const out = new Set<Contender>()
  const attempt = async ({ name }: Entrant, run: () => Promise<void>): Promise<void> => {
    if (out.has(name)) {
      return
    }

    try {
      await run()
    } catch (error: any) {
      out.add(name)
      race.failures.push({ contender: name, error })
    }
  }

  for (const entrant of entrants) {
    await attempt(entrant, async () => { await entrant.warmUp?.() })
  }

  for (let i = 0; i < rounds; i++) {
    for (const entrant of entrants) {
      await attempt(entrant, async () => {
        const sample = await entrant.round()

        if (sample != null) {
          race.samples.get(entrant.name)?.push(sample)
        }
      })
    }
  }

  return race
}
