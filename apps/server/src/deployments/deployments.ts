/** The slice as a whole: what the server starts, and what its routes ask of it. */
import { arch, availableParallelism } from 'node:os'
import {
  AppError,
  actionAllowedFrom,
  type api,
  type DeploymentAction,
  type DeploymentStatus,
  deploymentActions,
  newId,
  type OperationKind,
} from '@coderunner/contract'
import type { Database } from '@coderunner/database'
import type { SandboxProvider } from '@coderunner/runtime'
import type { Logger } from 'pino'
import { analyzeProject } from '../analysis/analyze-project.ts'
import { projectFiles } from '../analysis/project-files.ts'
import { presentSoftware } from '../analysis/published-software.ts'
import type { SoftwareVersions } from '../analysis/software-versions.ts'
import { audit } from '../audit/audit-log.ts'
import { BuildQueue } from '../builds/build-queue.ts'
import { ReleaseBuild } from '../builds/release-build.ts'
import type { DB, Db } from '../database.ts'
import type { IngressLink } from '../routing/ingress-link.ts'
import { RoutePublisher } from '../routing/route-publisher.ts'
import { BlobStore } from '../sources/blob-store.ts'
import { sources } from '../sources/source-store.ts'
import { isLink, type SourceTree } from '../sources/source-tree.ts'
import type { StagedUpload } from '../sources/staged-upload.ts'
import { BuildSteps } from './build-steps.ts'
import { BuilderRooms } from './builder-rooms.ts'
import { Collection } from './collection.ts'
import { CommandRuns } from './command-runs.ts'
import { DeploymentChanges } from './deployment-changes.ts'
import { DeploymentLeases } from './deployment-leases.ts'
import { DeploymentLog, type LogSink } from './deployment-log.ts'
import { DeploymentReconciler } from './deployment-reconciler.ts'
import { type DeploymentOptions, deployments } from './deployment-store.ts'
import { describePlan } from './describe-plan.ts'
import { FetchStep, type Secrets } from './fetch-step.ts'
import { IdleSleep } from './idle-sleep.ts'
import { InstanceOutput } from './instance-output.ts'
import { operations } from './operation-store.ts'
import { Promotion } from './promotion.ts'
import { ReleaseStep } from './release-step.ts'
import { RunSteps } from './run-steps.ts'
import { SandboxExits } from './sandbox-exits.ts'

/** Environments of projects, in versions; bound to a transaction where one is needed. */
export type Configuration = (db: Db) => {
  append(projectId: string, env: Readonly<Record<string, string>>, userId: string | null): Promise<string>
  read(configVersionId: string): Promise<Record<string, string>>
  latest(projectId: string): Promise<string | undefined>
}

export interface DeploymentsOptions {
  database: Database<DB>
  provider: SandboxProvider
  logs: LogSink
  ingress: IngressLink
  configuration: Configuration
  secrets: Secrets
  /** Hosts whose repositories may be fetched by plain http. */
  gitHttpHosts: readonly string[]
  /** The server's own data directory. */
  dataDirectory: string
  /** Domain below which applications live; absent where each project has a port. */
  appsDomain?: string | undefined
  /** Deployments of a project kept besides the serving one. */
  retention: number
  /** Registry and proxy settings for builders. */
  builderEnvironment: Readonly<Record<string, string>>
  /** Published versions of Node and package managers; without it there are those that sandboxes have anyway. */
  versions?: SoftwareVersions
  log: Logger
  /** Id of the data directory, where a lock on it proves that no other server is alive on it. */
  serverId?: string | undefined
  /** At a time; half of the processors when absent. */
  concurrentBuilds?: number | undefined
  /** For tests: shorter times. */
  timing?: Partial<Timing>
}

export interface Timing {
  buildTimeoutMs: number
  healthTimeoutMs: number
  drainMs: number
  stopGraceMs: number
  resyncMs: number
  leaseMs: number
  /** Until a deployment that was woken and serves nobody's URL goes back to sleep. */
  idleMs: number
}

const usual: Timing = {
  buildTimeoutMs: 15 * 60_000,
  healthTimeoutMs: 60_000,
  drainMs: 30_000,
  stopGraceMs: 10_000,
  resyncMs: 30_000,
  leaseMs: 15_000,
  idleMs: 10 * 60_000,
}
const maxReadBytes = 4 * 1024 * 1024

export class ActionNotAllowedError extends AppError {
  constructor(action: DeploymentAction, status: DeploymentStatus) {
    const allowed = Object.keys(deploymentActions).filter(name => actionAllowedFrom(name as DeploymentAction, status))
    const rest = allowed.length === 0 ? 'Nothing can be done with it.' : `Allowed now: ${allowed.join(', ')}.`
    super('action_not_allowed', `The deployment is ${status}, which does not allow ${action}. ${rest}`)
  }
}

