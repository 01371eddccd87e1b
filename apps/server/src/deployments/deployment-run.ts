/**
 * One piece of work on one deployment under its lease: an operation from its first step to its verdict, or the care for
 * a deployment that nobody has ordered anything of (what crashed is started again, what was left behind is removed).
 * Each round reads what shall be and what is, plans, and runs the steps; there is no other state, so that any run can be
 * cut off anywhere and the next goes on.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { AppError, type DeploymentStatus, type OperationKind } from '@coderunner/contract'
import type { SandboxProvider } from '@coderunner/runtime'
import type { Logger } from 'pino'
import type { Db } from '../database.ts'
import type { RoutePublisher } from '../routing/route-publisher.ts'
import type { BuildSteps } from './build-steps.ts'
import { crashVerdict } from './crash-policy.ts'
import type { Lease } from './deployment-leases.ts'
import type { DeploymentLog } from './deployment-log.ts'
import { type DeploymentWithProject, deployments, LostLeaseError, type OperationRow } from './deployment-store.ts'
import type { InstanceOutput } from './instance-output.ts'
import { instances } from './instance-store.ts'
import { observedInstances } from './observe-deployment.ts'
import { operations } from './operation-store.ts'
import { type Desired, type Observed, planDeployment, type Step, silentSteps } from './plan-deployment.ts'
import { Playbook } from './playbook.ts'
import type { RunSteps } from './run-steps.ts'
import { executeStep, type StepExecutors, type StepRun } from './step-executors.ts'

export interface DeploymentRunDeps {
  db: Db
  provider: SandboxProvider
  routes: RoutePublisher
  output: InstanceOutput
  buildSteps: BuildSteps
  runSteps: RunSteps
  executors: StepExecutors
  log: Logger
  logOf(deployment: { id: string; project_id: string }): DeploymentLog
}

/** The work was ended by an order of a person, or by what a person ordered later. */
export class CancelledError extends AppError {
  constructor(code: 'cancelled' | 'superseded' = 'cancelled', message = 'The operation was cancelled.') {
    super(code, message)
  }
}

/** It waited for its turn, and a newer deployment of the project came. */
export class SupersededError extends CancelledError {
  constructor(newerDeploymentId: string) {
    super(
      'superseded',
      `A newer deployment of the project (${newerDeploymentId}) came while this one waited for its turn: nothing was built of it.`,
    )
  }
}

const maxRounds = 12
const maxUnavailable = 10
const teardown: ReadonlySet<string> = new Set(['drain', 'stop', 'discard', 'collect'])
/** What a deployment shows while a step that brings it up is under way. */
const statusDuring: Partial<Record<Step['name'], DeploymentStatus>> = {
  fetch: 'BUILDING',
  analyze: 'BUILDING',
  install: 'BUILDING',
  build: 'BUILDING',
  publish: 'BUILDING',
  release: 'PROVISIONING',
  start: 'PROVISIONING',
  health: 'PROVISIONING',
  promote: 'PROVISIONING',
}
const settled = {
  running: 'RUNNING',
  sleeping: 'SLEEPING',
  stopped: 'STOPPED',
  destroyed: 'DESTROYED',
} as const satisfies Record<Desired['state'], DeploymentStatus>

export class DeploymentRun {
  readonly #deps: DeploymentRunDeps
  readonly #lease: Lease
  readonly #found: StepRun['found'] = { detection: undefined }

  constructor(deps: DeploymentRunDeps, lease: Lease) {
    this.#deps = deps
    this.#lease = lease
  }

