import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { App } from '../http/app.ts'

/** Metrics of this server; other parts register theirs in `registry`. */
export class Metrics {
  readonly registry = new Registry()
  readonly #requests: Histogram<'method' | 'route' | 'status'>

  constructor() {
    collectDefaultMetrics({ register: this.registry })
    this.#requests = new Histogram({
      name: 'coderunner_http_request_seconds',
      help: 'Time to answer API requests.',
      labelNames: ['method', 'route', 'status'],
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10],
      registers: [this.registry],
    })
  }

  /** Measures every request of an app; before its routes are added. */
  observe(app: App): void {
    const open = new Gauge({
      name: 'coderunner_http_requests_in_flight',
      help: 'API requests that are being answered.',
      registers: [this.registry],
    })
    const aborted = new Counter({
      name: 'coderunner_http_requests_aborted_total',
      help: 'API requests whose client went away.',
      registers: [this.registry],
    })
    app.addHook('onRequest', async (_request, reply) => {
      open.inc()
      // Also where the client went away, when there is no response to speak of.
      reply.raw.once('close', () => open.dec())
    })
    app.addHook('onRequestAbort', async _request => aborted.inc())
    app.addHook('onResponse', async (request, reply) => {
      // The route's pattern, never the path: ids and unknown paths would each be a series of their own.
      const route = request.routeOptions.url ?? 'unknown'
      this.#requests.observe({ method: request.method, route, status: reply.statusCode }, reply.elapsedTime / 1000)
    })
  }
}
