import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DirectoryLock, DirectoryLockedError } from '@coderunner/database'
import { BoundedLog } from './bounded-log.ts'
import type { Config } from './config.ts'
import { type Instance, prepareInstance, removeRunDirectory } from './instance.ts'
import { Launcher } from './launcher.ts'
import { listenAdvice } from './listen-failure.ts'
import type { MachineRegistry } from './machine-registry.ts'
import { PostgresService } from './postgres-service.ts'
import { ensureSetupToken } from './setup-token.ts'
import { ChildFailedError, SupervisedChild } from './supervised-child.ts'

/** Written to `status.json` in the run directory, for the tools of this machine. */
export interface Status {
  instance: string
  pid: number
  apiUrl: string
  appsPort: number
  dataDir: string
}

export interface SupervisorOptions {
  config: Config
  registry: MachineRegistry
  repository: string
  /** A line for whoever watches. */
  report: (line: string) => void
  /** Gives the start up between two of its steps. */
  signal: AbortSignal
}

type ChildName = 'ingress' | 'server'

/**
 * Starts everything, in this order: sandbox host, PostgreSQL, ingress, server; and ends it in the opposite one. When a
 * step of the start fails, what was started before it is ended.
 */
export class Supervisor implements AsyncDisposable {
  readonly status: Status
  /** To be shown when nobody has an account yet and others can reach us. */
  readonly setupToken: string | undefined
  readonly #resources: AsyncDisposableStack

  private constructor(status: Status, setupToken: string | undefined, resources: AsyncDisposableStack) {
    this.status = status
    this.setupToken = setupToken
    this.#resources = resources
  }

  static async start(options: SupervisorOptions): Promise<Supervisor> {
    const { config, signal } = options
    await using resources = new AsyncDisposableStack()
    const instance = await prepareInstance(config)
    resources.use(lockInstance(instance))
    if (config.onExit === 'stop') resources.defer(() => removeRunDirectory(instance))
    const start = new InstanceStart(options, instance, resources)

    if (config.runtime === 'host') await start.sandboxHost()
    signal.throwIfAborted()
    const database = await start.database()
    signal.throwIfAborted()
    const ingress = await start.child('ingress', ingressEnv(instance))
    signal.throwIfAborted()
    const setupToken = config.listen.isLoopback
      ? undefined
      : await ensureSetupToken(join(instance.data.root, 'setup-token'))
    const appsPort = ingress.announcement.port ?? Number(config.environment.shared['CODERUNNER_APPS_PORT'] ?? 3080)
    const server = await start.child('server', {
      ...serverEnv(options, instance),
      ...database,
      CODERUNNER_APPS_PORT: String(appsPort),
      ...(setupToken === undefined ? {} : { CODERUNNER_SETUP_TOKEN: setupToken }),
    })
    const port = server.announcement.port ?? Number(config.environment.shared['CODERUNNER_PORT'] ?? 3000)
    const status = {
      instance: instance.id,
      pid: process.pid,
      apiUrl: apiUrl(config, port),
      appsPort,
      dataDir: instance.data.root,
    }
    await writeStatus(join(instance.run.root, 'status.json'), status)
    const isTokenNeeded = setupToken !== undefined && server.announcement.setupRequired !== false
    return new Supervisor(status, isTokenNeeded ? setupToken : undefined, resources.move())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync()
  }
}

/** The steps of one start. Each hands what it started to `resources`. */
class InstanceStart {
  readonly #options: SupervisorOptions
  readonly #instance: Instance
  readonly #resources: AsyncDisposableStack
  readonly #launcher: Launcher | undefined

  constructor(options: SupervisorOptions, instance: Instance, resources: AsyncDisposableStack) {
    this.#options = options
    this.#instance = instance
    this.#resources = resources
    if (options.config.runtime === 'host') {
      const { repository } = options
      const launcher = new Launcher({ repository, runDir: instance.run.root, dataDir: instance.data.root })
      this.#launcher = resources.use(launcher)
    }
  }

  async sandboxHost(): Promise<void> {
    const { config, registry, report } = this.#options
    const { id, data, run } = this.#instance
    // Loaded here: it is for Linux, and the process runtime is not.
    const { SandboxHost } = await import('./sandbox-host.ts')
    const host = await SandboxHost.start({
      instance: id,
      dataDir: data.host,
      runDir: run.root,
      cacheDir: config.cacheDir,
      socketDir: run.host,
      egressAllow: config.egressAllow,
      registryHosts: registry.hosts,
      registryEnv: registry.env,
      server: config.accounts.server,
      onExit: config.onExit,
      onProgress: report,
      onError: error =>
        report(`sandbox host: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`),
    })
    this.#resources.use(host)
  }

  /** @returns the server's variables for it */
  async database(): Promise<Record<string, string>> {
    const { config, report } = this.#options
    if (config.database.kind === 'external') {
      const { url, directUrl } = config.database
      return { DATABASE_URL: url, ...(directUrl === undefined ? {} : { DATABASE_DIRECT_URL: directUrl }) }
    }
    const { data, run } = this.#instance
    const uid = config.accounts.postgres
    const account = { name: 'postgres', uid, gid: uid }
    const launcher = this.#launcher
    const service = await PostgresService.start(
      {
        dataDir: data.postgres,
        socketDir: run.postgres,
        logFile: join(data.log, 'postgres.log'),
        ...(launcher === undefined
          ? {}
          : {
              uid,
              gid: uid,
              spawn: (command, args, { env, stdio }) =>
                launcher.spawn({
                  account,
                  command,
                  args,
                  env,
                  stdio,
                  data: [data.postgres, run.postgres],
                  sockets: [],
                }),
            }),
      },
      report,
    )
    this.#resources.use(service)
    return { DATABASE_URL: service.url, DATABASE_DIRECT_URL: service.url }
  }

