/** A static site as the server publishes it to the ingress: files by content, and the rules of its `_headers` and `_redirects`. */
import { type Static, Type } from 'typebox'
import { isSessionCookie } from './session-cookie.ts'

export const maxSiteRules = 1000
/** Of a path, a redirect's target and a header's name. */
export const maxSiteRuleLength = 200
/** A Content-Security-Policy is seldom shorter than a path may be. */
export const maxSiteHeaderLength = 2000

export const StaticFile = Type.Object({
  /** Absolute URL path of the file, such as `/css/site.css`. */
  path: Type.String(),
  hash: Type.String({ pattern: '^[0-9a-f]{64}$' }),
  size: Type.Integer(),
})

/** Begins with `/`; `:name` stands for one part of a path, `*` (once) for any rest. */
const PathPattern = Type.String({ pattern: '^/', maxLength: maxSiteRuleLength })

export const SiteRedirect = Type.Object({
  from: PathPattern,
  /** Query parameters that must be there: a value, or a `:name` for any. */
  query: Type.Optional(
    Type.Record(Type.String({ maxLength: maxSiteRuleLength }), Type.String({ maxLength: maxSiteRuleLength })),
  ),
  /** A path of this site or, for a redirect, an http(s) URL; `:name` and `:splat` are filled in. */
  to: Type.String({ pattern: '^(/|https?://)[\\x21-\\x7e]*$', maxLength: maxSiteRuleLength }),
  /** 200 and 404 answer with the target's content, the others redirect. */
  status: Type.Union([
    Type.Literal(200),
    Type.Literal(301),
    Type.Literal(302),
    Type.Literal(303),
    Type.Literal(307),
    Type.Literal(308),
    Type.Literal(404),
  ]),
  /** Also where there is a file. */
  force: Type.Boolean(),
})

export const siteRedirectStatuses = SiteRedirect.properties.status.anyOf.map(literal => literal.const)

export const SiteHeaders = Type.Object({
  for: PathPattern,
  /** Name and value; an empty value takes away what a rule before has set. */
  headers: Type.Array(
    Type.Tuple([
      Type.String({ pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", maxLength: maxSiteRuleLength }),
      Type.String({ pattern: '^[\\t\\x20-\\x7e]*$', maxLength: maxSiteHeaderLength }),
    ]),
    { maxItems: 100 },
  ),
})

export const StaticSite = Type.Object({
  files: Type.Array(StaticFile, { maxItems: 100_000 }),
  /** Unknown paths answer `/index.html` (a single-page application) instead of 404. */
  indexFallback: Type.Boolean(),
  redirects: Type.Optional(Type.Array(SiteRedirect, { maxItems: maxSiteRules })),
  headers: Type.Optional(Type.Array(SiteHeaders, { maxItems: maxSiteRules })),
})

export type StaticFile = Static<typeof StaticFile>
export type SiteRedirect = Static<typeof SiteRedirect>
export type SiteHeaders = Static<typeof SiteHeaders>
export type StaticSite = Static<typeof StaticSite>

const ingressOwn = new Set([
  'accept-ranges',
  'alt-svc',
  'connection',
  'content-encoding',
  'content-length',
  'content-range',
  'date',
  'etag',
  'keep-alive',
  'location',
  'proxy-authenticate',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'x-request-id',
])

/** Says why a site may not set a header, or nothing. */
export function siteHeaderProblem(name: string, value: string): string | undefined {
  const lower = name.toLowerCase()
  if (ingressOwn.has(lower)) return `${name} is set by the server alone`
  if (lower === 'basic-auth') return 'Basic-Auth is not offered here, and sent as a header it would tell the password'
  if (lower === 'set-cookie' && isSessionCookie(value)) return 'this cookie belongs to the dashboard'
  return undefined
}
