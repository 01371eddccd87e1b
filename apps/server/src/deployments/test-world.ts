/** A whole deployment slice for tests: real PostgreSQL, real log store, sandboxes and ingress in memory. */
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import {
  AppError,
  type api,
  newId,
  type RouteCounters,
  type RouteTable,
  type RouteTarget,
  type StaticSite,
} from '@coderunner/contract'
import { type MemoryProgram, MemoryProvider } from '@coderunner/runtime/memory'
import { pino } from 'pino'
import { configuration } from '../configuration/configuration-store.ts'
import { SecretBox } from '../configuration/secret-box.ts'
import { LogStore } from '../logs/log-store.ts'
import { ProjectService } from '../projects/project-service.ts'
import type { IngressLink } from '../routing/ingress-link.ts'
import { readFiles } from '../sources/files-reader.ts'
import { sources } from '../sources/source-store.ts'
import { type ServerTestDatabase, testDatabase } from '../testing.ts'
import { deployments } from './deployment-store.ts'
import { Deployments, type Timing } from './deployments.ts'
import { instances } from './instance-store.ts'
import { operations } from './operation-store.ts'

/** An ingress that keeps what it is told and serves nothing. */
export class MemoryIngress implements IngressLink {
  table: RouteTable = { version: 0, routes: [] }
  tables: RouteTable[] = []
  readonly drained: string[] = []
  readonly sites = new Map<string, StaticSite>()
  readonly blobs = new Map<string, Buffer>()
  /** What it says that it has counted. */
  counted: RouteCounters[] = []
  isDown = false
  #changed = new Set<() => void>()

  async putRoutes(table: RouteTable): Promise<void> {
    if (this.isDown) throw new AppError('unavailable', 'The ingress does not answer.')
    if (table.version < this.table.version) throw new AppError('conflict', 'There is a newer table.')
    this.table = table
    this.tables.push(table)
    for (const tell of this.#changed) tell()
  }
  async drain(instanceId: string): Promise<boolean> {
    this.drained.push(instanceId)
    return true
  }
  async counters(): Promise<RouteCounters[]> {
    return this.counted
  }
  async hasSite(siteId: string): Promise<boolean> {
    return this.sites.has(siteId)
  }
  async publishSite(siteId: string, site: StaticSite, open: (hash: string) => Readable): Promise<void> {
    for (const { hash } of site.files) if (!this.blobs.has(hash)) this.blobs.set(hash, await buffer(open(hash)))
    this.sites.set(siteId, site)
  }
  async removeSite(siteId: string): Promise<void> {
    this.sites.delete(siteId)
  }

  target(host: string): RouteTarget | undefined {
    return this.table.routes.find(route => route.hosts.includes(host))?.target
  }

  /** Resolves when the table satisfies the condition. */
  async until(condition: (table: RouteTable) => boolean): Promise<void> {
    while (!condition(this.table)) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#changed.add(resolve)
      await promise
      this.#changed.delete(resolve)
    }
  }
}

export interface WorldOptions {
  programs?: Readonly<Record<string, MemoryProgram>>
  timing?: Partial<Timing>
  retention?: number
  concurrentBuilds?: number
}

export class World implements AsyncDisposable {
  readonly database: ServerTestDatabase
  readonly provider: MemoryProvider
  readonly ingress = new MemoryIngress()
  readonly logs: LogStore
  readonly userId: string
  readonly projects: ProjectService
  readonly configuration: (db: ServerTestDatabase['db']) => ReturnType<typeof configuration>
  readonly #secretBox = new SecretBox(randomBytes(32))
  deployments!: Deployments
  readonly directory: string
  readonly #options: WorldOptions

