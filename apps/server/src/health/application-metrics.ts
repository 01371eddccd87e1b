import type { RouteCounters } from '@coderunner/contract'
import { Counter, Gauge, Registry } from 'prom-client'
import type { Principal } from '../http/principal.ts'

const timeLimitMs = 1000
const classes = ['2xx', '3xx', '4xx', '5xx'] as const

export interface ApplicationMetricsDeps {
  ingress: { counters(signal?: AbortSignal): Promise<RouteCounters[]> }
  /** Names of the projects somebody is a member of. */
  projectsOf(userId: string): Promise<ReadonlySet<string>>
}

/**
 * What the applications answer, asked of the ingress when somebody wants to know. Administrators see all of them,
 * everybody else those of their own projects.
 */
export class ApplicationMetrics {
  readonly #deps: ApplicationMetricsDeps

  constructor(deps: ApplicationMetricsDeps) {
    this.#deps = deps
  }

  /** Without the applications, and `coderunner_ingress_up` 0, when the ingress does not answer within a second. */
  async read(principal: Pick<Principal, 'userId' | 'administrator'>): Promise<Registry> {
    const [counters, own] = await Promise.all([
      this.#deps.ingress.counters(AbortSignal.timeout(timeLimitMs)).catch(() => undefined),
      principal.administrator ? undefined : this.#deps.projectsOf(principal.userId),
    ])
    return registryOf(counters, project => own === undefined || own.has(project))
  }
}

function registryOf(counters: readonly RouteCounters[] | undefined, isVisible: (project: string) => boolean): Registry {
  const registry = new Registry()
  const registers = [registry]
  const labels = ['project', 'deployment'] as const
  const up = new Gauge({ name: 'coderunner_ingress_up', help: 'Whether the ingress answers.', registers })
  const requests = new Counter({
    name: 'coderunner_app_requests_total',
    help: 'Requests to applications that were answered, by class of status, since the ingress started.',
    labelNames: [...labels, 'class'],
    registers,
  })
  const bytes = new Counter({
    name: 'coderunner_app_bytes_total',
    help: 'Bytes of bodies and WebSockets from clients (in) and to them (out).',
    labelNames: [...labels, 'direction'],
    registers,
  })
  const gauge = (name: string, help: string) => new Gauge({ name, help, labelNames: labels, registers })
  const active = gauge('coderunner_app_active_requests', 'Requests that are being answered.')
  const webSockets = gauge('coderunner_app_active_websockets', 'Open WebSockets.')

  up.set(counters === undefined ? 0 : 1)
  for (const counted of counters ?? []) {
    if (!isVisible(counted.project)) continue
    const label = { project: counted.project, deployment: counted.deploymentId }
    for (const name of classes) requests.inc({ ...label, class: name }, counted[`responses${name}`])
    bytes.inc({ ...label, direction: 'in' }, counted.bytesIn)
    bytes.inc({ ...label, direction: 'out' }, counted.bytesOut)
    active.set(label, counted.activeRequests)
    webSockets.set(label, counted.activeWebSockets)
  }
  return registry
}
