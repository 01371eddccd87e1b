import { AppError } from '@coderunner/contract'
import fastifyCookie from '@fastify/cookie'
import fastifyCors from '@fastify/cors'
import fastifyRateLimit from '@fastify/rate-limit'
import fastifySwagger from '@fastify/swagger'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyRequest,
  LogController,
  type RawReplyDefaultExpression,
  type RawRequestDefaultExpression,
  type RawServerDefault,
} from 'fastify'
import { browserSafety } from './browser-safety.ts'
import { answerOnce, type IdempotencyStore, keepAnswer } from './idempotency.ts'
import { KnownHosts } from './known-hosts.ts'
import { openapiOptions } from './openapi.ts'
import type { Authenticate, Credential, Principal } from './principal.ts'
import { ForbiddenError, sendProblem, UnauthenticatedError } from './problem.ts'
import { rateLimit } from './rate-limits.ts'
import './route-declaration.ts'
import { compileValidator } from './validation.ts'

export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>

export interface AppOptions {
  /** Origin as users type it. */
  publicUrl: string
  version: string
  /** More host names to answer to. */
  hosts: readonly string[]
  corsOrigins: readonly string[]
  /** Addresses whose X-Forwarded-* are believed. */
  trustedProxies: readonly string[]
  cookieName: string
  logger: FastifyBaseLogger
  authenticate: Authenticate
  idempotency: IdempotencyStore
  /** Requests a minute of one principal at most; 1200 when absent. */
  requestsPerMinute?: number
}

const bodyLimit = 1024 * 1024

/**
 * The HTTP server before any route: what every request goes through. Routes are added by `…Routes(app, deps)` and
 * declare themselves in their `config` (route-declaration.ts).
 */
export async function createApp(options: AppOptions): Promise<App> {
  const app: App = Fastify({
    loggerInstance: options.logger,
    logController: new LogController({ disableRequestLogging: true }),
    trustProxy: options.trustedProxies.length > 0 ? [...options.trustedProxies] : false,
    genReqId: () => crypto.randomUUID(),
    bodyLimit,
    requestTimeout: 0,
    // Of idle keep-alive connections; requests in flight are finished by close().
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: 200 },
  }).withTypeProvider<TypeBoxTypeProvider>()
  const hosts = new KnownHosts(options)
  app.setValidatorCompiler(compileValidator as never)
  app.setErrorHandler((error, request, reply) => sendProblem(error, request, reply))
  app.setNotFoundHandler((request, reply) =>
    sendProblem(new AppError('not_found', `There is no ${request.method} ${pathOf(request)}.`), request, reply),
  )

  app.decorateRequest('optionalPrincipal', undefined)
  app.decorateRequest('idempotencyClaim', undefined)
  app.decorateRequest('idempotencyStore', { getter: () => options.idempotency })
  app.decorateRequest('principal', {
    getter(this: FastifyRequest): Principal {
      if (this.optionalPrincipal === undefined) throw new UnauthenticatedError()
      return this.optionalPrincipal
    },
  })

  await app.register(fastifyCookie)
  await app.register(fastifyRateLimit, { global: false })
  await app.register(fastifySwagger, openapiOptions(options))
  app.addHook('onRequest', browserSafety({ hosts, cookieName: options.cookieName, https: isHttps(options) }))
  if (options.corsOrigins.length > 0)
    await app.register(fastifyCors, {
      origin: [...options.corsOrigins],
      credentials: true,
      methods: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
      allowedHeaders: ['authorization', 'content-type', 'idempotency-key'],
      exposedHeaders: ['x-request-id', 'retry-after'],
    })

  app.addHook('onRequest', authentication(app, options))
  app.addHook('preHandler', answerOnce)
  app.addHook('onSend', keepAnswer)
  app.addHook('onResponse', async (request, reply) => {
    request.log[reply.statusCode >= 500 ? 'warn' : 'debug'](
      {
        method: request.method,
        // Without the query: it may hold what the log should not.
        path: pathOf(request),
        status: reply.statusCode,
        durationMs: Math.round(reply.elapsedTime),
        ...(request.optionalPrincipal && { userId: request.optionalPrincipal.userId }),
      },
      'request',
    )
  })

  app.get('/api/openapi.json', { config: { auth: 'none' }, schema: { hide: true } }, () => app.swagger())
  return app
}

/** The hook that finds out who calls, holds them to their rate and turns away whom the route is not for. */
function authentication(app: App, options: AppOptions) {
  const failures = rateLimit(app, { max: 60, windowMs: 60_000, key: request => `failed ${request.ip}` })
  const requests = rateLimit(app, {
    max: options.requestsPerMinute ?? 1200,
    windowMs: 60_000,
    key: request => request.optionalPrincipal?.userId ?? `address ${request.ip}`,
  })
  return async (request: FastifyRequest): Promise<void> => {
    const { auth = 'user' } = request.routeOptions.config
    const wanted = !request.is404 && auth !== 'none'
    const credential = wanted ? credentialOf(request, options.cookieName) : undefined
    request.optionalPrincipal = credential && (await options.authenticate(credential))
    await requests(request)
    if (!wanted || auth === 'optional') return
    if (request.optionalPrincipal === undefined) {
      if (credential !== undefined) await failures(request)
      throw new UnauthenticatedError()
    }
    if (auth === 'administrator' && !request.optionalPrincipal.administrator)
      throw new ForbiddenError('Only an administrator of this server may do this.')
  }
}

function isHttps(options: AppOptions): boolean {
  return new URL(options.publicUrl).protocol === 'https:'
}

function pathOf(request: FastifyRequest): string {
  return request.url.split('?', 1)[0] ?? ''
}

/** A header is meant more than a cookie, which the browser adds by itself. */
function credentialOf(request: FastifyRequest, cookieName: string): Credential | undefined {
  const header = request.headers.authorization
  if (header !== undefined) {
    const value = /^Bearer +([\w.~+/=-]{1,4096})$/i.exec(header)?.[1]
    return value === undefined ? undefined : { kind: 'bearer', value }
  }
  const cookie = request.cookies[cookieName]
  return cookie === undefined ? undefined : { kind: 'cookie', value: cookie }
}
