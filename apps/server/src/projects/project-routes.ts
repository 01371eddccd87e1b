import { api, type Role } from '@coderunner/contract'
import { Type } from 'typebox'
import { audit } from '../audit/audit-log.ts'
import type { Db } from '../database.ts'
import type { App } from '../http/app.ts'
import type { ProjectAccess, ProjectRow } from './project-access.ts'
import type { ProjectService } from './project-service.ts'
import { type MemberRow, projects } from './project-store.ts'
import type { Urls } from './urls.ts'

interface ProjectRoutesDeps {
  db: Db
  access: ProjectAccess
  projects: ProjectService
  urls: Urls
}

const Params = Type.Object({ id: api.Id })
const MemberParams = Type.Object({ id: api.Id, userId: api.Id })
const None = Type.Null({ description: 'Done' })
const tags = ['projects']

export function projectRoutes(app: App, deps: ProjectRoutesDeps): void {
  const { access, urls } = deps
  const store = projects(deps.db)

  app.get(
    '/api/projects',
    {
      schema: {
        tags,
        summary: 'Projects you are a member of',
        querystring: api.PageQuery,
        response: { 200: api.ProjectPage },
      },
    },
    async request => {
      const { limit = 50, ...query } = request.query
      const page = await store.pageForMember(request.principal.userId, { limit, ...query })
      return { ...page, items: page.items.map(row => toProject(row, row.role, urls)) }
    },
  )

  app.post(
    '/api/projects',
    { schema: { tags, summary: 'Make a project', body: api.NewProject, response: { 201: api.Project } } },
    async (request, reply) => {
      const project = await deps.projects.create(request.principal, request.body)
      return reply.code(201).send(toProject(project, 'owner', urls))
    },
  )

  app.get(
    '/api/projects/:id',
    {
      config: { permission: 'project:read' },
      schema: { tags, summary: 'One project', params: Params, response: { 200: api.Project } },
    },
    async request => {
      const { project, role } = await access.require(
        request.principal,
        { projectId: request.params.id },
        'project:read',
      )
      return toProject(project, role, urls)
    },
  )

  app.patch(
    '/api/projects/:id',
    {
      config: { permission: 'project:update' },
      schema: {
        tags,
        summary: 'Change a project',
        params: Params,
        body: api.ProjectUpdate,
        response: { 200: api.Project },
      },
    },
    async request => {
      const { project, role } = await access.require(
        request.principal,
        { projectId: request.params.id },
        'project:update',
      )
      const { description } = request.body
      if (description === undefined) return toProject(project, role, urls)
      return toProject(await deps.projects.update(request.principal, project.id, { description }), role, urls)
    },
  )

  app.delete(
    '/api/projects/:id',
    {
      config: { permission: 'project:delete' },
      schema: {
        tags,
        summary: 'Delete a project that has no deployments left',
        params: Params,
        response: { 204: None },
      },
    },
    async (request, reply) => {
      const { project } = await access.require(request.principal, { projectId: request.params.id }, 'project:delete')
      await deps.projects.remove(request.principal, project)
      return reply.code(204).send(null)
    },
  )

  app.get(
    '/api/projects/:id/members',
    {
      config: { permission: 'members:read' },
      schema: {
        tags,
        summary: 'Members of a project',
        params: Params,
        response: { 200: Type.Object({ items: Type.Array(api.Member) }) },
      },
    },
    async request => {
      const { project } = await access.require(request.principal, { projectId: request.params.id }, 'members:read')
      return { items: (await store.members(project.id)).map(toMember) }
    },
  )

  app.put(
    '/api/projects/:id/members',
    {
      config: { permission: 'members:write' },
      schema: {
        tags,
        summary: 'Add a member, or change their role',
        params: Params,
        body: api.MemberChange,
        response: { 200: api.Member },
      },
    },
    async request => {
      const { project } = await access.require(request.principal, { projectId: request.params.id }, 'members:write')
      return toMember(await deps.projects.setMember(request.principal, project.id, request.body))
    },
  )

  app.delete(
    '/api/projects/:id/members/:userId',
    {
      config: { permission: 'members:write' },
      schema: {
        tags,
        summary: 'Remove a member; everybody may leave, except the last owner',
        params: MemberParams,
        response: { 204: None },
      },
    },
    async (request, reply) => {
      const { id, userId } = request.params
      const leaves = userId === request.principal.userId
      await access.require(request.principal, { projectId: id }, leaves ? 'project:read' : 'members:write')
      await deps.projects.removeMember(request.principal, id, userId)
      return reply.code(204).send(null)
    },
  )

  app.get(
    '/api/projects/:id/audit',
    {
      config: { permission: 'audit:read' },
      schema: {
        tags,
        summary: 'Who did what in a project, newest first',
        params: Params,
        querystring: api.PageQuery,
        response: { 200: api.AuditPage },
      },
    },
    async request => {
      const { project } = await access.require(request.principal, { projectId: request.params.id }, 'audit:read')
      const { limit = 50, ...query } = request.query
      return audit(deps.db).page(project.id, { limit, ...query })
    },
  )
}

function toProject(row: ProjectRow, role: Role, urls: Urls): api.Project {
  return {
    id: row.id,
    name: row.name,
    description: row.description,
    role,
    url: urls.projectUrl(row),
    ...(row.serving_deployment_id !== null && { servingDeploymentId: row.serving_deployment_id }),
    createdAt: row.created_at.toISOString(),
  }
}

function toMember(row: MemberRow) {
  return { userId: row.user_id, email: row.email, role: row.role, createdAt: row.created_at.toISOString() }
}
