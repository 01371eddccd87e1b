import { api } from '@coderunner/contract'
import { Type } from 'typebox'
import type { App } from '../http/app.ts'
import { sessionOf } from './account-routes.ts'
import type { AccountService } from './account-service.ts'
import type { ApiTokenRow } from './api-token-store.ts'

const tags = ['accounts']

export function apiTokenRoutes(app: App, { accounts }: { accounts: AccountService }): void {
  app.get(
    '/api/tokens',
    {
      schema: {
        tags,
        summary: 'Your API tokens',
        response: { 200: Type.Object({ items: Type.Array(api.ApiToken) }) },
      },
    },
    async request => ({ items: (await accounts.tokens(request.principal)).map(toApiToken) }),
  )

  app.post(
    '/api/tokens',
    {
      // The answer holds a secret: it is not kept for a repeated request.
      config: { idempotency: 'none' },
      schema: { tags, summary: 'Make an API token', body: api.NewApiToken, response: { 201: api.CreatedApiToken } },
    },
    async (request, reply) => {
      sessionOf(request.principal)
      const created = await accounts.createToken(request.principal, request.body)
      return reply.code(201).send({ ...toApiToken(created), token: created.token })
    },
  )

  app.delete(
    '/api/tokens/:id',
    {
      schema: {
        tags,
        summary: 'Revoke an API token',
        params: Type.Object({ id: api.Id }),
        response: { 204: Type.Null({ description: 'Done' }) },
      },
    },
    async (request, reply) => {
      await accounts.removeToken(request.principal, request.params.id)
      return reply.code(204).send(null)
    },
  )
}

function toApiToken(row: ApiTokenRow): api.ApiToken {
  return {
    id: row.id,
    name: row.name,
    createdAt: row.created_at.toISOString(),
    ...(row.last_used_at && { lastUsedAt: row.last_used_at.toISOString() }),
    ...(row.expires_at && { expiresAt: row.expires_at.toISOString() }),
  }
}
