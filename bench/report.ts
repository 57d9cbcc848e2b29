/** What is measured beside each other: we, what the stack below can do at most, and other packages by their names */
export type Contender = 'ours' | 'limit' | string

export interface CaseTitle {
  suite: string
  case: string
  unit: string
  better: 'more' | 'less'
  /** What the limit is, where the cases of a suite have different ones */
  limitIs?: string
  /** How much `ours`, or how many times the limit, should be: at least, or at most where less is better */
  wanted?: { ours: number } | { ratio: number }
}

/**
 * One line of a report. A contender that was not measured, or failed, is left out.
 */
export interface CaseResult extends CaseTitle {
  ours?: number
  limit?: number
  peers: Record<string, number>
  /** `ours` divided by each of the others */
  ratio: Record<string, number>
  /** What did not arrive, by contender, where anything did not */
  lost?: Record<string, string>
  /** Whether what is wanted was reached. Left out where that was not measured */
  met?: boolean
  /** Milliseconds that our event loop kept others waiting meanwhile: the 99th percentile */
  lag?: number
  /** What a reader of the line has to know, for example that it was measured at a smaller size */
  note?: string
}

/** What the table of a suite has columns for */
export interface Table {
  /** The other packages that stand beside ours, in the order of their columns */
  peers: string[]
  /** Whether cases say what is wanted of them, and for how long they block the event loop */
  hasWanted?: boolean
}

/** What the rounds of one case gave, in the order in which they ran */
export type Samples = Map<Contender, number[]>

export function median (values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b)

  return sorted[Math.floor(sorted.length / 2)]
}

export function summarise (title: CaseTitle, samples: Samples, lost: Record<string, string> = {}): CaseResult {
  const medians = new Map<Contender, number>()

  for (const [contender, values] of samples) {
    if (values.length > 0) {
      medians.set(contender, median(values))
    }
  }

  const ours = medians.get('ours')
  const others = [...medians].filter(([contender]) => contender !== 'ours')
  const ratio = others.flatMap(([contender, value]): Array<[string, number]> => ours == null || value === 0 ? [] : [[contender, significant(ours / value)]])

  const limit = medians.get('limit')

  return {
    ...title,
    ...rounded('ours', ours),
    ...rounded('limit', limit),
    peers: Object.fromEntries(others.filter(([contender]) => contender !== 'limit').map(([contender, value]) => [contender, significant(value)])),
    ratio: Object.fromEntries(ratio),
    ...(Object.keys(lost).length > 0 ? { lost } : {}),
    ...met(title, ours, limit)
  }
}

/** By what was measured, not by what is left of that when it is rounded */
function met ({ better, wanted }: CaseTitle, ours?: number, limit?: number): { met?: boolean } {
  if (wanted == null || ours == null || ('ratio' in wanted && limit == null)) {
    return {}
  }

  const [is, should] = 'ours' in wanted ? [ours, wanted.ours] : [ours / Number(limit), wanted.ratio]

  return { met: better === 'more' ? is >= should : is <= should }
}

function rounded (name: string, value?: number): Record<string, number> {
  return value == null ? {} : { [name]: significant(value) }
}

/**
 * No more digits than a measurement has
 */
export function significant (value: number): number {
  return Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3))
}

interface Column { head: string, width: number, cell (result: CaseResult): string }

const CASE_WIDTH = 44
const PEER_WIDTH = 22

const COLUMNS: Column[] = [
  { head: 'unit', width: 10, cell: result => result.unit },
  { head: 'better', width: 8, cell: result => result.better },
  { head: 'ours', width: 12, cell: result => number(result.ours) },
  { head: 'limit', width: 20, cell: result => beside(result.limit, result.ratio.limit) }
]

const WANTED_COLUMNS: Column[] = [
  { head: 'wanted', width: 20, cell: wantedOf },
  { head: 'lag, ms', width: 9, cell: result => number(result.lag) }
]

/**
 * The first line of the table
 */
export function tableHead (table: Table): string {
  return ['case'.padEnd(CASE_WIDTH), ...columns(table).map(({ head, width }) => head.padEnd(width))].join('').trimEnd()
}

/**
 * A line of the table: what others reach, and in brackets how many times as much we do
 */
export function tableRow (result: CaseResult, table: Table): string {
  // a title that is too long for its column has a line of its own
  const title = result.case.length < CASE_WIDTH ? result.case.padEnd(CASE_WIDTH) : `${result.case}\n${' '.repeat(CASE_WIDTH)}`
  const row = [title, ...columns(table).map(({ cell, width }) => cell(result).padEnd(width)), result.limitIs ?? ''].join('').trimEnd()
  const lost = Object.entries(result.lost ?? {}).map(([contender, what]) => `${contender} lost ${what}`)
  const below = [lost.join(', '), result.note ?? ''].filter(text => text !== '')

  return [row, ...below].join('\n  ')
}

function columns ({ peers, hasWanted = false }: Table): Column[] {
  return [
    ...COLUMNS,
    ...(hasWanted ? WANTED_COLUMNS : []),
    ...peers.map(peer => ({ head: peer, width: PEER_WIDTH, cell: (result: CaseResult) => beside(result.peers[peer], result.ratio[peer]) }))
  ]
}

/** For example '>= 0.65 x  met' */
function wantedOf ({ better, wanted, met }: CaseResult): string {
  if (wanted == null) {
    return ''
  }

  const value = 'ours' in wanted ? number(wanted.ours) : `${number(wanted.ratio)} x`
  const asked = `${better === 'more' ? '>=' : '<='} ${value}`

  if (met == null) {
    return asked
  }

  return `${asked}  ${met ? 'met' : 'MISSED'}`
}

function number (value?: number): string {
  return value == null ? '-' : value.toLocaleString('en')
}

function beside (value?: number, ratio?: number): string {
  return ratio == null ? number(value) : `${number(value)} (${number(ratio)} x)`
}
