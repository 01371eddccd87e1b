import type { Route, RouteCounters } from '@coderunner/contract'

const keptDeployments = 10_000

/** Counts of each deployment since the ingress started. */
export class Counters {
  readonly #counters = new Map<string, RouteCounters>()

  of({ project, deploymentId }: Pick<Route, 'project' | 'deploymentId'>): RouteCounters {
    // A project without a deployment has an empty one.
    const key = deploymentId === '' ? project : deploymentId
    let counters = this.#counters.get(key)
    if (counters === undefined) {
      counters = {
        project,
        deploymentId,
        requests: 0,
        responses2xx: 0,
        responses3xx: 0,
        responses4xx: 0,
        responses5xx: 0,
        bytesIn: 0,
        bytesOut: 0,
        activeRequests: 0,
        activeWebSockets: 0,
      }
      this.#counters.set(key, counters)
    }
    return counters
  }

  all(): RouteCounters[] {
    return [...this.#counters.values()]
  }

  /** Forgets the oldest of the deployments that are not served any more when there are very many. */
  forgetAllBut(served: ReadonlySet<string>): void {
    for (const [key, counters] of this.#counters) {
      if (this.#counters.size <= keptDeployments) return
      if (!served.has(counters.deploymentId) && counters.activeRequests + counters.activeWebSockets === 0)
        this.#counters.delete(key)
    }
  }
}

export function countStatus(counters: RouteCounters, status: number): void {
  if (status < 300) counters.responses2xx++
  else if (status < 400) counters.responses3xx++
  else if (status < 500) counters.responses4xx++
  else counters.responses5xx++
}
