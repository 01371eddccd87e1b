import { Readable } from 'node:stream'
import { api, type DeploymentAction, type Permission } from '@coderunner/contract'
import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { audit } from '../audit/audit-log.ts'
import type { Db } from '../database.ts'
import type { App } from '../http/app.ts'
import type { ProjectAccess } from '../projects/project-access.ts'
import { type DeployRoutesDeps, deployRoutes } from './deploy-routes.ts'
import {
  DeploymentNotFoundError,
  type DeploymentWithProject,
  deployments as deploymentStore,
} from './deployment-store.ts'
import { deploymentDetail, deploymentSummary } from './deployment-view.ts'
import { instances } from './instance-store.ts'
import { operations } from './operation-store.ts'

const Params = Type.Object({ id: api.Id })
const ListQuery = Type.Object({ ...api.PageQuery.properties, project: Type.Optional(api.ProjectName) })
const ActionParams = Type.Object({
  id: api.Id,
  action: Type.Enum(['start', 'stop', 'restart', 'promote', 'cancel'] as const satisfies readonly DeploymentAction[]),
})
const tags = ['deployments']
const shownOperations = 20

/** Deployments: making them, looking at them, ordering them about. */
export async function deploymentRoutes(app: App, deps: DeployRoutesDeps): Promise<void> {
  const { db, deployments, access, urls } = deps
  await deployRoutes(app, deps)
  const find = (request: FastifyRequest, id: string, permission: Permission) =>
    accessible(db, access, request, id, permission)

  app.get(
    '/api/deployments',
    {
      schema: {
        tags,
        summary: 'Deployments of your projects, newest first',
        querystring: ListQuery,
        response: { 200: api.DeploymentPage },
      },
    },
    async request => {
      const { limit = 50, project: name, ...query } = request.query
      const { userId } = request.principal
      const filter =
        name === undefined
          ? { userId }
          : { userId, projectId: (await access.require(request.principal, { name }, 'deployment:read')).project.id }
      const page = await deploymentStore(db).page(filter, { limit, ...query })
      return { ...page, items: page.items.map(row => deploymentSummary(row, urls)) }
    },
  )

  app.get(
    '/api/projects/:id/deployments',
    {
      config: { permission: 'deployment:read' },
      schema: {
        tags,
        summary: 'Deployments of a project, newest first',
        params: Params,
        querystring: api.PageQuery,
        response: { 200: api.DeploymentPage },
      },
    },
    async request => {
      const { limit = 50, ...query } = request.query
      const { id: projectId } = request.params
      await access.require(request.principal, { projectId }, 'deployment:read')
      const page = await deploymentStore(db).page({ userId: request.principal.userId, projectId }, { limit, ...query })
      return { ...page, items: page.items.map(row => deploymentSummary(row, urls)) }
    },
  )

  app.get(
    '/api/deployments/:id',
    {
      config: { permission: 'deployment:read' },
      schema: {
        tags,
        summary: 'One deployment, at once or as soon as it is no longer as it was at revision `since`',
        params: Params,
        querystring: api.DeploymentQuery,
        response: { 200: api.Deployment },
      },
    },
    async (request, reply) => {
      const { id } = request.params
      const { since, waitMs = 0 } = request.query
      const row = await find(request, id, 'deployment:read')
      const read = async (deployment: DeploymentWithProject) =>
        deploymentDetail(
          deployment,
          await operations(db).latest(id, shownOperations),
          await instances(db).ofDeployment(id),
          urls,
        )
      if (since === undefined || waitMs === 0) return read(row)
      const left = new AbortController()
      reply.raw.once('close', () => left.abort())
      const deadline = performance.now() + waitMs
      for (;;) {
        const leftMs = deadline - performance.now()
        using watch = deployments.changes.watch(id, left.signal, Math.max(0, leftMs))
        const current = await deploymentStore(db).find(id)
        if (current === undefined) throw new DeploymentNotFoundError(id)
        const detail = await read(current)
        if (detail.revision !== since || leftMs <= 0 || left.signal.aborted) return detail
        await watch.changed
      }
    },
  )

  app.delete(
    '/api/deployments/:id',
    {
      config: { permission: 'deployment:destroy' },
      schema: {
        tags,
        summary: 'Destroy a deployment and what only it uses',
        params: Params,
        response: { 202: api.OperationStarted },
      },
    },
    async (request, reply) => {
      const { id } = await find(request, request.params.id, 'deployment:destroy')
      return reply.code(202).send(await deployments.act(id, 'destroy', request.principal.userId))
    },
  )

  app.post(
    '/api/deployments/:id/:action',
    {
      config: { permission: 'deployment:control' },
      schema: {
        tags,
        summary: 'Start, stop, restart, promote or cancel a deployment',
        params: ActionParams,
        response: { 202: api.OperationStarted },
      },
    },
    async (request, reply) => {
      const { id } = await find(request, request.params.id, 'deployment:control')
      return reply.code(202).send(await deployments.act(id, request.params.action, request.principal.userId))
    },
  )

  app.post(
    '/api/deployments/:id/run',
    {
      config: { permission: 'deployment:run', idempotency: 'none' },
      schema: {
        tags,
        summary: 'Run a one-off command with the deployment’s code and environment; it ends with the connection',
        params: Params,
        body: api.RunCommand,
        produces: ['application/x-ndjson'],
        response: { 200: Type.Any({ description: 'A RunEvent in JSON on each line' }) },
      },
    },
    async (request, reply) => {
      const row = await find(request, request.params.id, 'deployment:run')
      const { command, ...options } = request.body
      const gone = new AbortController()
      reply.raw.once('close', () => gone.abort())
      const events = await deployments.commands.prepare(row, { argv: command, ...options }, gone.signal)
      await audit(db).append({
        userId: request.principal.userId,
        projectId: row.project_id,
        action: 'deployment:run',
        subject: row.id,
        // The arguments may hold secrets.
        details: { program: command[0] },
      })
      return reply
        .type('application/x-ndjson')
        .header('cache-control', 'no-store')
        .send(Readable.from(lines(events), { objectMode: false }))
    },
  )
}

async function* lines(events: AsyncIterable<api.RunEvent>): AsyncGenerator<string> {
  for await (const event of events) yield `${JSON.stringify(event)}\n`
}

/** The deployment, when the caller's role in its project allows it; 404 when it is not theirs. */
async function accessible(
  db: Db,
  access: ProjectAccess,
  request: FastifyRequest,
  id: string,
  permission: Permission,
): Promise<DeploymentWithProject> {
  const row = await deploymentStore(db).find(id)
  if (row === undefined) throw new DeploymentNotFoundError(id)
  try {
    await access.require(request.principal, { projectId: row.project_id }, permission)
  } catch (error) {
    // Not naming the project: who may not see it shall not learn its id.
    if ((error as { code?: string }).code === 'not_found') throw new DeploymentNotFoundError(id)
    throw error
  }
  return row
}
