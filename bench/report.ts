/** What is measured beside each other: we, what the stack below can do at most, and other packages by their names */
export type Contender = 'ours' | 'limit' | string

export interface CaseTitle {
  suite: string
  case: string
  unit: string
  better: 'more' | 'less'
  /** What the limit is, where the cases of a suite have different ones */
  limitIs?: string
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

  return {
    ...title,
    ...rounded('ours', ours),
    ...rounded('limit', medians.get('limit')),
    peers: Object.fromEntries(others.filter(([contender]) => contender !== 'limit').map(([contender, value]) => [contender, significant(value)])),
    ratio: Object.fromEntries(ratio),
    ...(Object.keys(lost).length > 0 ? { lost } : {})
  }
}

function rounded (name: string, value?: number): Record<string, number> {
  return value == null ? {} : { [name]: significant(value) }
}

/**
 * No more digits than a measurement has
 */
function significant (value: number): number {
  return Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3))
}

const COLUMNS: Array<{ head: string, width: number, cell (result: CaseResult): string }> = [
  { head: 'case', width: 44, cell: result => result.case },
  { head: 'unit', width: 10, cell: result => result.unit },
  { head: 'better', width: 8, cell: result => result.better },
  { head: 'ours', width: 12, cell: result => number(result.ours) },
  { head: 'limit', width: 20, cell: result => beside(result.limit, result.ratio.limit) }
]

const PEER_WIDTH = 22

/**
 * The first line of the table
 */
export function tableHead (peers: string[]): string {
  return [
    ...COLUMNS.map(({ head, width }) => head.padEnd(width)),
    ...peers.map(peer => peer.padEnd(PEER_WIDTH))
  ].join('').trimEnd()
}

/**
 * A line of the table: what others reach, and in brackets how many times as much we do
 */
export function tableRow (result: CaseResult, peers: string[]): string {
  const row = [
    ...COLUMNS.map(({ cell, width }) => cell(result).padEnd(width)),
    ...peers.map(peer => beside(result.peers[peer], result.ratio[peer]).padEnd(PEER_WIDTH)),
    result.limitIs ?? ''
  ].join('').trimEnd()
  const lost = Object.entries(result.lost ?? {}).map(([contender, what]) => `${contender} lost ${what}`)

  return lost.length > 0 ? `${row}\n  ${lost.join(', ')}` : row
}

function number (value?: number): string {
  return value == null ? '-' : value.toLocaleString('en')
}

function beside (value?: number, ratio?: number): string {
  return ratio == null ? number(value) : `${number(value)} (${number(ratio)} x)`
}
