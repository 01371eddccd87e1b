/**
 * Leases of deployments: the server that holds one reconciles the deployment, follows its output and gives orders to the
 * host. A lease is 15 s long and renewed for all held at once; every take-over adds one to the deployment's epoch, which
 * the host uses to refuse whoever was slow to notice.
 */
import type { Fence } from '@coderunner/runtime'
import { sql } from 'kysely'
import type { Db } from '../database.ts'
import type { Holder } from './deployment-store.ts'

const leaseMs = 15_000
const renewMs = 5_000

export interface Lease extends Holder {
  readonly fence: Fence
  /** Aborts when the lease is lost or given back: stop at once, write nothing more. */
  readonly signal: AbortSignal
}

export interface DeploymentLeasesOptions {
  db: Db
  /** Names this run of the server. */
  holder: string
  /**
   * Begins the name of every run of a server on this data directory. Given only where an exclusive lock on the directory
   * proves that the run before has ended: its leases are then taken over at once instead of waited out.
   */
  predecessors?: string
  leaseMs?: number
  renewMs?: number
}

export class DeploymentLeases implements AsyncDisposable {
  readonly #db: Db
  readonly #holder: string
  readonly #leaseMs: number
  readonly #held = new Map<string, { lease: Lease; abort: AbortController }>()
  readonly #timer: NodeJS.Timeout
  #renewedAt = performance.now()
  #renewing: Promise<void> | undefined
  #stopped = false

  private constructor(options: DeploymentLeasesOptions) {
    this.#db = options.db
    this.#holder = options.holder
    this.#leaseMs = options.leaseMs ?? leaseMs
    this.#timer = setInterval(() => {
      this.#renewing ??= this.#renew().finally(() => {
        this.#renewing = undefined
      })
    }, options.renewMs ?? renewMs)
  }

  static async start(options: DeploymentLeasesOptions): Promise<DeploymentLeases> {
    const { db, predecessors } = options
    if (predecessors !== undefined)
      await db
        .updateTable('deployment')
        .set({ lease_holder: null, lease_expires_at: null })
        .where(sql<boolean>`starts_with(lease_holder, ${predecessors})`)
        .execute()
    return new DeploymentLeases(options)
  }

  /** The lease, held already or just taken; how long to wait when somebody else has it; undefined when there is no such deployment. */
  async acquire(deploymentId: string): Promise<Lease | { retryInMs: number } | undefined> {
    if (this.#stopped) return undefined
    const held = this.#held.get(deploymentId)
    if (held !== undefined) return held.lease
    const taken = await this.#db
      .updateTable('deployment')
      .set({
        lease_holder: this.#holder,
        lease_expires_at: this.#expiry(),
        epoch: sql<number>`epoch + 1`,
      })
      .where('id', '=', deploymentId)
      .where(eb => eb.or([eb('lease_holder', 'is', null), eb('lease_expires_at', '<', sql<Date>`clock_timestamp()`)]))
      .returning('epoch')
      .executeTakeFirst()
    if (taken === undefined) return this.#waitFor(deploymentId)
    const abort = new AbortController()
    const lease: Lease = {
      deploymentId,
      holder: this.#holder,
      epoch: taken.epoch,
      fence: { key: deploymentId, epoch: taken.epoch },
      signal: abort.signal,
    }
    this.#held.set(deploymentId, { lease, abort })
    return lease
  }

  /** Gives a lease back, for a deployment that is no more or that nothing is known of. */
  async release(deploymentId: string): Promise<void> {
    if (this.#drop(deploymentId) === undefined) return
    await this.#db
      .updateTable('deployment')
      .set({ lease_holder: null, lease_expires_at: null })
      .where('lease_holder', '=', this.#holder)
      .where('id', '=', deploymentId)
      .execute()
  }

  /** It turned out that somebody else has it. */
  lost(deploymentId: string): void {
    this.#drop(deploymentId)
  }

  /** Ends all work under the leases; they stay taken until they are given back or run out. */
  stop(): void {
    clearInterval(this.#timer)
    for (const id of this.#held.keys()) this.#drop(id)
    this.#stopped = true
  }

  /** Gives everything back, so that another server can go on at once. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.stop()
    await this.#renewing
    await this.#db
      .updateTable('deployment')
      .set({ lease_holder: null, lease_expires_at: null })
      .where('lease_holder', '=', this.#holder)
      .execute()
  }

  #drop(deploymentId: string): Lease | undefined {
    const held = this.#held.get(deploymentId)
    this.#held.delete(deploymentId)
    held?.abort.abort()
    return held?.lease
  }

  async #waitFor(deploymentId: string): Promise<{ retryInMs: number } | undefined> {
    const row = await this.#db
      .selectFrom('deployment')
      .select(sql<number | null>`(extract(epoch from lease_expires_at - clock_timestamp()) * 1000)::float8`.as('left'))
      .where('id', '=', deploymentId)
      .executeTakeFirst()
    return row === undefined ? undefined : { retryInMs: Math.max(50, Math.ceil(row.left ?? 0) + 20) }
  }

  async #renew(): Promise<void> {
    const before = performance.now()
    const ids = [...this.#held.keys()]
    if (ids.length === 0) {
      this.#renewedAt = before
      return
    }
    try {
      const rows = await this.#db
        .updateTable('deployment')
        .set({ lease_expires_at: this.#expiry() })
        .where('lease_holder', '=', this.#holder)
        .returning(['id', 'epoch'])
        .execute()
      const kept = new Map(rows.map(row => [row.id, row.epoch]))
      for (const id of ids) if (kept.get(id) !== this.#held.get(id)?.lease.epoch) this.#drop(id)
      this.#renewedAt = before
    } catch {
      // The database does not answer. Until the leases run out there is time to try again; after that they are not ours.
      if (performance.now() - this.#renewedAt > this.#leaseMs - 1000) for (const id of ids) this.#drop(id)
    }
  }

  #expiry() {
    return sql<Date>`clock_timestamp() + make_interval(secs => ${this.#leaseMs / 1000})`
  }
}