  /** Works an operation to its end. `cancelled`: the signal's reason is then a CancelledError. */
  async operate(operation: OperationRow, cancelled: AbortSignal): Promise<void> {
    const { db, log } = this.#deps
    const signal = AbortSignal.any([this.#lease.signal, cancelled])
    const playbook = new Playbook(operation.steps)
    const record = (status?: OperationRow['status']) =>
      operations(db).progress(this.#lease, operation.id, {
        ...(status === undefined ? {} : { status }),
        steps: playbook.steps,
      })
    await record('RUNNING')
    try {
      await this.#untilDone(operation, playbook, record, signal)
      playbook.close()
      await this.#settle()
      // Whoever sees the end finds the ingress serving by it.
      await this.#deps.routes.changed()
      await record('SUCCEEDED')
    } catch (error) {
      if (this.#lease.signal.aborted || error instanceof LostLeaseError)
        throw new LostLeaseError(this.#lease.deploymentId)
      const failure = cancelled.aborted ? (cancelled.reason as AppError) : asAppError(error)
      if (failure.code === 'internal')
        log.error({ err: error, deployment: this.#lease.deploymentId }, 'an operation failed')
      await this.#giveUp(failure)
      await this.#deps.routes.changed()
      playbook.close()
      await record(failure instanceof CancelledError ? 'CANCELLED' : 'FAILED')
    }
  }

  /** Keeps a deployment as it shall be. When to look again, where that is known. */
  async tend(): Promise<{ againAt?: Date }> {
    const { signal } = this.#lease
    const deployment = await this.#deployment()
    const desired: Desired = {
      state: deployment.status === 'FAILED' && deployment.desired !== 'destroyed' ? 'stopped' : deployment.desired,
      promote: false,
    }
    const plan = planDeployment(desired, await this.#observe(deployment))
    if (plan.length === 0) return {}
    const [first] = plan
    const run = this.#run(deployment, undefined, signal)
    if (first?.name === 'discard') {
      await executeStep(this.#deps.executors, run, first)
      await this.#deps.routes.changed()
      return this.tend()
    }
    if (desired.state === 'running') {
      const verdict = await this.#crashes(deployment)
      if (verdict?.kind === 'give-up') {
        await this.#giveUp(verdict.failure)
        await this.#deps.routes.changed()
        return {}
      }
      if (verdict !== undefined && verdict.at.getTime() > Date.now()) return { againAt: verdict.at }
      if (verdict !== undefined)
        await run.log.system(`Starting it again after ${verdict.crashes} quick crashes.`, 'warn')
    }
    try {
      for (const step of plan) await this.#execute({ ...run, deployment: await this.#deployment() }, step)
    } catch (error) {
      if (signal.aborted || error instanceof LostLeaseError) throw new LostLeaseError(this.#lease.deploymentId)
      const failure = asAppError(error)
      // It ended before it answered: one more crash, which the verdict above counts.
      if (failure.code === 'start_failed') return this.tend()
      if (failure.code === 'unavailable' || plan.some(step => teardown.has(step.name)))
        return { againAt: new Date(Date.now() + 2000) }
      await this.#giveUp(failure)
    }
    await this.#deps.routes.changed()
    return {}
  }

  async #untilDone(
    operation: OperationRow,
    playbook: Playbook,
    record: () => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    let unavailable = 0
    for (let round = 0; round < maxRounds + unavailable; round++) {
      signal.throwIfAborted()
      const deployment = await this.#deployment()
      // The notice of a stop or destroy may come later than what it ordered can be read: its own operation does that work.
      if (isOverruled(operation.kind, deployment.desired)) throw new CancelledError()
      const desired: Desired = {
        state: deployment.desired,
        promote: deployment.promote_when_healthy,
        ...(operation.kind === 'restart' ? { replaceBefore: operation.created_at } : {}),
      }
      const released = playbook.steps.some(({ name, status }) => name === 'release' && status === 'SUCCEEDED')
      const releasePending = operation.kind === 'deploy' && !released
      const plan = planDeployment(desired, { ...(await this.#observe(deployment)), releasePending })
      // What remains after a destroy is nothing, and that cannot be observed: `collect` has been run once.
      if (plan.length === 0) return
      playbook.plan(plan)
      await record()
      const retry = await this.#runPlan(operation, plan, playbook, record, signal)
      if (retry === undefined && desired.state === 'destroyed') return
      if (retry === undefined) continue
      if (!retry.always && ++unavailable > maxUnavailable) throw retry.error
      await delay(Math.min(250 * 2 ** unavailable, 5000), undefined, { signal })
      if (retry.always) round--
    }
    throw new AppError('internal', 'The deployment does not come to rest.')
  }

  async #runPlan(
    operation: OperationRow,
    plan: readonly Step[],
    playbook: Playbook,
    record: () => Promise<void>,
    signal: AbortSignal,
  ): Promise<{ error: unknown; always: boolean } | undefined> {
    for (const step of plan) {
      signal.throwIfAborted()
      const started = performance.now()
      const deployment = await this.#show(await this.#deployment(), step)
      playbook.begin(step.name)
      if (!silentSteps.has(step.name)) await record()
      try {
        const outcome = await this.#execute(this.#run(deployment, operation, signal), step)
        playbook.end(step.name, outcome === 'done' ? 'SUCCEEDED' : 'SKIPPED', performance.now() - started)
        if (!silentSteps.has(step.name)) await record()
      } catch (error) {
        if (this.#lease.signal.aborted) throw error
        const failure = signal.aborted ? (signal.reason as AppError) : asAppError(error)
        const retriable = !signal.aborted && (failure.code === 'unavailable' || teardown.has(step.name))
        if (retriable && failure.code !== 'stale_epoch') {
          this.#deps.log.warn({ err: error, step: step.name }, 'a step is tried again')
          return { error, always: teardown.has(step.name) }
        }
        playbook.fail(step.name, { code: failure.code, message: failure.message }, performance.now() - started)
        throw error
      }
    }
    return undefined
  }

  async #execute(run: StepRun, step: Step): Promise<'done' | 'skipped'> {
    const { signal } = this.#lease
    try {
      const executed = executeStep(this.#deps.executors, run, step)
      // Without the lease nothing is waited for: whatever it still does, the host refuses by its epoch.
      return await Promise.race([executed, aborted(signal)])
    } catch (error) {
      if (signal.aborted || (error instanceof AppError && error.code === 'stale_epoch'))
        throw new LostLeaseError(this.#lease.deploymentId)
      throw error
    }
  }

  async #deployment(): Promise<DeploymentWithProject> {
    const deployment = await deployments(this.#deps.db).find(this.#lease.deploymentId)
    if (deployment === undefined) throw new LostLeaseError(this.#lease.deploymentId)
    return deployment
  }

  /** While it is brought up its status follows the steps; one that runs already keeps running. */
  async #show(deployment: DeploymentWithProject, step: Step): Promise<DeploymentWithProject> {
    const status = statusDuring[step.name]
    if (status === undefined || deployment.status === 'RUNNING' || deployment.status === status) return deployment
    await deployments(this.#deps.db).asHolder(this.#lease).update({ status, error: null })
    return { ...deployment, status }
  }

  async #observe(deployment: DeploymentWithProject): Promise<Observed> {
    const { db, provider, output, runSteps, buildSteps } = this.#deps
    const sandboxes = await provider.list()
    const rows = await instances(db).ofDeployment(deployment.id)
    const observed = observedInstances(deployment.id, rows, sandboxes)
    for (const row of rows) {
      const live =
        row.kind === 'instance' && row.status !== 'GONE' && row.status !== 'FAILED' && row.status !== 'CREATING'
      if (!live || output.isFollowed(row.id)) continue
      const sandbox = await provider.get(row.id)
      if (sandbox !== undefined)
        runSteps.follow({ lease: this.#lease, log: this.#deps.logOf(deployment) }, row, sandbox, true)
    }
    const detection = deployment.detection ?? this.#found.detection
    return {
      detection,
      released: deployment.release_id !== null,
      unfetched: deployment.unfetched,
      dependenciesReady:
        deployment.release_id === null && (await buildSteps.dependenciesReady({ deployment, found: this.#found })),
      instances: observed,
      serving: deployment.serving,
    }
  }

  async #settle(): Promise<void> {
    const { desired } = await this.#deployment()
    await deployments(this.#deps.db).asHolder(this.#lease).update({ status: settled[desired], error: null })
  }

  /**
   * Ends what was begun. A deployment all of whose instances answer goes on running; any other has failed and keeps
   * nothing. Which deployment serves the project is left as it is.
   */
  async #giveUp(failure: AppError): Promise<void> {
    const { db } = this.#deps
    const deployment = await this.#deployment()
    const runs: Desired = { state: 'running', promote: false }
    const left = planDeployment(runs, await this.#observe(deployment))
    const keeps = deployment.status === 'RUNNING' && left.every(step => teardown.has(step.name))
    const desired: Desired = keeps ? runs : { state: 'stopped', promote: false }
    if (keeps) await deployments(db).asHolder(this.#lease).update({ promote: false })
    else
      await deployments(db)
        .asHolder(this.#lease)
        // What it shall be is not changed against an order that came meanwhile.
        .update(deployment.desired === 'running' ? { desired: 'stopped' } : {})
    const run = this.#run(await this.#deployment(), undefined, this.#lease.signal)
    try {
      for (const step of planDeployment(desired, await this.#observe(run.deployment))) await this.#execute(run, step)
    } catch (error) {
      if (error instanceof LostLeaseError) throw error
      this.#deps.log.warn({ err: error, deployment: deployment.id }, 'what a failure left is removed later')
    }
    if (keeps) return
    const { code, message } = failure
    await run.log.system(
      code === 'cancelled' ? 'Cancelled.' : code === 'superseded' ? message : `Failed: ${message}`,
      failure instanceof CancelledError ? 'warn' : 'error',
    )
    await deployments(db).asHolder(this.#lease).update({ status: 'FAILED', error: { code, message } })
  }

  /** How often it has crashed since the last order, and what follows; nothing when it has not. */
  async #crashes(deployment: DeploymentWithProject) {
    const { db } = this.#deps
    const [lastOrder] = await operations(db).latest(deployment.id, 1)
    const since = lastOrder?.ended_at ?? deployment.created_at
    const rows = await instances(db).ofDeployment(deployment.id)
    const crashed = rows.filter(
      row => row.kind === 'instance' && row.status === 'FAILED' && row.ended_at !== null && row.ended_at >= since,
    )
    if (crashed.length === 0) return undefined
    const verdict = crashVerdict(
      crashed.map(row => ({ startedAt: row.started_at ?? row.created_at, endedAt: row.ended_at ?? row.created_at })),
    )
    if (verdict.kind === 'restart') return verdict
    const last = crashed.at(-1)?.error_message ?? 'It ended.'
    const message = `It crashed ${verdict.crashes} times in a row and is not started again. ${last}`
    return { ...verdict, failure: new AppError('start_failed', message) }
  }

  #run(deployment: DeploymentWithProject, operation: OperationRow | undefined, signal: AbortSignal): StepRun {
    return {
      deployment,
      operation,
      lease: this.#lease,
      signal,
      log: this.#deps.logOf(deployment),
      found: this.#found,
    }
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error)
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
}

function asAppError(error: unknown): AppError {
  if (error instanceof AppError) return error
  return new AppError('internal', 'Something went wrong in CodeRunner itself; its log says more.', { cause: error })
}

function isOverruled(kind: OperationKind, desired: Desired['state']): boolean {
  if (desired === 'destroyed') return kind !== 'destroy'
  return desired === 'stopped' && kind !== 'stop' && kind !== 'destroy'
}
