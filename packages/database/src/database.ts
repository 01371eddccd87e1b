import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { Kysely, PostgresDialect, sql, type Transaction } from 'kysely'
import { Pool } from 'pg'
import { migrate } from './migrator.ts'
import { type ListenOptions, NotificationListener } from './notification-listener.ts'
import { typeParsers } from './type-parsers.ts'

export type { ListenOptions } from './notification-listener.ts'

export interface DatabaseOptions {
  /** Connection string; a pooler in transaction mode may stand behind it when `directUrl` is given. */
  url: string
  /** Straight to PostgreSQL, for LISTEN and migrations. `url` when absent. */
  directUrl?: string
  /** Connections of the pool at most; 10 when absent. */
  max?: number
  /** Told of connections that were lost while nobody used them; the next query opens another. */
  onConnectionError?: (error: Error) => void
}

/**
 * A PostgreSQL database: a pool behind Kysely, and one connection of its own for notifications.
 * `Schema` is the caller's, generated from its migrations.
 */
export class Database<Schema> implements AsyncDisposable {
  readonly kysely: Kysely<Schema>
  readonly #directUrl: string
  readonly #listener: NotificationListener
  readonly #pool: Pool

  private constructor(kysely: Kysely<Schema>, pool: Pool, directUrl: string, listener: NotificationListener) {
    this.kysely = kysely
    this.#pool = pool
    this.#directUrl = directUrl
    this.#listener = listener
  }

  /** Rejects when the database does not answer. */
  static async connect<Schema>(options: DatabaseOptions): Promise<Database<Schema>> {
    const onConnectionError = options.onConnectionError ?? (() => {})
    const pool = new Pool({
      connectionString: options.url,
      max: options.max ?? 10,
      connectionTimeoutMillis: 10_000,
      keepAlive: true,
      types: typeParsers,
      application_name: 'coderunner',
    })
    // Without a listener the loss of an idle connection would end the process.
    pool.on('error', onConnectionError)
    try {
      await pool.query('select 1')
    } catch (error) {
      await pool.end()
      throw error
    }
    const directUrl = options.directUrl ?? options.url
    const kysely = new Kysely<Schema>({ dialect: new PostgresDialect({ pool }) })
    return new Database(kysely, pool, directUrl, new NotificationListener(directUrl, onConnectionError))
  }

  /** Runs `work` in one transaction: committed when it resolves, rolled back when it rejects. */
  transaction<T>(work: (transaction: Transaction<Schema>) => Promise<T>): Promise<T> {
    return this.kysely.transaction().execute(work)
  }

  /**
   * Calls `handler` with the payload of every notification on `channel` until `signal` is aborted. Resolves once
   * PostgreSQL listens, so that what is read afterwards misses no change. What is sent while the connection is down is
   * lost: `onReconnect` says when to read again.
   */
  listen(channel: string, handler: (payload: string) => void, options: ListenOptions = {}): Promise<void> {
    return this.#listener.listen(channel, handler, options)
  }

  /**
   * Whether a notification sent by the pool is heard by the listening connection. One that goes through a pooler in
   * transaction mode hears nothing, and nothing tells it so.
   */
  async hearsNotifications(timeoutMs = 5000): Promise<boolean> {
    const channel = `probe_${randomBytes(8).toString('hex')}`
    const over = new AbortController()
    const { promise: heard, resolve } = Promise.withResolvers<true>()
    await this.listen(channel, () => resolve(true), { signal: over.signal })
    await sql`select pg_notify(${channel}, '')`.execute(this.kysely)
    const late = delay(timeoutMs, false, { signal: over.signal }).catch(() => false)
    try {
      return await Promise.race([heard, late])
    } finally {
      over.abort()
    }
  }

  /** Applies the migrations of a folder that are still missing; returns the names of those applied. */
  migrate(directory: string): Promise<string[]> {
    return migrate(this.#directUrl, directory)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#listener[Symbol.asyncDispose]()
    await this.kysely.destroy()
    // Kysely leaves a pool alone that it has not used yet, and its idle connection would keep the process for 10 s.
    if (!this.#pool.ending) await this.#pool.end()
  }
}
