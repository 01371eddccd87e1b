import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Database } from '@coderunner/database'
import type { SandboxProvider } from '@coderunner/runtime'
import { sql } from 'kysely'
import type { Logger } from 'pino'
import { accountRoutes } from './accounts/account-routes.ts'
import { AccountService } from './accounts/account-service.ts'
import { apiTokenRoutes } from './accounts/api-token-routes.ts'
import { sessionCookieName } from './accounts/session-cookie.ts'
import { PublishedSoftware } from './analysis/published-software.ts'
import type { SoftwareVersions } from './analysis/software-versions.ts'
import { type Config, ConfigError } from './config.ts'
import { configuration } from './configuration/configuration-store.ts'
import { SecretBox } from './configuration/secret-box.ts'
import { loadSecretKey } from './configuration/secret-key.ts'
import { type DB, migrationsDirectory } from './database.ts'
import { deploymentRoutes } from './deployments/deployment-routes.ts'
import { deployments as deploymentStore } from './deployments/deployment-store.ts'
import { Deployments } from './deployments/deployments.ts'
import { ApplicationMetrics } from './health/application-metrics.ts'
import { HealthChecks } from './health/health-checks.ts'
import { healthRoutes } from './health/health-routes.ts'
import { Metrics } from './health/metrics.ts'
import { type App, createApp } from './http/app.ts'
import { IdempotencyStore } from './http/idempotency.ts'
import { InternalServer } from './internal/internal-server.ts'
import { logRoutes } from './logs/log-routes.ts'
import { LogStore } from './logs/log-store.ts'
import { ProjectAccess } from './projects/project-access.ts'
import { projectRoutes } from './projects/project-routes.ts'
import { ProjectService } from './projects/project-service.ts'
import { projects as projectStore } from './projects/project-store.ts'
import { appUrls } from './projects/urls.ts'
import { IngressClient, type IngressLink } from './routing/ingress-link.ts'
import { serverId } from './server-id.ts'
import { version } from './version.ts'

const closeGraceMs = 5000

export interface Surroundings {
  logger: Logger
  /** Other sandboxes and another ingress than those the configuration names; whoever gives them ends them. */
  provider?: SandboxProvider
  ingress?: IngressLink
}

/** The control plane as a whole: everything is made here, and ended in the opposite order. */
export class ControlPlane implements AsyncDisposable {
  readonly app: App
  /** The port that was asked for, or the one that was free when it was 0. */
  readonly port: number
  /** Nobody had an account when it started. */
  readonly setupRequired: boolean
  readonly #parts: AsyncDisposableStack

  private constructor(app: App, setupRequired: boolean, parts: AsyncDisposableStack) {
    this.app = app
    this.port = (app.server.address() as AddressInfo).port
    this.setupRequired = setupRequired
    this.#parts = parts
  }

