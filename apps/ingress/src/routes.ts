import type { Route, RouteCounters, RouteTable } from '@coderunner/contract'
import type { Counters } from './route-counters.ts'
import { Upstream, UpstreamGroup } from './upstream.ts'

/** A route with what is kept for it between tables. */
export interface LiveRoute {
  route: Route
  counters: RouteCounters
  /** Of a route of kind `instances`. */
  group: UpstreamGroup | undefined
}

/**
 * The table in force. A new one replaces it in one step; upstreams that both name stay as they are, with their
 * connections, and those that only the old one named end when what goes on with them has ended.
 */
export class Routes {
  readonly #counters: Counters
  readonly #answerTimeoutMs: number
  #table: RouteTable = { version: -1, routes: [] }
  #byHost = new Map<string, LiveRoute>()
  #byPort = new Map<number, LiveRoute>()
  #upstreams = new Map<string, Upstream>()
  /** In no table any more, but something is still going on with them. */
  readonly #retired = new Set<Upstream>()

  constructor(options: { counters: Counters; answerTimeoutMs: number }) {
    this.#counters = options.counters
    this.#answerTimeoutMs = options.answerTimeoutMs
  }

  get version(): number {
    return this.#table.version
  }

  get ports(): number[] {
    return [...this.#byPort.keys()]
  }

  find(host: string, port: number | undefined): LiveRoute | undefined {
    return port === undefined ? this.#byHost.get(host) : this.#byPort.get(port)
  }

  upstreamsOf(instanceId: string): Upstream[] {
    return this.allUpstreams().filter(upstream => upstream.instanceId === instanceId)
  }

  /** Also those of older tables that are not idle yet. */
  allUpstreams(): Upstream[] {
    return [...this.#upstreams.values(), ...this.#retired]
  }

  replace(table: RouteTable): void {
    const byHost = new Map<string, LiveRoute>()
    const byPort = new Map<number, LiveRoute>()
    const upstreams = new Map<string, Upstream>()
    const groups = new Map<string, UpstreamGroup>()
    for (const route of table.routes) {
      const live = {
        route,
        counters: this.#counters.of(route),
        group: this.#group(route, upstreams, groups),
      }
      for (const host of route.hosts) byHost.set(host.toLowerCase(), live)
      if (route.port !== undefined) byPort.set(route.port, live)
    }
    const before = this.#upstreams
    this.#table = table
    this.#byHost = byHost
    this.#byPort = byPort
    this.#upstreams = upstreams
    for (const [key, upstream] of before) if (!upstreams.has(key)) this.#retire(upstream)
    this.#counters.forgetAllBut(new Set(table.routes.map(route => route.deploymentId)))
  }

  /** Closes all connections to upstreams. */
  close(): void {
    this.replace({ version: this.#table.version, routes: [] })
  }

  #retire(upstream: Upstream): void {
    this.#retired.add(upstream)
    upstream.retire()
    void upstream.idle().then(() => this.#retired.delete(upstream))
  }

  #group(
    route: Route,
    upstreams: Map<string, Upstream>,
    groups: Map<string, UpstreamGroup>,
  ): UpstreamGroup | undefined {
    if (route.target.kind !== 'instances') return undefined
    const keys = route.target.upstreams.map(({ instanceId, host, port }) => `${instanceId} ${host} ${port}`)
    const members = route.target.upstreams.map(({ instanceId, host, port }, index) => {
      const key = keys[index] as string
      const upstream =
        upstreams.get(key) ??
        this.#upstreams.get(key) ??
        new Upstream({ instanceId, host, port, answerTimeoutMs: this.#answerTimeoutMs })
      upstreams.set(key, upstream)
      return upstream
    })
    // Routes to the same instances (a project's URL and its deployment's) share the balance.
    const groupKey = keys.join('\n')
    const group = groups.get(groupKey) ?? new UpstreamGroup(members)
    groups.set(groupKey, group)
    return group
  }
}
