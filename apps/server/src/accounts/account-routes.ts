import { AppError, api } from '@coderunner/contract'
import { Type } from 'typebox'
import type { App } from '../http/app.ts'
import type { Principal } from '../http/principal.ts'
import { ForbiddenError } from '../http/problem.ts'
import { rateLimit } from '../http/rate-limits.ts'
import type { AccountService } from './account-service.ts'
import { clearSessionCookie, setSessionCookie } from './session-cookie.ts'

const None = Type.Null({ description: 'Done' })
const Params = Type.Object({ id: api.Id })
const tags = ['accounts']

export interface AccountRoutesDeps {
  accounts: AccountService
  publicUrl: string
}

/** Registration, log-in, sessions and invitations. */
export function accountRoutes(app: App, { accounts, publicUrl }: AccountRoutesDeps): void {
  const perAddress = rateLimit(app, { max: 60, windowMs: 60_000, key: request => `password ${request.ip}` })
  const perEmail = rateLimit(app, {
    max: 10,
    windowMs: 60_000,
    key: request => (request.body as { email: string }).email.toLowerCase(),
  })
  const preHandler = [perAddress, perEmail]

  app.post(
    '/api/auth/register',
    {
      config: { auth: 'none' },
      preHandler,
      schema: { tags, summary: 'Make an account', body: api.Registration, response: { 201: api.Registered } },
    },
    async (request, reply) => {
      const { userId, administrator } = await accounts.register(request.body)
      const message = administrator ? 'Welcome: you are the administrator of this server.' : 'Welcome.'
      return reply.code(201).send({ userId, message })
    },
  )

  app.post(
    '/api/auth/login',
    {
      config: { auth: 'none' },
      preHandler,
      schema: { tags, summary: 'Log in for seven days', body: api.Login, response: { 200: api.LoggedIn } },
    },
    async (request, reply) => {
      const agent = (request.headers['user-agent'] ?? '').slice(0, 300)
      const { userId, token, expiresAt } = await accounts.login(request.body, { address: request.ip, agent })
      setSessionCookie(reply, publicUrl, token, expiresAt)
      return { token, userId }
    },
  )

  app.get(
    '/api/auth/verify',
    { schema: { tags, summary: 'Who a token belongs to', response: { 200: api.Verified } } },
    request => {
      const { userId, email, administrator } = request.principal
      return { userId, email, administrator }
    },
  )

  app.post(
    '/api/auth/logout',
    {
      config: { idempotency: 'none' },
      schema: { tags, summary: 'End this log-in', response: { 204: None } },
    },
    async (request, reply) => {
      await accounts.revokeSessions(request.principal, { only: sessionOf(request.principal) })
      clearSessionCookie(reply, publicUrl)
      return reply.code(204).send(null)
    },
  )

  app.get(
    '/api/auth/sessions',
    {
      schema: {
        tags,
        summary: 'Your log-ins',
        response: { 200: Type.Object({ items: Type.Array(api.Session) }) },
      },
    },
    async request => ({
      items: (await accounts.sessions(request.principal)).map(row => ({
        id: row.id,
        createdAt: row.created_at.toISOString(),
        expiresAt: row.expires_at.toISOString(),
        ...(row.ip_address && { address: row.ip_address }),
        ...(row.user_agent && { userAgent: row.user_agent }),
        current: row.id === request.principal.sessionId,
      })),
    }),
  )

  app.delete(
    '/api/auth/sessions',
    { schema: { tags, summary: 'End all your log-ins besides this one', response: { 204: None } } },
    async (request, reply) => {
      await accounts.revokeSessions(request.principal, { besides: sessionOf(request.principal) })
      return reply.code(204).send(null)
    },
  )

  app.delete(
    '/api/auth/sessions/:id',
    { schema: { tags, summary: 'End one of your log-ins', params: Params, response: { 204: None } } },
    async (request, reply) => {
      sessionOf(request.principal)
      const ended = await accounts.revokeSessions(request.principal, { only: request.params.id })
      if (ended === 0) throw new AppError('not_found', `You have no log-in ${request.params.id}.`)
      return reply.code(204).send(null)
    },
  )

  app.post(
    '/api/invitations',
    {
      // The answer holds a secret: it is not kept for a repeated request.
      config: { auth: 'administrator', idempotency: 'none' },
      schema: { tags, summary: 'Invite somebody to register', response: { 201: api.Invitation } },
    },
    async (request, reply) => {
      sessionOf(request.principal)
      const { invitation, expiresAt } = await accounts.invite(request.principal)
      return reply.code(201).send({ invitation, expiresAt: expiresAt.toISOString() })
    },
  )
}

/** What gives or takes away access is for people who logged in: a token that leaked must not outlive its removal. */
export function sessionOf(principal: Principal): string {
  if (principal.sessionId === undefined)
    throw new ForbiddenError('An API token cannot do this: log in with a password.')
  return principal.sessionId
}
