import type { RouteCounters } from '@coderunner/contract'

const keptDeployments = 10_000

/** Counts of each deployment since the ingress started. */
export class Counters {
  readonly #counters = new Map<string, RouteCounters>()

  of(deploymentId: string): RouteCounters {
    let counters = this.#counters.get(deploymentId)
    if (counters === undefined) {
      counters = {
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
      this.#counters.set(deploymentId, counters)
    }
    return counters
  }

  all(): RouteCounters[] {
    return [...this.#counters.values()]
  }

  /** Forgets the oldest of the deployments that are not served any more when there are very many. */
  forgetAllBut(served: ReadonlySet<string>): void {
    for (const [id, counters] of this.#counters) {
      if (this.#counters.size <= keptDeployments) return
      if (!served.has(id) && counters.activeRequests + counters.activeWebSockets === 0) this.#counters.delete(id)
    }
  }
}

export function countStatus(counters: RouteCounters, status: number): void {
  if (status < 300) counters.responses2xx++
  else if (status < 400) counters.responses3xx++
  else if (status < 500) counters.responses4xx++
  else counters.responses5xx++
}