  async child(name: ChildName, env: Record<string, string>): Promise<SupervisedChild> {
    const { config, report, repository } = this.#options
    const log = this.#resources.use(await BoundedLog.open(join(this.#instance.data.log, `${name}.log`)))
    const main = join(repository, 'apps', name, 'src', 'main.ts')
    const portName = name === 'server' ? 'CODERUNNER_PORT' : 'CODERUNNER_APPS_PORT'
    const started = SupervisedChild.start({
      name,
      log,
      report,
      lockFile: join(this.#instance.data.log, `${name}.lock`),
      spawn: (lockFd, last) => {
        const common = {
          PATH: config.searchPath,
          HOME: '/tmp',
          NODE_ENV: 'production',
          CODERUNNER_READY_FD: '3',
        }
        const port: Record<string, string> = last?.port === undefined ? {} : { [portName]: String(last.port) }
        return this.#spawn(name, main, lockFd, { ...common, ...config.environment.shared, ...env, ...port })
      },
    })
    const child = await started.catch((cause: unknown) => {
      const advice = cause instanceof ChildFailedError ? listenAdvice(cause.message, portName) : undefined
      throw advice === undefined ? cause : new Error(`The ${name} did not start: ${advice}`, { cause })
    })
    return this.#resources.use(child)
  }

  #spawn(name: ChildName, main: string, lockFd: number, env: Record<string, string>): ChildProcess {
    const stdio: StdioOptions = ['pipe', 'pipe', 'pipe', 'pipe', lockFd]
    if (this.#launcher === undefined) {
      return spawn(process.execPath, [main], { env, stdio, cwd: '/', detached: true })
    }
    const { config } = this.#options
    const { data, run } = this.#instance
    const uid = config.accounts[name]
    const sockets =
      name === 'server' ? [run.host, run.ingress, ...databaseSocketDirs(config, run.postgres)] : [run.server]
    return this.#launcher.spawn({
      account: { name, uid, gid: uid },
      command: process.execPath,
      args: [main],
      env,
      stdio,
      keptFds: 2,
      data: [data[name], run[name]],
      sockets,
      files: config.extraCaCerts === undefined ? [] : [config.extraCaCerts],
    })
  }
}

/** @throws when another coderunnerd has the data directory; it is free again when that one ends, however it ends */
export function lockInstance({ data }: Pick<Instance, 'data'>): DirectoryLock {
  try {
    return DirectoryLock.acquire(join(data.root, 'lock'))
  } catch (error) {
    if (!(error instanceof DirectoryLockedError)) throw error
    const holder = error.pid === undefined ? 'another process' : `process ${error.pid}`
    throw new Error(`CodeRunner is running on ${data.root} already: ${holder}`, { cause: error })
  }
}

function ingressEnv({ data, run }: Instance): Record<string, string> {
  return {
    CODERUNNER_INGRESS_DATA: data.ingress,
    CODERUNNER_INGRESS_SOCKET: join(run.ingress, 'control.sock'),
    CODERUNNER_SERVER_SOCKET: join(run.server, 'internal.sock'),
  }
}

function serverEnv({ config, registry }: SupervisorOptions, { data, run }: Instance): Record<string, string> {
  return {
    ...config.environment.server,
    CODERUNNER_RUNTIME: config.runtime,
    CODERUNNER_ON_EXIT: config.onExit,
    CODERUNNER_SERVER_DATA: data.server,
    CODERUNNER_SERVER_SOCKET: join(run.server, 'internal.sock'),
    CODERUNNER_INGRESS_SOCKET: join(run.ingress, 'control.sock'),
    ...(config.runtime === 'host' ? { CODERUNNER_HOST_SOCKET: join(run.host, 'daemon.sock') } : {}),
    CODERUNNER_BUILD_ENV: JSON.stringify(registry.env),
  }
}

/** Where the database's socket lies, when it is reached by one. */
function databaseSocketDirs(config: Config, embedded: string): string[] {
  if (config.database.kind === 'embedded') return [embedded]
  const { url, directUrl = '' } = config.database
  const found = [url, directUrl].flatMap(text => /[?&]host=([^&]+)/.exec(text)?.[1] ?? [])
  return [...new Set(found.map(decodeURIComponent).filter(path => path.startsWith('/')))]
}

function apiUrl(config: Config, port: number): string {
  const { host } = config.listen
  const name = host === '0.0.0.0' || host === '::' ? 'localhost' : host.includes(':') ? `[${host}]` : host
  return config.environment.shared['CODERUNNER_PUBLIC_URL'] ?? `http://${name}:${port}`
}

async function writeStatus(path: string, status: Status): Promise<void> {
  const unfinished = `${path}.new`
  await writeFile(unfinished, `${JSON.stringify(status)}\n`, { mode: 0o644 })
  await rename(unfinished, path)
}
