import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatAge, formatBytes, formatDuration, parseDurationMs, readMoment } from './duration.ts'
import { UsageError } from './usage-error.ts'

test('durations are read in the usual units, together too', () => {
  const cases = {
    '500ms': 500,
    '90s': 90_000,
    '1h30m': 5_400_000,
    '2d': 172_800_000,
    '1w': 604_800_000,
    '1.5h': 5_400_000,
  }
  for (const [text, ms] of Object.entries(cases)) assert.equal(parseDurationMs(text), ms, text)
  for (const text of ['', '5', 'm', '-1h', '1h ', '1y', '1h30']) assert.equal(parseDurationMs(text), undefined, text)
})

test('a moment is so long ago, or a date', () => {
  const now = Date.parse('2026-03-01T12:00:00Z')
  assert.equal(readMoment('30m', '--since', now), '2026-03-01T11:30:00.000Z')
  assert.equal(readMoment('2026-02-28T10:00:00Z', '--since', now), '2026-02-28T10:00:00.000Z')
  assert.equal(readMoment('2026-02-28T10:00:00+02:00', '--since', now), '2026-02-28T08:00:00.000Z')
  assert.equal(readMoment('2026-02-28', '--since', now), new Date(2026, 1, 28).toISOString())
  assert.equal(readMoment('2026-02-28 10:15', '--since', now), new Date(2026, 1, 28, 10, 15).toISOString())
  for (const text of ['yesterday', '12', '2026-13-01', '', '9999999999w'])
    assert.throws(() => readMoment(text, '--since', now), UsageError, text)
})

test('durations, ages and sizes are short to read', () => {
  assert.deepEqual([4, 999, 1200, 59_940, 65_000, 3_600_000, 7_800_000, 3 * 86_400_000].map(formatDuration), [
    '4 ms',
    '999 ms',
    '1.2 s',
    '59.9 s',
    '1m 05s',
    '1h 00m',
    '2h 10m',
    '3d',
  ])
  assert.deepEqual([-5, 5000, 300_000, 10_800_000, 864_000_000].map(formatAge), ['0s', '5s', '5m', '3h', '10d'])
  assert.deepEqual([0, 999, 1500, 2_345_678, 5e9].map(formatBytes), ['0 B', '999 B', '2 kB', '2.3 MB', '5.0 GB'])
})
