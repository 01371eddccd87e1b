import type { FastifyReply, FastifyRequest } from 'fastify'
import type { KnownHosts } from './known-hosts.ts'
import { ForbiddenError } from './problem.ts'

const safeMethods = new Set(['GET', 'HEAD', 'OPTIONS'])

/** The API answers data only: nothing in an answer may run, be framed or be sniffed. The dashboard sets its own policy. */
const securityHeaders = {
  'content-security-policy': "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
  'cache-control': 'no-store',
}

/** The hook that comes first: headers on every answer, unknown Host names and foreign origins refused. */
export function browserSafety(options: { hosts: KnownHosts; cookieName: string; https: boolean }) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    reply.headers(securityHeaders).header('x-request-id', request.id)
    if (options.https) reply.header('strict-transport-security', 'max-age=31536000')
    if (!options.hosts.knows(request.hostname))
      throw new ForbiddenError('This host name is not known here: set CODERUNNER_PUBLIC_URL to the address you use.')
    if (safeMethods.has(request.method)) return
    const origin = request.headers.origin
    if (origin !== undefined) {
      if (!options.hosts.trusts(origin, `${request.protocol}://${request.host}`))
        throw new ForbiddenError('Requests from pages of this origin are not allowed here.')
      return
    }
    // A cookie is sent by browsers alone, and those name the origin of every change, or at least that it is their own.
    if (request.cookies[options.cookieName] !== undefined && request.headers['sec-fetch-site'] !== 'same-origin')
      throw new ForbiddenError('A request that is authenticated by a cookie has to carry its Origin.')
  }
}
