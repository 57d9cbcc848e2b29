import { parseArgs } from 'node:util'

export interface Options {
  suite: string
  /** Fewer and shorter rounds */
  quick: boolean
  /** Also what takes minutes more, where a suite has such cases */
  long: boolean
  /** A line of JSON a case instead of a table */
  json: boolean
  /** Only cases with this in their title */
  case: string
  /** Only these contenders, all of them when it is empty */
  only: string[]
}

export function parseOptions (args: string[]): Options {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      long: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      case: { type: 'string', default: '' },
      only: { type: 'string', default: '' }
    }
  })

  return {
    suite: positionals[0] ?? '',
    quick: values.quick,
    long: values.long,
    json: values.json,
    case: values.case,
    only: values.only.split(',').filter(name => name !== '')
  }
}

export function wants (options: Options, title: string): boolean {
  return title.includes(options.case)
}

export function takes ({ only }: Options, contender: string): boolean {
  return only.length === 0 || only.includes(contender)
}
