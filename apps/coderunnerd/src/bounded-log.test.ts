import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { BoundedLog } from './bounded-log.ts'

test('a bounded log keeps the newest of what was written, in three files of its size', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'crlog-'))
  try {
    const path = join(directory, 'child.log')
    for (const from of [0, 50]) {
      await using log = await BoundedLog.open(path, 1000)
      for (let n = from; n < from + 50; n++) void log.write(Buffer.from(`${String(n).padStart(99)}\n`))
    }
    assert.deepEqual((await readdir(directory)).sort(), ['child.log', 'child.log.1', 'child.log.2'])
    const contents = await Promise.all(['.2', '.1', ''].map(suffix => readFile(path + suffix, 'utf8')))
    const numbers = contents.join('').trim().split(/\s+/).map(Number)
    assert.deepEqual(
      numbers,
      Array.from({ length: 30 }, (_, index) => 70 + index),
    )
  } finally {
    await rm(directory, { recursive: true })
  }
})
