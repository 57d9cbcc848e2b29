import { InvalidOptionsError } from './errors.ts'

/** What an option has to be, for a check and for a sentence */
export type Rule = [isRight: (value: any) => boolean, what: string]

export const ANYTHING: Rule = [() => true, 'anything']
export const BOOLEAN: Rule = [value => typeof value === 'boolean', 'true or false']
export const COUNT: Rule = [value => Number.isSafeInteger(value) && value > 0, 'a whole number from 1 on']
export const FUNCTION: Rule = [value => typeof value === 'function', 'a function']
export const MILLISECONDS: Rule = [
  value => typeof value === 'number' && value >= 0 && value < 2 ** 31, 'a number of milliseconds'
]
export const SIGNAL: Rule = [value => typeof value?.addEventListener === 'function', 'an AbortSignal']

/**
 * Options without a value are not looked at: a caller may hand on what its own left out. Throws an InvalidOptionsError
 */
export function checkOptions (where: string, options: object, rules: Record<string, [Rule, ...unknown[]]>): void {
  if (typeof options !== 'object' || options === null) {
    throw new InvalidOptionsError(`Options of ${where} have to be an object, not ${String(options)}`)
  }

  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(rules, name)) {
      throw new InvalidOptionsError(`${where} has no option '${name}': there are ${Object.keys(rules).join(', ')}`)
    }

    const [[isRight, what]] = rules[name]

    if (value !== undefined && !holds(isRight, value)) {
      throw new InvalidOptionsError(`${name} of ${where} has to be ${what}, not ${String(value)}`)
    }
  }
}

function holds (isRight: Rule[0], value: unknown): boolean {
  try {
    return isRight(value)
  } catch {
    // it is not even of a type that can be looked at
    return false
  }
}
