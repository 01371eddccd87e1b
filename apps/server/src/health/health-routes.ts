import { api } from '@coderunner/contract'
import { Registry } from 'prom-client'
import { Type } from 'typebox'
import type { App } from '../http/app.ts'
import type { ApplicationMetrics } from './application-metrics.ts'
import type { CheckResult, HealthChecks } from './health-checks.ts'
import type { Metrics } from './metrics.ts'

export interface HealthRoutesDeps {
  checks: HealthChecks
  metrics: Metrics
  applications: ApplicationMetrics
  version: string
}

const CurrentMetrics = Type.Object({
  metrics: Type.Array(
    Type.Object({
      name: Type.String(),
      help: Type.String(),
      type: Type.String(),
      values: Type.Array(
        Type.Object({
          name: Type.Optional(Type.String()),
          labels: Type.Record(Type.String(), Type.Union([Type.String(), Type.Number()])),
          value: Type.Number(),
        }),
      ),
    }),
  ),
})

const tags = ['health']

export function healthRoutes(app: App, { checks, metrics, applications, version }: HealthRoutesDeps): void {
  app.get(
    '/health',
    {
      config: { auth: 'none' },
      schema: {
        tags,
        operationId: 'getLiveness',
        summary: 'Answers while the server lives',
        response: { 200: api.Health },
      },
    },
    () => ({ status: 'ok' as const }),
  )

  app.get(
    '/api/health',
    {
      config: { auth: 'optional' },
      schema: {
        tags,
        summary: 'How the server and what it depends on are; the details are for administrators',
        response: { 200: api.HealthDetail },
      },
    },
    async request => {
      const results = await checks.run()
      const details = request.optionalPrincipal?.administrator === true
      return {
        status: results.every(({ ok }) => ok) ? ('ok' as const) : ('degraded' as const),
        version,
        uptimeSeconds: process.uptime(),
        checks: details ? results : results.map(withoutDetail),
      }
    },
  )

  app.get(
    '/api/metrics',
    {
      schema: {
        tags,
        summary: 'Metrics of the server and of your applications for Prometheus (log in with an API token)',
        response: {
          200: { description: 'Prometheus text format', content: { 'text/plain': { schema: Type.String() } } },
        },
      },
    },
    async (request, reply) => {
      const registry = Registry.merge([metrics.registry, await applications.read(request.principal)])
      const text = await registry.metrics()
      return reply
        .type(registry.contentType)
        .serializer((payload: string) => payload)
        .send(text)
    },
  )

  app.get(
    '/api/metrics/current',
    { schema: { tags, summary: 'The same as JSON', response: { 200: CurrentMetrics } } },
    async request => {
      const registry = Registry.merge([metrics.registry, await applications.read(request.principal)])
      const all = await registry.getMetricsAsJSON()
      return {
        metrics: all.map(({ name, help, type, values }) => ({
          name,
          help,
          type: String(type),
          // JSON has no NaN: a figure that is not known yet is left out.
          values: values
            .filter(value => Number.isFinite(value.value))
            .map(value => ({
              ...('metricName' in value && { name: String(value.metricName) }),
              labels: value.labels as Record<string, string | number>,
              value: value.value,
            })),
        })),
      }
    },
  )
}

function withoutDetail({ name, ok }: CheckResult): CheckResult {
  return { name, ok }
}
