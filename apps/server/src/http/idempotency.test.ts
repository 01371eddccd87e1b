import assert from 'node:assert/strict'
import test from 'node:test'
import { sql } from 'kysely'
import { pino } from 'pino'
import { Type } from 'typebox'
import { testDatabase } from '../testing.ts'
import { createApp } from './app.ts'
import { answeredBefore, IdempotencyStore } from './idempotency.ts'

async function start() {
  const parts = new AsyncDisposableStack()
  const { db } = parts.use(await testDatabase())
  await db
    .insertInto('user')
    .values([
      { id: 'u', name: '', email: 'u@x.co' },
      { id: 'v', name: '', email: 'v@x.co' },
    ])
    .execute()
  const entered = Promise.withResolvers<void>()
  const gate = Promise.withResolvers<void>()
  const app = await createApp({
    publicUrl: 'http://localhost:3000',
    version: '0.0.0',
    hosts: [],
    corsOrigins: [],
    trustedProxies: [],
    cookieName: 'coderunner',
    logger: pino({ level: 'silent' }),
    authenticate: async ({ value }) => ({ userId: value, email: '', administrator: false, via: 'session' }),
    idempotency: new IdempotencyStore(db),
  })
  parts.defer(() => app.close())
  // Before the app closes, which waits for what is in flight.
  parts.defer(() => gate.resolve())
  let made = 0
  app.post('/api/things', { schema: { body: Type.Object({ name: Type.String() }) } }, async (request, reply) => {
    made += 1
    if (request.body.name === 'fails') throw new Error('once')
    if (request.body.name === 'slow') {
      entered.resolve()
      await gate.promise
    }
    return reply.code(201).send({ made })
  })
  app.post('/api/stream', { config: { idempotency: 'route' } }, async (request, reply) => {
    if (await answeredBefore(request, reply, String(request.headers['x-source-hash']))) return reply
    made += 1
    return reply.code(202).send({ made })
  })
  const post = (name: string, key: string, options: { user?: string; url?: string; hash?: string } = {}) =>
    app.inject({
      method: 'POST',
      url: options.url ?? '/api/things',
      payload: { name },
      headers: {
        authorization: `Bearer ${options.user ?? 'u'}`,
        'idempotency-key': key,
        ...(options.hash && { 'x-source-hash': options.hash }),
      },
    })
  return {
    db,
    post,
    gate,
    made: () => made,
    entered: entered.promise,
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  }
}

test('the same request with the same key is answered once and for all', async () => {
  await using started = await start()
  const { post, made, db } = started
  const first = await post('a', 'k1')
  const second = await post('a', 'k1')
  assert.deepEqual([first.statusCode, first.json()], [201, { made: 1 }])
  assert.deepEqual([second.statusCode, second.json(), second.headers['idempotent-replay']], [201, { made: 1 }, 'true'])
  const other = await post('b', 'k1')
  assert.deepEqual([other.statusCode, other.json().code], [409, 'idempotency_mismatch'])
  assert.equal((await post('a', 'k1', { user: 'v' })).json().made, 2)
  await sql`update idempotency_key set created_at = now() - interval '25 hours'`.execute(db)
  assert.equal((await post('b', 'k1')).json().made, 3)
  assert.equal(made(), 3)
})

test('a failure on our side may be tried again; while the first is worked on, the second is told to wait', async () => {
  await using started = await start()
  const { post, gate, entered, made } = started
  assert.equal((await post('fails', 'k1')).statusCode, 500)
  assert.equal((await post('fails', 'k1')).statusCode, 500)
  assert.equal(made(), 2)
  const slow = post('slow', 'k2')
  await entered
  const early = await post('slow', 'k2')
  assert.deepEqual([early.statusCode, early.json().code], [409, 'conflict'])
  assert.match(String(early.headers['retry-after']), /^\d+$/)
  gate.resolve()
  assert.equal((await slow).statusCode, 201)
  assert.equal((await post('slow', 'k2')).headers['idempotent-replay'], 'true')
})

test('a route with a streamed body gives the fingerprint itself', async () => {
  await using started = await start()
  const { post, made } = started
  const options = { url: '/api/stream', hash: 'h1' }
  assert.equal((await post('x', 'k1', options)).statusCode, 202)
  assert.deepEqual((await post('ignored', 'k1', options)).json(), { made: 1 })
  assert.equal((await post('x', 'k1', { ...options, hash: 'h2' })).statusCode, 409)
  assert.equal(made(), 1)
})

test('a key has a sane shape', async () => {
  await using started = await start()
  const { post } = started
  assert.equal((await post('a', 'k'.repeat(201))).statusCode, 400)
})
