import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { newId } from '@coderunner/contract'
import { pino } from 'pino'
import { createApp } from '../http/app.ts'
import { IdempotencyStore } from '../http/idempotency.ts'
import { ProjectAccess } from '../projects/project-access.ts'
import { appUrls } from '../projects/urls.ts'
import { deploymentRoutes } from './deployment-routes.ts'
import { programs, World, type WorldOptions } from './test-world.ts'

const run = promisify(execFile)

/** The world behind real HTTP; a bearer is a user id. */
async function startApi(options: WorldOptions = {}) {
  const world = await World.start(options)
  const app = await createApp({
    publicUrl: 'http://127.0.0.1',
    version: '0',
    hosts: [],
    corsOrigins: [],
    trustedProxies: [],
    cookieName: 'c',
    logger: pino({ level: process.env['TEST_LOG'] ?? 'silent' }),
    idempotency: new IdempotencyStore(world.database.db),
    authenticate: async ({ value }) => ({ userId: value, email: 'x', administrator: false, via: 'token' }),
  })
  await deploymentRoutes(app, {
    db: world.database.db,
    deployments: world.deployments,
    access: new ProjectAccess(world.database.db),
    projects: world.projects,
    urls: appUrls({ scheme: 'http', domain: 'apps.test', host: 'localhost', port: 3080 }),
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const url = `http://127.0.0.1:${port}`
  const call = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
    const isJson = body !== undefined && !(body instanceof FormData) && !(body instanceof Uint8Array)
    const answer = await fetch(url + path, {
      method,
      headers: {
        authorization: `Bearer ${world.userId}`,
        ...(isJson ? { 'content-type': 'application/json' } : {}),
        ...headers,
      },
      ...(body === undefined ? {} : { body: isJson ? JSON.stringify(body) : (body as FormData) }),
    })
    const text = await answer.text()
    const json =
      answer.headers.get('content-type')?.includes('json') && !answer.headers.get('content-type')?.includes('nd')
    // oxlint-disable-next-line typescript/no-explicit-any -- tests read whatever is there.
    return { status: answer.status, headers: answer.headers, body: json ? JSON.parse(text) : text }
  }
  return {
    world,
    url,
    call,
    async [Symbol.asyncDispose]() {
      const closed = app.close()
      // A client that broke off keeps a spare connection open, on which nothing was ever sent.
      app.server.closeAllConnections()
      await closed
      await world[Symbol.asyncDispose]()
    },
  }
}

const base64 = (text: string) => Buffer.from(text).toString('base64')
const files = [{ path: 'server.js', content: base64('//') }]

async function archiveOf(contents: Record<string, string>): Promise<{ path: string } & AsyncDisposable> {
  const directory = await mkdtemp(join(tmpdir(), 'deploy-routes-'))
  await mkdir(join(directory, 'project'))
  for (const [path, content] of Object.entries(contents)) await writeFile(join(directory, 'project', path), content)
  await run('tar', ['czf', join(directory, 'a.tgz'), '.'], { cwd: join(directory, 'project') })
  return {
    path: join(directory, 'a.tgz'),
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true }),
  }
}

test('files, archives and forms are deployed', async () => {
  await using api = await startApi()
  const { world, call, url } = api
  const deployed = await call('POST', '/api/deploy', { project: 'shop', files, env: { A: 'b' } })
  assert.equal(deployed.status, 202)
  const { deploymentId, operationId, projectId } = deployed.body
  assert.match(`${deploymentId} ${operationId} ${projectId}`, /^[a-z0-9]{20} [a-z0-9]{20} [a-z0-9]{20}$/)
  assert.equal(deployed.body.url, 'http://shop.apps.test:3080')
  assert.match(deployed.body.deploymentUrl, /^http:\/\/[a-z0-9]{8}--shop\.apps\.test:3080$/)
  await world.ended(deploymentId)
  const { body } = await call('GET', `/api/deployments/${deploymentId}`)
  assert.equal(body.status, 'RUNNING')
  assert.equal(body.serving, true)
  assert.equal(body.runtime, 'nodejs')
  assert.equal(body.steps.length, 6)
  assert.equal(body.instances[0].status, 'RUNNING')
  assert.equal(body.operations[0].kind, 'deploy')

  await using archive = await archiveOf({ 'server.js': '//' })
  const curl = async (...argv: string[]) => {
    const { stdout } = await run('curl', ['-sS', '-H', `authorization: Bearer ${world.userId}`, ...argv])
    return JSON.parse(stdout)
  }
  // The content type curl sends by itself, and a stream of unknown length.
  const raw = await curl('--data-binary', `@${archive.path}`, `${url}/api/deploy?project=shop&env.B=c&port=8080`)
  const chunked = await curl(
    '-T',
    archive.path,
    '-X',
    'POST',
    '-H',
    'content-type: application/gzip',
    `${url}/api/deploy?project=shop`,
  )
  const form = await curl('-F', `archive=@${archive.path}`, '-F', 'options={"project":"shop"}', `${url}/api/deploy`)
  for (const { deploymentId: id } of [raw, chunked, form]) {
    assert.match(id, /^[a-z0-9]{20}$/)
    await world.ended(id)
  }
  const list = await call('GET', '/api/deployments?project=shop&limit=3')
  assert.deepEqual(
    list.body.items.map((item: { id: string }) => item.id),
    [form.deploymentId, chunked.deploymentId, raw.deploymentId],
  )
  const rest = await call('GET', `/api/projects/${projectId}/deployments?cursor=${list.body.nextCursor}`)
  assert.deepEqual(
    rest.body.items.map((item: { id: string }) => item.id),
    [deploymentId],
  )
})

