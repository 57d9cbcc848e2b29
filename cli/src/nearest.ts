/** What somebody may have meant: undefined where nothing is near enough to what was typed */
export function nearest <T extends string> (typed: string, names: readonly T[]): T | undefined {
  const [best] = names
    .map(name => ({ name, far: distance(typed, name) }))
    .filter(({ name, far }) => far <= Math.max(1, Math.floor(name.length / 3)) || isStart(typed, name))
    .sort((a, b) => a.far - b.far)
  return best?.name
}

const isStart = (typed: string, name: string): boolean => typed.length >= 3 && name.startsWith(typed)

/** Letters to insert, to leave out, to replace, or to swap with the next one (Damerau) */
function distance (a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)]

  for (let i = 1; i <= a.length; i++) {
    rows.push([i])

    for (let j = 1; j <= b.length; j++) {
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      rows[i][j] = Math.min(
        rows[i - 1][j] + 1,
        rows[i][j - 1] + 1,
        rows[i - 1][j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1),
        isSwap ? rows[i - 2][j - 2] + 1 : Infinity
      )
    }
  }

  return rows[a.length][b.length]
}
