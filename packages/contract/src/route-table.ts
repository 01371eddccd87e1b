/** What the server tells the ingress to serve. The whole table is pushed each time; `version` never goes back. */
import { type Static, Type } from 'typebox'

export const Upstream = Type.Object({ instanceId: Type.String(), host: Type.String(), port: Type.Integer() })

export const RouteTarget = Type.Union([
  Type.Object({ kind: Type.Literal('instances'), upstreams: Type.Array(Upstream, { minItems: 1 }) }),
  /** A published static site (see `StaticSite`). */
  Type.Object({ kind: Type.Literal('static'), siteId: Type.String({ pattern: '^[a-z0-9]{20}$' }) }),
  /** Nothing runs: ask the server to wake the deployment and hold the request until a new table names upstreams. */
  Type.Object({ kind: Type.Literal('sleeping') }),
  /** Answered with 503, `Retry-After` and this explanation for the owner. */
  Type.Object({
    kind: Type.Literal('unavailable'),
    code: Type.String(),
    message: Type.String(),
    retryAfterS: Type.Integer(),
  }),
])

export const Route = Type.Object({
  /** Lower-case host names without a port. */
  hosts: Type.Array(Type.String()),
  /** A listener of this route's own, for hosts without wildcard DNS. */
  port: Type.Optional(Type.Integer({ minimum: 1024, maximum: 65_535 })),
  project: Type.String(),
  deploymentId: Type.String(),
  target: RouteTarget,
})

export const RouteTable = Type.Object({ version: Type.Integer(), routes: Type.Array(Route) })

/** Counts of one deployment since the ingress started. */
export const RouteCounters = Type.Object({
  project: Type.String(),
  /** Empty while a project has none. */
  deploymentId: Type.String(),
  requests: Type.Integer(),
  responses2xx: Type.Integer(),
  responses3xx: Type.Integer(),
  responses4xx: Type.Integer(),
  responses5xx: Type.Integer(),
  bytesIn: Type.Integer(),
  bytesOut: Type.Integer(),
  activeRequests: Type.Integer(),
  activeWebSockets: Type.Integer(),
})

export type Upstream = Static<typeof Upstream>
export type RouteTarget = Static<typeof RouteTarget>
export type Route = Static<typeof Route>
export type RouteTable = Static<typeof RouteTable>
export type RouteCounters = Static<typeof RouteCounters>
