import assert from 'node:assert/strict'
import test from 'node:test'
import { TestServer } from '../test-server.ts'
import { HealthChecks } from './health-checks.ts'

test('health, in short for everybody and in detail for administrators', async () => {
  await using server = await TestServer.start()
  assert.deepEqual((await server.request('GET', '/health')).body, { status: 'ok' })
  const { body } = await server.request('GET', '/api/health')
  assert.equal(body.status, 'ok')
  assert.ok(body.checks.some((check: { name: string; ok: boolean }) => check.name === 'database' && check.ok))
})

test('one check that fails makes the server degraded', async () => {
  const checks = new HealthChecks()
  checks.add('good', async () => 'fine')
  checks.add('bad', () => Promise.reject(new Error('no disk')))
  assert.deepEqual(await checks.run(), [
    { name: 'good', ok: true, detail: 'fine' },
    { name: 'bad', ok: false, detail: 'no disk' },
  ])
})

test('metrics as text and as JSON, by route and not by path', async () => {
  await using server = await TestServer.start()
  const { token } = await server.user()
  await server.request('GET', '/api/projects/aaaaaaaaaaaaaaaaaaaa', { token })
  assert.equal((await server.request('GET', '/api/metrics')).status, 401)
  const text = await server.request('GET', '/api/metrics', { token })
  assert.match(text.headers.get('content-type') ?? '', /text\/plain/)
  assert.match(
    text.body,
    /coderunner_http_request_seconds_count\{method="GET",route="\/api\/projects\/:id",status="404"\} 1/,
  )
  assert.doesNotMatch(text.body, /aaaaaaaaaa/)
  const { metrics } = (await server.request('GET', '/api/metrics/current', { token })).body
  assert.ok(metrics.some((metric: { name: string }) => metric.name === 'process_resident_memory_bytes'))
  const inFlight = metrics.find((metric: { name: string }) => metric.name === 'coderunner_http_requests_in_flight')
  assert.equal(inFlight.values[0].value, 1)
})
