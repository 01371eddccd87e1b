/** One figure: ours beside its baseline in the same run. `stages` breaks ours down, in the same unit. */
export interface BenchLine {
  name: string
  ours: number
  baseline: number
  ratio: number
  unit: string
  stages?: Record<string, number>
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

export function benchLine(
  name: string,
  ours: number,
  baseline: number,
  unit: string,
  stages?: Record<string, number>,
): BenchLine {
  const round = (value: number) => Math.round(value * 1000) / 1000
  const line = { name, ours: round(ours), baseline: round(baseline), ratio: round(ours / baseline), unit }
  return stages === undefined
    ? line
    : { ...line, stages: Object.fromEntries(Object.entries(stages).map(([k, v]) => [k, round(v)])) }
}