  static async start(config: Config, { logger, ...given }: Surroundings): Promise<ControlPlane> {
    await using parts = new AsyncDisposableStack()
    const database = parts.use(
      await Database.connect<DB>({
        ...config.database,
        onConnectionError: error => logger.warn({ err: error }, 'a connection to the database was lost'),
      }).catch((cause: Error) => {
        throw new Error('the database of DATABASE_URL cannot be used', { cause })
      }),
    )
    if (!(await database.hearsNotifications()))
      throw new ConfigError([
        'DATABASE_URL leads through a pooler that loses notifications: set DATABASE_DIRECT_URL to PostgreSQL itself.',
      ])
    for (const name of await database.migrate(migrationsDirectory)) logger.info({ migration: name }, 'migrated')
    const db = database.kysely

    const secretBox = new SecretBox(await loadSecretKey(config))
    const urls = appUrls(config.apps)
    const checks = new HealthChecks()
    checks.add('database', async () => {
      await sql`select 1`.execute(db)
    })
    const metrics = new Metrics()

    const accounts = parts.use(
      await AccountService.start({
        database,
        publicUrl: config.publicUrl,
        signingKey: secretBox.derive('session tokens'),
        registration: config.registration,
        loopbackOnly: config.loopbackOnly,
      }),
    )
    const access = new ProjectAccess(db)
    const logs = parts.use(await LogStore.open({ directory: join(config.dataDirectory, 'logs') }))
    const provider = given.provider ?? (await openProvider(config, parts))
    checks.add('sandboxes', async () => `${(await provider.list()).length} of ${provider.name}`)
    const ingress =
      given.ingress ??
      parts.use(new IngressClient({ socketPath: required(config.sockets.ingress, 'CODERUNNER_INGRESS_SOCKET') }))
    checks.add('ingress', async () => {
      await ingress.counters()
    })
    const versions = await openVersions(config, parts)
    const deployments = parts.use(
      await Deployments.start({
        database,
        provider,
        logs,
        ingress,
        configuration: tx => configuration(tx, secretBox),
        secrets: secretBox,
        gitHttpHosts: config.gitHttpHosts,
        dataDirectory: config.dataDirectory,
        appsDomain: config.apps.domain,
        retention: config.retention,
        builderEnvironment: config.builderEnvironment,
        ...(versions === undefined ? {} : { versions }),
        log: logger,
        // Under coderunnerd, which lets one server at a time onto a data directory.
        serverId: config.readyFd === undefined ? undefined : await serverId(config.dataDirectory),
      }),
    )
    const projects = new ProjectService({
      database,
      ports: config.projectPorts,
      onDeleted: async projectId => {
        await deployments.projectDeleted(projectId)
        await logs.remove(projectId)
      },
    })

    const app = await createApp({
      publicUrl: config.publicUrl,
      version,
      hosts: config.hosts,
      corsOrigins: config.corsOrigins,
      trustedProxies: config.trustedProxies,
      cookieName: sessionCookieName(config.publicUrl),
      logger,
      authenticate: accounts.authenticate,
      idempotency: new IdempotencyStore(db),
    })
    parts.defer(() => closeApp(app))
    metrics.observe(app)
    accountRoutes(app, { accounts, publicUrl: config.publicUrl })
    apiTokenRoutes(app, { accounts })
    projectRoutes(app, { db, access, projects, urls })
    await deploymentRoutes(app, { db, deployments, access, projects, urls })
    logRoutes(app, { logs, access, projectOf: async id => (await deploymentStore(db).find(id))?.project_id })
    const applications = new ApplicationMetrics({
      ingress,
      projectsOf: userId => projectStore(db).namesForMember(userId),
    })
    healthRoutes(app, { checks, metrics, applications, version })

    if (config.sockets.own !== undefined)
      parts.use(
        await InternalServer.start({
          socketPath: config.sockets.own,
          logger,
          wake: deploymentId => deployments.wake(deploymentId),
        }),
      )
    await app.listen({ host: config.listen.host, port: config.listen.port })
    return new ControlPlane(app, !(await accounts.anyAccount()), parts.move())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.disposeAsync()
  }
}

/** Lets requests in flight end; those that have not after a while, such as streams, are cut. */
async function closeApp(app: App): Promise<void> {
  const cut = setTimeout(() => app.server.closeAllConnections(), closeGraceMs)
  await app.close()
  clearTimeout(cut)
}

/** Each is loaded only when chosen: the host's is for Linux, the other one for machines without it. */
async function openProvider(config: Config, parts: AsyncDisposableStack): Promise<SandboxProvider> {
  if (config.runtime === 'process') {
    const { ProcessProvider } = await import('@coderunner/runtime-process')
    const provider = await ProcessProvider.start({
      dataDir: join(config.dataDirectory, 'sandboxes'),
      nodePath: process.execPath,
      searchPath: config.searchPath,
    })
    parts.use(provider)
    if (config.onExit === 'stop') parts.defer(() => provider.remove())
    return provider
  }
  const { HostClient } = await import('@coderunner/runtime-host/client')
  return parts.use(new HostClient({ socketPath: required(config.sockets.host, 'CODERUNNER_HOST_SOCKET') }))
}

/** Nothing where no package registry is known. */
async function openVersions(config: Config, parts: AsyncDisposableStack): Promise<SoftwareVersions | undefined> {
  const { builderEnvironment: environment, dataDirectory } = config
  if (environment['npm_config_registry'] === undefined) return undefined
  return parts.use(await PublishedSoftware.open({ environment, dataDirectory, defaultNode: process.versions.node }))
}

function required(value: string | undefined, variable: string): string {
  if (value === undefined) throw new ConfigError([`${variable} is not set: start the server through coderunnerd.`])
  return value
}