test('what is refused leaves nothing behind', async () => {
  await using api = await startApi()
  const { world, call, url } = api
  const refused = async (status: number, code: string, answer: ReturnType<typeof call>) => {
    const { status: found, body } = await answer
    assert.deepEqual([found, body.code], [status, code], JSON.stringify(body))
    return body.detail as string
  }
  const gz = { 'content-type': 'application/gzip' }
  await refused(400, 'invalid_archive', call('POST', '/api/deploy?project=shop', Buffer.from('PK\u0003\u0004 zip'), gz))
  await refused(400, 'invalid_archive', call('POST', '/api/deploy?project=shop', Buffer.alloc(3_000_000, 'x'), gz))
  await refused(400, 'invalid_request', call('POST', '/api/deploy?project=Not%20good', Buffer.from('x'), gz))
  await refused(400, 'invalid_request', call('POST', '/api/deploy', Buffer.from('x'), gz))
  await refused(
    400,
    'invalid_request',
    call('POST', '/api/deploy', { project: 'shop', files: [{ path: '../x', content: '' }] }),
  )
  await refused(400, 'invalid_request', call('POST', '/api/deploy', { project: 'shop' }))
  await refused(
    415,
    'unsupported_media_type',
    call('POST', '/api/deploy', Buffer.from('x'), { 'content-type': 'text/html' }),
  )
  const form = new FormData()
  form.append('options', '{"project":"shop","port":0}')
  assert.match(await refused(400, 'invalid_request', call('POST', '/api/deploy', form)), /\/options\/port/)
  const broken = new FormData()
  broken.append('archive', new Blob([Buffer.alloc(3_000_000, 'x')]), 'a.tgz')
  broken.append('options', '{"project":"shop"}')
  await refused(400, 'invalid_archive', call('POST', '/api/deploy', broken))
  const hash = 'a'.repeat(64)
  const detail = await refused(
    422,
    'missing_files',
    call('POST', '/api/deploy', { project: 'shop', files: [{ path: 'lib/a', hash }] }),
  )
  assert.match(detail, /lib\/a/)
  const { stdout } = await run('curl', [
    '-sS',
    '-H',
    `authorization: Bearer ${world.userId}`,
    '--data-binary',
    'nothing',
    `${url}/api/deploy?project=shop`,
  ])
  assert.equal(JSON.parse(stdout).code, 'invalid_archive')
  assert.deepEqual(await world.database.db.selectFrom('project').selectAll().execute(), [])
  assert.deepEqual(await readdir(join(world.directory, 'staging')), [])
})

test('a key makes a deploy once', async () => {
  await using api = await startApi()
  const { call, world } = api
  const headers = { 'idempotency-key': 'k1' }
  const first = await call('POST', '/api/deploy', { project: 'shop', files }, headers)
  const again = await call('POST', '/api/deploy', { project: 'shop', files }, headers)
  assert.deepEqual(again.body, first.body)
  assert.equal(again.status, 202)
  const other = await call('POST', '/api/deploy', { project: 'shop', files, port: 1 }, headers)
  assert.equal(other.body.code, 'idempotency_mismatch')
  assert.equal((await world.database.db.selectFrom('deployment').select('id').execute()).length, 1)
})

test('only what is missing is sent, and only of the own project', async () => {
  await using api = await startApi()
  const { call, world } = api
  const { body } = await call('POST', '/api/deploy', { project: 'shop', files })
  await world.ended(body.deploymentId)
  const { hash } = await world.database.db.selectFrom('source_blob').select('hash').executeTakeFirstOrThrow()
  const unknown = 'b'.repeat(64)
  const missing = await call('POST', `/api/projects/${body.projectId}/sources/missing`, {
    hashes: [hash, unknown, unknown],
  })
  assert.deepEqual(missing.body, { missing: [unknown] })
  const again = await call('POST', '/api/deploy', { project: 'shop', files: [{ path: 'server.js', hash }] })
  assert.equal(again.status, 202)
  const other = await call('POST', '/api/deploy', { project: 'other', files: [{ path: 'server.js', hash }] })
  assert.equal(other.status, 422)
})

