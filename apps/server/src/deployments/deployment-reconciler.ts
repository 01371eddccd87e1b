/**
 * Sees to it that every deployment becomes and stays what it shall be. Woken by notifications of the database, by ends of
 * sandboxes and by timers, and every 30 s by a look at everything, for what nobody told. Works on several deployments at
 * once and on each of them on one thing at a time, under its lease.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { AppError } from '@coderunner/contract'
import type { Database } from '@coderunner/database'
import type { SandboxInfo, SandboxProvider } from '@coderunner/runtime'
import type { Logger } from 'pino'
import type { DB } from '../database.ts'
import type { RoutePublisher } from '../routing/route-publisher.ts'
import type { Collection } from './collection.ts'
import type { DeploymentLeases, Lease } from './deployment-leases.ts'
import { CancelledError, DeploymentRun, type DeploymentRunDeps, SupersededError } from './deployment-run.ts'
import { deployments, LostLeaseError } from './deployment-store.ts'
import { instances } from './instance-store.ts'
import { operations } from './operation-store.ts'
import type { SandboxExits } from './sandbox-exits.ts'

export interface DeploymentReconcilerDeps {
  database: Database<DB>
  provider: SandboxProvider
  leases: DeploymentLeases
  routes: RoutePublisher
  exits: SandboxExits
  collection: Collection
  run: DeploymentRunDeps
  /** Whether a one-off command of this sandbox is run by this server now. */
  isCommandRunning(sandboxId: string): boolean
  log: Logger
  resyncMs?: number
}

interface Work {
  again: boolean
  cancel: AbortController | undefined
  operationId: string | undefined
  done: Promise<void>
}

const resyncMs = 30_000
/** Orders to nobody's sandboxes: above every epoch that is counted. */
const strayEpoch = 2 ** 31 - 1

export class DeploymentReconciler implements AsyncDisposable {
  readonly #deps: DeploymentReconcilerDeps
  readonly #ended = new AbortController()
  readonly #works = new Map<string, Work>()
  readonly #timers = new Map<string, NodeJS.Timeout>()
  #background: Promise<unknown> = Promise.resolve()

  private constructor(deps: DeploymentReconcilerDeps) {
    this.#deps = deps
  }

