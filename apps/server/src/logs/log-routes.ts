import { AppError, api, type Permission } from '@coderunner/contract'
import type { FastifyReply } from 'fastify'
import { Type } from 'typebox'
import type { App } from '../http/app.ts'
import type { LogSearch, LogStore } from './log-store.ts'

export interface LogRoutesDeps {
  logs: LogStore
  access: {
    require(principal: { userId: string }, ref: { projectId: string }, permission: Permission): Promise<unknown>
  }
  /** The project of a deployment. */
  projectOf: (deploymentId: string) => Promise<string | undefined>
}

const Params = Type.Object({ id: api.Id })
const tags = ['logs']
const permission = 'logs:read'

export function logRoutes(app: App, { logs, access, projectOf }: LogRoutesDeps): void {
  app.get(
    '/api/deployments/:id/logs',
    {
      config: { permission },
      schema: {
        tags,
        summary: 'Logs of a deployment: its build, its instances and what CodeRunner says of them',
        params: Params,
        querystring: api.LogQuery,
        response: { 200: api.LogPage },
      },
    },
    async (request, reply) => {
      const deploymentId = request.params.id
      const projectId = await projectOf(deploymentId)
      if (projectId === undefined) throw noDeployment(deploymentId)
      await access.require(request.principal, { projectId }, permission).catch((error: unknown) => {
        // Whose it is, and that it is there at all, is not told to strangers.
        throw error instanceof AppError && error.code === 'not_found' ? noDeployment(deploymentId) : error
      })
      return logs.query(projectId, { ...searchOf(request.query), deploymentId }, leftSignal(reply))
    },
  )

  app.get(
    '/api/projects/:id/logs',
    {
      config: { permission },
      schema: {
        tags,
        summary: 'Logs of all deployments of a project',
        params: Params,
        querystring: api.LogQuery,
        response: { 200: api.LogPage },
      },
    },
    async (request, reply) => {
      const projectId = request.params.id
      await access.require(request.principal, { projectId }, permission)
      return logs.query(projectId, searchOf(request.query), leftSignal(reply))
    },
  )
}

const noDeployment = (id: string) =>
  new AppError('not_found', `There is no deployment ${id} in a project that you are a member of.`)

function searchOf({ since, until, ...query }: api.LogQuery): LogSearch {
  return {
    ...query,
    ...(since === undefined ? {} : { since: Date.parse(since) }),
    ...(until === undefined ? {} : { until: Date.parse(until) }),
  }
}

/** Aborts when the client leaves, so that nobody waits for records on its behalf any more. */
function leftSignal(reply: FastifyReply): AbortSignal {
  const left = new AbortController()
  reply.raw.once('close', () => left.abort())
  return left.signal
}
