import assert from 'node:assert/strict'
import { test } from 'node:test'
import { routes } from '@coderunner/client'
import { TestServer } from '@coderunner/server/testing'

test('every route of the typed client is in the OpenAPI document', async () => {
  await using server = await TestServer.start()
  const { body: document } = await server.request('GET', '/api/openapi.json')
  const { paths } = document as { paths: Record<string, Record<string, unknown>> }
  for (const { method, path } of routes)
    assert.ok(paths[path]?.[method.toLowerCase()] !== undefined, `${method} ${path} is not in the OpenAPI document`)
})
