/** Executors of the steps that start, prove, route and end instances. */
import { AppError, type api } from '@coderunner/contract'
import {
  type Limits,
  packageManagerNames,
  type Sandbox,
  type SandboxProvider,
  type SandboxSpec,
} from '@coderunner/runtime'
import { argvOf } from '../analysis/command-line.ts'
import { meaningfulLines, startFailure } from '../builds/build-failure.ts'
import { runtimeEnvironment } from '../builds/python-recipe.ts'
import type { Db } from '../database.ts'
import type { IngressLink } from '../routing/ingress-link.ts'
import type { RoutePublisher } from '../routing/route-publisher.ts'
import type { EnvironmentSource } from './build-steps.ts'
import { EndedEarlyError, untilHealthy } from './health-probe.ts'
import type { InstanceOutput } from './instance-output.ts'
import { type InstanceRow, instances } from './instance-store.ts'
import type { SandboxExits } from './sandbox-exits.ts'
import type { StepExecutors, StepRun } from './step-executors.ts'

export interface RunStepsDeps {
  db: Db
  provider: SandboxProvider
  ingress: IngressLink
  routes: RoutePublisher
  output: InstanceOutput
  exits: SandboxExits
  configuration: EnvironmentSource
  healthTimeoutMs: number
  drainMs: number
  stopGraceMs: number
}

export const instanceLimits: Limits = { memoryMb: 512, cpus: 1, pids: 512, diskMb: 2048 }
const defaultPort = 3000
/** A process that takes no requests is up when it has lived this long. */
const workerAliveMs = 5000

export class RunSteps {
  readonly #deps: RunStepsDeps

  constructor(deps: RunStepsDeps) {
    this.#deps = deps
  }