test('a plan says what would be done and stores nothing', async () => {
  await using api = await startApi()
  const manifest = '{"scripts":{"start":"node server.js","build":"x"},"dependencies":{"a":"1"}}'
  const { status, body } = await api.call('POST', '/api/deploy/plan', {
    project: 'shop',
    files: [...files, { path: 'package.json', content: base64(manifest) }],
  })
  assert.equal(status, 200)
  assert.equal(body.detection.install, 'npm install')
  assert.deepEqual(
    body.steps.map((step: { name: string }) => step.name),
    ['analyze', 'install', 'build', 'start', 'health', 'promote'],
  )
  const nothing = await api.call('POST', '/api/deploy/plan', { project: 'shop', files: [{ path: 'x.c', content: '' }] })
  assert.deepEqual([nothing.status, nothing.body.code], [422, 'nothing_to_run'])
  assert.deepEqual(await api.world.database.db.selectFrom('project').selectAll().execute(), [])
})

test('actions, access and what is not yours', async () => {
  await using api = await startApi()
  const { call, world } = api
  const { body } = await call('POST', '/api/deploy', { project: 'shop', files })
  const path = `/api/deployments/${body.deploymentId}`
  await world.ended(body.deploymentId)
  const stopped = await call('POST', `${path}/stop`)
  assert.equal(stopped.status, 202)
  assert.match(stopped.body.operationId, /^[a-z0-9]{20}$/)
  await world.ended(body.deploymentId)
  const refused = await call('POST', `${path}/stop`)
  assert.deepEqual([refused.status, refused.body.code], [409, 'action_not_allowed'])
  assert.match(refused.body.detail, /STOPPED/)
  assert.equal((await call('POST', `${path}/explode`)).status, 400)

  const stranger = newId()
  await world.database.db.insertInto('user').values({ id: stranger, name: '', email: 's@example.com' }).execute()
  const as = { authorization: `Bearer ${stranger}` }
  for (const [method, at] of [
    ['GET', path],
    ['DELETE', path],
    ['POST', `${path}/start`],
    ['GET', '/api/deployments?project=shop'],
  ] as const) {
    const answer = await call(method, at, undefined, as)
    assert.deepEqual([answer.status, answer.body.code], [404, 'not_found'], at)
  }
  assert.deepEqual((await call('GET', '/api/deployments', undefined, as)).body, { items: [] })
  const taken = await call('POST', '/api/deploy', { project: 'shop', files }, as)
  assert.deepEqual([taken.status, taken.body.code], [409, 'name_taken'])

  await world.database.db
    .insertInto('project_member')
    .values({ project_id: body.projectId, user_id: stranger, role: 'viewer' })
    .execute()
  assert.equal((await call('GET', path, undefined, as)).status, 200)
  assert.equal((await call('POST', `${path}/start`, undefined, as)).status, 403)
  assert.equal((await call('POST', '/api/deploy', { project: 'shop', files }, as)).status, 403)

  assert.equal((await call('DELETE', path)).status, 202)
  await world.ended(body.deploymentId)
  assert.equal((await call('GET', path)).body.status, 'DESTROYED')
  const trail = await world.database.db.selectFrom('audit_event').select('action').orderBy('id').execute()
  assert.deepEqual(
    trail.map(row => row.action),
    ['project:create', 'deployment:create', 'deployment:stop', 'deployment:destroy'],
  )
})

test('one-off commands', async () => {
  const killed = Promise.withResolvers<void>()
  await using api = await startApi({
    programs: {
      ...programs,
      'hang.js': async ({ stdout, signal }) => {
        stdout('waiting\n')
        signal.addEventListener('abort', () => killed.resolve())
        await new Promise(() => {})
        return 0
      },
    },
  })
  const { call, world, url } = api
  const { body } = await call('POST', '/api/deploy', { project: 'shop', files, env: { GREETING: 'hi' } })
  await world.ended(body.deploymentId)
  const path = `/api/deployments/${body.deploymentId}/run`
  const answer = await call('POST', path, { command: ['sh', '-c', 'echo $GREETING; echo bad >&2; exit 3'] })
  const events = answer.body
    .trim()
    .split('\n')
    .map((line: string) => JSON.parse(line))
  const text = (stream: string) =>
    events
      .filter((event: { stream?: string }) => event.stream === stream)
      .map((event: { data: string }) => String(Buffer.from(event.data, 'base64')))
      .join('')
  assert.equal(text('stdout'), 'hi\n')
  assert.equal(text('stderr'), 'bad\n')
  assert.deepEqual(events.at(-1), { exitCode: 3 })

  const abort = new AbortController()
  const hanging = await fetch(url + path, {
    method: 'POST',
    headers: { authorization: `Bearer ${world.userId}`, 'content-type': 'application/json' },
    body: JSON.stringify({ command: ['node', 'hang.js'] }),
    signal: abort.signal,
  })
  const reader = hanging.body?.getReader()
  await reader?.read()
  assert.equal((await world.provider.list()).length, 2)
  abort.abort()
  await world.until(async () => (await world.provider.list()).length === 1)
  await world.until(async () =>
    (await world.instances(body.deploymentId)).every(row => row.kind !== 'command' || row.status === 'GONE'),
  )
})
