/**
 * Puts deployments back to sleep that were woken by a visit to their own URL and are visited no more. The serving one of a
 * project stays awake.
 */
import type { RouteCounters } from '@coderunner/contract'
import type { Logger } from 'pino'
import type { Db } from '../database.ts'
import { deployments } from './deployment-store.ts'
import { operations } from './operation-store.ts'

export interface IdleSleepOptions {
  db: Db
  ingress: { counters(): Promise<RouteCounters[]> }
  log: Logger
  /** Without a request for this long. */
  idleMs: number
  /** Between two looks. */
  everyMs?: number
}

interface Seen {
  requests: number
  since: number
}

export class IdleSleep implements AsyncDisposable {
  readonly #options: IdleSleepOptions
  readonly #seen = new Map<string, Seen>()
  readonly #timer: NodeJS.Timeout
  #looking: Promise<void> = Promise.resolve()

  private constructor(options: IdleSleepOptions) {
    this.#options = options
    this.#timer = setInterval(() => {
      this.#looking = this.#looking
        .then(() => this.#look())
        .catch((error: unknown) => options.log.warn({ err: error }, 'idle deployments could not be looked for'))
    }, options.everyMs ?? Math.min(30_000, options.idleMs))
  }

  static start(options: IdleSleepOptions): IdleSleep {
    return new IdleSleep(options)
  }

  async #look(): Promise<void> {
    const { db, ingress, idleMs } = this.#options
    const candidates = await deployments(db).awakeWithoutServing()
    const counters = new Map((await ingress.counters()).map(counter => [counter.deploymentId, counter]))
    const now = performance.now()
    for (const id of this.#seen.keys()) if (!candidates.includes(id)) this.#seen.delete(id)
    for (const id of candidates) {
      const { requests = 0, activeRequests = 0, activeWebSockets = 0 } = counters.get(id) ?? {}
      const before = this.#seen.get(id)
      // The ingress counts anew after a restart: any other number than before is a sign of life.
      if (before?.requests !== requests || activeRequests > 0 || activeWebSockets > 0)
        this.#seen.set(id, { requests, since: now })
      else if (now - before.since >= idleMs) await this.#sleep(id)
    }
  }

  async #sleep(id: string): Promise<void> {
    this.#seen.delete(id)
    await this.#options.db.transaction().execute(async tx => {
      const deployment = await deployments(tx).lock(id)
      // Promoted, stopped or given an order in the meantime: then it is no longer ours to decide.
      if (deployment?.status !== 'RUNNING' || !(await deployments(tx).awakeWithoutServing()).includes(id)) return
      await deployments(tx).order(id, { desired: 'sleeping' })
      await operations(tx).insert(id, 'sleep', null)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer)
    await this.#looking
  }
}
