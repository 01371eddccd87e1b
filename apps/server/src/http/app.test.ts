import assert from 'node:assert/strict'
import { request as httpRequest } from 'node:http'
import test from 'node:test'
import { AppError } from '@coderunner/contract'
import { compileErrors, validate } from '@readme/openapi-parser'
import { pino } from 'pino'
import { Type } from 'typebox'
import { TestServer } from '../test-server.ts'
import { createApp } from './app.ts'
import type { IdempotencyStore } from './idempotency.ts'

/** An app without a database: none of these routes needs one. */
async function bareApp(options: { logs?: string[]; requestsPerMinute?: number } = {}) {
  const app = await createApp({
    publicUrl: 'https://coderunner.test',
    version: '0.0.0',
    hosts: ['other.test'],
    corsOrigins: ['https://friend.test'],
    trustedProxies: [],
    cookieName: '__Host-coderunner',
    logger: pino({ level: 'debug' }, { write: line => options.logs?.push(line) }),
    authenticate: async ({ value }) =>
      value === 'good' ? { userId: 'u', email: 'u@example.com', administrator: false, via: 'session' } : undefined,
    idempotency: undefined as unknown as IdempotencyStore,
    ...(options.requestsPerMinute && { requestsPerMinute: options.requestsPerMinute }),
  })
  app.post(
    '/api/thing',
    {
      schema: {
        body: Type.Object({ name: Type.String({ minLength: 2 }), size: Type.Integer() }),
        querystring: Type.Object({ limit: Type.Optional(Type.Integer({ default: 50 })) }),
      },
    },
    request => ({ limit: request.query.limit }),
  )
  app.get('/api/broken', { config: { auth: 'none' } }, () => {
    throw new Error('the password of the database is hunter2')
  })
  app.get('/api/expected', { config: { auth: 'none' } }, () => {
    throw new AppError('nothing_to_run', 'There is nothing to run: add a package.json.')
  })
  app.get('/api/admin', { config: { auth: 'administrator' } }, () => 'no')
  return Object.assign(app, { [Symbol.asyncDispose]: () => app.close() })
}

const good = { authorization: 'Bearer good', host: 'coderunner.test' }

test('every error is a problem with a code and the request id; what is behind a 500 stays in the log', async () => {
  const logs: string[] = []
  await using app = await bareApp({ logs })
  const broken = await app.inject({ url: '/api/broken' })
  assert.equal(broken.statusCode, 500)
  assert.equal(broken.headers['content-type'], 'application/problem+json')
  assert.equal(broken.json().code, 'internal')
  assert.equal(broken.json().requestId, broken.headers['x-request-id'])
  assert.doesNotMatch(broken.body, /hunter2/)
  assert.match(logs.join(''), /hunter2/)

  const expected = (await app.inject({ url: '/api/expected' })).json()
  assert.deepEqual(
    [expected.status, expected.code, expected.detail],
    [422, 'nothing_to_run', 'There is nothing to run: add a package.json.'],
  )
  const missing = await app.inject({ url: '/api/nowhere?token=x' })
  assert.deepEqual([missing.statusCode, missing.json().code], [404, 'not_found'])
  assert.doesNotMatch(logs.join(''), /token=x/)
})

test('a request that is not valid is told field by field; queries are converted, bodies are not', async () => {
  await using app = await bareApp()
  const send = (url: string, payload: object) => app.inject({ method: 'POST', url, payload, headers: good })
  const answer = (await send('/api/thing', { name: 'x', size: '3' })).json()
  assert.equal(answer.code, 'invalid_request')
  assert.deepEqual(answer.errors.map((problem: { path: string }) => problem.path).sort(), ['/name', '/size'])
  assert.deepEqual((await send('/api/thing?limit=7', { name: 'xy', size: 3 })).json(), { limit: 7 })
  assert.deepEqual((await send('/api/thing', { name: 'xy', size: 3 })).json(), { limit: 50 })
  const query = (await send('/api/thing?limit=many', { name: 'xy', size: 3 })).json()
  assert.equal(query.errors[0].path, '/querystring/limit')
  const notJson = await app.inject({
    method: 'POST',
    url: '/api/thing',
    payload: '{',
    headers: { ...good, 'content-type': 'application/json' },
  })
  assert.deepEqual([notJson.statusCode, notJson.json().code], [400, 'invalid_request'])
  const big = await send('/api/thing', { name: 'x'.repeat(1024 * 1024), size: 1 })
  assert.deepEqual([big.statusCode, big.json().code], [413, 'too_large'])
})

