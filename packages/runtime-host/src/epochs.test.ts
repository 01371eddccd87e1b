import assert from 'node:assert/strict'
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { StaleEpochError } from '@coderunner/runtime'
import { Epochs } from './epochs.ts'

test('the highest epoch of a key is remembered, also over a crash', () => {
  const directory = mkdtempSync(join(tmpdir(), 'cr-epochs-'))
  const path = join(directory, 'epochs')
  try {
    const epochs = Epochs.open(path)
    for (const epoch of [1, 3, 3]) epochs.check({ key: 'some key', epoch })
    epochs.check({ key: 'other', epoch: 1 })
    assert.throws(() => epochs.check({ key: 'some key', epoch: 2 }), StaleEpochError)
    appendFileSync(path, '99 ot')
    const again = Epochs.open(path)
    assert.throws(() => again.check({ key: 'some key', epoch: 2 }), StaleEpochError)
    again.check({ key: 'other', epoch: 2 })
    assert.deepEqual(readFileSync(path, 'utf8').trimEnd().split('\n'), ['3 some key', '1 other', '2 other'])
  } finally {
    rmSync(directory, { recursive: true })
  }
})
