import { UsageError } from './usage-error.ts'

const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 }

/** Reads `90s`, `1h30m`, `2d`; undefined when it is something else. */
export function parseDurationMs(text: string): number | undefined {
  if (!/^(\d+(?:\.\d+)?(ms|s|m|h|d|w))+$/.test(text)) return undefined
  let total = 0
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d|w)/g))
    total += Number(amount) * unitMs[unit as keyof typeof unitMs]
  return total
}

export function readDurationMs(text: string, option: string): number {
  const ms = parseDurationMs(text)
  if (ms === undefined || ms <= 0)
    throw new UsageError(`${option} takes a duration such as 30s, 10m or 1h30m, not “${text}”.`)
  return ms
}

/** A moment: so long ago (`1h30m`), or a date with or without a time in ISO 8601; without a zone it is local time. */
export function readMoment(text: string, option: string, nowMs: number): string {
  const ago = parseDurationMs(text)
  const local = /^\d{4}-\d{2}-\d{2}$/.test(text) ? `${text}T00:00` : text.replace(' ', 'T')
  const time =
    ago !== undefined ? nowMs - ago : /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}/.test(local) ? Date.parse(local) : Number.NaN
  if (Number.isNaN(time) || Math.abs(time) > 8.64e15)
    throw new UsageError(`${option} takes so long ago (30m, 1h, 2d) or a date such as 2026-01-31T12:00, not “${text}”.`)
  return new Date(time).toISOString()
}

/** `4 ms`, `1.2 s`, `3m 05s`, `2h 10m`, `3d`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`
  const seconds = Math.round(ms / 1000)
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${String(seconds % 60).padStart(2, '0')}s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 2 * 24 * 60) return `${Math.floor(minutes / 60)}h ${String(minutes % 60).padStart(2, '0')}m`
  return `${Math.floor(minutes / (24 * 60))}d`
}

/** Age of something for a table: `12s`, `5m`, `3h`, `9d`. */
export function formatAge(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  if (seconds < 120) return `${seconds}s`
  if (seconds < 120 * 60) return `${Math.floor(seconds / 60)}m`
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)}h`
  return `${Math.floor(seconds / 86_400)}d`
}

export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`
  if (bytes < 999_500) return `${Math.round(bytes / 1000)} kB`
  if (bytes < 999_500_000) return `${(bytes / 1e6).toFixed(1)} MB`
  return `${(bytes / 1e9).toFixed(1)} GB`
}