test('nobody, somebody and administrators', async () => {
  await using app = await bareApp()
  const anonymous = await app.inject({ url: '/api/admin' })
  assert.deepEqual([anonymous.statusCode, anonymous.headers['www-authenticate']], [401, 'Bearer'])
  assert.equal((await app.inject({ url: '/api/admin', headers: { authorization: 'Bearer bad' } })).statusCode, 401)
  assert.equal((await app.inject({ url: '/api/admin', headers: { authorization: 'Basic good' } })).statusCode, 401)
  assert.equal((await app.inject({ url: '/api/admin', headers: good })).statusCode, 403)
  const byCookie = await app.inject({ url: '/api/admin', cookies: { '__Host-coderunner': 'good' } })
  assert.equal(byCookie.statusCode, 403)
})

test('answers to host names it knows only', async () => {
  await using app = await bareApp()
  const status = async (host: string) => (await app.inject({ url: '/api/openapi.json', headers: { host } })).statusCode
  for (const host of [
    'coderunner.test',
    'other.test:3000',
    'localhost:3000',
    '127.0.0.1',
    '[::1]:3000',
    '192.0.2.7:3000',
  ])
    assert.equal(await status(host), 200, host)
  for (const host of ['evil.test', 'localhost.evil.test', 'app.localhost', '127.0.0.1.evil.test'])
    assert.equal(await status(host), 403, host)
})

test('a change needs an origin that is trusted, whenever a browser sends it', async () => {
  await using app = await bareApp()
  const status = async (headers: Record<string, string>, cookie = true) =>
    (
      await app.inject({
        method: 'POST',
        url: '/api/thing',
        payload: { name: 'xy', size: 1 },
        headers: { host: 'coderunner.test', ...headers },
        ...(cookie && { cookies: { '__Host-coderunner': 'good' } }),
      })
    ).statusCode
  assert.equal(await status({ origin: 'https://coderunner.test' }), 200)
  assert.equal(await status({ origin: 'https://friend.test' }), 200)
  assert.equal(await status({ 'sec-fetch-site': 'same-origin' }), 200)
  assert.equal(await status({}), 403)
  assert.equal(await status({ 'sec-fetch-site': 'same-site' }), 403)
  assert.equal(await status({ origin: 'https://evil.test' }), 403)
  assert.equal(await status({ origin: 'null' }), 403)
  assert.equal(await status({ origin: 'https://evil.test', authorization: 'Bearer good' }, false), 403)
  assert.equal(await status({ authorization: 'Bearer good' }, false), 200)
})

test('CORS is for listed origins', async () => {
  await using app = await bareApp()
  const preflight = async (origin: string) =>
    (
      await app.inject({
        method: 'OPTIONS',
        url: '/api/thing',
        headers: { host: 'coderunner.test', origin, 'access-control-request-method': 'POST' },
      })
    ).headers['access-control-allow-origin']
  assert.equal(await preflight('https://friend.test'), 'https://friend.test')
  assert.equal(await preflight('https://evil.test'), undefined)
})

test('every answer carries the headers that keep browsers careful', async () => {
  await using app = await bareApp()
  for (const url of ['/api/openapi.json', '/api/nowhere', '/api/admin']) {
    const { headers } = await app.inject({ url })
    assert.match(String(headers['content-security-policy']), /default-src 'none'.*frame-ancestors 'none'/, url)
    assert.equal(headers['x-content-type-options'], 'nosniff')
    assert.equal(headers['referrer-policy'], 'no-referrer')
    assert.match(String(headers['strict-transport-security']), /max-age/)
  }
})

test('too many requests are told when to come back', async () => {
  await using app = await bareApp({ requestsPerMinute: 3 })
  const get = () => app.inject({ url: '/api/admin', headers: good })
  for (let index = 0; index < 3; index += 1) assert.equal((await get()).statusCode, 403)
  const limited = await get()
  assert.deepEqual([limited.statusCode, limited.json().code], [429, 'rate_limited'])
  assert.match(String(limited.headers['retry-after']), /^\d+$/)
})

test('the OpenAPI document of the whole server is valid 3.1 and says who may call what', async () => {
  await using server = await TestServer.start()
  const { body } = await server.request('GET', '/api/openapi.json')
  assert.equal(body.openapi, '3.1.0')
  const result = await validate(structuredClone(body))
  assert.ok(result.valid, result.valid ? '' : compileErrors(result))
  assert.equal(body.paths['/api/projects/{id}'].delete['x-permission'], 'project:delete')
  assert.deepEqual(body.paths['/api/auth/login'].post.security, [])
  const ids = Object.values(body.paths).flatMap(path => Object.values(path as object).map(item => item.operationId))
  assert.equal(new Set(ids).size, ids.length)
})

test('the names of proxies are not believed unless they are trusted', async () => {
  await using server = await TestServer.start()
  const status = await new Promise<number | undefined>((resolve, reject) => {
    httpRequest(
      `${server.url}/health`,
      { headers: { host: 'evil.test', 'x-forwarded-host': 'localhost' } },
      response => {
        response.resume()
        resolve(response.statusCode)
      },
    )
      .on('error', reject)
      .end()
  })
  assert.equal(status, 403)
})
