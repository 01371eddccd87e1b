import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { api } from '@coderunner/contract'
import { TestServer } from '../test-server.ts'

const files = [{ path: 'server.js', content: Buffer.from('//').toString('base64') }]

test('whoever asks with a revision is answered when there is another one', async () => {
  await using server = await TestServer.start()
  const { token } = await server.user()
  const get = async (query = '') =>
    (await server.request('GET', `/api/deployments/${id}${query}`, { token })).body as api.Deployment
  const { body } = await server.request('POST', '/api/deploy', { token, body: { project: 'waited', files } })
  const { deploymentId: id } = body as { deploymentId: string }

  let seen = await get()
  const statuses = new Set<string>()
  const started = performance.now()
  for (let rounds = 0; seen.operations[0]?.status !== 'SUCCEEDED'; rounds++) {
    assert.ok(rounds < 40, 'every answer is news')
    const next = await get(`?since=${seen.revision}&waitMs=10000`)
    assert.notEqual(next.revision, seen.revision)
    seen = next
    statuses.add(seen.status)
  }
  assert.ok(statuses.has('RUNNING'), [...statuses].join())
  assert.ok(performance.now() - started < 9000, 'nobody waited for a time to run out')

  // Nothing happens any more: the answer comes when the time is up, and is the same.
  const before = performance.now()
  assert.equal((await get(`?since=${seen.revision}&waitMs=300`)).revision, seen.revision)
  assert.ok(performance.now() - before >= 290)
  assert.equal((await get('?since=another&waitMs=10000')).revision, seen.revision)
})

test('a repository is ordered by name; what would be found in it cannot be told', async () => {
  await using server = await TestServer.start()
  const { token } = await server.user()
  const order = (body: object, path = '/api/deploy') => server.request('POST', path, { token, body })
  const git = { url: 'git@example.org:owner/repository.git', token: 'sesame' }
  const accepted = await order({ project: 'fetched', git })
  assert.equal(accepted.status, 202)
  const row = await server.db
    .selectFrom('deployment')
    .selectAll()
    .where('id', '=', accepted.body.deploymentId)
    .executeTakeFirstOrThrow()
  assert.deepEqual((row.options as { git?: object }).git, {
    url: 'https://example.org/owner/repository.git',
    ref: 'HEAD',
  })
  assert.ok(!JSON.stringify(row).includes('sesame'))

  assert.equal((await order({ project: 'fetched', git }, '/api/deploy/plan')).body.code, 'not_supported')
  for (const bad of [
    { project: 'other', git: { url: 'ext::sh -c id' } },
    { project: 'other', git: { url: 'https://a/b', ref: '--upload-pack=x' } },
    { project: 'other', git: { url: 'https://u:p@a/b' } },
    { project: 'other', git: { url: 'https://a/b' }, files },
    { project: 'other' },
  ])
    assert.equal((await order(bad)).status, 400, JSON.stringify(bad))
  const projects = (await server.request('GET', '/api/projects', { token })).body as { items: { name: string }[] }
  assert.deepEqual(
    projects.items.map(({ name }) => name),
    ['fetched'],
  )
})

test('a zip comes as a form, as zip and as bytes of no kind', async () => {
  await using server = await TestServer.start()
  const { token } = await server.user()
  // One empty file `server.js` in a folder `repo-main`, stored.
  const zip = Buffer.from(
    'UEsDBBQAAAAAAAAAIQAAAAAAAAAAAAAAAAATAAAAcmVwby1tYWluL3NlcnZlci5qc1BLAQIUAxQAAAAAAAAAIQAAAAAAAAAAAAAAAAATAAAAAAAAAAAAAACAAQAAAAByZXBvLW1haW4vc2VydmVyLmpzUEsFBgAAAAABAAEAQQAAADEAAAAAAA==',
    'base64',
  )
  for (const type of ['application/zip', 'application/octet-stream', 'application/x-www-form-urlencoded']) {
    const response = await fetch(`${server.url}/api/deploy/plan?project=zipped`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': type },
      body: zip,
    })
    assert.equal(response.status, 200, type)
    const { detection } = (await response.json()) as api.DeployPlan
    assert.match(detection.processes[0]?.command ?? '', /server\.js/)
  }
  const form = new FormData()
  form.set('options', JSON.stringify({ project: 'zipped' }))
  form.set('archive', new Blob([zip]), 'code.zip')
  const headers = { authorization: `Bearer ${token}` }
  const response = await fetch(`${server.url}/api/deploy`, { method: 'POST', headers, body: form })
  assert.equal(response.status, 202)
})
