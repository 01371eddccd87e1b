import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { newId, type Role } from '@coderunner/contract'
import type { Database } from '@coderunner/database'
import { MemoryProvider } from '@coderunner/runtime/memory'
import { sql } from 'kysely'
import { pino } from 'pino'
import { SessionTokens } from './accounts/session-tokens.ts'
import { readConfig } from './config.ts'
import { SecretBox } from './configuration/secret-box.ts'
import type { DB, Db } from './database.ts'
import { MemoryIngress, programs } from './deployments/test-world.ts'
import { ControlPlane } from './server.ts'
import { testDatabase } from './testing.ts'

export interface Answer {
  status: number
  headers: Headers
  /** Parsed where it is JSON. */
  // oxlint-disable-next-line typescript/no-explicit-any -- tests read whatever is there.
  body: any
}

export interface TestUser {
  userId: string
  email: string
  token: string
}

/** A whole server on a free port of 127.0.0.1, a database and a folder of its own; sandboxes and ingress in memory. */
export class TestServer implements AsyncDisposable {
  readonly url: string
  /** Connections of the test's own to the server's database. */
  readonly database: Database<DB>
  readonly db: Db
  readonly server: ControlPlane
  readonly ingress: MemoryIngress
  readonly #tokens: SessionTokens
  readonly #parts: AsyncDisposableStack

  private constructor(
    server: ControlPlane,
    ingress: MemoryIngress,
    database: Database<DB>,
    tokens: SessionTokens,
    parts: AsyncDisposableStack,
  ) {
    this.server = server
    this.ingress = ingress
    this.url = `http://127.0.0.1:${server.port}`
    this.database = database
    this.db = database.kysely
    this.#tokens = tokens
    this.#parts = parts
  }

  static async start(env: Record<string, string> = {}): Promise<TestServer> {
    await using parts = new AsyncDisposableStack()
    const { url, database } = parts.use(await testDatabase())
    const directory = await mkdtemp(join(tmpdir(), 'coderunner-server-'))
    parts.defer(() => rm(directory, { recursive: true }))
    const key = randomBytes(32)
    const config = readConfig({
      CODERUNNER_PORT: '0',
      DATABASE_URL: url,
      CODERUNNER_SERVER_DATA: directory,
      CODERUNNER_SECRET_KEY: key.toString('base64'),
      CODERUNNER_LOG_LEVEL: 'silent',
      ...env,
    })
    const ingress = new MemoryIngress()
    const provider = parts.use(new MemoryProvider({ programs }))
    const server = parts.use(
      await ControlPlane.start(config, {
        logger: pino({ level: config.logLevel }),
        provider,
        ingress,
      }),
    )
    return new TestServer(
      server,
      ingress,
      database,
      new SessionTokens(new SecretBox(key).derive('session tokens')),
      parts.move(),
    )
  }

  async request(
    method: string,
    path: string,
    options: { token?: string; body?: unknown; headers?: Record<string, string> } = {},
  ): Promise<Answer> {
    const response = await fetch(this.url + path, {
      method,
      headers: {
        ...(options.token !== undefined && { authorization: `Bearer ${options.token}` }),
        ...(options.body !== undefined && { 'content-type': 'application/json' }),
        ...options.headers,
      },
      ...(options.body !== undefined && { body: JSON.stringify(options.body) }),
    })
    const text = await response.text()
    const json = /[/+]json/.test(response.headers.get('content-type') ?? '')
    return { status: response.status, headers: response.headers, body: json && text !== '' ? JSON.parse(text) : text }
  }

  /** A user without a password, and a session of theirs: for tests that are about something else. */
  async user(email = `${newId()}@example.com`): Promise<TestUser> {
    const userId = newId()
    await this.db.insertInto('user').values({ id: userId, name: '', email }).execute()
    return { userId, email, token: await this.session(userId) }
  }

  async session(userId: string): Promise<string> {
    const sessionId = newId()
    const expiresAt = new Date(Date.now() + 60_000)
    await this.db
      .insertInto('session')
      .values({ id: sessionId, user_id: userId, token: newId(), expires_at: expiresAt })
      .execute()
    return this.#tokens.issue({ userId, sessionId }, expiresAt)
  }

  async notify(channel: string, payload: string): Promise<void> {
    await sql`select pg_notify(${channel}, ${payload})`.execute(this.db)
  }

  /** A project, and what its members may be. */
  async project(members: Partial<Record<Role, TestUser>>): Promise<{ id: string; name: string }> {
    const project = { id: newId(), name: `p${newId(12)}` }
    const { port } = await this.db
      .selectFrom('project')
      .select(eb => eb.fn.coalesce(eb.fn.max('port'), eb.lit(19_999)).as('port'))
      .executeTakeFirstOrThrow()
    await this.db
      .insertInto('project')
      .values({ ...project, port: port + 1 })
      .execute()
    for (const [role, { userId }] of Object.entries(members))
      await this.db.insertInto('project_member').values({ project_id: project.id, user_id: userId, role }).execute()
    return project
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.disposeAsync()
  }
}
