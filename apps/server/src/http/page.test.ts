import assert from 'node:assert/strict'
import test from 'node:test'
import { decodeCursor, pageOf } from './page.ts'

test('a page ends in a cursor that holds the last row shown, as long as there is more', () => {
  const rows = [5, 4, 3].map(id => ({ id }))
  const page = pageOf(
    rows,
    2,
    row => [row.id],
    row => row.id,
  )
  assert.deepEqual(page.items, [5, 4])
  assert.match(page.nextCursor ?? '', /^[\w-]+$/)
  assert.deepEqual(decodeCursor(page.nextCursor ?? '', ['number']), [4])
  assert.equal(
    pageOf(
      rows,
      3,
      row => [row.id],
      row => row.id,
    ).nextCursor,
    undefined,
  )
})

test('a cursor that no page has given is refused', () => {
  for (const cursor of [
    '',
    'x',
    Buffer.from('["a"]').toString('base64url'),
    Buffer.from('[1,2]').toString('base64url'),
  ])
    assert.throws(() => decodeCursor(cursor, ['number']), { code: 'invalid_request' })
})
