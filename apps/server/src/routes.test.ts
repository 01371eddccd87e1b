import assert from 'node:assert/strict'
import test from 'node:test'
import { allows, newId, type Permission, type Role, roles } from '@coderunner/contract'
import { TestServer, type TestUser } from './test-server.ts'

interface Fixture {
  project: { id: string; name: string }
  deploymentId: string
  operationId: string
}

interface Operation {
  'x-auth'?: 'user' | 'administrator' | 'none' | 'optional'
  'x-permission'?: Permission
  requestBody?: unknown
  parameters?: { name: string; in: string; required?: boolean }[]
}

/** A body that passes validation, for routes that want one: only then do they come to ask who is calling. */
const bodies: Record<string, (fixture: Fixture) => unknown> = {
  'post /api/auth/register': () => ({ email: `${newId()}@x.co`, password: 'long enough' }),
  'post /api/auth/login': () => ({ email: 'a@x.co', password: 'x' }),
  'post /api/tokens': () => ({ name: 'ci' }),
  'post /api/projects': () => ({ name: `p${newId(10)}` }),
  'patch /api/projects/{id}': () => ({ description: 'words' }),
  'put /api/projects/{id}/members': () => ({ email: 'member@x.co', role: 'viewer' }),
  'post /api/deploy': ({ project }) => ({ project: project.name, files: [] }),
  'post /api/deploy/plan': ({ project }) => ({ project: project.name, files: [] }),
  'post /api/projects/{id}/sources/missing': () => ({ hashes: [] }),
  'post /api/deployments/{id}/run': () => ({ command: ['true'] }),
}

/** Where what a caller may not know is not told by 404: a new project's name is taken, or it is not. */
const strangerAnswers: Record<string, readonly number[]> = {
  'post /api/deploy': [409],
  'post /api/deploy/plan': [200, 404, 409, 422],
}

test('every route, as nobody, a stranger and each role: 401, 404, 403 or what it is for', async t => {
  await using server = await TestServer.start()
  const users = Object.fromEntries(
    await Promise.all(['stranger', ...roles].map(async name => [name, await server.user()] as const)),
  ) as Record<Role | 'stranger', TestUser>
  await server.user('member@x.co')
  const { paths } = (await server.request('GET', '/api/openapi.json')).body as {
    paths: Record<string, Record<string, Operation>>
  }
  for (const [path, operations] of Object.entries(paths))
    for (const [method, operation] of Object.entries(operations))
      await t.test(`${method} ${path}`, async () => {
        await walk(server, users, { method, path, operation })
      })
})

async function walk(
  server: TestServer,
  users: Record<Role | 'stranger', TestUser>,
  { method, path, operation }: { method: string; path: string; operation: Operation },
): Promise<void> {
  const name = `${method} ${path}`
  const auth = operation['x-auth']
  const permission = operation['x-permission']
  if (operation.requestBody !== undefined) assert.ok(bodies[name], `give the walk a body for ${name}`)
  const isAboutProject = /^\/api\/(projects|deployments|operations)\/\{/.test(path)
  assert.ok(auth !== undefined, 'says who may call it')
  assert.ok(!isAboutProject || permission !== undefined, 'says which permission it asks for')

  const call = async (token: string | undefined): Promise<number> => {
    const fixture = await prepare(server, users)
    const values: Record<string, string> = {
      id: path.startsWith('/api/deployments') ? fixture.deploymentId : fixture.project.id,
      projectId: fixture.project.id,
      deploymentId: fixture.deploymentId,
      operationId: fixture.operationId,
      userId: newId(),
      action: 'stop',
      hash: 'a'.repeat(64),
    }
    const url = path.replace(/\{(\w+)\}/g, (_, parameter: string) => values[parameter] ?? newId())
    const body = bodies[name]?.(fixture)
    const { status } = await server.request(method.toUpperCase(), url, {
      ...(token !== undefined && { token }),
      ...(body !== undefined && { body }),
    })
    return status
  }

  const anonymous = await call(undefined)
  if (auth === 'none' || auth === 'optional') {
    assert.notEqual(anonymous, 400, 'the walk sends what the route wants')
    return
  }
  assert.equal(anonymous, 401, 'as nobody')
  if (auth === 'administrator') {
    assert.equal(await call(users.owner.token), 403, 'as no administrator')
    return
  }
  if (permission === undefined) {
    // A user of its own: some of these routes end all sessions.
    const status = await call((await server.user()).token)
    assert.ok(![400, 401, 403].includes(status), `as a user: ${status}`)
    return
  }
  const stranger = await call(users.stranger.token)
  assert.ok((strangerAnswers[name] ?? [404]).includes(stranger), `as a stranger: ${stranger}`)
  for (const role of roles) {
    if (!allows(role, permission)) assert.equal(await call(users[role].token), 403, `as ${role}`)
    // What it does for those who may is the matter of its own tests: only reading is tried here.
    else if (method === 'get') {
      const status = await call(users[role].token)
      assert.ok(status < 400, `as ${role}: ${status}`)
    }
  }
}

/** A project with a member of every role, and a stopped deployment in it. */
async function prepare(server: TestServer, users: Record<Role | 'stranger', TestUser>): Promise<Fixture> {
  const project = await server.project({ owner: users.owner, developer: users.developer, viewer: users.viewer })
  const [sourceId, deploymentId, operationId] = [newId(), newId(), newId()]
  await server.db
    .insertInto('source')
    .values({ id: sourceId, project_id: project.id, hash: newId(), files: '[]' })
    .execute()
  await server.db
    .insertInto('deployment')
    .values({
      id: deploymentId,
      project_id: project.id,
      slug: newId(8),
      source_id: sourceId,
      options: '{}',
      status: 'STOPPED',
      desired: 'stopped',
    })
    .execute()
  await server.db
    .insertInto('operation')
    .values({ id: operationId, deployment_id: deploymentId, kind: 'stop', status: 'SUCCEEDED' })
    .execute()
  return { project, deploymentId, operationId }
}