  get executors(): Pick<StepExecutors, 'start' | 'health' | 'drain' | 'stop' | 'discard'> {
    return {
      start: async (run, step) => {
        for (const instance of step.instances) await this.#start(run, instance)
        return 'done'
      },
      health: run => this.#health(run),
      drain: (run, step) => this.#drain(run, step.instanceIds),
      stop: async (run, step) => {
        await Promise.all(step.instanceIds.map(id => this.#stop(run, id)))
        return 'done'
      },
      discard: async (run, step) => {
        await Promise.all(step.instanceIds.map(id => this.#discard(run, id)))
        return 'done'
      },
    }
  }

  /** Environment of an instance: what CodeRunner sets, then what the user did. */
  async environment(deployment: StepRun['deployment']): Promise<Record<string, string>> {
    const { configuration } = this.#deps
    const env = deployment.config_version_id === null ? {} : await configuration.read(deployment.config_version_id)
    const wanted = deployment.options.port ?? deployment.detection?.port
    const set = {
      PORT: String(wanted ?? defaultPort),
      HOST: '0.0.0.0',
      NODE_ENV: 'production',
      ...runtimeEnvironment(deployment.detection),
    }
    return wanted === undefined ? { ...set, ...env } : { ...set, ...env, PORT: String(wanted) }
  }

  follow(run: Pick<StepRun, 'lease' | 'log'>, row: InstanceRow, sandbox: Sandbox, resumed: boolean): void {
    const { output } = this.#deps
    const { signal } = run.lease
    output.follow({ id: row.id, name: nameOf(row), offset: row.output_offset, resumed, log: run.log, signal }, sandbox)
  }

  async #start(run: StepRun, { process, number }: { process: string; number: number }): Promise<void> {
    const { db, provider } = this.#deps
    const { deployment, lease } = run
    const plan = deployment.processes.find(({ type }) => type === process)
    if (plan === undefined || deployment.layers === null) throw new Error(`There is nothing to start for ${process}.`)
    run.signal.throwIfAborted()
    const store = instances(db)
    const id = await store.insert({ deploymentId: deployment.id, kind: 'instance', process, number })
    try {
      const sandbox = await provider.create(
        {
          id,
          group: deployment.project_id,
          labels: {
            deployment: deployment.id,
            project: deployment.project_id,
            kind: 'instance',
            process: nameOf({ process, number }),
          },
          template: 'node',
          ...softwareOf(deployment.detection),
          layers: deployment.layers,
          limits: instanceLimits,
          env: environmentOf(process, await this.environment(deployment)),
          main: { kind: 'command', argv: argvOf(plan.command), ...folderOf(deployment.detection) },
          network: { egress: 'internet' },
        },
        lease.fence,
      )
      const { address } = await sandbox.info()
      await store.update(id, { status: 'STARTING', host: address })
      const row = await store.find(id)
      if (row !== undefined) this.follow(run, row, sandbox, false)
    } catch (error) {
      await store.update(id, { status: 'FAILED', error: messageOf(error) })
      throw error
    }
  }

  async #health(run: StepRun): Promise<'done'> {
    const rows = await instances(this.#deps.db).ofDeployment(run.deployment.id)
    const starting = rows.filter(row => row.kind === 'instance' && row.status === 'STARTING')
    await Promise.all(starting.map(row => this.#prove(run, row)))
    await this.#deps.routes.changed()
    return 'done'
  }

  async #prove(run: StepRun, row: InstanceRow): Promise<void> {
    const { db, provider, exits, healthTimeoutMs, output } = this.#deps
    const store = instances(db)
    const name = nameOf(row)
    const sandbox = await provider.get(row.id)
    if (sandbox === undefined) throw new AppError('start_failed', `The sandbox of ${name} has vanished.`)
    const env = await this.environment(run.deployment)
    const expected = Number(env['PORT']) || defaultPort
    using ended = abortable(run.signal)
    const exited = exits.of(sandbox, ended.signal)
    try {
      if (row.process !== 'web') {
        await aliveFor(workerAliveMs, exited, ended.signal)
        await store.update(row.id, { status: 'RUNNING' })
        return
      }
      const { port, bound } = await untilHealthy({
        address: row.host ?? '127.0.0.1',
        port: expected,
        timeoutMs: healthTimeoutMs,
        listeningPorts: () => sandbox.ports(),
        exited,
        signal: run.signal,
      })
      run.signal.throwIfAborted()
      await store.update(row.id, { status: 'RUNNING', port })
      await run.log.system(`Answers on port ${port}.`, 'info', name)
      if (port !== expected)
        await run.log.system(`Listens on port ${port} and not on PORT (${expected}): found and used.`, 'warn', name)
      if (bound === 'loopback')
        await run.log.system(
          `Listens on 127.0.0.1 only: it is reached all the same, but should listen on 0.0.0.0 (HOST).`,
          'warn',
          name,
        )
    } catch (error) {
      if (run.signal.aborted) throw run.signal.reason
      if (error instanceof EndedEarlyError) await output.drained(row.id)
      const failed = withOutput(error, output.lastLines(row.id))
      const exitCode = error instanceof EndedEarlyError ? { exitCode: error.exit.code } : {}
      await store.update(row.id, { status: 'FAILED', error: messageOf(failed), ...exitCode })
      throw failed
    }
  }

  async #drain(run: StepRun, ids: readonly string[]): Promise<'done'> {
    const { db, routes, ingress, drainMs } = this.#deps
    for (const id of ids) await instances(db).update(id, { status: 'DRAINING' })
    await routes.changed()
    // Nobody waits for what is being destroyed; an ingress that does not answer sends nobody either.
    const timeoutMs = run.deployment.desired === 'destroyed' ? Math.min(drainMs, 2000) : drainMs
    await Promise.all(
      ids.map(async id => {
        await ingress.drain(id, timeoutMs).catch(async (error: unknown) => {
          await run.log.system(`Requests to an old instance were not waited for: ${messageOf(error)}`, 'warn')
        })
      }),
    )
    return 'done'
  }

  async #stop(run: StepRun, id: string): Promise<void> {
    const { db, provider, output, stopGraceMs } = this.#deps
    const sandbox = await provider.get(id)
    const exit = await sandbox?.stop(run.lease.fence, { graceMs: stopGraceMs }).catch(ignoreMissing)
    await output.drained(id)
    await sandbox?.destroy(run.lease.fence)
    output.forget(id)
    await instances(db).update(id, { status: 'GONE', ...(exit === undefined ? {} : { exitCode: exit.code }) })
  }

  /** Removes what is of no use; that an instance ended by itself is kept in its row. */
  async #discard(run: StepRun, id: string): Promise<void> {
    const { db, provider, output } = this.#deps
    const store = instances(db)
    const [row, sandbox] = [await store.find(id), await provider.get(id)]
    const info = await sandbox?.info().catch(ignoreMissing)
    const ran = row?.kind === 'instance' && (row.status === 'RUNNING' || row.status === 'STARTING')
    const exit = info?.exit
    if (ran && exit !== undefined) {
      if (sandbox !== undefined) this.follow(run, row, sandbox, true)
      await output.drained(id)
      const how = exit.outOfMemory ? 'ran out of memory' : `ended with code ${exit.code}`
      const tail = meaningfulLines(output.lastLines(id), 8).join('\n')
      await store.update(id, {
        status: exit.code === -1 ? 'GONE' : 'FAILED',
        exitCode: exit.code,
        error: tail === '' ? `It ${how}.` : `It ${how}.\n${tail}`,
      })
      await run.log.system(`${nameOf(row)} ${how}.`, 'error', nameOf(row))
    }
    await sandbox?.destroy(run.lease.fence)
    output.forget(id)
    await store.update(id, { status: 'GONE' })
  }
}

/** Only what has a route has a port to listen on. */
function environmentOf(process: string, environment: Record<string, string>): Record<string, string> {
  if (process === 'web') return environment
  return Object.fromEntries(Object.entries(environment).filter(([name]) => name !== 'PORT'))
}

/** What the release was built with, and runs with. */
export function softwareOf(detection: api.Detection | null): Pick<SandboxSpec, 'nodeVersion' | 'packageManager'> {
  const { runtime, nodeVersion, packageManager, packageManagerVersion } = detection ?? {}
  if (runtime === 'python') return nodeVersion === undefined ? {} : { nodeVersion }
  const name = packageManagerNames.find(known => known === packageManager)
  return {
    ...(nodeVersion === undefined ? {} : { nodeVersion }),
    ...(name === undefined || packageManagerVersion === undefined
      ? {}
      : { packageManager: { name, version: packageManagerVersion } }),
  }
}

/** A workspace's commands run in its folder. */
function folderOf(detection: api.Detection | null): { cwd?: string } {
  return detection?.workspace === undefined ? {} : { cwd: detection.workspace }
}

export function nameOf({ process, number }: { process: string; number: number }): string {
  return `${process}.${number}`
}

/** The message with the last thing the application said. */
function withOutput(error: unknown, lines: readonly string[]): unknown {
  const tail = meaningfulLines(lines, 12)
  if (!(error instanceof AppError) || tail.length === 0) return error
  const cause = error instanceof EndedEarlyError ? startFailure(lines) : undefined
  const head = cause === undefined ? error.message : `${error.message} ${cause}`
  return new AppError(error.code, `${head} Its last output:\n${tail.join('\n')}`, { cause: error })
}

async function aliveFor(ms: number, exited: Promise<{ code: number; outOfMemory: boolean }>, signal: AbortSignal) {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, ms)
  signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  try {
    await Promise.race([
      promise,
      exited.then(exit => {
        throw new EndedEarlyError(exit)
      }),
    ])
  } finally {
    clearTimeout(timer)
  }
}

function abortable(signal: AbortSignal): { signal: AbortSignal } & Disposable {
  const own = new AbortController()
  return { signal: AbortSignal.any([signal, own.signal]), [Symbol.dispose]: () => own.abort() }
}

function ignoreMissing(error: unknown): undefined {
  if (error instanceof AppError && error.code === 'not_found') return undefined
  throw error
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
