/** What `npm run simulate` understands */
export interface Options {
  nodes: number
  seed: number
  relays: number
  minutes: number
  topics: number
  random: boolean
  /** Peers of one log, instead of a pubsub */
  replication: boolean
  /** So many relays in a mesh, instead of leaves around a few of them; 0: not */
  mesh: number
  /** Neighbours of each of those */
  degree: number
  /** So many runs, from `seed` on */
  seeds: number
  verbose: boolean
}

const NUMBERS = { '--nodes': 'nodes', '--seed': 'seed', '--relays': 'relays', '--minutes': 'minutes', '--topics': 'topics', '--mesh': 'mesh', '--degree': 'degree', '--seeds': 'seeds' } as const
const SWITCHES = { '--random': 'random', '--replication': 'replication', '--verbose': 'verbose' } as const

export const DEFAULTS: Options = { nodes: 1000, seed: 1, relays: 12, minutes: 10, topics: 4, mesh: 0, degree: 6, random: false, replication: false, seeds: 1, verbose: false }

/** Throws an error whose message is for the person at the terminal */
export function parse (args: string[]): Options {
  const options = { ...DEFAULTS }

  for (let i = 0; i < args.length; i++) {
    const name = args[i]

    if (Object.hasOwn(SWITCHES, name)) {
      options[SWITCHES[name as keyof typeof SWITCHES]] = true
    } else if (Object.hasOwn(NUMBERS, name)) {
      const value = Number(args[++i])

      if (!Number.isInteger(value) || value < 0) {
        throw new Error(`${name} takes a whole number, not ${args[i] ?? 'nothing'}`)
      }
      options[NUMBERS[name as keyof typeof NUMBERS]] = value
    } else {
      throw new Error(`unknown option ${name}: there are ${[...Object.keys(NUMBERS), ...Object.keys(SWITCHES)].join(', ')}`)
    }
  }

  if (options.relays < 3 || options.nodes <= options.relays) {
    throw new Error('--relays has to be 3 or more, and --nodes more than that')
  }

  return options
}

/** The command that does the same again */
export function replay (options: Options): string {
  const numbers = Object.entries(NUMBERS).filter(([, key]) => options[key] !== DEFAULTS[key] || key === 'seed')
  return ['npm run simulate --', ...options.random ? ['--random'] : [], ...options.replication ? ['--replication'] : [], ...numbers.map(([name, key]) => `${name} ${options[key]}`)].join(' ')
}
