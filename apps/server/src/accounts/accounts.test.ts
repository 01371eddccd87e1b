import assert from 'node:assert/strict'
import test from 'node:test'
import { decodeJwt } from 'jose'
import { TestServer } from '../test-server.ts'

const password = 'correct horse battery'
const offLoopback = { CODERUNNER_PUBLIC_URL: 'https://coderunner.test', CODERUNNER_SETUP_TOKEN: 'set-up-secret' }

test('register, log in, verify, log out: what is revoked stops working at once', async () => {
  await using server = await TestServer.start()
  const registered = await server.request('POST', '/api/auth/register', {
    body: { email: 'Ann@Example.com', password },
  })
  assert.equal(registered.status, 201)
  assert.match(registered.body.message, /administrator/)
  const { userId } = registered.body

  const login = await server.request('POST', '/api/auth/login', { body: { email: 'ann@example.com', password } })
  assert.equal(login.status, 200)
  assert.equal(login.body.userId, userId)
  const { token } = login.body
  assert.deepEqual(Object.keys(decodeJwt(token)).sort(), ['exp', 'sid', 'sub'])
  assert.ok(Math.abs((decodeJwt(token).exp ?? 0) - Date.now() / 1000 - 7 * 24 * 3600) < 60)
  assert.match(login.headers.get('set-cookie') ?? '', /^coderunner=[^;]+;.*HttpOnly.*SameSite=Lax/)

  const verified = await server.request('GET', '/api/auth/verify', { token })
  assert.deepEqual(verified.body, { userId, email: 'ann@example.com', administrator: true })
  const cookie = (login.headers.get('set-cookie') ?? '').split(';', 1)[0] ?? ''
  assert.equal((await server.request('GET', '/api/auth/verify', { headers: { cookie } })).status, 200)
  assert.equal((await server.request('POST', '/api/auth/logout', { headers: { cookie } })).status, 403)

  assert.equal((await server.request('POST', '/api/auth/logout', { token })).status, 204)
  assert.equal((await server.request('GET', '/api/auth/verify', { token })).status, 401)
  assert.equal((await server.request('GET', '/api/auth/verify', { headers: { cookie } })).status, 401)
  const forged = token.replace(
    /\.[^.]*\./,
    `.${Buffer.from(JSON.stringify({ sub: userId, sid: 'x', exp: 9e9 })).toString('base64url')}.`,
  )
  assert.equal((await server.request('GET', '/api/auth/verify', { token: forged })).status, 401)

  const trail = await server.db.selectFrom('audit_event').select('action').orderBy('id').execute()
  assert.deepEqual(
    trail.map(({ action }) => action),
    ['account:register', 'session:create', 'session:revoke'],
  )
})

test('an e-mail has one account, also when two register at once; only the first account administers', async () => {
  await using server = await TestServer.start()
  const register = (email: string) => server.request('POST', '/api/auth/register', { body: { email, password } })
  const both = await Promise.all([register('a@x.co'), register('A@x.co')])
  assert.deepEqual(
    both.map(({ status }) => status).sort((a, b) => a - b),
    [201, 409],
  )
  assert.equal(both.find(({ status }) => status === 409)?.body.code, 'email_taken')
  assert.equal((await register('b@x.co')).status, 201)
  const administrators = await server.db.selectFrom('user').select('email').where('administrator', '=', true).execute()
  assert.deepEqual(administrators, [{ email: 'a@x.co' }])
  const weak = await server.request('POST', '/api/auth/register', { body: { email: 'c@x.co', password: 'short' } })
  assert.deepEqual([weak.status, weak.body.errors[0].path], [400, '/password'])
  assert.equal((await register('not an address')).status, 400)
})

test('a wrong password and an unknown e-mail cannot be told apart', async () => {
  await using server = await TestServer.start()
  await server.request('POST', '/api/auth/register', { body: { email: 'a@x.co', password } })
  const timed = async (email: string) => {
    const started = performance.now()
    const answer = await server.request('POST', '/api/auth/login', { body: { email, password: 'wrong' } })
    return { answer, ms: performance.now() - started }
  }
  // The first call compiles and connects.
  await timed('a@x.co')
  const wrong = await timed('a@x.co')
  const unknown = await timed('nobody@x.co')
  const { requestId: _a, ...wrongBody } = wrong.answer.body
  const { requestId: _b, ...unknownBody } = unknown.answer.body
  assert.equal(wrong.answer.status, 401)
  assert.deepEqual(unknownBody, wrongBody)
  // Both hash once: without that an unknown e-mail would be answered in a few milliseconds.
  assert.ok(unknown.ms > wrong.ms / 4, `${unknown.ms} ms and ${wrong.ms} ms`)
})

test('guessing the password of one e-mail is slowed down', async () => {
  await using server = await TestServer.start()
  const login = (email: string) => server.request('POST', '/api/auth/login', { body: { email, password: 'guess' } })
  const statuses = await Promise.all(Array.from({ length: 11 }, async () => (await login('a@x.co')).status))
  assert.equal(statuses.filter(status => status === 401).length, 10)
  const limited = await login('a@x.co')
  assert.equal(limited.status, 429)
  assert.match(limited.headers.get('retry-after') ?? '', /^\d+$/)
})

