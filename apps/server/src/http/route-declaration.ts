import type { Permission } from '@coderunner/contract'
import type { Principal } from './principal.ts'

/**
 * What a route says of itself in its `config`:
 * - `auth`: `user` (the default) wants a principal, `administrator` one who is, `none` never looks, `optional` takes one
 *   when there is one.
 * - `permission`: what it asks of the caller in the project it is about; routes about no project have none. The route
 *   checks it through ProjectAccess; the declaration goes into the OpenAPI document and is held against the behaviour by
 *   a test that walks every route as every role.
 * - `idempotency`: `automatic` (the default) for answers in JSON, `route` where the route calls `answeredBefore` itself
 *   because its body is a stream, `none` where an answer must not be stored.
 */
declare module 'fastify' {
  interface FastifyContextConfig {
    auth?: 'user' | 'administrator' | 'none' | 'optional'
    permission?: Permission
    idempotency?: 'automatic' | 'route' | 'none'
  }
  interface FastifyRequest {
    /** There on routes with `auth` `user` (default) and `administrator`; reading it elsewhere throws. */
    principal: Principal
    optionalPrincipal: Principal | undefined
  }
}
