import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OrderQueue } from './order-queue.ts'

test('one name’s orders run in turn, also after a failure; others do not wait', async () => {
  const queue = new OrderQueue()
  const said: string[] = []
  const gate = Promise.withResolvers<void>()
  const first = queue.run('a', async () => {
    await gate.promise
    said.push('a1')
    throw new Error('failed')
  })
  const second = queue.run('a', async () => said.push('a2'))
  await queue.run('b', async () => said.push('b1'))
  gate.resolve()
  await assert.rejects(first, /failed/)
  await second
  await queue.idle()
  assert.deepEqual(said, ['b1', 'a1', 'a2'])
})