test('where others can reach the server, the first account needs the set-up token and then registration is closed', async () => {
  await using server = await TestServer.start(offLoopback)
  const register = (body: object) =>
    server.request('POST', '/api/auth/register', { body: { email: 'a@x.co', password, ...body } })
  assert.equal((await register({})).status, 403)
  assert.equal((await register({ setupToken: 'set-up-secreT' })).status, 403)
  assert.equal((await register({ setupToken: 'set-up-secret' })).status, 201)
  assert.equal((await register({ email: 'b@x.co', setupToken: 'set-up-secret' })).status, 403)
  const login = await server.request('POST', '/api/auth/login', { body: { email: 'a@x.co', password } })
  assert.match(login.headers.get('set-cookie') ?? '', /^__Host-coderunner=.*Path=\/;.*Secure/)
})

test('an invitation of an administrator lets one person in, once', async () => {
  await using server = await TestServer.start({ CODERUNNER_REGISTRATION: 'invite' })
  const register = (email: string, invitation?: string) =>
    server.request('POST', '/api/auth/register', { body: { email, password, ...(invitation && { invitation }) } })
  assert.equal((await register('a@x.co')).status, 201)
  const { token } = (await server.request('POST', '/api/auth/login', { body: { email: 'a@x.co', password } })).body
  const { invitation } = (await server.request('POST', '/api/invitations', { token })).body
  assert.equal((await register('b@x.co')).status, 403)
  assert.equal((await register('a@x.co', invitation)).status, 409)
  assert.equal((await register('b@x.co', invitation)).status, 201)
  assert.equal((await register('c@x.co', invitation)).status, 403)
  const other = await server.user()
  assert.equal((await server.request('POST', '/api/invitations', { token: other.token })).status, 403)
})

test('sessions are listed and ended, one or all others', async () => {
  await using server = await TestServer.start()
  const user = await server.user()
  const stranger = await server.user()
  const [second, third] = [await server.session(user.userId), await server.session(user.userId)]
  const { items } = (await server.request('GET', '/api/auth/sessions', { token: user.token })).body
  assert.equal(items.length, 3)
  const status = async (token: string) => (await server.request('GET', '/api/auth/verify', { token })).status
  assert.equal(await status(second), 200)
  const sid = decodeJwt(second)['sid'] as string
  const end = (token: string) => server.request('DELETE', `/api/auth/sessions/${sid}`, { token })
  assert.equal((await end(stranger.token)).status, 404)
  assert.equal((await end(user.token)).status, 204)
  assert.equal(await status(second), 401)
  assert.equal((await server.request('DELETE', '/api/auth/sessions', { token: user.token })).status, 204)
  assert.deepEqual([await status(third), await status(user.token)], [401, 200])
})

test('a session that another server ends is forgotten here', async () => {
  await using server = await TestServer.start()
  const { token, userId } = await server.user()
  const status = async () => (await server.request('GET', '/api/auth/verify', { token })).status
  assert.equal(await status(), 200)
  await server.db.deleteFrom('session').where('user_id', '=', userId).execute()
  assert.equal(await status(), 200, 'known for up to 30 s while nothing is said')
  const told = Promise.withResolvers<void>()
  await server.database.listen('session_revoked', () => told.resolve())
  await server.notify('session_revoked', decodeJwt(token)['sid'] as string)
  await told.promise
  // Two connections hear of it: ask until the server's own has.
  while ((await status()) !== 401) await new Promise(setImmediate)
})

test('API tokens: shown once, kept as hashes, listed, revoked; a token makes no tokens', async () => {
  await using server = await TestServer.start()
  const { token, userId } = await server.user()
  const created = await server.request('POST', '/api/tokens', { token, body: { name: 'ci', expiresInDays: 1 } })
  assert.equal(created.status, 201)
  assert.match(created.body.token, /^cr_[0-9A-Za-z]{27}$/)
  const api = created.body.token as string
  assert.equal((await server.request('GET', '/api/auth/verify', { token: api })).body.userId, userId)
  const { hash } = await server.db.selectFrom('api_token').select('hash').executeTakeFirstOrThrow()
  assert.doesNotMatch(hash.toString('latin1'), /cr_/)
  const { items } = (await server.request('GET', '/api/tokens', { token: api })).body
  assert.equal(items[0].name, 'ci')
  assert.ok(items[0].lastUsedAt)
  assert.equal(items[0].token, undefined)
  assert.equal((await server.request('POST', '/api/tokens', { token: api, body: { name: 'more' } })).status, 403)
  assert.equal((await server.request('POST', '/api/auth/logout', { token: api })).status, 403)
  const stranger = await server.user()
  const remove = (by: string) => server.request('DELETE', `/api/tokens/${created.body.id}`, { token: by })
  assert.equal((await remove(stranger.token)).status, 404)
  assert.equal((await remove(token)).status, 204)
  assert.equal((await server.request('GET', '/api/auth/verify', { token: api })).status, 401)

  const short = (await server.request('POST', '/api/tokens', { token, body: { name: 'old', expiresInDays: 1 } })).body
  await server.db
    .updateTable('api_token')
    .set({ expires_at: new Date(Date.now() - 1) })
    .execute()
  assert.equal((await server.request('GET', '/api/auth/verify', { token: short.token })).status, 401)
})
