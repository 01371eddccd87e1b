import assert from 'node:assert/strict'
import test from 'node:test'
import { newId } from '@coderunner/contract'
import { TestServer } from '../test-server.ts'
import { ProjectAccess } from './project-access.ts'
import { ProjectService } from './project-service.ts'
import { appUrls } from './urls.ts'

test('make, list page by page, change and delete', async () => {
  await using server = await TestServer.start()
  const { token } = await server.user()
  const call = (method: string, path: string, body?: unknown) => server.request(method, path, { token, body })
  for (const name of ['shop', 'blog', 'wiki']) {
    const made = await call('POST', '/api/projects', { name, description: `the ${name}` })
    assert.equal(made.status, 201)
    assert.equal(made.body.url, `http://${name}.localhost:3080`)
    assert.equal(made.body.role, 'owner')
  }
  const first = await call('GET', '/api/projects?limit=2')
  assert.deepEqual(
    first.body.items.map((item: { name: string }) => item.name),
    ['blog', 'shop'],
  )
  const second = await call('GET', `/api/projects?limit=2&cursor=${first.body.nextCursor}`)
  assert.deepEqual(
    second.body.items.map((item: { name: string }) => item.name),
    ['wiki'],
  )
  assert.equal(second.body.nextCursor, undefined)

  const { id } = first.body.items[0]
  const changed = await call('PATCH', `/api/projects/${id}`, { description: 'words' })
  assert.equal(changed.body.description, 'words')
  assert.equal((await call('GET', `/api/projects/${id}`)).body.description, 'words')
  assert.equal((await call('DELETE', `/api/projects/${id}`)).status, 204)
  assert.equal((await call('GET', `/api/projects/${id}`)).status, 404)
  const trail = await server.db
    .selectFrom('audit_event')
    .select('action')
    .where('project_id', '=', id)
    .orderBy('id')
    .execute()
  assert.deepEqual(
    trail.map(({ action }) => action),
    ['project:create', 'project:update', 'project:delete'],
  )
})

test('names: bad, reserved and taken ones are refused with a reason', async () => {
  await using server = await TestServer.start()
  const { token } = await server.user()
  const create = (name: string) => server.request('POST', '/api/projects', { token, body: { name } })
  assert.equal((await create('Shop')).status, 400)
  assert.equal((await create('a--b')).status, 400)
  const reserved = await create('admin')
  assert.equal(reserved.status, 400)
  assert.match(reserved.body.detail, /reserved/)
  const both = await Promise.all([create('shop'), create('shop')])
  assert.deepEqual(
    both.map(({ status }) => status).sort((a, b) => a - b),
    [201, 409],
  )
  assert.equal(both.find(({ status }) => status === 409)?.body.code, 'name_taken')
})

test('a project with deployments left is not deleted; destroyed ones go with it', async () => {
  await using server = await TestServer.start()
  const owner = await server.user()
  const project = await server.project({ owner })
  const source = { id: newId(), project_id: project.id, hash: 'h', files: '[]' }
  await server.db.insertInto('source').values(source).execute()
  await server.db
    .insertInto('deployment')
    .values({
      id: newId(),
      project_id: project.id,
      slug: 's1',
      source_id: source.id,
      options: '{}',
      status: 'STOPPED',
      desired: 'stopped',
    })
    .execute()
  const remove = () => server.request('DELETE', `/api/projects/${project.id}`, { token: owner.token })
  assert.deepEqual([(await remove()).status, (await remove()).body.code], [409, 'conflict'])
  await server.db.updateTable('deployment').set({ status: 'DESTROYED', desired: 'destroyed' }).execute()
  assert.equal((await remove()).status, 204)
  assert.deepEqual(await server.db.selectFrom('source').select('id').execute(), [])
})

test('members: added by e-mail, changed, removed; there is always an owner', async () => {
  await using server = await TestServer.start()
  const [ann, bob] = [await server.user(), await server.user()]
  const { id } = await server.project({ owner: ann })
  const path = `/api/projects/${id}/members`
  const put = (by: { token: string }, email: string, role: string) =>
    server.request('PUT', path, { token: by.token, body: { email, role } })
  assert.equal((await put(ann, 'nobody@x.co', 'viewer')).status, 404)
  assert.equal((await put(ann, bob.email.toUpperCase(), 'viewer')).body.userId, bob.userId)
  assert.equal((await put(bob, bob.email, 'owner')).status, 403)
  assert.equal((await put(ann, ann.email, 'developer')).status, 409)
  const leave = (user: { userId: string; token: string }) =>
    server.request('DELETE', `${path}/${user.userId}`, { token: user.token })
  assert.equal((await leave(ann)).status, 409)
  assert.equal((await put(ann, bob.email, 'owner')).status, 200)

  // Two owners leave at once: one of them has to stay.
  const both = await Promise.all([leave(ann), leave(bob)])
  assert.deepEqual(
    both.map(({ status }) => status).sort((a, b) => a - b),
    [204, 409],
  )
  const left = await server.db.selectFrom('project_member').select('role').where('project_id', '=', id).execute()
  assert.deepEqual(left, [{ role: 'owner' }])
})

test('the audit trail is read page by page', async () => {
  await using server = await TestServer.start()
  const owner = await server.user()
  const { id } = await server.project({ owner })
  for (const description of ['1', '2', '3'])
    await server.request('PATCH', `/api/projects/${id}`, { token: owner.token, body: { description } })
  const first = (await server.request('GET', `/api/projects/${id}/audit?limit=2`, { token: owner.token })).body
  const cursor = first.nextCursor as string
  const rest = (
    await server.request('GET', `/api/projects/${id}/audit?limit=2&cursor=${cursor}`, { token: owner.token })
  ).body
  assert.deepEqual([first.items.length, rest.items.length, rest.nextCursor], [2, 1, undefined])
  assert.equal(first.items[0].userId, owner.userId)
})

test('findOrCreate makes a project once, also for two deploys at the same moment, and never takes another user’s', async () => {
  await using server = await TestServer.start()
  const [ann, bob] = [await server.user(), await server.user()]
  const service = new ProjectService({ database: server.database, ports: { first: 20_000, last: 20_001 } })
  const [one, two] = await Promise.all([service.findOrCreate(ann, 'shop'), service.findOrCreate(ann, 'shop')])
  assert.equal(one.id, two.id)
  await assert.rejects(service.findOrCreate(bob, 'shop'), { code: 'name_taken' })
  assert.equal((await service.findOrCreate(bob, 'blog')).port, 20_001)
  await assert.rejects(service.findOrCreate(bob, 'wiki'), { code: 'unavailable' })
  const access = new ProjectAccess(server.db)
  assert.equal((await access.require(ann, { name: 'shop' }, 'project:delete')).role, 'owner')
  await assert.rejects(access.require(bob, { projectId: one.id }, 'project:read'), { code: 'not_found' })
})

test('addresses of projects and deployments, with a domain and without', () => {
  const project = { name: 'shop', port: 20_007 }
  const named = appUrls({ scheme: 'https', domain: 'apps.example.com', host: 'example.com', port: 443 })
  assert.equal(named.projectUrl(project), 'https://shop.apps.example.com')
  assert.equal(named.deploymentUrl('a1b2', project), 'https://a1b2--shop.apps.example.com')
  const byPort = appUrls({ scheme: 'http', host: '192.0.2.7', port: 3080 })
  assert.equal(byPort.projectUrl(project), 'http://192.0.2.7:20007')
  assert.equal(byPort.deploymentUrl('a1b2', project), 'http://192.0.2.7:20007')
})