export class Deployments implements AsyncDisposable {
  readonly blobs: BlobStore
  readonly commands: CommandRuns
  readonly changes: DeploymentChanges
  readonly #options: DeploymentsOptions
  readonly #db: Db
  readonly #versions: SoftwareVersions
  readonly #leases: DeploymentLeases
  readonly #idleSleep: IdleSleep
  readonly #routes: RoutePublisher
  readonly #reconciler: DeploymentReconciler

  private constructor(
    options: DeploymentsOptions,
    parts: {
      blobs: BlobStore
      commands: CommandRuns
      changes: DeploymentChanges
      leases: DeploymentLeases
      idleSleep: IdleSleep
      routes: RoutePublisher
      reconciler: DeploymentReconciler
    },
  ) {
    this.#options = options
    this.#db = options.database.kysely
    this.#versions = options.versions ?? presentSoftware(process.versions.node)
    this.blobs = parts.blobs
    this.commands = parts.commands
    this.changes = parts.changes
    this.#leases = parts.leases
    this.#idleSleep = parts.idleSleep
    this.#routes = parts.routes
    this.#reconciler = parts.reconciler
  }

  static async start(options: DeploymentsOptions): Promise<Deployments> {
    const { database, provider, logs, ingress, log } = options
    const db = database.kysely
    const timing = { ...usual, ...options.timing }
    const versions = options.versions ?? presentSoftware(process.versions.node)
    const blobs = new BlobStore(options.dataDirectory)
    await blobs.prepare()
    const changes = await DeploymentChanges.start(database)
    const routes = RoutePublisher.start({ db, ingress, domain: options.appsDomain, log })
    const leases = await DeploymentLeases.start({
      db,
      holder: `${options.serverId ?? ''}:${newId()}`,
      ...(options.serverId === undefined ? {} : { predecessors: `${options.serverId}:` }),
      leaseMs: timing.leaseMs,
      renewMs: timing.leaseMs / 3,
    })
    const idleSleep = IdleSleep.start({ db, ingress, log, idleMs: timing.idleMs })
    const configuration = options.configuration(db)
    const exits = new SandboxExits()
    const output = new InstanceOutput({ db, log })
    const runSteps = new RunSteps({ ...timing, db, provider, ingress, routes, output, exits, configuration })
    const rooms = new BuilderRooms({
      db,
      provider,
      queue: new BuildQueue(options.concurrentBuilds ?? availableParallelism() / 2),
      timeoutMs: timing.buildTimeoutMs,
    })
    const releaseStep = new ReleaseStep({ rooms, environment: deployment => runSteps.environment(deployment) })
    const fetchStep = new FetchStep({
      db,
      blobs,
      rooms,
      secrets: options.secrets,
      environment: options.builderEnvironment,
      httpHosts: options.gitHttpHosts,
    })
    const buildSteps = new BuildSteps({
      db,
      provider,
      blobs,
      ingress,
      configuration,
      rooms,
      releaseBuild: new ReleaseBuild({ blobs, environment: options.builderEnvironment, architecture: arch() }),
      versions,
    })
    const promotion = new Promotion({ db, routes, retention: options.retention })
    const collection = new Collection({ db, provider, ingress, routes, blobs, log })
    const commands = new CommandRuns({ db, provider, log, environment: deployment => runSteps.environment(deployment) })
    const reconciler = await DeploymentReconciler.start({
      database,
      provider,
      leases,
      routes,
      exits,
      collection,
      log,
      resyncMs: timing.resyncMs,
      isCommandRunning: id => commands.isRunning(id),
      run: {
        db,
        provider,
        routes,
        output,
        buildSteps,
        runSteps,
        log,
        executors: {
          ...fetchStep.executors,
          ...buildSteps.executors,
          ...releaseStep.executors,
          ...runSteps.executors,
          ...promotion.executors,
          ...collection.executors,
        },
        logOf: deployment => new DeploymentLog(logs, deployment.project_id, deployment.id),
      },
    })
    return new Deployments(options, { blobs, commands, changes, leases, idleSleep, routes, reconciler })
  }

  get gitHttpHosts(): readonly string[] {
    return this.#options.gitHttpHosts
  }

