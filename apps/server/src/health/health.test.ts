import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import type { RouteCounters } from '@coderunner/contract'
import { IngressClient } from '../routing/ingress-link.ts'
import { TestServer } from '../test-server.ts'
import { ApplicationMetrics } from './application-metrics.ts'
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

const counted = (project: string, deploymentId: string): RouteCounters => ({
  project,
  deploymentId,
  requests: 7,
  responses2xx: 3,
  responses3xx: 2,
  responses4xx: 1,
  responses5xx: 0,
  bytesIn: 10,
  bytesOut: 20,
  activeRequests: 1,
  activeWebSockets: 4,
})

test('applications are counted by project and deployment, each member sees their own projects', async () => {
  await using server = await TestServer.start()
  const member = await server.user()
  const { name } = await server.project({ viewer: member })
  server.ingress.counted = [counted(name, 'd1'), counted('somebody-elses', 'd2')]
  const { body: text } = await server.request('GET', '/api/metrics', { token: member.token })
  assert.match(text, /coderunner_ingress_up 1/)
  assert.ok(text.includes(`coderunner_app_requests_total{project="${name}",deployment="d1",class="2xx"} 3`), text)
  assert.ok(text.includes(`coderunner_app_bytes_total{project="${name}",deployment="d1",direction="out"} 20`))
  assert.ok(text.includes(`coderunner_app_active_requests{project="${name}",deployment="d1"} 1`))
  assert.ok(text.includes(`coderunner_app_active_websockets{project="${name}",deployment="d1"} 4`))
  assert.doesNotMatch(text, /somebody-elses|d2/)
  const { metrics } = (await server.request('GET', '/api/metrics/current', { token: member.token })).body
  const active = metrics.find((metric: { name: string }) => metric.name === 'coderunner_app_active_requests')
  assert.deepEqual(active.values, [{ labels: { project: name, deployment: 'd1' }, value: 1 }])
})

test('an ingress that does not answer does not hold up the metrics', async t => {
  const directory = await mkdtemp(join(tmpdir(), 'coderunner-silent-'))
  const silent = createServer(() => {}).listen(join(directory, 'control.sock'))
  await once(silent, 'listening')
  const ingress = new IngressClient({ socketPath: join(directory, 'control.sock') })
  t.after(async () => {
    await ingress[Symbol.asyncDispose]()
    silent.close()
    await rm(directory, { recursive: true })
  })
  const metrics = new ApplicationMetrics({ ingress, projectsOf: async () => new Set() })
  const began = performance.now()
  const registry = await metrics.read({ userId: 'u', administrator: true })
  assert.ok(performance.now() - began < 3000)
  assert.match(await registry.metrics(), /coderunner_ingress_up 0/)
})
