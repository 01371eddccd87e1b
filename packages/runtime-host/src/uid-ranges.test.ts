import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RANGE_SIZE, SLOTS, UidRanges } from './uid-ranges.ts'

test('slots go round, past those in use, and the next ones are known before', () => {
  const ranges = new UidRanges({ instance: 'cr000001', used: [2, 4] })
  assert.deepEqual(ranges.next(3), [1, 3, 5])
  assert.deepEqual([ranges.take(), ranges.take(), ranges.take()], [1, 3, 5])
  ranges.free(1)
  assert.equal(ranges.take(), 6)
  for (let n = 7; n <= SLOTS; n++) ranges.take()
  assert.deepEqual(ranges.next(3), [1])
  assert.equal(ranges.take(), 1)
  assert.throws(() => ranges.take(), { code: 'unavailable' })
})

test('the provider has an id that no sandbox gets', () => {
  const ranges = new UidRanges({ instance: 'cr000001', used: [] })
  const first = ranges.rootOf(ranges.take())
  assert.ok(ranges.ownUser < first && ranges.ownUser > first - RANGE_SIZE)
})
