import { AppError, api } from '@coderunner/contract'
import fastifyMultipart from '@fastify/multipart'
import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { Db } from '../database.ts'
import type { App } from '../http/app.ts'
import { answeredBefore } from '../http/idempotency.ts'
import type { ProjectAccess, ProjectRow } from '../projects/project-access.ts'
import type { ProjectService } from '../projects/project-service.ts'
import type { Urls } from '../projects/urls.ts'
import { gitLocation } from '../sources/git-source.ts'
import { sources } from '../sources/source-store.ts'
import { treeHash } from '../sources/source-tree.ts'
import { archiveTypes, readDeployRequest } from './deploy-request.ts'
import { deployments as deploymentStore } from './deployment-store.ts'
import type { Deployments } from './deployments.ts'

export interface DeployRoutesDeps {
  db: Db
  deployments: Deployments
  access: ProjectAccess
  projects: ProjectService
  urls: Urls
}

/** Of the JSON form; larger uploads send an archive. */
const jsonBytes = 128 * 1024 * 1024
const tags = ['deployments']
const binary = Type.Any({ description: 'A zip, tar or tar.gz archive; the options are in the query' })
const content = {
  'application/json': { schema: api.DeployFiles },
  'multipart/form-data': {
    schema: Type.Any({
      description: 'Field `options` (JSON, DeployOptions), then file `archive` (zip, tar or tar.gz)',
    }),
  },
  'application/gzip': { schema: binary },
  'application/zip': { schema: binary },
  'application/octet-stream': { schema: binary },
  'application/x-www-form-urlencoded': { schema: binary },
}

/** Uploads: deploying them, planning what a deploy would do, and asking which contents are missing. */
export async function deployRoutes(app: App, deps: DeployRoutesDeps): Promise<void> {
  // The parsers are for these routes alone.
  await app.register(async scoped => {
    await scoped.register(fastifyMultipart)
    for (const type of archiveTypes)
      scoped.addContentTypeParser(type, (_request, payload, done) => {
        done(null, payload)
      })
    uploadRoutes(scoped, deps)
  })

  app.post(
    '/api/projects/:id/sources/missing',
    {
      bodyLimit: 16 * 1024 * 1024,
      config: { permission: 'deployment:create', idempotency: 'none' },
      schema: {
        tags,
        summary: 'Which of these file contents the project lacks',
        params: Type.Object({ id: api.Id }),
        body: api.MissingQuery,
        response: { 200: api.MissingAnswer },
      },
    },
    async request => {
      const { project } = await deps.access.require(
        request.principal,
        { projectId: request.params.id },
        'deployment:create',
      )
      const known = await sources(deps.db).sizes(project.id, request.body.hashes)
      return { missing: [...new Set(request.body.hashes)].filter(hash => !known.has(hash)) }
    },
  )
}

function uploadRoutes(app: App, deps: DeployRoutesDeps): void {
  const { db, deployments, access, projects, urls } = deps

  /** The project of that name when the caller may deploy to it; nothing when there is none of theirs. */
  async function existing(request: FastifyRequest, name: string): Promise<ProjectRow | undefined> {
    try {
      return (await access.require(request.principal, { name }, 'deployment:create')).project
    } catch (error) {
      if (error instanceof AppError && error.code === 'not_found') return undefined
      throw error
    }
  }

  const knownSizes = (project: ProjectRow | undefined) => async (hashes: readonly string[]) =>
    project === undefined ? new Map<string, number>() : sources(db).sizes(project.id, hashes)

  app.post(
    '/api/deploy',
    {
      bodyLimit: jsonBytes,
      config: { permission: 'deployment:create', idempotency: 'route' },
      schema: {
        tags,
        summary: 'Deploy a folder: an archive or a list of files',
        body: { content },
        response: { 202: api.DeployAccepted },
      },
    },
    async (request, reply) => {
      await using upload = await deployments.blobs.stage()
      const { options, tree } = await readDeployRequest(request, upload, async ({ project }) =>
        knownSizes(await existing(request, project)),
      )
      if (
        await answeredBefore(request, reply, `${tree === undefined ? '' : treeHash(tree)} ${JSON.stringify(options)}`)
      )
        return reply
      const { project: name, env, git, ...rest } = options
      // Checked before anything is stored; the token is kept apart and sealed.
      const location = git === undefined ? undefined : gitLocation(git, deployments.gitHttpHosts)
      // Made only now: a refused upload leaves no project behind.
      const project = (await existing(request, name)) ?? (await projects.findOrCreate(request.principal, name))
      const order = {
        projectId: project.id,
        userId: request.principal.userId,
        options: { ...rest, ...(location !== undefined && { git: location }) },
        env,
        gitToken: git?.token,
      }
      const { deploymentId, operationId } = await deployments.deploy(order, tree, upload)
      const row = await deploymentStore(db).find(deploymentId)
      return reply.code(202).send({
        deploymentId,
        operationId,
        projectId: project.id,
        url: urls.projectUrl(project),
        deploymentUrl: urls.deploymentUrl(row?.slug ?? '', project),
      })
    },
  )

  app.post(
    '/api/deploy/plan',
    {
      bodyLimit: jsonBytes,
      config: { permission: 'deployment:create', idempotency: 'none' },
      schema: {
        tags,
        summary: 'What a deploy would find and do; nothing is stored',
        body: { content },
        response: { 200: api.DeployPlan },
      },
    },
    async request => {
      await using upload = await deployments.blobs.stage()
      let project: ProjectRow | undefined
      const { options, tree } = await readDeployRequest(request, upload, async ({ project: name }) => {
        project = await existing(request, name)
        return knownSizes(project)
      })
      const { project: _name, env: _env, ...rest } = options
      if (tree === undefined)
        throw new AppError('not_supported', 'What lies in a repository is known once it was fetched: deploy it.')
      return await deployments.plan(project?.id, rest, tree, upload)
    },
  )
}