  /** Stores an upload and orders its deployment; without a tree the repository of the options is fetched for it. */
  async deploy(
    order: {
      projectId: string
      userId: string
      options: DeploymentOptions
      env: Record<string, string> | undefined
      gitToken?: string | undefined
    },
    tree: SourceTree | undefined,
    upload: StagedUpload,
  ): Promise<{ deploymentId: string; operationId: string }> {
    const { projectId, userId, options, gitToken } = order
    await this.blobs.adopt(projectId, upload)
    return this.#db.transaction().execute(async tx => {
      await sources(tx).addBlobs(projectId, upload.hashes)
      const sourceId = await sources(tx).add(projectId, tree ?? [])
      const configVersionId = await this.#environment(tx, order)
      const deploymentId = await deployments(tx).insert({
        projectId,
        sourceId,
        configVersionId,
        options,
        unfetched: tree === undefined,
        createdBy: userId,
      })
      if (gitToken !== undefined)
        await deployments(tx).keepGitToken(
          deploymentId,
          this.#options.secrets.seal(gitToken, `git token ${deploymentId}`),
        )
      const operationId = await operations(tx).insert(deploymentId, 'deploy', userId)
      await operations(tx).supersedeWaiting(projectId, deploymentId)
      await audit(tx).append({ userId, projectId, action: 'deployment:create', subject: deploymentId })
      return { deploymentId, operationId }
    })
  }

  /** What would be done with an upload; nothing is stored. */
  async plan(
    projectId: string | undefined,
    options: DeploymentOptions,
    tree: SourceTree,
    upload: StagedUpload,
  ): Promise<api.DeployPlan> {
    const entries = new Map(tree.map(entry => [entry.path, entry]))
    const files = projectFiles([...entries.keys()], async path => {
      const entry = entries.get(path)
      if (entry === undefined || isLink(entry)) return undefined
      if (upload.hashes.has(entry.hash)) return upload.read(entry.hash, maxReadBytes)
      return projectId === undefined ? undefined : this.blobs.read(projectId, entry.hash, maxReadBytes)
    })
    const detection = await analyzeProject(files, options, this.#versions)
    return { detection, steps: describePlan(detection) }
  }

  /** Orders an action by the contract's table; 409 where the status does not allow it. */
  async act(
    deploymentId: string,
    action: DeploymentAction,
    userId: string,
  ): Promise<{ operationId?: string; status: DeploymentStatus }> {
    return this.#db.transaction().execute(async tx => {
      const deployment = await deployments(tx).lock(deploymentId)
      if (deployment === undefined) throw new AppError('not_found', `There is no deployment ${deploymentId}.`)
      const { status, project_id: projectId } = deployment
      if (!actionAllowedFrom(action, status) || (deployment.desired === 'destroyed' && action !== 'destroy'))
        throw new ActionNotAllowedError(action, status)
      await audit(tx).append({ userId, projectId, action: `deployment:${action}`, subject: deploymentId })
      if (action === 'cancel') {
        await operations(tx).requestCancel(deploymentId)
        return { status }
      }
      if (action === 'destroy' && deployment.desired === 'destroyed') return { status }
      const orders = {
        start: { desired: 'running' },
        restart: { desired: 'running' },
        promote: { desired: 'running', promote: true },
        stop: { desired: 'stopped' },
        destroy: { desired: 'destroyed' },
      } as const satisfies Record<
        Exclude<DeploymentAction, 'cancel'>,
        Parameters<ReturnType<typeof deployments>['order']>[1]
      >
      await deployments(tx).order(deploymentId, orders[action])
      const operationId = await operations(tx).insert(deploymentId, action satisfies OperationKind, userId)
      return { operationId, status }
    })
  }

  /** A request came for a deployment that sleeps. What is on its way up, or cannot be woken, is left as it is. */
  async wake(deploymentId: string): Promise<void> {
    await this.#db.transaction().execute(async tx => {
      const deployment = await deployments(tx).lock(deploymentId)
      if (deployment === undefined || deployment.desired !== 'sleeping') return
      await deployments(tx).order(deploymentId, { desired: 'running' })
      await operations(tx).insert(deploymentId, 'wake', null)
    })
  }

  /** Routes and files of a project that was deleted. */
  async projectDeleted(projectId: string): Promise<void> {
    await this.#routes.changed()
    await this.blobs.removeProject(projectId)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#idleSleep[Symbol.asyncDispose]()
    await this.changes[Symbol.asyncDispose]()
    await this.commands[Symbol.asyncDispose]()
    await this.#reconciler[Symbol.asyncDispose]()
    await this.#leases[Symbol.asyncDispose]()
    await this.#routes[Symbol.asyncDispose]()
  }

  /** Ends as `kill -9` would: nothing is given back. For tests of recovery. */
  async abandon(): Promise<void> {
    this.#reconciler.abandon()
    await this.#idleSleep[Symbol.asyncDispose]()
    await this.changes[Symbol.asyncDispose]()
    await this.#routes[Symbol.asyncDispose]()
  }

  /** Variables that are given replace those of the same name; the others stay as they are. */
  async #environment(
    tx: Db,
    { projectId, userId, env }: { projectId: string; userId: string; env: Record<string, string> | undefined },
  ): Promise<string | undefined> {
    const configuration = this.#options.configuration(tx)
    const latest = await configuration.latest(projectId)
    if (env === undefined || Object.keys(env).length === 0) return latest
    const before = latest === undefined ? {} : await configuration.read(latest)
    const after = { ...before, ...env }
    const same = Object.entries(after).every(([name, value]) => before[name] === value)
    return same && latest !== undefined ? latest : configuration.append(projectId, after, userId)
  }
}
