import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crashVerdict } from './crash-policy.ts'

const crash = (endedAtS: number, livedS: number) => ({
  startedAt: new Date((endedAtS - livedS) * 1000),
  endedAt: new Date(endedAtS * 1000),
})

test('each quick crash waits twice as long, the fifth is the last', () => {
  const crashes = [1, 3, 5, 7, 9].map(at => crash(at, 1))
  const delays = [1, 2, 3, 4].map(count => {
    const verdict = crashVerdict(crashes.slice(0, count))
    return verdict.kind === 'restart' && verdict.at.getTime() - (crashes[count - 1]?.endedAt.getTime() ?? 0)
  })
  assert.deepEqual(delays, [500, 1000, 2000, 4000])
  assert.deepEqual(crashVerdict(crashes.toReversed()), { kind: 'give-up', crashes: 5 })
})

test('one that ran for long begins the count anew', () => {
  const before = [1, 2, 3, 4].map(at => crash(at, 1))
  assert.deepEqual(crashVerdict([...before, crash(100, 90)]), { kind: 'restart', at: new Date(100_000), crashes: 0 })
  const after = crashVerdict([...before, crash(100, 90), crash(101, 1)])
  assert.equal(after.kind === 'restart' && after.crashes, 1)
})
