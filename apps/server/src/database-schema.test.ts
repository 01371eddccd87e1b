import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import test from 'node:test'
import { generateSchema } from '../../../scripts/generate-schema.ts'

test('the schema types are those of the migrations (else run scripts/generate-schema.ts)', async () => {
  assert.equal(await readFile(new URL('database-schema.ts', import.meta.url), 'utf8'), await generateSchema())
})