  static async start(deps: DeploymentReconcilerDeps): Promise<DeploymentReconciler> {
    const reconciler = new DeploymentReconciler(deps)
    const { signal } = reconciler.#ended
    // Registered before anything is read, so that no change is missed.
    await deps.database.listen('deployment', id => reconciler.#notified(id), {
      signal,
      onReconnect: () => void reconciler.#resync(),
    })
    reconciler.#background = Promise.all([reconciler.#followEvents(), reconciler.#resyncOnAndOn()])
    return reconciler
  }

  /** Looks at a deployment now, or again when it is being looked at. */
  wake(id: string): void {
    if (this.#ended.signal.aborted) return
    clearTimeout(this.#timers.get(id))
    this.#timers.delete(id)
    const working = this.#works.get(id)
    if (working !== undefined) {
      working.again = true
      return
    }
    const work: Work = { again: false, cancel: undefined, operationId: undefined, done: Promise.resolve() }
    this.#works.set(id, work)
    work.done = this.#work(id, work).finally(() => {
      this.#works.delete(id)
      if (work.again) this.wake(id)
    })
  }

  /** Stops at the next chance and gives everything back, so that another server can go on at once. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.abandon()
    await this.#background
    await Promise.allSettled([...this.#works.values()].map(work => work.done))
  }

  /** Stops without waiting and without giving anything back. */
  abandon(): void {
    this.#ended.abort()
    for (const timer of this.#timers.values()) clearTimeout(timer)
    this.#timers.clear()
    for (const { cancel } of this.#works.values()) cancel?.abort(this.#ended.signal.reason)
    this.#deps.leases.stop()
  }

  async #work(id: string, work: Work): Promise<void> {
    try {
      const lease = await this.#deps.leases.acquire(id)
      if (lease === undefined) return
      if ('retryInMs' in lease) {
        this.#wakeIn(id, lease.retryInMs)
        return
      }
      for (;;) {
        work.again = false
        const next = await this.#workOnce(lease, work)
        if (next === 'gone') {
          work.again = false
          await this.#deps.leases.release(id)
          return
        }
        if (next !== 'more' && !work.again) {
          if (next.againAt !== undefined) this.#wakeIn(id, Math.max(0, next.againAt.getTime() - Date.now()))
          return
        }
      }
    } catch (error) {
      if (this.#ended.signal.aborted) return
      if (error instanceof LostLeaseError) this.#deps.leases.lost(id)
      else this.#deps.log.error({ err: error, deployment: id }, 'a deployment could not be looked after')
      this.#wakeIn(id, 1000)
    }
  }

  async #workOnce(lease: Lease, work: Work): Promise<'gone' | 'more' | { againAt?: Date }> {
    const db = this.#deps.database.kysely
    const id = lease.deploymentId
    const status = await deployments(db).statusOf(id)
    if (status === undefined || status === 'DESTROYED') return 'gone'
    const run = new DeploymentRun(this.#deps.run, lease)
    const operation = await operations(db).next(id)
    if (operation === undefined) return run.tend()
    work.cancel = new AbortController()
    work.operationId = operation.id
    try {
      // A cancel may have come before there was anything to abort.
      await this.#checkCancelled(id, work)
      await run.operate(operation, work.cancel.signal)
      return 'more'
    } finally {
      work.cancel = undefined
      work.operationId = undefined
    }
  }

  #notified(id: string): void {
    const work = this.#works.get(id)
    this.wake(id)
    if (work?.cancel === undefined) return
    this.#checkCancelled(id, work).catch((error: unknown) => {
      // The work itself will see the order when it reads the next operation.
      this.#deps.log.warn({ err: error, deployment: id }, 'a cancel could not be looked for')
    })
  }

  /** The operation under way ends when its cancel was ordered, or a stop or destroy that comes after it. */
  async #checkCancelled(id: string, work: Work): Promise<void> {
    const pending = await operations(this.#deps.database.kysely).pending(id)
    const current = pending.find(operation => operation.id === work.operationId)
    if (current === undefined) return
    const overruled = pending.some(
      ({ kind, id, created_at }) =>
        (kind === 'stop' || kind === 'destroy') && id !== current.id && created_at >= current.created_at,
    )
    const isTeardown = current.kind === 'destroy' || current.kind === 'stop'
    if (current.cancel_requested && current.superseded_by !== null)
      work.cancel?.abort(new SupersededError(current.superseded_by))
    else if (current.cancel_requested || (overruled && !isTeardown)) work.cancel?.abort(new CancelledError())
  }

  #wakeIn(id: string, ms: number): void {
    if (this.#ended.signal.aborted) return
    clearTimeout(this.#timers.get(id))
    this.#timers.set(
      id,
      setTimeout(() => this.wake(id), ms),
    )
  }

  async #followEvents(): Promise<void> {
    const { provider, log } = this.#deps
    const { signal } = this.#ended
    while (!signal.aborted) {
      try {
        for await (const event of provider.events(signal)) await this.#sandboxExited(event.sandboxId, event.exit)
      } catch (error) {
        if (signal.aborted) return
        log.warn({ err: error }, 'the provider’s events broke off')
      }
      await delay(500, undefined, { signal }).catch(() => {})
      // Whatever happened in between was told to nobody.
      if (!signal.aborted) await this.#resync()
    }
  }

  async #sandboxExited(sandboxId: string, exit: Parameters<SandboxExits['note']>[1]): Promise<void> {
    this.#deps.exits.note(sandboxId, exit)
    const row = await instances(this.#deps.database.kysely).find(sandboxId)
    if (row !== undefined) this.wake(row.deployment_id)
  }

  async #resyncOnAndOn(): Promise<void> {
    const { signal } = this.#ended
    while (!signal.aborted) {
      await this.#resync()
      await delay(this.#deps.resyncMs ?? resyncMs, undefined, { signal }).catch(() => {})
    }
  }

  async #resync(): Promise<void> {
    const { provider, database, routes, collection, log } = this.#deps
    try {
      // Sandboxes before rows: a row is written first, so that every sandbox listed has had its row.
      const sandboxes = await provider.list()
      const alive = await instances(database.kysely).alive()
      const withRow = new Map(alive.map(row => [row.id, row]))
      const attention = new Set(await deployments(database.kysely).needingAttention())
      for (const row of alive) if (row.kind !== 'command') attention.add(row.deployment_id)
      for (const sandbox of sandboxes) {
        const row = withRow.get(sandbox.id)
        if (row?.kind === 'command' && this.#deps.isCommandRunning(sandbox.id)) continue
        if (row === undefined || row.kind === 'command') await this.#endStray(sandbox, attention)
      }
      for (const row of alive)
        if (row.kind === 'command' && !this.#deps.isCommandRunning(row.id))
          await instances(database.kysely).update(row.id, { status: 'GONE' })
      for (const id of attention) this.wake(id)
      await routes.changed()
      await collection.removeLayers()
      await collection.forgetDestroyed()
    } catch (error) {
      if (this.#ended.signal.aborted) return
      if (error instanceof AppError)
        log.warn({ code: error.code, reason: error.message }, 'the look at everything failed')
      else log.error({ err: error }, 'the look at everything failed')
    }
  }

  /** Of a deployment that is there: left to its lease. Of nobody: ended. */
  async #endStray(sandbox: SandboxInfo, attention: Set<string>): Promise<void> {
    const { provider, database, log } = this.#deps
    const owner = sandbox.labels['deployment'] ?? ''
    const isCommand = sandbox.labels['kind'] === 'command'
    if (!isCommand && owner !== '' && (await deployments(database.kysely).find(owner)) !== undefined) {
      const row = await instances(database.kysely).find(sandbox.id)
      if (row === undefined || row.status === 'GONE' || row.status === 'FAILED') attention.add(owner)
      return
    }
    log.warn({ sandbox: sandbox.id }, 'a sandbox that belongs to nobody is ended')
    const found = await provider.get(sandbox.id)
    // A key of its own: the epochs of the deployment are not touched.
    await found?.destroy({ key: isCommand || owner === '' ? sandbox.id : owner, epoch: strayEpoch })
  }
}