  private constructor(parts: {
    database: ServerTestDatabase
    logs: LogStore
    directory: string
    userId: string
    options: WorldOptions
  }) {
    this.database = parts.database
    this.logs = parts.logs
    this.userId = parts.userId
    this.directory = parts.directory
    this.#options = parts.options
    this.provider = new MemoryProvider({ programs: { ...programs, ...parts.options.programs } })
    this.projects = new ProjectService({ database: parts.database.database, ports: { first: 20_000, last: 20_100 } })
    this.configuration = db => configuration(db, this.#secretBox)
  }

  static async start(options: WorldOptions = {}): Promise<World> {
    const directory = await mkdtemp(join(tmpdir(), 'deployments-test-'))
    const database = await testDatabase()
    const userId = newId()
    await database.db.insertInto('user').values({ id: userId, name: 'a', email: 'a@example.com' }).execute()
    const logs = await LogStore.open({ directory: join(directory, 'logs') })
    const world = new World({ database, logs, directory, userId, options })
    world.deployments = await world.startServer()
    return world
  }

  /** Another server over the same database, sandboxes and files. */
  startServer(timing: Partial<Timing> = {}, serverId?: string): Promise<Deployments> {
    return Deployments.start({
      database: this.database.database,
      provider: this.provider,
      logs: this.logs,
      ingress: this.ingress,
      configuration: this.configuration,
      secrets: this.#secretBox,
      gitHttpHosts: [],
      dataDirectory: this.directory,
      appsDomain: 'apps.test',
      retention: this.#options.retention ?? 10,
      builderEnvironment: {},
      concurrentBuilds: this.#options.concurrentBuilds,
      log: pino({ level: 'silent' }),
      serverId,
      timing: { healthTimeoutMs: 5000, drainMs: 100, stopGraceMs: 1000, ...this.#options.timing, ...timing },
    })
  }

  async deploy(
    files: Record<string, string>,
    options: { project?: string; port?: number; start?: string; env?: Record<string, string> } = {},
  ): Promise<string> {
    const { project: name = 'shop', env, ...rest } = options
    const project = await this.projects.findOrCreate({ userId: this.userId }, name)
    await using upload = await this.deployments.blobs.stage()
    const list: api.SourceFile[] = Object.entries(files).map(([path, content]) => ({
      path,
      content: Buffer.from(content).toString('base64'),
    }))
    const tree = await readFiles(list, upload, hashes => sources(this.database.db).sizes(project.id, hashes))
    const order = { projectId: project.id, userId: this.userId, options: rest, env }
    return (await this.deployments.deploy(order, tree, upload)).deploymentId
  }

  act(id: string, action: Parameters<Deployments['act']>[1]) {
    return this.deployments.act(id, action, this.userId)
  }

  async find(id: string) {
    return (await deployments(this.database.db).find(id)) ?? assertNever(id)
  }

  async steps(id: string): Promise<string[]> {
    const [operation] = await operations(this.database.db).latest(id, 1)
    return operation?.steps.map(step => `${step.name} ${step.status}`) ?? []
  }

  /** Waits until all operations of a deployment have ended; the latest of them. */
  async ended(id: string) {
    return this.until(async () => {
      const [latest, ...pending] = await operations(this.database.db).latest(id, 10)
      return [latest, ...pending].some(one => one?.status === 'PENDING' || one?.status === 'RUNNING')
        ? undefined
        : latest
    })
  }

  /** Deploys and expects it to run. */
  async running(files: Record<string, string>, options: Parameters<World['deploy']>[1] = {}): Promise<string> {
    const id = await this.deploy(files, options)
    const operation = await this.ended(id)
    const { status, error_message } = await this.find(id)
    if (status !== 'RUNNING') throw new Error(`${status}: ${error_message} ${JSON.stringify(operation.steps)}`)
    return id
  }

  async instances(id: string) {
    return instances(this.database.db).ofDeployment(id)
  }

  /** Asks again and again, because what is waited for is in the database; fails after `ms`. */
  async until<T>(find: () => Promise<T | undefined | false>, ms = 15_000): Promise<T> {
    const started = performance.now()
    for (;;) {
      const found = await find()
      if (found !== undefined && found !== false) return found
      if (performance.now() - started > ms) throw new Error('It did not come to pass.')
      await new Promise(resolve => setTimeout(resolve, 10))
    }
  }

  /** What the project's or a deployment's host answers. */
  async fetch(host = 'shop.apps.test'): Promise<string> {
    const target = this.ingress.target(host)
    if (target?.kind !== 'instances') return target?.kind ?? 'nothing'
    const [upstream] = target.upstreams
    return await (await fetch(`http://${upstream?.host}:${upstream?.port}/`)).text()
  }

  async log(id: string): Promise<string[]> {
    const { project_id } = await this.find(id)
    const { records } = await this.logs.query(project_id, { lines: 1000, deploymentId: id })
    return records.map(record => `${record.source} ${record.message}`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.deployments[Symbol.asyncDispose]()
    await this.provider[Symbol.asyncDispose]()
    await this.logs[Symbol.asyncDispose]()
    await this.database[Symbol.asyncDispose]()
    await rm(this.directory, { recursive: true, force: true })
  }
}

function assertNever(id: string): never {
  throw new Error(`There is no deployment ${id}.`)
}

const untilAborted = (signal: AbortSignal) =>
  new Promise<void>(resolve => signal.addEventListener('abort', () => resolve(), { once: true }))

/** What the sandboxes can run. An application answers with the content of `answer.txt` when it is there. */
export const programs: Record<string, MemoryProgram> = {
  'server.js': async ({ serve, stdout, stderr, signal, files, env }) => {
    const answer = await files
      .read('answer.txt')
      .then(async content => String(await buffer(content)))
      .catch(() => 'hello')
    stdout('starting\n')
    stderr('a warning: careful\n')
    await serve((_, response) => response.end(`${answer} ${env['GREETING'] ?? ''}`.trim()))
    stdout('listening\n')
    await untilAborted(signal)
    stdout('bye\n')
    return 0
  },
  'crash.js': async ({ stderr }) => {
    stderr('Error: no database\n')
    return 3
  },
  'mute.js': async ({ signal }) => {
    await untilAborted(signal)
    return 0
  },
  /** Writes what an install or a build would. */
  npm: async ({ argv, stdout, stderr, files, cwd, signal }) => {
    stdout(`${argv.join(' ')} in ${cwd}\n`)
    if (argv[1] === 'ci' || argv[1] === 'install') {
      await files.write('node_modules/express/index.js', Buffer.from('x'))
      stdout('added 1 package\n')
    }
    if (argv[1] !== 'run') return 0
    const script = JSON.parse(String(await buffer(await files.read('package.json')))).scripts[argv[2] ?? ''] as string
    if (script === 'fail') {
      stderr('src/a.ts(1,7): error TS2322: wrong\n')
      return 2
    }
    if (script === 'hang') {
      await untilAborted(signal)
      return 0
    }
    await files.write('answer.txt', Buffer.from('built'))
    return 0
  },
}
