/** What becomes of an application that ended by itself: started again, later each time, and given up after five. */

export interface Crash {
  startedAt: Date
  endedAt: Date
}

export type CrashVerdict = { kind: 'restart'; at: Date; crashes: number } | { kind: 'give-up'; crashes: number }

export const crashLimit = 5
/** One that ran longer than this has worked: its end begins a new count. */
const quickMs = 60_000
const firstDelayMs = 500

/** `crashes`: since the last order of a person, in any order; at least one. */
export function crashVerdict(crashes: readonly Crash[]): CrashVerdict {
  const newestFirst = crashes.toSorted((a, b) => b.endedAt.getTime() - a.endedAt.getTime())
  const firstLong = newestFirst.findIndex(
    ({ startedAt, endedAt }) => endedAt.getTime() - startedAt.getTime() >= quickMs,
  )
  const quick = firstLong === -1 ? newestFirst.length : firstLong
  if (quick >= crashLimit) return { kind: 'give-up', crashes: quick }
  const last = newestFirst[0]?.endedAt.getTime() ?? 0
  const delayMs = quick === 0 ? 0 : firstDelayMs * 2 ** (quick - 1)
  return { kind: 'restart', at: new Date(last + delayMs), crashes: quick }
}
