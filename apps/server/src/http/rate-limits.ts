import type { FastifyInstance, FastifyRequest } from 'fastify'
import { RateLimitedError } from './problem.ts'

/** Counts a request; rejects with RateLimitedError once there were too many. */
export type RateLimit = (request: FastifyRequest) => Promise<void>

/** At most `max` requests in `windowMs` for each key; the requests of one address (IPv6: /64) when no key is given. */
export function rateLimit(
  app: Pick<FastifyInstance, 'createRateLimit'>,
  options: { max: number; windowMs: number; key?: (request: FastifyRequest) => string },
): RateLimit {
  const count = app.createRateLimit({
    max: options.max,
    timeWindow: options.windowMs,
    ipv6Subnet: 64,
    ...(options.key && { keyGenerator: options.key }),
  })
  return async request => {
    const state = await count(request)
    if (!state.isAllowed && state.isExceeded) throw new RateLimitedError(Math.max(1, state.ttlInSeconds))
  }
}
