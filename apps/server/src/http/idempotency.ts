import { createHash } from 'node:crypto'
import { AppError } from '@coderunner/contract'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { sql } from 'kysely'
import type { Db } from '../database.ts'
import { RetryLaterError } from './problem.ts'

const keptHours = 24
/** A claim older than this belongs to a server that has ended; no request takes as long. */
const claimMinutes = 15

export interface StoredAnswer {
  status: number
  body: unknown
}

/** SQL of the table idempotency_key. */
export class IdempotencyStore {
  readonly #db: Db

  constructor(db: Db) {
    this.#db = db
  }

  /** Claims a key for a request: nothing when the caller has to do the work, the stored answer when it was done. */
  async claim(userId: string, key: string, hash: Buffer): Promise<StoredAnswer | undefined> {
    const expired = sql<boolean>`idempotency_key.created_at < now() - make_interval(hours => ${keptHours})
      or (idempotency_key.status is null and idempotency_key.created_at < now() - make_interval(mins => ${claimMinutes}))`
    await this.#db
      .deleteFrom('idempotency_key')
      .where('created_at', '<', sql<Date>`now() - make_interval(hours => ${keptHours})`)
      .execute()
    const claimed = await this.#db
      .insertInto('idempotency_key')
      .values({ user_id: userId, key, request_hash: hash })
      .onConflict(conflict =>
        conflict
          .columns(['user_id', 'key'])
          .doUpdateSet({ request_hash: hash, status: null, body: null, created_at: sql`now()` })
          .where(expired),
      )
      .returning('key')
      .executeTakeFirst()
    if (claimed !== undefined) return undefined
    const stored = await this.#db
      .selectFrom('idempotency_key')
      .select(['request_hash', 'status', 'body'])
      .where('user_id', '=', userId)
      .where('key', '=', key)
      .executeTakeFirst()
    if (stored !== undefined && !stored.request_hash.equals(hash))
      throw new AppError(
        'idempotency_mismatch',
        'This Idempotency-Key was used for another request. Use a new key for a new request.',
      )
    if (stored === undefined || stored.status === null)
      throw new RetryLaterError('conflict', 'The first request with this Idempotency-Key is still being worked on.', 2)
    return { status: stored.status, body: stored.body }
  }

  async store(userId: string, key: string, answer: { status: number; body: string }): Promise<void> {
    await this.#db
      .updateTable('idempotency_key')
      .set({ status: answer.status, body: answer.body })
      .where('user_id', '=', userId)
      .where('key', '=', key)
      .execute()
  }

  /** Nothing was done: the key may be used again. */
  async release(userId: string, key: string): Promise<void> {
    await this.#db
      .deleteFrom('idempotency_key')
      .where('user_id', '=', userId)
      .where('key', '=', key)
      .where('status', 'is', null)
      .execute()
  }
}

interface Claim {
  userId: string
  key: string
}

declare module 'fastify' {
  interface FastifyRequest {
    idempotencyClaim: Claim | undefined
    idempotencyStore: IdempotencyStore
  }
}

/**
 * For routes with `idempotency: 'route'`: claims the request's Idempotency-Key, if it has one, for method, path and
 * `fingerprint` (such as the hash of an upload and of its options). True when the answer was given before and has been
 * sent: the route then returns `reply`.
 */
export async function answeredBefore(
  request: FastifyRequest,
  reply: FastifyReply,
  fingerprint: string | Buffer,
): Promise<boolean> {
  const key = request.headers['idempotency-key']
  if (key === undefined) return false
  if (typeof key !== 'string' || !/^[\x21-\x7e]{1,200}$/.test(key))
    throw new AppError('invalid_request', 'An Idempotency-Key is 1 to 200 printable characters without spaces.')
  const { userId } = request.principal
  const hash = createHash('sha256').update(`${request.method} ${request.url}\n`).update(fingerprint).digest()
  const answer = await request.idempotencyStore.claim(userId, key, hash)
  if (answer === undefined) {
    request.idempotencyClaim = { userId, key }
    return false
  }
  await reply
    .code(answer.status)
    .header('idempotent-replay', 'true')
    .type(answer.status >= 400 ? 'application/problem+json' : 'application/json; charset=utf-8')
    .serializer((body: string) => body)
    .send(JSON.stringify(answer.body))
  return true
}

/** preHandler: the same for every other route that changes something, by the hash of its parsed body. */
export async function answerOnce(request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  const { auth = 'user', idempotency = 'automatic' } = request.routeOptions.config
  const changes = request.method !== 'GET' && request.method !== 'HEAD'
  if (!changes || idempotency !== 'automatic' || auth === 'none' || auth === 'optional') return undefined
  return (await answeredBefore(request, reply, JSON.stringify(request.body ?? null))) ? reply : undefined
}

/** onSend: keeps the answer for the next time, unless trying again may give another one. */
export async function keepAnswer(request: FastifyRequest, reply: FastifyReply, payload: unknown): Promise<unknown> {
  const claim = request.idempotencyClaim
  if (claim === undefined) return payload
  request.idempotencyClaim = undefined
  const final = reply.statusCode < 500 && reply.statusCode !== 429 && reply.statusCode !== 401
  if (final && (typeof payload === 'string' || payload === undefined || payload === null))
    await request.idempotencyStore.store(claim.userId, claim.key, {
      status: reply.statusCode,
      body: typeof payload === 'string' && payload !== '' ? payload : 'null',
    })
  else await request.idempotencyStore.release(claim.userId, claim.key)
  return payload
}
